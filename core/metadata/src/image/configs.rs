//! Dynamic configurations by resource, as set; defaults are not here (Kafka class `ConfigurationsImage`).

use super::Map;
use ottla_wire::metadata_records::ConfigRecord;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What kind of thing a configuration belongs to (Kafka enum `ConfigResource.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker by its id; the empty name stands for all brokers.
    Broker,
    /// A broker's log levels; never in the log.
    BrokerLogger,
    /// A client metrics subscription (KIP-714).
    ClientMetrics,
    /// A group (KIP-848).
    Group,
    /// A kind that Kafka 4.3 does not have; kept, for whoever wrote it.
    Other(i8),
}

impl ResourceKind {
    /// From its number in requests and records.
    pub fn from_wire(value: i8) -> Self {
        match value {
            2 => ResourceKind::Topic,
            4 => ResourceKind::Broker,
            8 => ResourceKind::BrokerLogger,
            16 => ResourceKind::ClientMetrics,
            32 => ResourceKind::Group,
            other => ResourceKind::Other(other),
        }
    }

    /// Its number in requests and records.
    pub fn to_wire(self) -> i8 {
        match self {
            ResourceKind::Topic => 2,
            ResourceKind::Broker => 4,
            ResourceKind::BrokerLogger => 8,
            ResourceKind::ClientMetrics => 16,
            ResourceKind::Group => 32,
            ResourceKind::Other(other) => other,
        }
    }
}

/// A thing that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name: a topic's name, a broker's id, a group's id.
    pub name: String,
}

impl ConfigResource {
    /// The topic `name`.
    pub fn topic(name: impl Into<String>) -> Self {
        ConfigResource {
            kind: ResourceKind::Topic,
            name: name.into(),
        }
    }

    /// The broker `id`.
    pub fn broker(id: i32) -> Self {
        ConfigResource {
            kind: ResourceKind::Broker,
            name: id.to_string(),
        }
    }

    /// All brokers that do not say otherwise.
    pub fn default_broker() -> Self {
        ConfigResource {
            kind: ResourceKind::Broker,
            name: String::new(),
        }
    }
}

/// A resource's keys and values.
pub type Config = BTreeMap<String, String>;

static NO_CONFIG: Config = BTreeMap::new();

/// All dynamic configurations. No resource stands here without a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Configs(Map<ConfigResource, Arc<Config>>);

impl Configs {
    /// What is set on `resource`.
    pub fn of(&self, resource: &ConfigResource) -> &Config {
        self.0.get(resource).map_or(&NO_CONFIG, |config| config)
    }

    /// One value.
    pub fn get(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.of(resource).get(key).map(String::as_str)
    }

    /// All resources with something set, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &Config)> {
        self.0.iter().map(|(resource, config)| (resource, &**config))
    }

    pub(super) fn replay(&mut self, record: &ConfigRecord<'_>) -> ConfigResource {
        let resource = ConfigResource {
            kind: ResourceKind::from_wire(record.resource_type),
            name: record.resource_name.to_string(),
        };
        match record.value {
            Some(value) => {
                if !self.0.contains_key(&resource) {
                    self.0.insert_mut(resource.clone(), Arc::default());
                }
                if let Some(config) = self.0.get_mut(&resource) {
                    Arc::make_mut(config).insert(record.name.to_string(), value.to_string());
                }
            }
            None => {
                if let Some(config) = self.0.get_mut(&resource) {
                    Arc::make_mut(config).remove(record.name);
                }
                if self.of(&resource).is_empty() {
                    self.0.remove_mut(&resource);
                }
            }
        }
        resource
    }

    /// Forgets a resource; whether there was anything to forget.
    pub(super) fn remove(&mut self, resource: &ConfigResource) -> bool {
        self.0.remove_mut(resource)
    }
}
