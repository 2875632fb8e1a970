//! The leader epoch cache: at which offset each leader epoch began (KIP-101, KIP-279; Kafka class `LeaderEpochFileCache`).
//! Its file, `leader-epoch-checkpoint`, is written by the store.

use ottla_types::{Epoch, Offset, Violation};

/// A leader epoch and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: Epoch,
    /// Where it begins.
    pub start: Offset,
}

/// The answer to OffsetForLeaderEpoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochEnd {
    /// The largest known epoch that is at most the one asked for; −1 for none.
    pub epoch: Epoch,
    /// The offset after its last record; −1 for none.
    pub end: Offset,
}

impl EpochEnd {
    /// Nothing is known (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET).
    pub const UNDEFINED: EpochEnd = EpochEnd { epoch: -1, end: -1 };
}

/// Entries in strictly ascending order, both of epochs and of start offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// From a checkpoint's rows, each assigned in turn, as Kafka loads them: rows that break the order fall away.
    pub fn load(rows: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = EpochCache::default();
        for row in rows {
            cache.assign(row.epoch, row.start);
        }
        cache
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest entry.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Says that `epoch` begins at `start`, unless it is the newest entry's epoch already (then its begin stays, or moves
    /// down). Entries that are not strictly below in both are removed: their records were never there. Negative values
    /// are no epochs and change nothing. Returns whether the cache changed.
    pub fn assign(&mut self, epoch: Epoch, start: Offset) -> bool {
        if epoch < 0 || start < 0 {
            return false;
        }
        if self
            .latest()
            .is_some_and(|latest| latest.epoch == epoch && start >= latest.start)
        {
            return false;
        }
        while self
            .latest()
            .is_some_and(|latest| latest.epoch >= epoch || latest.start >= start)
        {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// Where `epoch` ends, by OffsetForLeaderEpoch's rules; `log_end` is the end of the newest epoch.
    pub fn end_offset_for(&self, epoch: Epoch, log_end: Offset) -> EpochEnd {
        let Some(latest) = self.latest() else {
            return EpochEnd::UNDEFINED;
        };
        if epoch < 0 || epoch > latest.epoch {
            return EpochEnd::UNDEFINED;
        }
        if epoch == latest.epoch {
            return EpochEnd { epoch, end: log_end };
        }
        let above = self.entries.partition_point(|e| e.epoch <= epoch);
        let Some(next) = self.entries.get(above) else {
            return EpochEnd::UNDEFINED;
        };
        // Below the oldest known epoch the records are gone: the follower may begin at the oldest that are left.
        let floor = above.checked_sub(1).and_then(|i| self.entries.get(i));
        EpochEnd {
            epoch: floor.map_or(epoch, |e| e.epoch),
            end: next.start,
        }
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_for(&self, offset: Offset) -> Option<Epoch> {
        let above = self.entries.partition_point(|e| e.start <= offset);
        above
            .checked_sub(1)
            .and_then(|i| self.entries.get(i))
            .map(|e| e.epoch)
    }

    /// Forgets what begins at `end` or later: the log was cut there. Returns whether the cache changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = if end < 0 {
            self.entries.len()
        } else {
            self.entries.partition_point(|e| e.start < end)
        };
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// Forgets epochs that ended at or before `start`; the one that contains it begins there now. Returns whether the cache
    /// changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let above = self.entries.partition_point(|e| e.start <= start);
        let Some(containing) = above.checked_sub(1) else {
            return false;
        };
        self.entries.drain(..containing);
        match self.entries.first_mut() {
            Some(first) if first.start != start || containing > 0 => {
                first.start = start;
                true
            }
            _ => false,
        }
    }

    /// Forgets everything. Returns whether the cache changed.
    pub fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries.clear();
        changed
    }

    /// Entries ascend strictly in both, and none begins above `log_end`.
    pub fn check(&self, log_end: Offset) -> Result<(), Violation> {
        for pair in self.entries.windows(2) {
            if let [a, b] = pair
                && (a.epoch >= b.epoch || a.start >= b.start)
            {
                return Err(Violation::new(
                    "epoch cache ascends",
                    format!("{a:?} before {b:?}"),
                ));
            }
        }
        match self.latest() {
            Some(latest) if latest.start > log_end => Err(Violation::new(
                "epoch cache lies in the log",
                format!("{latest:?} above the log end {log_end}"),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(rows: &[(Epoch, Offset)]) -> EpochCache {
        EpochCache::load(rows.iter().map(|(epoch, start)| EpochEntry {
            epoch: *epoch,
            start: *start,
        }))
    }

    fn rows(cache: &EpochCache) -> Vec<(Epoch, Offset)> {
        cache.entries().iter().map(|e| (e.epoch, e.start)).collect()
    }

    #[test]
    fn ends_are_answered_as_kafka_does() {
        let epochs = cache(&[(2, 10), (5, 20), (7, 30)]);
        let end = |epoch| {
            let found = epochs.end_offset_for(epoch, 44);
            (found.epoch, found.end)
        };
        assert_eq!(end(-1), (-1, -1), "undefined epoch");
        assert_eq!(end(0), (0, 10), "below the oldest: its start");
        assert_eq!(end(2), (2, 20));
        assert_eq!(end(4), (2, 20), "a hole: the epoch below it");
        assert_eq!(end(5), (5, 30));
        assert_eq!(end(7), (7, 44), "the newest ends with the log");
        assert_eq!(end(8), (-1, -1), "above the newest");
        assert_eq!(cache(&[]).end_offset_for(3, 44), EpochEnd::UNDEFINED);
    }

    #[test]
    fn assigning_keeps_the_order() {
        let mut epochs = cache(&[(1, 0), (3, 10)]);
        assert!(!epochs.assign(3, 12), "the newest epoch keeps its start");
        assert!(
            !epochs.assign(-1, 20) && !epochs.assign(4, -1),
            "no epoch, no offset"
        );
        assert!(epochs.assign(4, 10), "an epoch without records gives way");
        assert_eq!(rows(&epochs), [(1, 0), (4, 10)]);
        assert!(
            epochs.assign(2, 8),
            "an older epoch at a lower offset: what contradicts it goes"
        );
        assert_eq!(rows(&epochs), [(1, 0), (2, 8)]);
        assert!(epochs.assign(2, 5), "the newest epoch may begin earlier");
        assert_eq!(rows(&epochs), [(1, 0), (2, 5)]);
    }

    #[test]
    fn truncation_from_both_ends() {
        let mut epochs = cache(&[(2, 10), (5, 20), (7, 30)]);
        assert!(!epochs.truncate_from_end(31) && epochs.truncate_from_end(30));
        assert_eq!(rows(&epochs), [(2, 10), (5, 20)]);
        assert!(!epochs.truncate_from_start(9) && !epochs.truncate_from_start(10));
        assert!(epochs.truncate_from_start(15));
        assert_eq!(rows(&epochs), [(2, 15), (5, 20)]);
        assert!(epochs.truncate_from_start(90));
        assert_eq!(rows(&epochs), [(5, 90)]);
        assert_eq!(epochs.epoch_for(89), None);
        assert_eq!(epochs.epoch_for(90), Some(5));
        assert!(epochs.check(89).is_err() && epochs.check(90).is_ok());
    }

    proptest! {
        #[test]
        fn the_order_survives_anything(ops in prop::collection::vec((0..4u8, -1..9i32, -1..90i64), 0..60)) {
            let mut epochs = EpochCache::default();
            for (op, epoch, offset) in ops {
                let before = epochs.clone();
                let changed = match op {
                    0 | 1 => epochs.assign(epoch, offset),
                    2 => epochs.truncate_from_end(offset),
                    _ => epochs.truncate_from_start(offset),
                };
                prop_assert_eq!(changed, before != epochs);
                prop_assert!(epochs.check(Offset::MAX).is_ok());
            }
        }
    }
}
