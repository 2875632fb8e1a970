//! A topic's configuration, resolved: what the topic says, else what the broker says, else the default (Kafka class
//! `LogConfig`). Choosing an offset or a time by it is the log's business.

use std::collections::BTreeMap;
use std::fmt;

use super::broker::BrokerConfig;
use super::key::ConfigKey;
use super::suggest;
use super::table::find_topic;
use super::value::{ConfigValue, InvalidConfig};

/// Whose clock a record's timestamp is from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// How batches are stored (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With LZ4.
    Lz4,
    /// With zstd.
    Zstd,
}

/// What happens to old segments (`cleanup.policy`); neither keeps them for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CleanupPolicy {
    /// They are deleted by age and size.
    pub delete: bool,
    /// Of records with the same key only the last is kept.
    pub compact: bool,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        })
    }
}

/// A topic's configuration in types. Numbers are in the units of their keys; −1 means "no limit" where Kafka says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicConfig {
    /// `retention.ms`; −1 keeps segments for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; below zero for no limit.
    pub retention_bytes: i64,
    /// `internal.segment.bytes` if set, else `segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: i32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i32,
    /// `max.message.bytes`.
    pub max_message_bytes: i32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `flush.messages`; `i64::MAX` leaves it to the system.
    pub flush_messages: i64,
    /// `flush.ms`; `i64::MAX` leaves it to the system.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `preallocate`.
    pub preallocate: bool,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
}

impl TopicConfig {
    /// The configuration of a topic that sets `overrides`. An override that is unknown, not acceptable, or in conflict with
    /// another value is an error; what the broker gives is valid already.
    pub fn resolve(
        overrides: &BTreeMap<String, String>,
        broker: &BrokerConfig,
    ) -> Result<TopicConfig, InvalidConfig> {
        for (name, raw) in overrides {
            let Some(key) = find_topic(name) else {
                let hint = suggest::for_topic_key(name)
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                return Err(InvalidConfig {
                    kafkas: Some(format!("Unknown topic config name: {name}{hint}")),
                    ..InvalidConfig::new(name, raw, format!("topics have no such key{hint}"))
                });
            };
            key.parse(raw)?;
            if key.refuses(raw) {
                let reason = format!(
                    "{} is not available: leave this key out",
                    key.group.to_lowercase()
                );
                return Err(InvalidConfig::new(name, raw, reason));
            }
        }
        let config = Values { overrides, broker }.config();
        if config.min_compaction_lag_ms > config.max_compaction_lag_ms {
            let reason = format!(
                "it must not exceed max.compaction.lag.ms, which is {}",
                config.max_compaction_lag_ms
            );
            let kafkas = format!(
                "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
                config.min_compaction_lag_ms, config.max_compaction_lag_ms
            );
            return Err(InvalidConfig {
                kafkas: Some(kafkas),
                ..InvalidConfig::new(
                    "min.compaction.lag.ms",
                    config.min_compaction_lag_ms.to_string(),
                    reason,
                )
            });
        }
        Ok(config)
    }

    /// The age at which a segment is closed: a compacted topic closes it early enough to keep `max.compaction.lag.ms`.
    pub fn max_segment_ms(&self) -> i64 {
        if self.cleanup_policy.compact && self.max_compaction_lag_ms > 0 && self.segment_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

/// Looks values up: the topic's own, else what stands for it on the broker, else the default.
struct Values<'a> {
    overrides: &'a BTreeMap<String, String>,
    broker: &'a BrokerConfig,
}

impl Values<'_> {
    fn of(&self, name: &str) -> ConfigValue {
        find_topic(name).map_or(ConfigValue::Null, |key| {
            resolve_key(key, self.overrides, self.broker)
        })
    }

    fn int(&self, name: &str) -> i32 {
        self.of(name).as_i32().unwrap_or_default()
    }

    fn long(&self, name: &str) -> i64 {
        self.of(name).as_i64().unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.of(name).as_bool().unwrap_or_default()
    }

