//! A node's configuration: what `server.properties` and the command line say, with what was changed while running laid over
//! it, checked as a whole and read into types. Which values agree with each other is in `checks.rs`.

use std::collections::BTreeMap;
use std::fmt;

use super::checks;
use super::endpoints::{self, Endpoints};
use super::key::{ConfigKey, Effect, Scope};
use super::listener::{Listener, Voter};
use super::table::{broker_keys, find_broker};
use super::value::{ConfigValue, InvalidConfig};
use super::{DefaultValue, suggest};

/// Something in a configuration that does not stop the server, but that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// Neither Kafka 4.3.1 nor Ottla has such a key.
    Unknown {
        /// The key.
        key: String,
        /// What may have been meant, or what became of the key.
        hint: Option<String>,
    },
    /// The key is right, is set to something other than its default, and changes nothing here.
    NoEffect {
        /// The key.
        key: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Unknown {
                key,
                hint: Some(hint),
            } => write!(f, "{key} is not a key and is ignored: {hint}"),
            Warning::Unknown { key, hint: None } => write!(f, "{key} is not a key and is ignored"),
            Warning::NoEffect { key } => write!(f, "{key} has no effect in this version"),
        }
    }
}

/// What a node is (`process.roles`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It stores partitions and serves clients.
    pub broker: bool,
    /// It can be a member of the metadata quorum.
    pub controller: bool,
}

/// A node's configuration, valid as a whole.
///
/// Invariants: every known key in `effective` parses; the endpoints agree with each other; nothing refused is set.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    given: BTreeMap<String, String>,
    dynamic_default: BTreeMap<String, String>,
    dynamic_broker: BTreeMap<String, String>,
    effective: BTreeMap<String, String>,
    settings: Settings,
    endpoints: Endpoints,
}

/// Makes the typed settings and their getters from rows of `name: type = "key" conversion`.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $key:literal $conversion:ident;)*) => {
        #[derive(Debug, Clone, PartialEq)]
        struct Settings {
            $($field: $type,)*
        }

        impl Settings {
            fn read(effective: &BTreeMap<String, String>) -> Settings {
                Settings { $($field: value_in(effective, $key).$conversion().unwrap_or_default(),)* }
            }

            /// Key and conversion of each, so that a test can compare with the table.
            #[cfg(test)]
            const ROWS: &'static [(&'static str, &'static str)] = &[$(($key, stringify!($conversion))),*];
        }

        impl BrokerConfig {
            $(
                $(#[$doc])*
                #[doc = concat!("(`", $key, "`)")]
                pub fn $field(&self) -> $type {
                    self.settings.$field
                }
            )*
        }
    };
}

