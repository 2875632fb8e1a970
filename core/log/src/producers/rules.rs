//! What a batch of an idempotent or transactional producer, or a marker on its behalf, must satisfy before it is appended
//! (Kafka class `ProducerAppendInfo`).
//!
//! A producer that the log does not know may begin at any sequence: its state may have expired, or gone with its records
//! (KIP-360). There is no UNKNOWN_PRODUCER_ID any more.

use super::entry::ProducerEntry;
use crate::batch::{BatchMeta, EndTxn, Origin};
use ottla_types::{Offset, ProducerEpoch, ProducerId};
use std::fmt;

/// What a running verification of a transaction knows of its producer (KIP-890; Kafka class `VerificationStateEntry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Verification {
    /// The lowest sequence that was seen since it began.
    pub lowest_sequence: i32,
    /// The producer speaks transactions version 2, so its epoch grows with each transaction.
    pub supports_epoch_bump: bool,
}

/// Why a producer's batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProducerError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER: a batch before it is missing.
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Sequence of the batch.
        sequence: i32,
        /// The last sequence in the log, or −1; the batch must begin behind it.
        last: i32,
    },
    /// INVALID_PRODUCER_EPOCH: a newer instance of the producer has written.
    InvalidEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch of the batch.
        epoch: ProducerEpoch,
        /// The current epoch.
        current: ProducerEpoch,
    },
    /// INVALID_TXN_STATE: a batch outside the producer's open transaction.
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
        /// Where its transaction began.
        open_since: Offset,
    },
    /// TRANSACTION_COORDINATOR_FENCED: a newer coordinator has written a marker.
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch of the marker.
        epoch: i32,
        /// The current epoch.
        current: i32,
    },
}

impl fmt::Display for ProducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrderSequence {
                producer_id,
                sequence,
                last,
            } => {
                write!(f, "producer {producer_id} sent sequence {sequence} after {last}")
            }
            Self::InvalidEpoch {
                producer_id,
                epoch,
                current,
            } => {
                write!(f, "epoch {epoch} of producer {producer_id} is behind {current}")
            }
            Self::InvalidTxnState {
                producer_id,
                open_since,
            } => {
                write!(
                    f,
                    "producer {producer_id} wrote outside its transaction, open since offset {open_since}"
                )
            }
            Self::CoordinatorFenced {
                producer_id,
                epoch,
                current,
            } => {
                write!(
                    f,
                    "marker for producer {producer_id} of coordinator epoch {epoch}, which {current} has replaced"
                )
            }
        }
    }
}

impl std::error::Error for ProducerError {}

/// All rules, in Kafka's order, so that a batch that breaks several gets the same answer.
pub(super) fn check(
    current: Option<&ProducerEntry>,
    batch: &BatchMeta,
    origin: Origin,
    known: Option<Verification>,
) -> Result<(), ProducerError> {
    let unknown = ProducerEntry::default();
    let entry = current.unwrap_or(&unknown);
    if batch.is_control {
        return batch
            .control
            .map_or(Ok(()), |marker| check_marker(entry, batch, marker, origin));
    }
    check_epoch(entry, batch, 0)?;
    if origin == Origin::Client {
        check_sequence(entry, batch, known)?;
    }
    match entry.txn_first_offset {
        Some(open_since) if !batch.is_transactional => Err(ProducerError::InvalidTxnState {
            producer_id: batch.producer_id,
            open_since,
        }),
        _ => Ok(()),
    }
}

fn check_marker(
    entry: &ProducerEntry,
    batch: &BatchMeta,
    marker: EndTxn,
    origin: Origin,
) -> Result<(), ProducerError> {
    let version = if let Origin::Coordinator { transaction_version } = origin {
        transaction_version
    } else {
        0
    };
    check_epoch(entry, batch, version)?;
    if entry.coordinator_epoch > marker.coordinator_epoch {
        let (producer_id, epoch) = (batch.producer_id, marker.coordinator_epoch);
        return Err(ProducerError::CoordinatorFenced {
            producer_id,
            epoch,
            current: entry.coordinator_epoch,
        });
    }
    Ok(())
}

/// From transactions version 2 on a marker's epoch lies above its transaction's. The marker that is written once more
/// (its answer was lost, or the coordinator moved) finds no open transaction and passes (KAFKA-19999); so does one of the
/// largest epoch there is, which none can follow.
fn check_epoch(
    entry: &ProducerEntry,
    batch: &BatchMeta,
    transaction_version: u16,
) -> Result<(), ProducerError> {
    let (epoch, current) = (batch.producer_epoch, entry.epoch);
    let repeated = epoch == current && (entry.txn_first_offset.is_none() || epoch == ProducerEpoch::MAX);
    let behind = if transaction_version >= 2 {
        epoch <= current && !repeated
    } else {
        epoch < current
    };
    if behind {
        Err(ProducerError::InvalidEpoch {
            producer_id: batch.producer_id,
            epoch,
            current,
        })
    } else {
        Ok(())
    }
}

fn check_sequence(
    entry: &ProducerEntry,
    batch: &BatchMeta,
    known: Option<Verification>,
) -> Result<(), ProducerError> {
    let sequence = batch.base_sequence;
    let out_of_order = |last| {
        Err(ProducerError::OutOfOrderSequence {
            producer_id: batch.producer_id,
            sequence,
            last,
        })
    };
    if let Some(known) = known {
        if known.supports_epoch_bump && sequence != 0 && entry.last().is_none() {
            return out_of_order(-1);
        }
        if sequence > known.lowest_sequence {
            return out_of_order(known.lowest_sequence);
        }
    }
    let last = entry.last().map_or(-1, |b| b.last_sequence);
    if entry.epoch < 0 {
        return Ok(());
    }
    if batch.producer_epoch != entry.epoch {
        return if sequence == 0 { Ok(()) } else { out_of_order(last) };
    }
    let follows = i64::from(sequence) == i64::from(last) + 1 || (sequence == 0 && last == i32::MAX);
    if follows { Ok(()) } else { out_of_order(last) }
}
