//! Committed offsets: what is replicated, what is on its way, and what open transactions hold.

use crate::api::WriteId;
use ottla_types::{TopicPartition, Uuid, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// Where an offset is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetKey {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: TopicPartition,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommittedOffset {
    /// The next offset to be consumed.
    pub offset: i64,
    /// Epoch of the last record consumed; -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: i64,
    /// When it goes, if the client said so (OffsetCommit versions 2 to 4).
    pub expire_timestamp: Option<i64>,
    /// The topic's id; zero when unknown.
    pub topic_id: Uuid,
}

impl Default for CommittedOffset {
    fn default() -> Self {
        CommittedOffset {
            offset: -1,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp: -1,
            expire_timestamp: None,
            topic_id: Uuid::ZERO,
        }
    }
}

/// One partition's offset. Invariant: writes ascend; a slot with neither a committed offset nor writes does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Slot {
    committed: Option<CommittedOffset>,
    on_the_way: Vec<(WriteId, Option<CommittedOffset>)>,
}

impl Slot {
    /// The offset once all that is on its way has arrived.
    fn latest(&self) -> Option<&CommittedOffset> {
        match self.on_the_way.last() {
            Some((_, value)) => value.as_ref(),
            None => self.committed.as_ref(),
        }
    }
}

type Slots = BTreeMap<TopicPartition, Slot>;

/// All offsets of a partition of `__consumer_offsets`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, Slots>,
    /// By producer: what its open transaction will commit.
    transactions: BTreeMap<i64, BTreeMap<OffsetKey, CommittedOffset>>,
}

impl Offsets {
    /// An offset, or its removal, was sent to the log.
    pub(crate) fn send(&mut self, key: &OffsetKey, write: WriteId, value: Option<CommittedOffset>) {
        let slots = self.groups.entry(key.group.clone()).or_default();
        let slot = slots.entry(key.partition.clone()).or_default();
        slot.on_the_way.push((write, value));
    }

    /// A write is replicated, or was refused.
    pub(crate) fn resolve(
        &mut self,
        key: &OffsetKey,
        write: WriteId,
        written: bool,
    ) -> Result<(), Violation> {
        let slot = self
            .groups
            .get_mut(&key.group)
            .and_then(|slots| slots.get_mut(&key.partition));
        let Some(slot) = slot else {
            let detail = format!("write {} is done, and {key:?} does not wait for it", write.0);
            return Err(Violation::new("group.offset-slot", detail));
        };
        // One batch may hold two offsets for one partition: the later stands.
        while let Some(at) = slot.on_the_way.iter().position(|(w, _)| *w == write) {
            let (_, value) = slot.on_the_way.remove(at);
            if written {
                slot.committed = value;
            }
        }
        self.sweep(key);
        Ok(())
    }

    fn sweep(&mut self, key: &OffsetKey) {
        let Some(slots) = self.groups.get_mut(&key.group) else {
            return;
        };
        let idle = |slot: &Slot| slot.committed.is_none() && slot.on_the_way.is_empty();
        if slots.get(&key.partition).is_some_and(idle) {
            slots.remove(&key.partition);
        }
        if slots.is_empty() {
            self.groups.remove(&key.group);
        }
    }

    /// Replay of a record; a producer's waits for its transaction's end.
    pub(crate) fn replay(&mut self, producer: Option<i64>, key: OffsetKey, value: Option<CommittedOffset>) {
        match (value, producer) {
            (Some(value), Some(producer)) => {
                self.transactions.entry(producer).or_default().insert(key, value);
            }
            (Some(value), None) => {
                let slots = self.groups.entry(key.group).or_default();
                slots.entry(key.partition).or_default().committed = Some(value);
            }
            (None, _) => {
                for open in self.transactions.values_mut() {
                    open.remove(&key);
                }
                self.transactions.retain(|_, open| !open.is_empty());
                if let Some(slot) = self
                    .groups
                    .get_mut(&key.group)
                    .and_then(|s| s.get_mut(&key.partition))
                {
                    slot.committed = None;
                }
                self.sweep(&key);
            }
        }
    }

