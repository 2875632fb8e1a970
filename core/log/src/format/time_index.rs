//! `.timeindex`: from timestamps to offsets. Entries of 12 bytes: the largest timestamp so far (int64), the last offset of
//! the batch that has it, relative to the segment's base (int32) (Kafka class `TimeIndex`).

use super::{CorruptIndex, bytes_at, last_at_most};
use ottla_types::Offset;

/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 12;

/// One entry, with its full offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeEntry {
    /// The largest timestamp up to and including [`TimeEntry::offset`]; −1 for none.
    pub timestamp: i64,
    /// Last offset of the batch that has it.
    pub offset: Offset,
}

impl TimeEntry {
    /// What an empty index stands for (`TimestampOffset` of a new segment).
    pub fn none(base: Offset) -> Self {
        TimeEntry {
            timestamp: -1,
            offset: base,
        }
    }

    /// The entry's bytes in the segment that begins at `base`.
    pub fn to_bytes(self, base: Offset) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        out[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..].copy_from_slice(&((self.offset - base) as i32).to_be_bytes());
        out
    }
}

/// Entry `n` of the index of the segment that begins at `base`.
pub fn entry(bytes: &[u8], base: Offset, n: usize) -> Option<TimeEntry> {
    let at = n.checked_mul(ENTRY_SIZE)?;
    let timestamp = i64::from_be_bytes(bytes_at(bytes, at)?);
    let offset = i32::from_be_bytes(bytes_at(bytes, at + 8)?);
    Some(TimeEntry {
        timestamp,
        offset: base.saturating_add(i64::from(offset)),
    })
}

/// How many entries there are before the zeros that Kafka preallocates in an active segment's index.
pub fn valid_entries(bytes: &[u8]) -> usize {
    let count = bytes.len() / ENTRY_SIZE;
    last_at_most(count, |n| {
        bytes_at::<ENTRY_SIZE>(bytes, n * ENTRY_SIZE).is_some_and(|e| e != [0; ENTRY_SIZE])
    })
    .map_or(0, |n| n + 1)
}

/// The last of the first `entries` entries, or [`TimeEntry::none`].
pub fn last(bytes: &[u8], base: Offset, entries: usize) -> TimeEntry {
    entries
        .checked_sub(1)
        .and_then(|n| entry(bytes, base, n))
        .unwrap_or(TimeEntry::none(base))
}

/// The last of the first `entries` entries whose timestamp is at most `target`, or [`TimeEntry::none`].
pub fn lookup(bytes: &[u8], base: Offset, entries: usize, target: i64) -> TimeEntry {
    let count = entries.min(bytes.len() / ENTRY_SIZE);
    last_at_most(count, |n| {
        entry(bytes, base, n).is_some_and(|e| e.timestamp <= target)
    })
    .and_then(|n| entry(bytes, base, n))
    .unwrap_or(TimeEntry::none(base))
}

/// How many entries remain when everything from `offset` on is truncated (`TimeIndex.truncateTo`).
pub fn entries_below(bytes: &[u8], base: Offset, entries: usize, offset: Offset) -> usize {
    let count = entries.min(bytes.len() / ENTRY_SIZE);
    last_at_most(count, |n| {
        entry(bytes, base, n).is_some_and(|e| e.offset < offset)
    })
    .map_or(0, |n| n + 1)
}

/// Kafka's check of a closed segment's index (`TimeIndex.sanityCheck`).
pub fn sanity_check(bytes: &[u8], base: Offset) -> Result<(), CorruptIndex> {
    if !bytes.len().is_multiple_of(ENTRY_SIZE) {
        return Err(CorruptIndex::Length {
            length: bytes.len(),
            entry: ENTRY_SIZE,
        });
    }
    let count = bytes.len() / ENTRY_SIZE;
    let (Some(first), true) = (entry(bytes, base, 0), count > 0) else {
        return Ok(());
    };
    let last = last(bytes, base, count);
    if last.timestamp < first.timestamp {
        return Err(CorruptIndex::LastTimestamp {
            last: last.timestamp,
            first: first.timestamp,
        });
    }
    if last.offset < base {
        return Err(CorruptIndex::LastOffset {
            last: last.offset,
            base,
        });
    }
    Ok(())
}