settings! {
    /// This node's number.
    node_id: i32 = "node.id" as_i32;
    /// Partitions of a topic created without saying how many.
    num_partitions: i32 = "num.partitions" as_i32;
    /// Replicas of a topic created without saying how many.
    default_replication_factor: i32 = "default.replication.factor" as_i32;
    /// Whether asking about an unknown topic creates it.
    auto_create_topics_enable: bool = "auto.create.topics.enable" as_bool;
    /// Whether topics can be deleted.
    delete_topic_enable: bool = "delete.topic.enable" as_bool;
    /// The largest record batch of topics that do not say otherwise.
    message_max_bytes: i32 = "message.max.bytes" as_i32;
    /// The largest request.
    socket_request_max_bytes: i32 = "socket.request.max.bytes" as_i32;
    /// Connections that may wait to be accepted.
    socket_listen_backlog_size: i32 = "socket.listen.backlog.size" as_i32;
    /// Bytes of requests that may wait in memory; not above zero means no limit.
    queued_max_request_bytes: i64 = "queued.max.request.bytes" as_i64;
    /// Requests that may wait.
    queued_max_requests: i32 = "queued.max.requests" as_i32;
    /// Idle connections are closed after this; below zero means never.
    connections_max_idle_ms: i64 = "connections.max.idle.ms" as_i64;
    /// Whether compacted topics are compacted.
    log_cleaner_enable: bool = "log.cleaner.enable" as_bool;
    /// Logs that are cleaned at the same time.
    log_cleaner_threads: i32 = "log.cleaner.threads" as_i32;
    /// How long the cleaner sleeps when there is nothing to clean.
    log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms" as_i64;
    /// Bytes of all offset maps.
    log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size" as_i64;
    /// Bytes of all the cleaner's buffers for reading and writing.
    log_cleaner_io_buffer_size: i32 = "log.cleaner.io.buffer.size" as_i32;
    /// How full an offset map may become, from 0 to 1.
    log_cleaner_io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor" as_f64;
    /// Bytes that the cleaner reads and writes in a second.
    log_cleaner_io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second" as_f64;
    /// Connections in all.
    max_connections: i32 = "max.connections" as_i32;
    /// Connections from one address; see also [`BrokerConfig::max_connections_from`].
    max_connections_per_ip: i32 = "max.connections.per.ip" as_i32;
    /// Bytes in one answer to Fetch.
    fetch_max_bytes: i32 = "fetch.max.bytes" as_i32;
    /// Fetch sessions that are kept.
    max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots" as_i32;
    /// Partitions in one answer to DescribeTopicPartitions.
    max_request_partition_size_limit: i32 = "max.request.partition.size.limit" as_i32;
    /// How often logs are looked through for segments to delete.
    log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms" as_i64;
    /// How often logs are looked through for records to sync.
    log_flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms" as_i64;
    /// How often recovery points are written.
    log_flush_offset_checkpoint_interval_ms: i32 = "log.flush.offset.checkpoint.interval.ms" as_i32;
    /// How often log start offsets are written.
    log_flush_start_offset_checkpoint_interval_ms: i32 = "log.flush.start.offset.checkpoint.interval.ms" as_i32;
    /// When the files of a deleted segment go.
    log_segment_delete_delay_ms: i64 = "log.segment.delete.delay.ms" as_i64;
    /// When the background work on logs begins.
    log_initial_task_delay_ms: i64 = "log.initial.task.delay.ms" as_i64;
    /// Logs recovered at the same time in one directory.
    num_recovery_threads_per_data_dir: i32 = "num.recovery.threads.per.data.dir" as_i32;
    /// When a failed directory makes the broker stop.
    log_dir_failure_timeout_ms: i64 = "log.dir.failure.timeout.ms" as_i64;
    /// How often high watermarks are written.
    replica_high_watermark_checkpoint_interval_ms: i64 = "replica.high.watermark.checkpoint.interval.ms" as_i64;
    /// When an idempotent producer is forgotten.
    producer_id_expiration_ms: i32 = "producer.id.expiration.ms" as_i32;
    /// How often forgotten producers are looked for.
    producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms" as_i32;
    /// The longest transaction timeout.
    transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms" as_i32;
    /// How often a broker reports to the controller.
    broker_heartbeat_interval_ms: i32 = "broker.heartbeat.interval.ms" as_i32;
    /// When a silent broker is fenced.
    broker_session_timeout_ms: i32 = "broker.session.timeout.ms" as_i32;
    /// When a segment of the metadata log is closed, by size.
    metadata_log_segment_bytes: i32 = "metadata.log.segment.bytes" as_i32;
    /// When a segment of the metadata log is closed, by age.
    metadata_log_segment_ms: i64 = "metadata.log.segment.ms" as_i64;
    /// When a snapshot of the metadata is written, by the size of the records after the last.
    metadata_log_max_record_bytes_between_snapshots: i64 = "metadata.log.max.record.bytes.between.snapshots" as_i64;
    /// When a snapshot of the metadata is written, by time.
    metadata_log_max_snapshot_interval_ms: i64 = "metadata.log.max.snapshot.interval.ms" as_i64;
    /// How large metadata log and snapshots may grow.
    metadata_max_retention_bytes: i64 = "metadata.max.retention.bytes" as_i64;
    /// How old metadata log and snapshots may grow.
    metadata_max_retention_ms: i64 = "metadata.max.retention.ms" as_i64;
    /// When the active controller writes a no-op record.
    metadata_max_idle_interval_ms: i32 = "metadata.max.idle.interval.ms" as_i32;
    /// The shortest session timeout of a classic group's member.
    group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms" as_i32;
    /// The longest session timeout of a classic group's member.
    group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms" as_i32;
    /// How long a new group waits for more members.
    group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms" as_i32;
    /// Members of a classic group.
    group_max_size: i32 = "group.max.size" as_i32;
    /// Partitions of `__consumer_offsets`.
    offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions" as_i32;
    /// Replicas of `__consumer_offsets`.
    offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor" as_i16;
    /// Segment size of `__consumer_offsets`.
    offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes" as_i32;
    /// When offsets of an empty group are forgotten.
    offsets_retention_minutes: i32 = "offsets.retention.minutes" as_i32;
    /// How long a commit waits for its replication.
    offsets_commit_timeout_ms: i32 = "offsets.commit.timeout.ms" as_i32;
    /// Bytes read at once when a coordinator loads.
    offsets_load_buffer_size: i32 = "offsets.load.buffer.size" as_i32;
    /// How often expired offsets are looked for.
    offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms" as_i64;
    /// Codec of the batches in `__consumer_offsets`, by its number.
    offsets_topic_compression_codec: i32 = "offsets.topic.compression.codec" as_i32;
    /// Bytes of metadata with an offset.
    offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes" as_i32;
    /// Partitions of `__transaction_state`.
    transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions" as_i32;
    /// Replicas of `__transaction_state`.
    transaction_state_log_replication_factor: i16 = "transaction.state.log.replication.factor" as_i16;
    /// Replicas of `__transaction_state` that must be in sync.
    transaction_state_log_min_isr: i32 = "transaction.state.log.min.isr" as_i32;
}

