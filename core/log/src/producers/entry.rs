//! One producer of one log: its epoch, its last five batches, its open transaction (Kafka class `ProducerStateEntry`).

use crate::batch::{BatchMeta, EndTxn};
use crate::format::producer_snapshot::SnapshotEntry;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Time};
use ottla_wire::records::add_sequence;

/// Batches that are remembered for finding duplicates: as many as an idempotent producer may have in flight.
pub const WINDOW: usize = 5;

/// A batch as it is remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchRange {
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last minus first offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl BatchRange {
    /// Offset of its first record.
    pub fn first_offset(&self) -> Offset {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }

    /// Sequence of its first record.
    pub fn first_sequence(&self) -> i32 {
        add_sequence(self.last_sequence, self.offset_delta.saturating_neg())
    }
}

fn range_of(batch: &BatchMeta) -> BatchRange {
    BatchRange {
        last_sequence: batch.last_sequence(),
        last_offset: batch.last_offset,
        offset_delta: batch.last_offset_delta() as i32,
        timestamp: batch.max_timestamp,
    }
}

/// What the log knows of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerEntry {
    /// Its current epoch; −1 when none is known.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote its last marker; −1 for none.
    pub coordinator_epoch: i32,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: i64,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<Offset>,
    /// Its last batches, oldest first, all of the current epoch; unused places are zero.
    batches: [BatchRange; WINDOW],
    /// How many of them are in use.
    used: u8,
}

impl Default for ProducerEntry {
    fn default() -> Self {
        ProducerEntry {
            epoch: -1,
            coordinator_epoch: -1,
            last_timestamp: -1,
            txn_first_offset: None,
            batches: [BatchRange::default(); WINDOW],
            used: 0,
        }
    }
}

impl ProducerEntry {
    /// The remembered batches, oldest first.
    pub fn batches(&self) -> &[BatchRange] {
        self.batches.get(..usize::from(self.used)).unwrap_or_default()
    }

    /// The newest batch.
    pub fn last(&self) -> Option<&BatchRange> {
        self.batches().last()
    }

    /// The remembered batch with the same epoch and sequences.
    pub fn find(&self, batch: &BatchMeta) -> Option<BatchRange> {
        if batch.producer_epoch != self.epoch || batch.base_sequence < 0 {
            return None;
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        self.batches()
            .iter()
            .find(|b| b.first_sequence() == first && b.last_sequence == last)
            .copied()
    }

    /// Whether it has been idle for `expiration_ms`, with no transaction open.
    pub fn expired(&self, now: Time, expiration_ms: u64) -> bool {
        let idle = now.as_millis().saturating_sub(self.last_timestamp);
        self.txn_first_offset.is_none() && idle >= i64::try_from(expiration_ms).unwrap_or(i64::MAX)
    }

    /// Takes a data batch in. Its transaction is the table's matter.
    pub(super) fn add(&mut self, batch: &BatchMeta) {
        self.set_epoch(batch.producer_epoch);
        self.push(range_of(batch));
        self.last_timestamp = batch.max_timestamp;
    }

    /// Takes a marker in; returns the first offset of the transaction it ends.
    pub(super) fn end_txn(&mut self, batch: &BatchMeta, marker: EndTxn) -> Option<Offset> {
        self.set_epoch(batch.producer_epoch);
        self.coordinator_epoch = marker.coordinator_epoch;
        self.last_timestamp = batch.max_timestamp;
        self.txn_first_offset.take()
    }

    pub(super) fn push(&mut self, range: BatchRange) {
        if usize::from(self.used) == WINDOW {
            self.batches.rotate_left(1);
            self.used -= 1;
        }
        if let Some(place) = self.batches.get_mut(usize::from(self.used)) {
            *place = range;
            self.used += 1;
        }
    }

    /// Remembers a batch that lies before the newest one, which is all that a snapshot keeps; the oldest makes room.
    pub(super) fn recall(&mut self, batch: &BatchMeta) {
        let older = self
            .last()
            .is_some_and(|last| batch.last_offset < last.last_offset);
        let known = self.batches().iter().any(|b| b.last_offset == batch.last_offset);
        if !older || known || batch.producer_epoch != self.epoch || batch.base_sequence < 0 {
            return;
        }
        let below = self
            .batches()
            .iter()
            .filter(|b| b.last_offset < batch.last_offset)
            .count();
        let used = usize::from(self.used);
        if used < WINDOW {
            if let Some(behind) = self.batches.get_mut(below..=used) {
                behind.rotate_right(1);
            }
            self.used += 1;
        } else if let Some(before) = self.batches.get_mut(..below) {
            before.rotate_left(usize::from(below > 0));
        }
        let place = if used < WINDOW {
            Some(below)
        } else {
            below.checked_sub(1)
        };
        if let Some(place) = place.and_then(|at| self.batches.get_mut(at)) {
            *place = range_of(batch);
        }
    }

    /// A new epoch begins with sequence 0: earlier batches are forgotten.
    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [BatchRange::default(); WINDOW];
            self.used = 0;
        }
    }
}

impl ProducerEntry {
    /// From a snapshot's row; of its batches only the last was kept.
    pub(super) fn from_snapshot(row: &SnapshotEntry) -> Self {
        let mut entry = ProducerEntry {
            epoch: row.producer_epoch,
            coordinator_epoch: row.coordinator_epoch,
            last_timestamp: row.timestamp,
            txn_first_offset: (row.current_txn_first_offset >= 0).then_some(row.current_txn_first_offset),
            ..ProducerEntry::default()
        };
        if row.last_offset >= 0 {
            entry.push(BatchRange {
                last_sequence: row.last_sequence,
                last_offset: row.last_offset,
                offset_delta: row.offset_delta,
                timestamp: row.timestamp,
            });
        }
        entry
    }

    /// A snapshot's row.
    pub(super) fn snapshot_row(&self, producer_id: ProducerId) -> SnapshotEntry {
        let last = self.last();
        SnapshotEntry {
            producer_id,
            producer_epoch: self.epoch,
            last_sequence: last.map_or(-1, |b| b.last_sequence),
            last_offset: last.map_or(-1, |b| b.last_offset),
            offset_delta: last.map_or(0, |b| b.offset_delta),
            timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: self.txn_first_offset.unwrap_or(-1),
        }
    }
}
