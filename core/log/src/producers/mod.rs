//! The producer table of one log: who wrote idempotently, in which epoch, up to which sequence; which transactions are open;
//! and what a new batch must satisfy (KIP-98, KIP-360, KIP-890; Kafka classes `ProducerStateManager`, `ProducerAppendInfo`).

mod entry;
mod rules;
#[cfg(test)]
mod tests;

pub use entry::{BatchRange, ProducerEntry, WINDOW};
pub use rules::{ProducerError, Verification};

use crate::batch::{BatchMeta, Origin};
use crate::format::producer_snapshot::{self, CorruptSnapshot};
use crate::format::txn_index::AbortedTxn;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Time, Violation};
use std::collections::BTreeMap;

/// The table. A batch of a known producer changes it without allocating.
///
/// Invariants: `open` holds exactly the entries with an open transaction, by its first offset (kept beside them because the
/// last stable offset asks for the smallest on every move of the high watermark); nothing lies at or above `end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Producers {
    entries: BTreeMap<ProducerId, ProducerEntry>,
    /// Open transactions: first offset and producer.
    open: BTreeMap<Offset, ProducerId>,
    /// Completed transactions whose marker the high watermark has not passed: first offset and marker's offset.
    unreplicated: BTreeMap<Offset, Offset>,
    /// The offset after the last batch that was taken in.
    end: Offset,
}

/// A transaction that a marker has just completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    /// For the transaction index; its `last_stable_offset` is filled in.
    pub txn: AbortedTxn,
    /// Whether it was aborted, and so belongs in the index.
    pub aborted: bool,
}

impl Producers {
    /// An empty table of a log that begins at `start`.
    pub fn new(start: Offset) -> Self {
        Producers {
            end: start,
            ..Producers::default()
        }
    }

    /// The table as of `offset` from a snapshot file's bytes. Producers that have expired by `now` are left out. A file that
    /// contradicts itself is corrupt, whatever its checksum says.
    pub fn from_snapshot(
        offset: Offset,
        bytes: &[u8],
        now: Time,
        expiration_ms: u64,
    ) -> Result<Self, CorruptSnapshot> {
        let mut table = Producers::new(offset);
        for row in producer_snapshot::decode(bytes)? {
            let entry = ProducerEntry::from_snapshot(&row);
            if entry.expired(now, expiration_ms) {
                continue;
            }
            if let Some(first) = entry.txn_first_offset
                && (first >= offset || table.open.insert(first, row.producer_id).is_some())
            {
                return Err(CorruptSnapshot::Transaction { first_offset: first });
            }
            if table.entries.insert(row.producer_id, entry).is_some() {
                return Err(CorruptSnapshot::Producer(row.producer_id));
            }
        }
        Ok(table)
    }

    /// A snapshot file's bytes; it stands for [`Producers::end`].
    pub fn snapshot(&self) -> Vec<u8> {
        producer_snapshot::encode(self.entries.iter().map(|(id, entry)| entry.snapshot_row(*id)))
    }

