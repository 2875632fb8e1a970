//! Layer 4: Kafka's clients in Rust: [`Producer`], [`Consumer`] (by assignment), [`GroupConsumer`] and [`Admin`], on `ottla_io::Env`
//! alone, so that they run on the real system and in a trial alike.
//!
//! What they share: [`Cluster`] (which brokers there are, who leads what) and its connections. What is not here: framing and
//! correlation (`ottla-rpc`), and transactions (they come with their coordinator).

pub mod admin;
mod config;
mod connections;
pub mod consumer;
mod errors;
pub mod group;
mod metadata;
mod offsets;
pub mod producer;
mod retry;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use config::{ClientConfig, IsolationLevel};
pub use consumer::{Consumer, ConsumerConfig};
pub use errors::{Error, Result};
pub use group::{GroupConfig, GroupConsumer, OffsetAndMetadata};
pub use metadata::{BrokerInfo, Cluster, PartitionInfo, TopicInfo, View};
pub use offsets::{OffsetAndTimestamp, OffsetSpec};
pub use ottla_rpc::CallError;
pub use producer::{Producer, ProducerConfig, Record, RecordMetadata};
