//! Configuration: one definition of every broker and topic key of Kafka 4.3.1, and what a node makes of them.
//!
//! `table/` holds the keys, `key.rs` what a key is, `value.rs` reading and writing values, `properties.rs` the file
//! format, `broker.rs` a node's configuration, `checks.rs` and `endpoints.rs` what must agree in it, `topic.rs` a
//! topic's, `resources.rs` a group's and a client metrics subscription's, `describe.rs` the answer to DescribeConfigs,
//! `dynamic.rs` what may change while a broker runs, `answer.rs` Kafka's words for a refusal. `facts/` holds what a real
//! Kafka says, and the program that asks it. Nothing here reads a file or the environment.

mod answer;
mod broker;
mod checks;
mod describe;
mod dynamic;
mod endpoints;
mod key;
mod listener;
pub mod properties;
mod resources;
mod suggest;
mod table;
mod topic;
mod value;

pub use broker::{BrokerConfig, Roles, Warning};
pub use describe::{
    ConfigSource, DescribedConfig, DescribedSynonym, describe_broker, describe_broker_defaults,
    describe_topic,
};
pub use dynamic::{check_broker, with_settings};
pub use key::{ConfigKey, ConfigType, DefaultValue, Effect, Rule, Scope, Synonym, Unit, Visibility};
pub use listener::{Listener, ProtocolMap, SecurityProtocol, Voter};
pub use resources::{check_client_metrics, check_group, describe_client_metrics, describe_group};
pub use table::{
    broker_keys, client_metrics_keys, find_broker, find_client_metrics, find_group, find_topic, group_keys,
    topic_keys,
};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use value::{ConfigValue, InvalidConfig, Secret};
