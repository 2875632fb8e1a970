//! The producer's settings, under Kafka's names and with Kafka 4.3's defaults.

use std::time::Duration;

use ottla_wire::records::Codec;

use crate::{ClientConfig, Error, Result};

/// `acks`: when the broker answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acks {
    /// Not at all; deliveries have no offsets and losses go unnoticed.
    None,
    /// When the leader has written the records.
    Leader,
    /// When all replicas in sync have them.
    #[default]
    All,
}

impl Acks {
    pub(crate) fn id(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// Settings of a producer.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// What all clients share.
    pub client: ClientConfig,
    /// `acks` (all).
    pub acks: Acks,
    /// `enable.idempotence`: each record is written exactly once and in order, whatever is retried. `None` is Kafka's default:
    /// on, unless another setting contradicts.
    pub enable_idempotence: Option<bool>,
    /// `batch.size` (16 KiB): a batch is closed when it has this many bytes, before compression.
    pub batch_size: usize,
    /// `linger.ms` (5 ms): how long a batch that is not full waits for more records.
    pub linger: Duration,
    /// `buffer.memory` (32 MiB): bytes of records that wait or are under way; above it [`super::Producer::send`] waits.
    pub buffer_memory: usize,
    /// `max.block.ms` (60 s): how long [`super::Producer::send`] may wait for room and metadata.
    pub max_block: Duration,
    /// `compression.type` (none).
    pub compression: Codec,
    /// `compression.gzip.level` and its kin; `None` for the codec's default.
    pub compression_level: Option<i32>,
    /// `max.request.size` (1 MiB): bounds a record and, unless one batch alone exceeds it, a request.
    pub max_request_size: usize,
    /// `max.in.flight.requests.per.connection` (5).
    pub max_in_flight: usize,
    /// `retries` (2147483647); `delivery.timeout.ms` bounds them in any case.
    pub retries: u32,
    /// `delivery.timeout.ms` (2 min): a record is delivered or reported as failed by then.
    pub delivery_timeout: Duration,
}

impl ProducerConfig {
    /// Kafka's defaults, and these servers.
    pub fn new(bootstrap_servers: &str) -> Self {
        ProducerConfig {
            client: ClientConfig::new(bootstrap_servers),
            ..ProducerConfig::default()
        }
    }

    /// Whether the settings make the producer idempotent, or why they contradict each other.
    pub(crate) fn check(&self) -> Result<bool> {
        let wanted = self.enable_idempotence;
        let conflict = match () {
            () if self.acks != Acks::All => Some("enable.idempotence needs acks=all"),
            () if self.max_in_flight > 5 => {
                Some("enable.idempotence needs max.in.flight.requests.per.connection of at most 5")
            }
            () if self.retries == 0 => Some("enable.idempotence needs retries"),
            () => None,
        };
        if self.max_in_flight == 0 {
            return Err(Error::config(
                "max.in.flight.requests.per.connection",
                "it is 0",
                "use at least 1",
            ));
        }
        if let (Some(true), Some(conflict)) = (wanted, conflict) {
            return Err(Error::config(
                "enable.idempotence",
                conflict,
                "change one of the two",
            ));
        }
        if self.delivery_timeout < self.linger.saturating_add(self.client.request_timeout) {
            return Err(Error::config(
                "delivery.timeout.ms",
                "it is less than linger.ms and request.timeout.ms together",
                "raise it, or lower request.timeout.ms",
            ));
        }
        Ok(wanted.unwrap_or(conflict.is_none()))
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            client: ClientConfig::default(),
            acks: Acks::All,
            enable_idempotence: None,
            batch_size: 16 << 10,
            linger: Duration::from_millis(5),
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            compression: Codec::None,
            compression_level: None,
            max_request_size: 1 << 20,
            max_in_flight: 5,
            retries: i32::MAX as u32,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotence_is_the_default_and_gives_way_like_kafkas() {
        let config = ProducerConfig::default();
        assert_eq!(config.check(), Ok(true));
        assert_eq!(
            ProducerConfig {
                acks: Acks::Leader,
                ..config.clone()
            }
            .check(),
            Ok(false)
        );
        assert_eq!(
            ProducerConfig {
                max_in_flight: 6,
                ..config.clone()
            }
            .check(),
            Ok(false)
        );
        let asked = ProducerConfig {
            enable_idempotence: Some(true),
            acks: Acks::None,
            ..config.clone()
        };
        assert!(asked.check().unwrap_err().to_string().contains("acks=all"));
        let short = ProducerConfig {
            delivery_timeout: Duration::from_secs(30),
            ..config
        };
        assert!(
            short
                .check()
                .unwrap_err()
                .to_string()
                .contains("delivery.timeout.ms")
        );
    }
}