/// The value of the broker key `name` in `effective`, or its default.
pub(super) fn value_in(effective: &BTreeMap<String, String>, name: &str) -> ConfigValue {
    let Some(key) = find_broker(name) else {
        return ConfigValue::Null;
    };
    match effective.get(name) {
        Some(raw) => key.parse(raw).unwrap_or_else(|_| key.default_value()),
        None => key.default_value(),
    }
}

impl BrokerConfig {
    /// Reads a node's configuration. All that is wrong is reported at once; the warnings come with what is right.
    pub fn from_properties(
        properties: &BTreeMap<String, String>,
    ) -> Result<(BrokerConfig, Vec<Warning>), Vec<InvalidConfig>> {
        let mut given = properties.clone();
        for (from, to) in [("broker.id", "node.id"), ("node.id", "broker.id")] {
            if let (Some(id), false) = (given.get(from).cloned(), given.contains_key(to)) {
                given.insert(to.to_string(), id);
            }
        }
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for (name, raw) in properties {
            match checks::entry(name, raw) {
                Ok(warning) => warnings.extend(warning),
                Err(error) => errors.push(error),
            }
        }
        let missing =
            |key: &&ConfigKey| key.default == DefaultValue::Required && !given.contains_key(key.name);
        for key in broker_keys().iter().filter(missing) {
            errors.push(InvalidConfig::of_key(
                key.name,
                format!("it must be set: {}", key.doc),
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let config = BrokerConfig::build(given, BTreeMap::new(), BTreeMap::new())?;
        Ok((config, warnings))
    }

    /// This configuration with other dynamic settings: `default` for all brokers, `broker` for this one, which is stronger.
    pub fn with_dynamic(
        &self,
        default: BTreeMap<String, String>,
        broker: BTreeMap<String, String>,
    ) -> Result<BrokerConfig, Vec<InvalidConfig>> {
        let entries = default
            .iter()
            .map(|e| (e, true))
            .chain(broker.iter().map(|e| (e, false)));
        let errors: Vec<InvalidConfig> = entries
            .filter_map(|((name, raw), for_all)| BrokerConfig::check_dynamic(name, raw, for_all).err())
            .collect();
        if errors.is_empty() {
            BrokerConfig::build(self.given.clone(), default, broker)
        } else {
            Err(errors)
        }
    }

    /// Whether `name` may be set to `raw` while running, for one broker or `for_all` (Kafka class `DynamicBrokerConfig`).
    pub fn check_dynamic(name: &str, raw: &str, for_all: bool) -> Result<(), InvalidConfig> {
        if let Some(key) = find_broker(name) {
            if key.scope == Scope::ReadOnly {
                return Err(InvalidConfig::new(
                    name,
                    raw,
                    "it is read at start only and cannot be changed while running",
                ));
            }
            if key.scope == Scope::PerBroker && for_all {
                return Err(InvalidConfig::new(
                    name,
                    raw,
                    "it can only be set for one broker, not as the default of all",
                ));
            }
        }
        checks::entry(name, raw).map(|_| ())
    }

    fn build(
        given: BTreeMap<String, String>,
        dynamic_default: BTreeMap<String, String>,
        dynamic_broker: BTreeMap<String, String>,
    ) -> Result<BrokerConfig, Vec<InvalidConfig>> {
        let mut effective = given.clone();
        for (name, raw) in dynamic_default.iter().chain(&dynamic_broker) {
            // A dynamic log.retention.ms also outdoes a static log.retention.hours.
            for synonym in broker_synonyms(name) {
                effective.remove(*synonym);
            }
            effective.insert(name.clone(), raw.clone());
        }
        let settings = Settings::read(&effective);
        let endpoints = endpoints::read(&effective);
        let mut errors = checks::agreement(&effective);
        match endpoints {
            Ok(endpoints) if errors.is_empty() => Ok(BrokerConfig {
                given,
                dynamic_default,
                dynamic_broker,
                effective,
                settings,
                endpoints,
            }),
            Ok(_) => Err(errors),
            Err(mut more) => {
                errors.append(&mut more);
                Err(errors)
            }
        }
    }

    /// What the file and the command line say, with `node.id` and `broker.id` filled in from each other.
    pub fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// What was set while running for all brokers.
    pub fn dynamic_default(&self) -> &BTreeMap<String, String> {
        &self.dynamic_default
    }

    /// What was set while running for this broker.
    pub fn dynamic_broker(&self) -> &BTreeMap<String, String> {
        &self.dynamic_broker
    }

    /// What holds now: given, with the dynamic settings laid over it.
    pub fn effective(&self) -> &BTreeMap<String, String> {
        &self.effective
    }

    /// The value of a key that holds now, its default if it is not set; `Null` for an unknown key.
    pub fn value(&self, name: &str) -> ConfigValue {
        value_in(&self.effective, name)
    }

    /// Broker, controller or both.
    pub fn roles(&self) -> Roles {
        self.endpoints.roles
    }

    /// Everything this node listens on, the controller's listeners included.
    pub fn listeners(&self) -> &[Listener] {
        &self.endpoints.listeners
    }

    /// What clients and brokers are told to connect to. An empty host is for the node to fill in.
    pub fn advertised_listeners(&self) -> &[Listener] {
        &self.endpoints.advertised
    }

    /// What other nodes are told to reach this controller at; empty on a mere broker.
    pub fn advertised_controller_listeners(&self) -> &[Listener] {
        &self.endpoints.advertised_controller
    }

    /// `controller.listener.names`, the first being the one that this node uses to reach controllers.
    pub fn controller_listener_names(&self) -> &[String] {
        &self.endpoints.controller_names
    }

    /// The listener over which brokers talk to each other.
    pub fn inter_broker_listener_name(&self) -> &str {
        &self.endpoints.inter_broker
    }

    /// The static quorum; empty when the quorum is dynamic.
    pub fn quorum_voters(&self) -> &[Voter] {
        &self.endpoints.voters
    }

    /// Host and port of the controllers to ask first.
    pub fn quorum_bootstrap_servers(&self) -> &[(String, u16)] {
        &self.endpoints.bootstrap
    }

    /// Host and port of each HTTP listener; an empty host stands for every interface (`ottla.http.listeners`).
    pub fn http_listeners(&self) -> &[(String, u16)] {
        &self.endpoints.http
    }

    /// The data directories: `log.dirs`, else `log.dir`.
    pub fn log_dirs(&self) -> Vec<String> {
        log_dirs(&self.effective)
    }

    /// The directory of the metadata log: `metadata.log.dir`, else the first data directory.
    pub fn metadata_log_dir(&self) -> String {
        match self.value("metadata.log.dir").as_str() {
            Some(dir) => dir.to_string(),
            None => self.log_dirs().into_iter().next().unwrap_or_default(),
        }
    }

    /// `broker.rack`.
    pub fn rack(&self) -> Option<String> {
        self.value("broker.rack").as_str().map(str::to_string)
    }

    /// How many connections `host`, an address as text, may hold.
    pub fn max_connections_from(&self, host: &str) -> i32 {
        let special = self
            .endpoints
            .connection_overrides
            .iter()
            .rev()
            .find(|(name, _)| name == host);
        special.map_or(self.max_connections_per_ip(), |(_, limit)| *limit)
    }
}

/// `log.dirs`, else `log.dir`.
pub(super) fn log_dirs(effective: &BTreeMap<String, String>) -> Vec<String> {
    let dirs = value_in(effective, "log.dirs");
    let dir = value_in(effective, "log.dir");
    dirs.as_list().or(dir.as_list()).unwrap_or_default().to_vec()
}

/// The keys that say the same as `name` in other units, the strongest first, `name` among them; empty if there are none
/// (Kafka's `DynamicBrokerConfig.brokerConfigSynonyms`).
pub(super) fn broker_synonyms(name: &str) -> &'static [&'static str] {
    match name {
        "log.roll.ms" | "log.roll.hours" => &["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => &[],
    }
}

/// The key behind `listener.name.<listener>.<key>` or `listener.name.<listener>.<mechanism>.<key>`.
pub(super) fn listener_override(name: &str) -> Option<&str> {
    /// Keys that a SASL mechanism's name may precede.
    const OF_MECHANISM: [&str; 5] = [
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.login.class",
        "sasl.server.callback.handler.class",
        "connections.max.reauth.ms",
    ];
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(
        OF_MECHANISM
            .into_iter()
            .find(|key| base.ends_with(key))
            .unwrap_or(base),
    )
}

/// The broker key that `name` is, or that it overrides for one listener.
pub(super) fn base_key(name: &str) -> Option<&'static ConfigKey> {
    find_broker(name).or_else(|| find_broker(listener_override(name)?))
}

/// The hint for a key that is not there.
pub(super) fn unknown(name: &str) -> Warning {
    Warning::Unknown {
        key: name.to_string(),
        hint: suggest::for_broker_key(name),
    }
}

/// A warning if `key`, set to `raw`, does nothing.
pub(super) fn no_effect(name: &str, key: &ConfigKey, value: &ConfigValue) -> Option<Warning> {
    let idle = key.effect != Effect::Honoured && *value != key.default_value();
    idle.then(|| Warning::NoEffect {
        key: name.to_string(),
    })
}

#[cfg(test)]
pub(super) mod tests;