    /// A transaction has ended.
    pub(crate) fn end_transaction(&mut self, producer: i64, commit: bool) {
        let open = self.transactions.remove(&producer).unwrap_or_default();
        if commit {
            for (key, value) in open {
                self.replay(None, key, Some(value));
            }
        }
    }

    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.groups.get(group)?.get(partition)?.committed.as_ref()
    }

    /// What a group has committed.
    pub(crate) fn of_group(&self, group: &str) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        let slots = self.groups.get(group).into_iter().flatten();
        slots.filter_map(|(partition, slot)| Some((partition, slot.committed.as_ref()?)))
    }

    /// What a group will have committed when all that is on its way has arrived.
    pub(crate) fn latest_of_group(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        let slots = self.groups.get(group).into_iter().flatten();
        slots.filter_map(|(partition, slot)| Some((partition, slot.latest()?)))
    }

    /// Where a group has offsets that are committed, or may yet be: a tombstone on its way may be refused.
    pub(crate) fn partitions_of_group(&self, group: &str) -> impl Iterator<Item = &TopicPartition> {
        self.groups.get(group).into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether a partition is one of those.
    pub(crate) fn has(&self, key: &OffsetKey) -> bool {
        self.groups
            .get(&key.group)
            .is_some_and(|slots| slots.contains_key(&key.partition))
    }

    /// Whether anything of a group is here: committed, on its way or in a transaction.
    pub(crate) fn knows_group(&self, group: &str) -> bool {
        self.groups.contains_key(group) || self.transaction_open(group)
    }

    pub(crate) fn transaction_open(&self, group: &str) -> bool {
        let mut keys = self.transactions.values().flat_map(BTreeMap::keys);
        keys.any(|key| key.group == group)
    }

    pub(crate) fn unstable(&self, key: &OffsetKey) -> bool {
        self.transactions.values().any(|open| open.contains_key(key))
    }

    pub(crate) fn pending_of_group(&self, group: &str) -> BTreeSet<TopicPartition> {
        let keys = self.transactions.values().flat_map(BTreeMap::keys);
        let keys = keys.filter(|key| key.group == group);
        keys.map(|key| key.partition.clone()).collect()
    }

    /// Every group with offsets.
    pub(crate) fn group_ids(&self) -> BTreeSet<String> {
        let open = self.transactions.values().flat_map(BTreeMap::keys);
        let open = open.map(|key| key.group.clone());
        self.groups.keys().cloned().chain(open).collect()
    }

    /// Everything committed.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &TopicPartition, &CommittedOffset)> {
        let slots = self
            .groups
            .iter()
            .flat_map(|(g, slots)| slots.iter().map(move |(p, s)| (g, p, s)));
        slots.filter_map(|(g, p, slot)| Some((g.as_str(), p, slot.committed.as_ref()?)))
    }

    /// Where these topics, by name, have offsets, in any group or transaction.
    pub(crate) fn keys_of(&self, topics: &BTreeMap<String, Uuid>) -> BTreeSet<OffsetKey> {
        let deleted = |partition: &TopicPartition, of: Uuid| {
            let topic = topics.get(&partition.topic);
            topic.is_some_and(|id| may_be_of(of, *id))
        };
        let mut keys = BTreeSet::new();
        for (group, slots) in &self.groups {
            for (partition, slot) in slots {
                let values = slot.on_the_way.iter().filter_map(|(_, value)| value.as_ref());
                let mut values = slot.committed.iter().chain(values);
                if values.any(|value| deleted(partition, value.topic_id)) {
                    keys.insert(OffsetKey {
                        group: group.clone(),
                        partition: partition.clone(),
                    });
                }
            }
        }
        let open = self.transactions.values().flatten();
        let open = open.filter(|(key, value)| deleted(&key.partition, value.topic_id));
        keys.extend(open.map(|(key, _)| key.clone()));
        keys
    }
}

/// Whether an offset that was committed for one topic id may be meant by another: zero is any (Kafka method
/// `OffsetMetadataManager.isMismatchedTopicId`).
pub(crate) fn may_be_of(committed: Uuid, asked: Uuid) -> bool {
    committed.is_zero() || asked.is_zero() || committed == asked
}
