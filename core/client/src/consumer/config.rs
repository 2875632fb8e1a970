//! The consumer's settings, under Kafka's names and with Kafka 4.3's defaults.

use std::time::Duration;

use ottla_wire::records::Limits;

use crate::{ClientConfig, IsolationLevel};

/// `auto.offset.reset`: where to begin when nothing was sought or the position is not kept any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log start.
    Earliest,
    /// At the end.
    #[default]
    Latest,
    /// This long before now (`by_duration`, KIP-1106).
    ByDuration(Duration),
    /// Nowhere: [`crate::Error::OffsetOutOfRange`].
    None,
}

/// Settings of a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// What all clients share.
    pub client: ClientConfig,
    /// `auto.offset.reset` (latest).
    pub auto_offset_reset: OffsetReset,
    /// `isolation.level` (read_uncommitted).
    pub isolation_level: IsolationLevel,
    /// `fetch.min.bytes` (1): a broker waits until it has this much ...
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms` (500 ms): ... or this long has passed.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes` (50 MiB): of one response.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes` (1 MiB): of one partition in one response. A batch that is larger comes nevertheless.
    pub max_partition_fetch_bytes: i32,
    /// `max.poll.records` (500): what one [`super::Consumer::poll`] gives at most.
    pub max_poll_records: usize,
    /// `check.crcs` (true).
    pub check_crcs: bool,
    /// What one compressed batch may become. Kafka has no such setting.
    pub decompression: Limits,
}

impl ConsumerConfig {
    /// Kafka's defaults, and these servers.
    pub fn new(bootstrap_servers: &str) -> Self {
        ConsumerConfig {
            client: ClientConfig::new(bootstrap_servers),
            ..ConsumerConfig::default()
        }
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            client: ClientConfig::default(),
            auto_offset_reset: OffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            max_poll_records: 500,
            check_crcs: true,
            decompression: Limits::default(),
        }
    }
}