    /// The offset the table stands at.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The producers, by id (DescribeProducers).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// One producer.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(&id)
    }

    /// Whether this producer has a transaction open in this epoch.
    pub fn has_open_txn(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.entries
            .get(&id)
            .is_some_and(|e| e.txn_first_offset.is_some() && e.epoch == epoch)
    }

    /// The batch that `batch` repeats, when it is one of its producer's last five.
    pub fn duplicate_of(&self, batch: &BatchMeta) -> Option<BatchRange> {
        self.entries
            .get(&batch.producer_id)
            .and_then(|entry| entry.find(batch))
    }

    /// Whether `batch` may follow what its producer has written.
    pub fn validate(
        &self,
        batch: &BatchMeta,
        origin: Origin,
        known: Option<Verification>,
    ) -> Result<(), ProducerError> {
        if !batch.has_producer_id() || origin == Origin::Replication {
            return Ok(());
        }
        rules::check(self.entries.get(&batch.producer_id), batch, origin, known)
    }

    /// Takes a batch in. Returns the transaction that it completes.
    pub fn apply(&mut self, batch: &BatchMeta) -> Result<Option<CompletedTxn>, Violation> {
        let completed = match (batch.has_producer_id(), batch.is_control, batch.control) {
            (false, _, _) | (true, true, None) => None,
            (true, true, Some(marker)) => {
                let entry = self.entries.entry(batch.producer_id).or_default();
                let first = entry.end_txn(batch, marker);
                first
                    .map(|first| self.complete(batch, first, !marker.commit))
                    .transpose()?
            }
            (true, false, _) => {
                let entry = self.entries.entry(batch.producer_id).or_default();
                entry.add(batch);
                if batch.is_transactional && entry.txn_first_offset.is_none() {
                    entry.txn_first_offset = Some(batch.base_offset);
                    self.open.insert(batch.base_offset, batch.producer_id);
                }
                None
            }
        };
        self.end = self.end.max(batch.next_offset());
        Ok(completed)
    }

    /// Remembers a batch below [`Producers::end`] for finding duplicates: a snapshot keeps only the newest of each producer. To be
    /// called in order of offset.
    pub fn recall(&mut self, batch: &BatchMeta) {
        if batch.has_producer_id()
            && !batch.is_control
            && let Some(entry) = self.entries.get_mut(&batch.producer_id)
        {
            entry.recall(batch);
        }
    }

    /// Moves a transaction from open to completed. Its last stable offset is where the next open one begins.
    fn complete(
        &mut self,
        batch: &BatchMeta,
        first: Offset,
        aborted: bool,
    ) -> Result<CompletedTxn, Violation> {
        if self.open.remove(&first) != Some(batch.producer_id) {
            let detail = format!(
                "producer {} completes a transaction from {first} that is not open",
                batch.producer_id
            );
            return Err(Violation::new("open transactions match their producers", detail));
        }
        self.unreplicated.insert(first, batch.base_offset);
        let next_open = self.open.first_key_value().map(|(offset, _)| *offset);
        let txn = AbortedTxn {
            producer_id: batch.producer_id,
            first_offset: first,
            last_offset: batch.base_offset,
            last_stable_offset: next_open.unwrap_or(batch.base_offset.saturating_add(1)),
        };
        Ok(CompletedTxn { txn, aborted })
    }

    /// First offset of the oldest open transaction.
    pub fn first_open_offset(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// First offset that is undecided, or decided by a marker that is not replicated yet.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let unreplicated = self.unreplicated.first_key_value().map(|(first, _)| *first);
        self.first_open_offset().into_iter().chain(unreplicated).min()
    }

    /// Whether the oldest open transaction has had no batch for `limit_ms` (a hanging transaction, KIP-664).
    pub fn has_late_transaction(&self, now: Time, limit_ms: u64) -> bool {
        let oldest = self
            .open
            .first_key_value()
            .and_then(|(_, id)| self.entries.get(id));
        oldest.is_some_and(|e| {
            e.last_timestamp > 0 && now.as_millis().saturating_sub(e.last_timestamp) > limit_ms as i64
        })
    }

    /// The high watermark has moved: markers below it are replicated.
    pub fn high_watermark(&mut self, offset: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= offset);
    }

    /// The log begins at `start` now. As in Kafka, producers stay known when their batches are gone.
    pub fn start_moved(&mut self, start: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= start);
        self.end = self.end.max(start);
    }

    /// The table has seen everything below `offset`, which may lie behind a gap.
    pub fn advance(&mut self, offset: Offset) {
        self.end = self.end.max(offset);
    }

    /// Forgets producers that have been idle for `expiration_ms` and have no transaction open. Returns how many.
    pub fn expire(&mut self, now: Time, expiration_ms: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !entry.expired(now, expiration_ms));
        before - self.entries.len()
    }

    /// Open transactions and entries agree.
    pub fn check(&self) -> Result<(), Violation> {
        let invariant = "open transactions match their producers";
        for (first, id) in &self.open {
            let found = self.entries.get(id).and_then(|e| e.txn_first_offset);
            if found != Some(*first) {
                return Err(Violation::new(
                    invariant,
                    format!("open from {first}, producer {id} says {found:?}"),
                ));
            }
        }
        let open = self
            .entries
            .values()
            .filter(|e| e.txn_first_offset.is_some())
            .count();
        if open != self.open.len() {
            return Err(Violation::new(
                invariant,
                format!("{} open, {open} producers say so", self.open.len()),
            ));
        }
        Ok(())
    }
}
