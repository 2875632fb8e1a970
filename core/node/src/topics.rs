//! The partitions this node leads, by topic name and by topic id.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use ottla_types::{ErrorCode, Uuid};

use crate::Node;
use crate::partition::Partition;

/// Topics that Kafka's coordinators own; clients may not write them.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether a topic belongs to Kafka itself (Kafka class `Topic`).
pub fn is_internal(topic: &str) -> bool {
    INTERNAL.contains(&topic)
}

type Partitions = BTreeMap<i32, Arc<Partition>>;

#[derive(Default)]
struct Tables {
    by_name: BTreeMap<String, (Uuid, Partitions)>,
    names: BTreeMap<Uuid, String>,
}

/// The partitions this node leads.
#[derive(Default)]
pub struct Topics(RwLock<Tables>);

impl Topics {
    /// A partition by its topic's name.
    pub fn by_name(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.read().by_name.get(topic)?.1.get(&partition).cloned()
    }

    /// A partition by its topic's id.
    pub fn by_id(&self, id: Uuid, partition: i32) -> Option<Arc<Partition>> {
        let tables = self.read();
        tables
            .by_name
            .get(tables.names.get(&id)?)?
            .1
            .get(&partition)
            .cloned()
    }

    /// Adds a partition.
    pub fn insert(&self, partition: Arc<Partition>) {
        let mut tables = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (topic, index, id) = (
            partition.id.topic.clone(),
            partition.id.partition,
            partition.topic_id,
        );
        tables.names.insert(id, topic.clone());
        tables
            .by_name
            .entry(topic)
            .or_insert_with(|| (id, BTreeMap::new()))
            .1
            .insert(index, partition);
    }

    /// Takes all partitions of a topic out.
    pub fn remove(&self, id: Uuid) -> Vec<Arc<Partition>> {
        let mut tables = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(name) = tables.names.remove(&id) else {
            return Vec::new();
        };
        tables
            .by_name
            .remove(&name)
            .map(|(_, partitions)| partitions.into_values().collect())
            .unwrap_or_default()
    }

    /// All partitions of a topic.
    pub fn of(&self, topic: &str) -> Vec<Arc<Partition>> {
        self.read()
            .by_name
            .get(topic)
            .map(|(_, partitions)| partitions.values().cloned().collect())
            .unwrap_or_default()
    }

    /// All partitions, by topic and index.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.read()
            .by_name
            .values()
            .flat_map(|(_, partitions)| partitions.values().cloned())
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Node {
    /// The partition that a request names, by its topic's id if there is one (Kafka's `ReplicaManager.getPartitionOrError`).
    pub(crate) fn partition(&self, topic: &str, id: Uuid, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let by_name = id.is_zero();
        let found = if by_name {
            self.topics.by_name(topic, index)
        } else {
            self.topics.by_id(id, index)
        };
        found.ok_or_else(|| {
            // A new partition is opened before the metadata shows it, and a deleted one is closed after: what is shown and is
            // not open could not be opened.
            let image = self.image();
            let found = if by_name {
                image.topics().by_name(topic)
            } else {
                image.topics().by_id(id)
            };
            let Some(found) = found else {
                return match by_name && !topic.is_empty() {
                    true => ErrorCode::UnknownTopicOrPartition,
                    false => ErrorCode::UnknownTopicId,
                };
            };
            match found.partitions.get(&index) {
                Some(partition) if partition.leader == self.node_id().0 => ErrorCode::KafkaStorageError,
                Some(_) => ErrorCode::NotLeaderOrFollower,
                None => ErrorCode::UnknownTopicOrPartition,
            }
        })
    }
}