    fn config(&self) -> TopicConfig {
        TopicConfig {
            retention_ms: self.long("retention.ms"),
            retention_bytes: self.long("retention.bytes"),
            segment_bytes: self
                .of("internal.segment.bytes")
                .as_i32()
                .unwrap_or_else(|| self.int("segment.bytes")),
            segment_ms: self.long("segment.ms"),
            segment_jitter_ms: self.long("segment.jitter.ms"),
            segment_index_bytes: self.int("segment.index.bytes"),
            index_interval_bytes: self.int("index.interval.bytes"),
            max_message_bytes: self.int("max.message.bytes"),
            message_timestamp_type: self.timestamp_type(),
            message_timestamp_before_max_ms: self.long("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: self.long("message.timestamp.after.max.ms"),
            cleanup_policy: self.cleanup_policy(),
            compression_type: self.compression_type(),
            compression_gzip_level: self.int("compression.gzip.level"),
            compression_lz4_level: self.int("compression.lz4.level"),
            compression_zstd_level: self.int("compression.zstd.level"),
            min_insync_replicas: self.int("min.insync.replicas"),
            flush_messages: self.long("flush.messages"),
            flush_ms: self.long("flush.ms"),
            file_delete_delay_ms: self.long("file.delete.delay.ms"),
            unclean_leader_election_enable: self.flag("unclean.leader.election.enable"),
            preallocate: self.flag("preallocate"),
            delete_retention_ms: self.long("delete.retention.ms"),
            min_compaction_lag_ms: self.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: self.long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: self.of("min.cleanable.dirty.ratio").as_f64().unwrap_or_default(),
        }
    }

    fn timestamp_type(&self) -> TimestampType {
        match self.of("message.timestamp.type").as_str() {
            Some("LogAppendTime") => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    fn cleanup_policy(&self) -> CleanupPolicy {
        let value = self.of("cleanup.policy");
        let has = |word: &str| {
            value
                .as_list()
                .unwrap_or_default()
                .iter()
                .any(|entry| entry == word)
        };
        CleanupPolicy {
            delete: has("delete"),
            compact: has("compact"),
        }
    }

    fn compression_type(&self) -> CompressionType {
        match self.of("compression.type").as_str() {
            Some("uncompressed") => CompressionType::Uncompressed,
            Some("gzip") => CompressionType::Gzip,
            Some("snappy") => CompressionType::Snappy,
            Some("lz4") => CompressionType::Lz4,
            Some("zstd") => CompressionType::Zstd,
            _ => CompressionType::Producer,
        }
    }
}

/// The value of a topic key: the topic's own, else that of the strongest broker key behind it that has one, in the topic
/// key's unit.
pub(super) fn resolve_key(
    key: &ConfigKey,
    overrides: &BTreeMap<String, String>,
    broker: &BrokerConfig,
) -> ConfigValue {
    if let Some(value) = overrides.get(key.name).and_then(|raw| key.parse(raw).ok()) {
        return value;
    }
    let mut synonyms = key.synonyms.iter().map(|s| (broker.value(s.name), s.unit));
    match synonyms.find(|(value, _)| *value != ConfigValue::Null) {
        // Any negative retention of the broker means "for ever", for which topics only have -1.
        Some((value, unit)) if key.name == "retention.ms" => {
            let ms = value.as_i64().unwrap_or(-1).saturating_mul(unit.factor());
            ConfigValue::Long(ms.max(-1))
        }
        Some((ConfigValue::Int(n), unit)) if unit.factor() != 1 => {
            ConfigValue::Long(i64::from(n).saturating_mul(unit.factor()))
        }
        Some((value, _)) => value,
        None => key.default_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::broker::tests::config;
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    #[test]
    fn a_topic_without_overrides_has_kafkas_defaults() {
        let topic = TopicConfig::resolve(&overrides(&[]), &config("")).unwrap();
        assert_eq!(topic.retention_ms, 7 * 24 * 60 * 60 * 1000);
        assert_eq!(topic.segment_ms, 7 * 24 * 60 * 60 * 1000);
        assert_eq!((topic.segment_jitter_ms, topic.retention_bytes), (0, -1));
        assert_eq!(
            (topic.segment_bytes, topic.max_message_bytes),
            (1 << 30, 1_048_588)
        );
        assert_eq!(
            topic.cleanup_policy,
            CleanupPolicy {
                delete: true,
                compact: false
            }
        );
        assert_eq!(topic.compression_type, CompressionType::Producer);
        assert_eq!(topic.message_timestamp_type, TimestampType::CreateTime);
        assert_eq!((topic.flush_messages, topic.flush_ms), (i64::MAX, i64::MAX));
        assert_eq!(topic.min_cleanable_dirty_ratio, 0.5);
    }

    #[test]
    fn the_stronger_key_wins() {
        let retention = |broker: &str, own: &[(&str, &str)]| {
            TopicConfig::resolve(&overrides(own), &config(broker))
                .unwrap()
                .retention_ms
        };
        let all = "log.retention.hours=1;log.retention.minutes=2;log.retention.ms=3";
        assert_eq!(retention("log.retention.hours=1", &[]), 3_600_000);
        assert_eq!(
            retention("log.retention.hours=1;log.retention.minutes=2", &[]),
            120_000
        );
        assert_eq!(retention(all, &[]), 3);
        assert_eq!(retention(all, &[("retention.ms", "4")]), 4);
        assert_eq!(retention("log.retention.minutes=-7", &[]), -1);
        assert_eq!(
            retention("log.retention.hours=2147483647", &[]),
            2_147_483_647 * 3_600_000
        );
    }

    #[test]
    fn dynamic_settings_lie_between_topic_and_file() {
        let broker = config("log.retention.hours=1;log.segment.bytes=2000000");
        let dynamic = overrides(&[("log.retention.ms", "5000"), ("log.segment.bytes", "3000000")]);
        let broker = broker
            .with_dynamic(dynamic, overrides(&[("log.retention.ms", "6000")]))
            .unwrap();
        let topic = TopicConfig::resolve(&overrides(&[]), &broker).unwrap();
        assert_eq!((topic.retention_ms, topic.segment_bytes), (6000, 3_000_000));
        let topic = TopicConfig::resolve(&overrides(&[("retention.ms", "7")]), &broker).unwrap();
        assert_eq!(topic.retention_ms, 7);
    }

    #[test]
    fn small_segments_need_the_internal_key() {
        let of = |own: &[(&str, &str)]| TopicConfig::resolve(&overrides(own), &config(""));
        assert_eq!(
            of(&[("internal.segment.bytes", "100")]).unwrap().segment_bytes,
            100
        );
        assert!(of(&[("segment.bytes", "100")]).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |own: &[(&str, &str)]| {
            TopicConfig::resolve(&overrides(own), &config(""))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error(&[("retension.ms", "5")]),
            "retension.ms=5: topics have no such key; did you mean retention.ms?"
        );
        assert_eq!(
            error(&[("cleanup.policy", "shred")]),
            "cleanup.policy=shred: only compact, delete may stand in this list"
        );
        assert!(error(&[("remote.storage.enable", "true")]).contains("not available"));
        let lag = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")];
        assert!(
            error(&lag).starts_with("min.compaction.lag.ms=10: it must not exceed max.compaction.lag.ms")
        );
    }

    #[test]
    fn a_compacted_topic_closes_segments_in_time() {
        let own = overrides(&[("cleanup.policy", "compact"), ("max.compaction.lag.ms", "50")]);
        let topic = TopicConfig::resolve(&own, &config("")).unwrap();
        assert_eq!(topic.max_segment_ms(), 50);
        assert_eq!(
            TopicConfig {
                cleanup_policy: CleanupPolicy {
                    delete: true,
                    compact: false
                },
                ..topic
            }
            .max_segment_ms(),
            topic.segment_ms
        );
    }
}
