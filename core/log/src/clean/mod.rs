//! Compaction (`cleanup.policy=compact`), pure: which part of a log is due, which of its records stay, and the bytes of the
//! segments that take the place of the old ones (Kafka classes `LogCleanerManager`, `Cleaner`, `CleanedTransactionMetadata`,
//! `SkimpyOffsetMap`; KIP-58, KIP-354, KIP-534). Reading, writing and swapping files is the store's.
//!
//! A round: [`Range::of`] a log says what is clean, dirty and out of reach; [`index_batch`] puts the dirty batches' keys into an
//! [`OffsetMap`] until it is full; [`group`] says which segments, from the log's begin up to the map's end, become one; a [`Filter`]
//! passes each of their batches, copied, rewritten or not at all; a [`CleanedSegment`] keeps the new segment's indexes.
//!
//! What holds, whatever happens: offsets neither change nor change order; the newest record of each key stays; what lies above
//! [`OffsetMap::latest`] is not touched, to the byte; a marker outlives the data of its transaction; a tombstone or a marker goes only
//! when `delete.retention.ms` has passed since a round first found it clean.

mod filter;
mod map;
mod output;
mod plan;
mod producers;
mod txns;

pub use filter::{Fate, Filter, Stats, Terms};
pub use map::{Indexed, OffsetMap, index_batch};
pub use output::{CleanedSegment, Finished};
pub use plan::{CleanConfig, Extent, Range, group};
pub use producers::LastRecords;
pub use txns::Transactions;

use ottla_types::Offset;
use ottla_wire::records::{BatchError, BuildError, RecordError};
use std::fmt;

/// Why a log can't be cleaned. It stays as it is, and readable; Kafka calls such a partition uncleanable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanError {
    /// A batch is damaged.
    Batch {
        /// Its base offset.
        offset: Offset,
        /// How.
        error: BatchError,
    },
    /// A batch's records can't be read.
    Record {
        /// The batch's base offset.
        offset: Offset,
        /// Why.
        error: RecordError,
    },
    /// What is left of a batch can't be written.
    Build {
        /// The batch's base offset.
        offset: Offset,
        /// Why.
        error: BuildError,
    },
    /// The cleaned batches don't fit one segment: a delete horizon makes timestamps longer, another compressor less dense.
    SegmentFull {
        /// Base offset of the segment.
        base: Offset,
        /// The batch that has no room.
        offset: Offset,
    },
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch { offset, error } => write!(f, "the batch at offset {offset} is damaged: {error}"),
            Self::Record { offset, error } => {
                write!(
                    f,
                    "a record of the batch at offset {offset} can't be read: {error}"
                )
            }
            Self::Build { offset, error } => {
                write!(f, "the batch at offset {offset} can't be written anew: {error}")
            }
            Self::SegmentFull { base, offset } => write!(
                f,
                "cleaned segment {base} has no room for the batch at offset {offset}; clean fewer segments into one"
            ),
        }
    }
}

impl std::error::Error for CleanError {}
