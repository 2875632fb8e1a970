//! What changed between two images, for a node to act on (Kafka class `MetadataDelta`).
//!
//! Replay only notes what a record touched; [`MetadataDelta::changes`] then compares the two images there. So a record that
//! changed nothing, or a metadata transaction that was aborted, is no change.

use super::{BrokerRegistration, ConfigResource, MetadataImage, Partition, Topic};
use ottla_types::Uuid;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What records touched since the last look.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MetadataDelta {
    pub(super) topics: BTreeSet<Uuid>,
    pub(super) partitions: BTreeSet<(Uuid, i32)>,
    pub(super) configs: BTreeSet<ConfigResource>,
    pub(super) brokers: BTreeSet<i32>,
}

/// A partition that was made, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChange {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// Before; `None` for a new partition.
    pub before: Option<Arc<Partition>>,
    /// After; `None` for a partition that is gone with its topic.
    pub after: Option<Arc<Partition>>,
}

/// A broker that registered, changed or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerChange {
    /// The broker.
    pub id: i32,
    /// Before.
    pub before: Option<Arc<BrokerRegistration>>,
    /// After.
    pub after: Option<Arc<BrokerRegistration>>,
}

/// The difference between two images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// New topics, by id.
    pub topics_created: Vec<Arc<Topic>>,
    /// Topics that are gone, by id, as they were.
    pub topics_deleted: Vec<Arc<Topic>>,
    /// Every partition that is new, different or gone, those of new and deleted topics too; by topic id and index.
    pub partitions: Vec<PartitionChange>,
    /// Resources whose configuration is different, among them those of deleted topics.
    pub configs: Vec<ConfigResource>,
    /// Brokers whose registration is different, by id.
    pub brokers: Vec<BrokerChange>,
    /// Whether feature levels are different.
    pub features: bool,
    /// Whether controller registrations are different.
    pub controllers: bool,
    /// Whether credentials, quotas, ACLs or tokens are different.
    pub security: bool,
}

impl Changes {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// What turns `before`, or nothing, into `after`: what a node does when it loads a snapshot.
    pub fn between(before: &MetadataImage, after: &MetadataImage) -> Changes {
        let mut all = MetadataDelta::default();
        for image in [before, after] {
            all.topics.extend(image.topics().iter().map(|topic| topic.id));
            all.configs
                .extend(image.configs().iter().map(|(resource, _)| resource.clone()));
            all.brokers
                .extend(image.cluster().brokers().map(|broker| broker.id));
        }
        let kept = after
            .topics()
            .iter()
            .filter(|topic| before.topics().by_id(topic.id).is_some());
        all.partitions
            .extend(kept.flat_map(|t| t.partitions.keys().map(|p| (t.id, *p))));
        all.changes(before, after)
    }
}

impl MetadataDelta {
    /// Notes everything that `changes` names, on top of what is noted already.
    pub(crate) fn touch(&mut self, changes: &Changes) {
        let topics = changes.topics_created.iter().chain(&changes.topics_deleted);
        self.topics.extend(topics.map(|topic| topic.id));
        self.partitions
            .extend(changes.partitions.iter().map(|p| (p.topic_id, p.partition)));
        self.configs.extend(changes.configs.iter().cloned());
        self.brokers
            .extend(changes.brokers.iter().map(|broker| broker.id));
    }

    /// Compares two images wherever this delta says that a record touched them.
    pub fn changes(&self, before: &MetadataImage, after: &MetadataImage) -> Changes {
        let mut changes = Changes {
            features: before.features() != after.features(),
            controllers: !before.cluster().controllers().eq(after.cluster().controllers()),
            security: before.security() != after.security(),
            ..Changes::default()
        };
        let mut partitions: BTreeSet<(Uuid, i32)> = self.partitions.clone();
        for id in &self.topics {
            let (old, new) = (before.topics().by_id(*id), after.topics().by_id(*id));
            match (old, new) {
                (None, Some(topic)) => changes.topics_created.push(topic.clone()),
                (Some(topic), None) => changes.topics_deleted.push(topic.clone()),
                _ => continue,
            }
            let topic = old.or(new);
            partitions.extend(
                topic
                    .into_iter()
                    .flat_map(|t| t.partitions.keys().map(|p| (*id, *p))),
            );
        }
        for (topic_id, partition) in partitions {
            let old = before.topics().partition(topic_id, partition);
            let new = after.topics().partition(topic_id, partition);
            let topic = after
                .topics()
                .by_id(topic_id)
                .or_else(|| before.topics().by_id(topic_id));
            if let Some(topic) = topic.filter(|_| old != new) {
                changes.partitions.push(PartitionChange {
                    topic: topic.name.clone(),
                    topic_id,
                    partition,
                    before: old.cloned(),
                    after: new.cloned(),
                });
            }
        }
        let changed =
            |resource: &&ConfigResource| before.configs().of(resource) != after.configs().of(resource);
        changes.configs = self.configs.iter().filter(changed).cloned().collect();
        for id in &self.brokers {
            let (old, new) = (before.cluster().broker(*id), after.cluster().broker(*id));
            if old != new {
                changes.brokers.push(BrokerChange {
                    id: *id,
                    before: old.cloned(),
                    after: new.cloned(),
                });
            }
        }
        changes
    }
}
