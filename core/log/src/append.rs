//! What goes into an append and what comes out: offsets given, a duplicate found, or a refusal.

use crate::batch::{BatchMeta, Origin};
use crate::producers::{ProducerError, Verification};
use ottla_types::{Epoch, Offset, Time, Violation};
use std::fmt;

/// One batch to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// The batch. A leader gives it offsets and its epoch; a follower takes it as it is.
    pub batch: BatchMeta,
    /// Who appends.
    pub origin: Origin,
    /// The epoch this replica leads or follows in.
    pub leader_epoch: Epoch,
    /// The wall clock.
    pub now: Time,
    /// The transaction verification that runs for this producer.
    pub verification: Option<Verification>,
}

impl AppendInfo {
    /// A batch of a producer, without a running verification.
    pub fn client(batch: BatchMeta, leader_epoch: Epoch, now: Time) -> Self {
        AppendInfo {
            batch,
            origin: Origin::Client,
            leader_epoch,
            now,
            verification: None,
        }
    }

    /// A batch that a leader of `leader_epoch` sent.
    pub fn replicated(batch: BatchMeta, leader_epoch: Epoch, now: Time) -> Self {
        AppendInfo {
            batch,
            origin: Origin::Replication,
            leader_epoch,
            now,
            verification: None,
        }
    }
}

/// Where a batch has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Into the log. The caller patches base offset and leader epoch into the bytes before it writes them.
    Written {
        /// Offset of its first record.
        base_offset: Offset,
        /// Offset of its last record.
        last_offset: Offset,
        /// The epoch it is stamped with.
        leader_epoch: Epoch,
        /// Base offset of its segment.
        segment: Offset,
        /// Where it begins there.
        position: u32,
    },
    /// It is there already: nothing is written and the producer gets the original's offsets.
    Duplicate {
        /// Offset of the original's first record.
        base_offset: Offset,
        /// Offset of the original's last record.
        last_offset: Offset,
        /// The original's timestamp.
        timestamp: i64,
    },
}

impl Appended {
    /// Offset of the batch's first record in the log.
    pub fn base_offset(&self) -> Offset {
        match self {
            Appended::Written { base_offset, .. } | Appended::Duplicate { base_offset, .. } => *base_offset,
        }
    }

    /// Offset of its last record.
    pub fn last_offset(&self) -> Offset {
        match self {
            Appended::Written { last_offset, .. } | Appended::Duplicate { last_offset, .. } => *last_offset,
        }
    }
}

/// Why a batch was not appended. The log has not changed, except after a [`AppendError::Violation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// MESSAGE_TOO_LARGE: larger than `max.message.bytes`.
    TooLarge {
        /// Bytes of the batch.
        size: u32,
        /// Bytes allowed.
        limit: u32,
    },
    /// RECORD_LIST_TOO_LARGE: larger than a segment.
    LargerThanSegment {
        /// Bytes of the batch.
        size: u32,
        /// `segment.bytes`.
        limit: u32,
    },
    /// INVALID_RECORD: control records from a client, or offsets that run backwards.
    Invalid {
        /// What is wrong.
        reason: &'static str,
    },
    /// The producer's state does not allow it.
    Producer(ProducerError),
    /// A replicated batch begins below the log end.
    UnexpectedOffset {
        /// Where it begins.
        base_offset: Offset,
        /// The log end.
        end: Offset,
    },
    /// A replicated batch bears an epoch that can't be: above the one this replica follows, or below the log's newest.
    UnexpectedEpoch {
        /// The batch's epoch.
        epoch: Epoch,
        /// The log's newest epoch.
        newest: Epoch,
        /// The epoch this replica follows in.
        following: Epoch,
    },
    /// The offsets have run out.
    NoOffsetsLeft,
    /// An invariant does not hold: stop.
    Violation(Violation),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "batch of {size} bytes is over max.message.bytes, {limit}")
            }
            Self::LargerThanSegment { size, limit } => {
                write!(f, "batch of {size} bytes is over segment.bytes, {limit}")
            }
            Self::Invalid { reason } => f.write_str(reason),
            Self::Producer(error) => error.fmt(f),
            Self::UnexpectedOffset { base_offset, end } => {
                write!(
                    f,
                    "replicated batch begins at {base_offset}, the log ends at {end}"
                )
            }
            Self::UnexpectedEpoch {
                epoch,
                newest,
                following,
            } => {
                write!(
                    f,
                    "replicated batch of epoch {epoch}, expected {newest} to {following}"
                )
            }
            Self::NoOffsetsLeft => f.write_str("no offsets are left in this partition"),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<Violation> for AppendError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<ProducerError> for AppendError {
    fn from(error: ProducerError) -> Self {
        Self::Producer(error)
    }
}
