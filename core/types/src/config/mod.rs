//! Configuration: one definition of every broker and topic key of Kafka 4.3.1, and what a node makes of them.
//!
//! `table/` holds the keys, `key.rs` what a key is, `value.rs` reading and writing values, `properties.rs` the file
//! format, `broker.rs` a node's configuration, `checks.rs` and `endpoints.rs` what must agree in it, `topic.rs` a
//! topic's, `describe.rs` the answer to DescribeConfigs. `facts/` holds what a real Kafka says, and the program that asks
//! it. Nothing here reads a file or the environment.

mod broker;
mod checks;
mod describe;
mod endpoints;
mod key;
mod listener;
pub mod properties;
mod suggest;
mod table;
mod topic;
mod value;

pub use broker::{BrokerConfig, Roles, Warning};
pub use describe::{
    ConfigSource, DescribedConfig, DescribedSynonym, describe_broker, describe_broker_defaults,
    describe_topic,
};
pub use key::{ConfigKey, ConfigType, DefaultValue, Effect, Rule, Scope, Synonym, Unit, Visibility};
pub use listener::{Listener, ProtocolMap, SecurityProtocol, Voter};
pub use table::{broker_keys, find_broker, find_topic, topic_keys};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use value::{ConfigValue, InvalidConfig, Secret};
