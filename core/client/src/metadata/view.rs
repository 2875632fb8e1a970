//! What is known about the cluster at one moment: brokers, topics, partitions, leaders. Values, without any effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_io::Mono;
use ottla_types::Uuid;
use ottla_wire::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};

use crate::connections::Address;
use crate::{Error, Result};

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `node.id`.
    pub id: i32,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerInfo {
    pub(crate) fn address(&self) -> Address {
        (self.host.clone(), self.port)
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 if unknown.
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them in sync.
    pub isr: Vec<i32>,
    /// Those of them that are offline.
    pub offline: Vec<i32>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero if the broker is too old to say.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionInfo>,
    pub(super) fetched: Mono,
}

impl TopicInfo {
    pub(crate) fn new(
        name: Arc<str>,
        id: Uuid,
        internal: bool,
        partitions: Vec<PartitionInfo>,
        fetched: Mono,
    ) -> Self {
        TopicInfo {
            name,
            id,
            internal,
            partitions,
            fetched,
        }
    }

    /// One of its partitions.
    pub fn partition(&self, partition: i32) -> Option<&PartitionInfo> {
        let index = self
            .partitions
            .binary_search_by_key(&partition, |p| p.partition)
            .ok()?;
        self.partitions.get(index)
    }
}

/// What was known about the cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// `cluster.id`.
    pub cluster_id: Option<String>,
    /// Where requests for the controller go; with KRaft any broker forwards them.
    pub controller: Option<i32>,
    /// The brokers, by id.
    pub brokers: BTreeMap<i32, BrokerInfo>,
    /// The topics that were asked about, by name.
    pub topics: BTreeMap<Arc<str>, Arc<TopicInfo>>,
    pub(super) ids: BTreeMap<Uuid, Arc<str>>,
    /// Rises with each answer that was taken in.
    pub(crate) generation: u64,
}

impl View {
    /// The name of the topic with this id.
    pub fn name_of(&self, id: Uuid) -> Option<&Arc<str>> {
        self.ids.get(&id)
    }

    /// The leader of a partition, and its epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let info = self.topics.get(topic)?.partition(partition)?;
        let leader = info.leader.filter(|id| self.brokers.contains_key(id))?;
        Some((leader, info.leader_epoch))
    }
}

pub(super) fn broker_info(broker: &MetadataResponseBroker<'_>) -> Option<(i32, BrokerInfo)> {
    let info = BrokerInfo {
        id: broker.node_id,
        host: broker.host.to_owned(),
        port: u16::try_from(broker.port).ok()?,
        rack: broker.rack.map(str::to_owned),
    };
    Some((info.id, info))
}

/// A topic out of an answer. Partitions keep what is known if the answer comes from a broker that is behind.
pub(super) fn topic_info(
    topic: &MetadataResponseTopic<'_>,
    known: Option<&Arc<TopicInfo>>,
    now: Mono,
) -> Result<TopicInfo> {
    let name = topic.name.unwrap_or_default();
    if topic.error_code != 0 {
        return Err(Error::broker(format!("topic `{name}`"), topic.error_code, None));
    }
    let known = known.filter(|k| k.id == topic.topic_id);
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| {
            let newer = known
                .and_then(|k| k.partition(p.partition_index))
                .filter(|k| k.leader_epoch > p.leader_epoch);
            newer
                .filter(|_| p.leader_epoch >= 0)
                .cloned()
                .unwrap_or_else(|| PartitionInfo {
                    partition: p.partition_index,
                    leader: Some(p.leader_id).filter(|id| *id >= 0),
                    leader_epoch: p.leader_epoch,
                    replicas: p.replica_nodes.clone(),
                    isr: p.isr_nodes.clone(),
                    offline: p.offline_replicas.clone(),
                })
        })
        .collect();
    partitions.sort_by_key(|p| p.partition);
    partitions.dedup_by_key(|p| p.partition);
    let name = known.map_or_else(|| Arc::from(name), |k| k.name.clone());
    Ok(TopicInfo::new(
        name,
        topic.topic_id,
        topic.is_internal,
        partitions,
        now,
    ))
}
