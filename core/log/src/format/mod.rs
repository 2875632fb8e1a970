//! The bytes of Kafka's files beside the log itself. Pure: slices in, values or bytes out; no file is opened here, and
//! whatever stands in the bytes, nothing panics.

pub mod file_name;
pub mod offset_index;
pub mod producer_snapshot;
pub mod time_index;
pub mod txn_index;

#[cfg(test)]
mod tests;

use std::fmt;

/// An index file that Kafka's sanity check refuses. It is rebuilt from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorruptIndex {
    /// There is no file.
    Missing {
        /// Size of an entry, which tells the index.
        entry: usize,
    },
    /// The length is no multiple of the entry size.
    Length {
        /// Length of the file.
        length: usize,
        /// Size of an entry.
        entry: usize,
    },
    /// The last entry does not lie behind the base offset.
    LastOffset {
        /// Offset of the last entry.
        last: i64,
        /// Base offset of the segment.
        base: i64,
    },
    /// The last timestamp lies before the first.
    LastTimestamp {
        /// Timestamp of the last entry.
        last: i64,
        /// Timestamp of the first entry.
        first: i64,
    },
    /// An entry does not follow the one before it.
    Order {
        /// Number of the entry, from 0.
        entry: usize,
    },
    /// An entry of a version that this release does not know.
    Version {
        /// The version.
        version: i16,
    },
}

impl fmt::Display for CorruptIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { entry } => write!(f, "the index with entries of {entry} bytes is missing"),
            Self::Length { length, entry } => {
                write!(f, "{length} bytes are no multiple of an entry's {entry}")
            }
            Self::LastOffset { last, base } => write!(
                f,
                "last offset {last} is not above the segment's base offset {base}"
            ),
            Self::LastTimestamp { last, first } => {
                write!(f, "last timestamp {last} lies before the first, {first}")
            }
            Self::Order { entry } => write!(f, "entry {entry} does not follow the one before it"),
            Self::Version { version } => write!(f, "version {version} is not known"),
        }
    }
}

impl std::error::Error for CorruptIndex {}

/// The `N` bytes at `at`, if they are there.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// The number of the last of `count` entries for which `at_most(n)` holds, in a sorted sequence; `None` before the first.
pub(crate) fn last_at_most(count: usize, at_most: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if at_most(middle) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low.checked_sub(1)
}
