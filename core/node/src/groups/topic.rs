//! `__consumer_offsets`: how it is created, and what the broker's configuration says to its coordinators.

use ottla_group as group;
use ottla_types::config::BrokerConfig;
use ottla_wire::records::Codec;

use super::Settings;
use crate::api::create_topics::NewTopic;

/// The topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The topic as its coordinators want it (Kafka method `GroupCoordinatorService.groupMetadataTopicConfigs`).
pub fn offsets_topic(broker: &BrokerConfig) -> NewTopic {
    let segment = broker.offsets_topic_segment_bytes().to_string();
    let configs = [
        ("cleanup.policy", "compact"),
        ("compression.type", "producer"),
        ("segment.bytes", &segment),
    ];
    NewTopic {
        name: OFFSETS_TOPIC.into(),
        num_partitions: broker.offsets_topic_num_partitions(),
        replication_factor: broker.offsets_topic_replication_factor(),
        assignments: Vec::new(),
        configs: configs
            .iter()
            .map(|(key, value)| (key.to_string(), Some(value.to_string())))
            .collect(),
    }
}

/// What the configuration says to the coordinators.
pub(super) fn settings(broker: &BrokerConfig) -> Settings {
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let machine = group::Config {
        initial_rebalance_delay_ms: positive(broker.group_initial_rebalance_delay_ms().into()),
        max_size: usize::try_from(broker.group_max_size()).unwrap_or(usize::MAX),
        min_session_timeout_ms: broker.group_min_session_timeout_ms(),
        max_session_timeout_ms: broker.group_max_session_timeout_ms(),
        offset_metadata_max_bytes: usize::try_from(broker.offset_metadata_max_bytes()).unwrap_or(0),
        commit_timeout_ms: positive(broker.offsets_commit_timeout_ms().into()),
        offsets_retention_ms: positive(i64::from(broker.offsets_retention_minutes()) * 60_000),
        retention_check_interval_ms: positive(broker.offsets_retention_check_interval_ms()),
        ..group::Config::default()
    };
    let codec = u8::try_from(broker.offsets_topic_compression_codec())
        .ok()
        .and_then(|id| Codec::from_id(id).ok());
    Settings {
        machine,
        codec: codec.unwrap_or(Codec::None),
        load_buffer: usize::try_from(broker.offsets_load_buffer_size()).unwrap_or(1),
    }
}
