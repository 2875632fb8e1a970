//! What goes into a [`super::Log`] and what it orders.

use crate::append::{AppendError, AppendInfo, Appended};
use crate::epochs::EpochCache;
use crate::format::offset_index::OffsetEntry;
use crate::format::time_index::TimeEntry;
use crate::format::txn_index::AbortedTxn;
use crate::producers::Producers;
use crate::segments::{RollReason, SegmentState};
use ottla_types::{Offset, Time, Violation};
use std::fmt;

/// Something that happens to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A batch, as leader or follower by its origin.
    Append(AppendInfo),
    /// Everything below it is replicated. Values beyond the log's end, as a restarted replica may hold, stand for the end;
    /// lower values than before change nothing.
    HighWatermark(Offset),
    /// Everything below it is on the platter. Flushes that began before a truncation are reported before it, or never.
    Flushed(Offset),
    /// The first readable offset moves up: DeleteRecords, or a follower hears it from its leader.
    MoveStart(Offset, StartCause),
    /// Time for retention.
    Retention(Time),
    /// Time to forget idle producers.
    ExpireProducers(Time),
    /// The log is cut.
    Truncate(Box<Truncation>),
    /// Everything goes; the log begins anew at this offset (a follower out of range).
    Reset(Offset, Time),
    /// A new segment, unless the active one is empty.
    Roll(Time),
    /// The log is being closed.
    Close,
}

/// A cut, with what only the files could tell; `recovery::CutScan` makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// The log's end after it: the offset asked for, or the base of the batch that spans it.
    pub end: Offset,
    /// The last segment that stays, as it is after the cut.
    pub segment: SegmentState,
    /// The producer table as of the new end.
    pub producers: Producers,
}

/// Why a log's start moved. The first three as [`ottla_types::event::StartMove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StartCause {
    /// `retention.ms`.
    RetentionTime,
    /// `retention.bytes`.
    RetentionSize,
    /// DeleteRecords.
    DeleteRecords,
    /// A snapshot stands for what came before.
    Snapshot,
    /// The leader's log start.
    Leader,
    /// The log was cut below it, or reset.
    Truncation,
}

/// An order to the store. They are carried out in this sequence; one that fails takes the log directory offline, because
/// the log already counts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write the epoch checkpoint from [`super::Log::epochs`]. It is on the platter before what follows.
    EpochsChanged,
    /// The recovery point went down. Write its checkpoint before what follows, or a later crash would take unflushed
    /// batches for damaged ones.
    RecoveryPointLowered {
        /// The new recovery point.
        offset: Offset,
    },
    /// The active segment is complete: trim its indexes to their entries. What it holds below `end` is to be flushed soon.
    CloseSegment {
        /// The segment.
        segment: Offset,
        /// Why.
        reason: RollReason,
        /// Its log's size.
        size: u32,
        /// The log end.
        end: Offset,
    },
    /// Write a producer snapshot file.
    ProducerSnapshot {
        /// What it stands for; its name.
        offset: Offset,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Create a segment; it is active from now on.
    OpenSegment {
        /// Its base offset.
        base: Offset,
    },
    /// Write the batch at the segment's end.
    Write {
        /// The segment.
        segment: Offset,
        /// Where: its size so far.
        position: u32,
        /// Bytes of the batch.
        size: u32,
        /// Offset of its first record.
        base_offset: Offset,
        /// Offset of its last record.
        last_offset: Offset,
    },
    /// Add an entry to the offset index.
    IndexEntry {
        /// The segment.
        segment: Offset,
        /// The entry.
        entry: OffsetEntry,
    },
    /// Add an entry to the time index.
    TimeIndexEntry {
        /// The segment.
        segment: Offset,
        /// The entry.
        entry: TimeEntry,
    },
    /// Add an entry to the transaction index.
    AbortedTxn {
        /// The segment.
        segment: Offset,
        /// The entry.
        entry: AbortedTxn,
    },
    /// `flush.messages` is reached: flush up to here.
    Flush {
        /// The log end.
        to: Offset,
    },
    /// The high watermark moved.
    HighWatermarkMoved {
        /// Its value.
        offset: Offset,
    },
    /// The last stable offset moved.
    LastStableMoved {
        /// Its value.
        offset: Offset,
    },
    /// The first readable offset moved.
    StartMoved {
        /// Its value.
        offset: Offset,
        /// Why.
        cause: StartCause,
    },
    /// Remove a segment's files (log, three indexes) and the snapshot of the same name.
    DeleteSegment {
        /// The segment.
        segment: Offset,
    },
    /// Remove producer snapshots above this offset.
    DeleteSnapshotsAbove {
        /// The log end.
        offset: Offset,
    },
    /// Cut a segment, its indexes first; it is active from now on.
    TruncateSegment {
        /// The segment.
        segment: Offset,
        /// Size of its log.
        size: u32,
        /// Entries of its offset index.
        index_entries: u32,
        /// Entries of its time index.
        time_entries: u32,
        /// Transaction index entries whose marker is at or above this offset go.
        end: Offset,
    },
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An append's result.
    Appended(Appended),
    /// Done, or nothing to do.
    Done,
}

/// Why a step was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// An append.
    Append(AppendError),
    /// OFFSET_OUT_OF_RANGE: the start can't move above the high watermark, nor the end be cut to where it is not.
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The lowest possible.
        low: Offset,
        /// The highest possible.
        high: Offset,
    },
    /// An invariant does not hold: stop.
    Violation(Violation),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(error) => error.fmt(f),
            Self::OffsetOutOfRange { offset, low, high } => {
                write!(f, "offset {offset} is not within {low} to {high}")
            }
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for LogError {}

impl From<AppendError> for LogError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Violation(violation) => Self::Violation(violation),
            error => Self::Append(error),
        }
    }
}

impl From<Violation> for LogError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// A log as it was found on a disk, after recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its segments; none for a new log.
    pub segments: Vec<SegmentState>,
    /// Rows of its epoch checkpoint, with what recovery found in the batches.
    pub epochs: EpochCache,
    /// The producer table as of [`Recovered::end`].
    pub producers: Producers,
    /// Its start by the checkpoint, or 0.
    pub start: Offset,
    /// The offset after its last batch.
    pub end: Offset,
    /// The high watermark by the checkpoint.
    pub high_watermark: Offset,
    /// The recovery point by the checkpoint.
    pub recovery_point: Offset,
}
