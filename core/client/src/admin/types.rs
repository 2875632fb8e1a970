//! What an administrator asks with and is answered with.

use std::collections::BTreeMap;

use ottla_types::Uuid;

use crate::BrokerInfo;

/// A topic to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the broker's `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas each; `None` for the broker's `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition by number, instead of the two counts.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    /// Configurations that differ from the broker's.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with this many partitions and the broker's replication factor.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        NewTopic {
            name: name.into(),
            partitions: Some(partitions),
            ..NewTopic::default()
        }
    }
}

/// A created topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero if the broker is too old to say.
    pub id: Uuid,
    /// How many partitions it has, -1 if the broker does not say.
    pub partitions: i32,
    /// How many replicas each has, -1 if the broker does not say.
    pub replication_factor: i16,
}

/// A topic in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
}

/// A topic in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: i32,
    /// Its leader; `None` if it has none.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 if unknown.
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
    /// Those that may become leader although not in sync (KIP-966); `None` if the broker does not say.
    pub eligible: Option<Vec<i32>>,
    /// Those that were in sync when the last one failed; `None` if the broker does not say.
    pub last_known_eligible: Option<Vec<i32>>,
    /// Those that are offline.
    pub offline: Vec<i32>,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// `cluster.id`.
    pub cluster_id: String,
    /// The controller, or with KRaft the broker that stands in for it.
    pub controller: Option<i32>,
    /// The brokers.
    pub brokers: Vec<BrokerInfo>,
}

/// What has configurations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, by id.
    Broker(i32),
    /// What all brokers have in common unless they have their own.
    BrokerDefaults,
}

impl ConfigResource {
    pub(crate) fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) | ConfigResource::BrokerDefaults => 4,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name) => name.clone(),
            ConfigResource::Broker(id) => id.to_string(),
            ConfigResource::BrokerDefaults => String::new(),
        }
    }
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; `None` if it is secret or unset.
    pub value: Option<String>,
    /// Whether it can't be changed while the broker runs.
    pub read_only: bool,
    /// Whether its value is secret.
    pub sensitive: bool,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// Where a configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for this topic.
    Topic,
    /// Set for this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicBrokerDefault,
    /// The broker's file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Another number of the protocol.
    Other(i8),
}

impl ConfigSource {
    pub(crate) fn from_id(id: i8) -> Self {
        match id {
            1 => ConfigSource::Topic,
            2 => ConfigSource::DynamicBroker,
            3 => ConfigSource::DynamicBrokerDefault,
            4 => ConfigSource::StaticBroker,
            5 => ConfigSource::Default,
            id => ConfigSource::Other(id),
        }
    }
}

/// A change of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterConfig {
    /// To this value.
    Set(String),
    /// Back to the default.
    Delete,
    /// This is added to a list.
    Append(String),
    /// This is taken out of a list.
    Subtract(String),
}
