//! Topics by id and by name, with their partitions (Kafka class `TopicsImage`).

use super::{Map, Partition};
use ottla_types::{Uuid, Violation};
use ottla_wire::metadata_records::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};
use std::sync::Arc;

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, never given twice.
    pub id: Uuid,
    /// Its partitions by index; once the topic's records are all replayed, from 0 without a gap.
    pub partitions: Map<i32, Arc<Partition>>,
}

impl Topic {
    /// Checks what must hold whenever the topic is shown.
    pub fn verify(&self) -> Result<(), Violation> {
        if let Some((missing, _)) = (0..).zip(self.partitions.keys()).find(|(i, key)| i != *key) {
            let detail = format!("{}-{missing} is missing", self.name);
            return Err(Violation::new("metadata-partitions-without-gap", detail));
        }
        self.partitions
            .values()
            .try_for_each(|partition| partition.verify())
    }
}

/// All topics. Names and ids correspond one to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Topics {
    by_id: Map<Uuid, Arc<Topic>>,
    by_name: Map<Arc<str>, Uuid>,
}

impl Topics {
    /// The topic with this id.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// A partition by its topic's id.
    pub fn partition(&self, id: Uuid, partition: i32) -> Option<&Arc<Partition>> {
        self.by_id(id)?.partitions.get(&partition)
    }

    /// All topics, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_id.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> usize {
        self.by_id.values().map(|topic| topic.partitions.size()).sum()
    }

    pub(super) fn create(&mut self, record: &TopicRecord<'_>) -> Result<(), Violation> {
        if record.topic_id.is_zero() || record.name.is_empty() {
            return Err(Violation::new(
                "metadata-topic-has-name-and-id",
                format!("{record:?}"),
            ));
        }
        if let Some(old) = self.by_id(record.topic_id).or_else(|| self.by_name(record.name)) {
            let detail = format!("{record:?}, but there is already {} with id {}", old.name, old.id);
            return Err(Violation::new("metadata-topic-created-once", detail));
        }
        let name: Arc<str> = record.name.into();
        let topic = Topic {
            name: name.clone(),
            id: record.topic_id,
            partitions: Map::default(),
        };
        self.by_name.insert_mut(name, record.topic_id);
        self.by_id.insert_mut(record.topic_id, Arc::new(topic));
        Ok(())
    }

    /// Removes a topic and returns it.
    pub(super) fn remove(&mut self, record: &RemoveTopicRecord) -> Result<Arc<Topic>, Violation> {
        let topic = self.known(record.topic_id, "RemoveTopicRecord")?.clone();
        self.by_id.remove_mut(&record.topic_id);
        self.by_name.remove_mut(&topic.name);
        Ok(topic)
    }

    pub(super) fn create_partition(&mut self, record: &PartitionRecord) -> Result<(), Violation> {
        let topic = self.known(record.topic_id, "PartitionRecord")?;
        if record.partition_id < 0 || topic.partitions.contains_key(&record.partition_id) {
            let detail = format!("{}-{} with id {}", topic.name, record.partition_id, topic.id);
            return Err(Violation::new("metadata-partition-created-once", detail));
        }
        let partition = Partition::from_record(record)?;
        self.put(record.topic_id, record.partition_id, partition);
        Ok(())
    }

    pub(super) fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), Violation> {
        let topic = self.known(record.topic_id, "PartitionChangeRecord")?;
        let Some(partition) = topic.partitions.get(&record.partition_id) else {
            let detail = format!("{}-{} with id {}", topic.name, record.partition_id, topic.id);
            return Err(Violation::new("metadata-changed-partition-exists", detail));
        };
        let next = partition.changed(record)?;
        self.put(record.topic_id, record.partition_id, next);
        Ok(())
    }

    /// Forgets the eligible leaders of one topic, or of all when none is named; returns what changed.
    pub(super) fn clear_elr(&mut self, record: &ClearElrRecord<'_>) -> Result<Vec<(Uuid, i32)>, Violation> {
        let ids: Vec<Uuid> = if record.topic_name.is_empty() {
            self.by_id.keys().copied().collect()
        } else if let Some(id) = self.by_name.get(record.topic_name) {
            vec![*id]
        } else {
            return Err(Violation::new(
                "metadata-cleared-topic-exists",
                format!("{record:?}"),
            ));
        };
        let mut changed = Vec::new();
        for id in ids {
            let Some(topic) = self.by_id.get(&id).cloned() else {
                continue;
            };
            for (index, partition) in topic.partitions.iter() {
                if partition.elr.is_empty() && partition.last_known_elr.is_empty() {
                    continue;
                }
                let next = partition.changed(&PartitionChangeRecord {
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    ..Default::default()
                })?;
                self.put(id, *index, next);
                changed.push((id, *index));
            }
        }
        Ok(changed)
    }

    /// Checks what must hold between records' batches: names and ids correspond, and no partition is missing.
    pub(super) fn verify(&self) -> Result<(), Violation> {
        if self.by_id.size() != self.by_name.size() {
            let detail = format!("{} ids, {} names", self.by_id.size(), self.by_name.size());
            return Err(Violation::new("metadata-topic-names-and-ids-correspond", detail));
        }
        for (name, id) in self.by_name.iter() {
            let Some(topic) = self
                .by_id
                .get(id)
                .filter(|topic| topic.name == *name && topic.id == *id)
            else {
                return Err(Violation::new(
                    "metadata-topic-names-and-ids-correspond",
                    format!("{name} with id {id}"),
                ));
            };
            topic.verify()?;
        }
        Ok(())
    }

    fn known(&self, id: Uuid, record: &str) -> Result<&Arc<Topic>, Violation> {
        let missing = || {
            Violation::new(
                "metadata-topic-exists",
                format!("{record} for unknown topic id {id}"),
            )
        };
        self.by_id(id).ok_or_else(missing)
    }

    fn put(&mut self, id: Uuid, index: i32, partition: Partition) {
        if let Some(topic) = self.by_id.get_mut(&id) {
            Arc::make_mut(topic)
                .partitions
                .insert_mut(index, Arc::new(partition));
        }
    }
}
