//! Counters of what the node does, by API and by topic. Names and their Prometheus spelling are the exporter's.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_types::TopicPartition;
use ottla_wire::ApiKey;

/// Requests of one API.
#[derive(Default)]
pub struct ApiCounters {
    /// Answered requests.
    pub requests: AtomicU64,
    /// Their time from frame to answer, in nanoseconds.
    pub nanos: AtomicU64,
    /// Bytes of their answers.
    pub bytes_out: AtomicU64,
}

/// Records and bytes of one topic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TopicCounters {
    /// Records produced.
    pub messages_in: u64,
    /// Bytes produced.
    pub bytes_in: u64,
    /// Bytes fetched.
    pub bytes_out: u64,
}

/// All counters of a node.
pub struct Metrics {
    apis: Vec<ApiCounters>,
    topics: Mutex<BTreeMap<String, TopicCounters>>,
}

impl Metrics {
    /// Nothing counted.
    pub fn new() -> Self {
        Metrics {
            apis: ApiKey::ALL.iter().map(|_| ApiCounters::default()).collect(),
            topics: Mutex::default(),
        }
    }

    /// A request was served.
    pub fn request(&self, api: ApiKey, took: Duration, bytes_out: usize) {
        let Some(counters) = self.apis.get(api as usize) else {
            return;
        };
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.nanos.fetch_add(
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        counters.bytes_out.fetch_add(bytes_out as u64, Ordering::Relaxed);
    }

    /// A batch was accepted.
    pub fn produced(&self, partition: &TopicPartition, bytes: usize, records: u32) {
        self.topic(&partition.topic, |t| {
            t.bytes_in += bytes as u64;
            t.messages_in += u64::from(records);
        });
    }

    /// Records were read for a consumer.
    pub fn fetched(&self, topic: &str, bytes: usize) {
        if bytes > 0 {
            self.topic(topic, |t| t.bytes_out += bytes as u64);
        }
    }

    fn topic(&self, topic: &str, count: impl FnOnce(&mut TopicCounters)) {
        let mut topics = self
            .topics
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match topics.get_mut(topic) {
            Some(counters) => count(counters),
            None => count(topics.entry(topic.to_string()).or_default()),
        }
    }
}
