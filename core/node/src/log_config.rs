//! From a topic's configuration to the plain numbers a log decides by.

use ottla_log::LogConfig;
use ottla_types::config::{BrokerConfig, TopicConfig};

/// A topic's log. `jitter_ms` was drawn below `segment.jitter.ms`.
pub fn log_config(topic: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    let limit = |value: i64| u64::try_from(value).ok();
    LogConfig {
        segment_bytes: u32::try_from(topic.segment_bytes).unwrap_or(u32::MAX >> 1),
        segment_ms: limit(topic.max_segment_ms()).unwrap_or(u64::MAX),
        segment_jitter_ms: 0,
        index_bytes: u32::try_from(topic.segment_index_bytes).unwrap_or(10 << 20),
        index_interval_bytes: u32::try_from(topic.index_interval_bytes).unwrap_or(0),
        retention_ms: limit(topic.retention_ms),
        retention_bytes: limit(topic.retention_bytes),
        delete: topic.cleanup_policy.delete,
        compact: topic.cleanup_policy.compact,
        max_message_bytes: u32::try_from(topic.max_message_bytes).unwrap_or(0),
        flush_messages: limit(topic.flush_messages).filter(|n| *n < i64::MAX as u64),
        producer_expiration_ms: limit(broker.producer_id_expiration_ms().into()).unwrap_or(0),
    }
}

/// The metadata log: never cut by age or size, rolled by its own keys (Kafka class `MetadataLogConfig`).
pub fn metadata_log_config(broker: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u32::try_from(broker.metadata_log_segment_bytes()).unwrap_or(1 << 30),
        segment_ms: u64::try_from(broker.metadata_log_segment_ms()).unwrap_or(u64::MAX),
        retention_ms: None,
        retention_bytes: None,
        delete: false,
        // Kafka's limit of a metadata batch.
        max_message_bytes: 8 << 20,
        ..LogConfig::default()
    }
}
