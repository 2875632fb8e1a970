//! Transactions as a round passes them, batch by batch from the log's begin (Kafka class `CleanedTransactionMetadata`): whose data was
//! aborted, and which markers have no data left. A marker must outlive the data: without it aborted records would come back
//! (KAFKA-8351, KAFKA-14055).

use super::CleanError;
use crate::format::txn_index::AbortedTxn;
use ottla_types::{Offset, ProducerId};
use ottla_wire::records::{BatchHeader, BatchRef, ControlType, Decompressor};
use std::collections::{BTreeMap, BTreeSet};

/// An aborted transaction whose marker is still to come.
#[derive(Debug, Clone, Copy)]
struct Open {
    txn: AbortedTxn,
    /// Whether a batch of it was seen.
    seen: bool,
}

/// The transactions around the batch in hand.
#[derive(Debug, Clone, Default)]
pub struct Transactions {
    /// Aborted ones that begin above, by first offset.
    ahead: BTreeSet<(Offset, ProducerId, AbortedTxn)>,
    aborted: BTreeMap<ProducerId, Open>,
    /// Producers with a batch of a transaction that was committed.
    committed: BTreeSet<ProducerId>,
    /// Aborted transactions whose markers stay, for the transaction index of the segment in hand.
    kept: Vec<AbortedTxn>,
}

impl Transactions {
    /// For a pass over the batches from `from` on, with the entries of the transaction indexes: all of those segments and of later
    /// ones, as far as their transactions begin in the pass. More than once each, or too many, does no harm.
    pub fn new(from: Offset, aborted: impl IntoIterator<Item = AbortedTxn>) -> Self {
        Transactions {
            ahead: aborted
                .into_iter()
                .filter(|txn| txn.last_offset >= from)
                .map(|txn| (txn.first_offset, txn.producer_id, txn))
                .collect(),
            ..Transactions::default()
        }
    }

    /// Entries for the transaction index of the segment that the markers since the last call went into, in order.
    pub fn take_kept(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.kept)
    }

    /// Passes a batch of data. Returns whether its transaction was aborted.
    pub fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            // An entry whose marker was passed and did not end it says nothing of what comes after.
            Some(open) if open.txn.last_offset >= header.base_offset => {
                open.seen = true;
                true
            }
            _ => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Passes a control batch. Returns whether nothing is left of the transaction that it ends.
    pub fn on_marker(
        &mut self,
        batch: &BatchRef<'_>,
        scratch: &mut Decompressor,
    ) -> Result<bool, CleanError> {
        let header = batch.header();
        self.begin_up_to(header.last_offset());
        Ok(match control_type(batch, scratch)? {
            // What an earlier round left of a marker: a header.
            None => true,
            Some(ControlType::Abort) => match self.aborted.remove(&header.producer_id) {
                Some(Open { txn, seen: true }) => {
                    self.kept.push(txn);
                    false
                }
                _ => true,
            },
            Some(ControlType::Commit) => !self.committed.remove(&header.producer_id),
            Some(_) => false,
        })
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(first) = self.ahead.first().copied()
            && first.0 <= offset
        {
            self.ahead.remove(&first);
            let open = Open {
                txn: first.2,
                seen: false,
            };
            let current = self.aborted.entry(first.1).or_insert(open);
            if current.txn.last_offset < first.0 {
                *current = open;
            }
        }
    }
}

/// The type of a control batch's record; `None` if it has lost it.
fn control_type(batch: &BatchRef<'_>, scratch: &mut Decompressor) -> Result<Option<ControlType>, CleanError> {
    let offset = batch.header().base_offset;
    let failed = |error| CleanError::Record { offset, error };
    let mut records = batch.records_with(scratch).map_err(failed)?;
    let Some(record) = records.next_record() else {
        return Ok(None);
    };
    let key = record.map_err(failed)?.key.unwrap_or_default();
    // A key that names no type: kept, as one of a type that is not known.
    Ok(Some(
        ControlType::from_key(key).unwrap_or(ControlType::Unknown(-1)),
    ))
}
