//! Counters of what the node does, by API and by topic. Counting is a relaxed addition on a handle that was looked up before: no
//! label, lock or allocation on a request's way. Names and text are made when somebody asks (`page.rs`, from a `snapshot.rs`).

mod cleaner;
mod histogram;
mod page;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ottla_io::Mono;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::ApiKey;

pub use histogram::Bins;
use histogram::Histogram;
pub use page::Format;
pub use snapshot::{GroupCounts, Snapshot};

/// How long a mark stands at least before latencies are taken from the next one.
const WINDOW: Duration = Duration::from_secs(60);

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Requests of one API.
#[derive(Default)]
struct ApiMetrics {
    latency: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    rejected: AtomicU64,
}

/// What one API has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiCounts {
    /// Served requests by the time from frame to answer.
    pub latency: Bins,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
    /// Requests that closed their connection.
    pub rejected: u64,
}

/// Counters of one topic: the handle that its partitions hold (Kafka class `BrokerTopicMetrics`).
#[derive(Debug, Default)]
pub struct TopicMetrics {
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    produce_requests: AtomicU64,
    fetch_requests: AtomicU64,
    failed_produce_requests: AtomicU64,
    failed_fetch_requests: AtomicU64,
}

/// What one topic, or all, have counted so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TopicCounts {
    /// Records produced.
    pub messages_in: u64,
    /// Bytes produced.
    pub bytes_in: u64,
    /// Bytes fetched.
    pub bytes_out: u64,
    /// Partitions that produce requests named.
    pub produce_requests: u64,
    /// Partitions that fetch requests named.
    pub fetch_requests: u64,
    /// Of these, how many failed for a reason that is no client's fault.
    pub failed_produce_requests: u64,
    /// The same of fetches.
    pub failed_fetch_requests: u64,
}

impl TopicMetrics {
    /// A produce request came for a partition.
    pub fn produce_asked(&self) {
        add(&self.produce_requests, 1);
    }

    /// A batch was taken. A duplicate of a batch in the log counts too, as in Kafka: its bytes did come in.
    pub fn produced(&self, bytes: usize, records: u32) {
        add(&self.bytes_in, bytes as u64);
        add(&self.messages_in, u64::from(records));
    }

    /// A batch was refused. Kafka counts only what it did not expect (Kafka class `ReplicaManager`, `appendToLocalLog`).
    pub fn produce_failed(&self, code: ErrorCode) {
        let expected = matches!(
            code,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
                | ErrorCode::CorruptMessage
                | ErrorCode::KafkaStorageError
        );
        if !expected {
            add(&self.failed_produce_requests, 1);
        }
    }

    /// A fetch was answered for a partition. However often a waiting fetch looked, it counts once.
    pub fn fetched(&self, bytes: usize, error: i16) {
        add(&self.fetch_requests, 1);
        add(&self.bytes_out, bytes as u64);
        // What else can go wrong with a fetch is expected (Kafka class `ReplicaManager`, `readFromLog`).
        let unexpected =
            error == ErrorCode::CorruptMessage.code() || error == ErrorCode::UnknownServerError.code();
        if unexpected {
            add(&self.failed_fetch_requests, 1);
        }
    }

    fn counts(&self) -> TopicCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TopicCounts {
            messages_in: get(&self.messages_in),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            produce_requests: get(&self.produce_requests),
            fetch_requests: get(&self.fetch_requests),
            failed_produce_requests: get(&self.failed_produce_requests),
            failed_fetch_requests: get(&self.failed_fetch_requests),
        }
    }
}

impl TopicCounts {
    fn add(&mut self, other: TopicCounts) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.produce_requests += other.produce_requests;
        self.fetch_requests += other.fetch_requests;
        self.failed_produce_requests += other.failed_produce_requests;
        self.failed_fetch_requests += other.failed_fetch_requests;
    }
}

/// Topics that are, and what those have counted that are no more: the sum over all never falls.
#[derive(Default)]
struct TopicTable {
    living: BTreeMap<Uuid, (Arc<str>, Arc<TopicMetrics>)>,
    /// Removed, but a request under way may still count.
    leaving: Vec<Arc<TopicMetrics>>,
    gone: TopicCounts,
}

impl TopicTable {
    /// Adds up those that nobody holds any more.
    fn settle(&mut self) {
        let gone = &mut self.gone;
        self.leaving.retain(|topic| {
            let held = Arc::strong_count(topic) > 1;
            if !held {
                gone.add(topic.counts());
            }
            held
        });
    }
}

/// Latencies at two earlier times; the quantiles are those of the requests since the older one.
#[derive(Default)]
struct Marks {
    at: Mono,
    older: Vec<Bins>,
    newer: Vec<Bins>,
}

/// All counters of a node.
pub struct Metrics {
    apis: Vec<ApiMetrics>,
    topics: Mutex<TopicTable>,
    marks: Mutex<Marks>,
}

impl Metrics {
    /// Nothing counted.
    pub fn new() -> Self {
        Metrics {
            apis: ApiKey::ALL.iter().map(|_| ApiMetrics::default()).collect(),
            topics: Mutex::default(),
            marks: Mutex::default(),
        }
    }

    /// A request was answered.
    pub fn served(&self, api: ApiKey, took: Duration, bytes_in: usize, bytes_out: usize) {
        if let Some(metrics) = self.apis.get(api as usize) {
            metrics.latency.observe(took);
            add(&metrics.bytes_in, bytes_in as u64);
            add(&metrics.bytes_out, bytes_out as u64);
        }
    }

    /// A request was not answered but its connection closed.
    pub fn rejected(&self, api: ApiKey) {
        if let Some(metrics) = self.apis.get(api as usize) {
            add(&metrics.rejected, 1);
        }
    }

    /// The handle of a topic, for its partitions to hold.
    pub fn topic(&self, id: Uuid, name: &str) -> Arc<TopicMetrics> {
        let mut topics = lock(&self.topics);
        let (_, metrics) = topics
            .living
            .entry(id)
            .or_insert_with(|| (name.into(), Arc::default()));
        metrics.clone()
    }

    /// The topic was deleted: its series end, what it counted stays in the sum over all.
    pub fn remove_topic(&self, id: Uuid) {
        let mut topics = lock(&self.topics);
        if let Some((_, metrics)) = topics.living.remove(&id) {
            topics.leaving.push(metrics);
        }
        topics.settle();
    }

    /// The topics' counts by name, and the sum over all that ever were.
    fn topic_counts(&self) -> (Vec<(Arc<str>, TopicCounts)>, TopicCounts) {
        let mut topics = lock(&self.topics);
        topics.settle();
        let mut all = topics.gone;
        topics.leaving.iter().for_each(|topic| all.add(topic.counts()));
        let mut living: Vec<_> = topics
            .living
            .values()
            .map(|(name, metrics)| (name.clone(), metrics.counts()))
            .collect();
        drop(topics);
        living.iter().for_each(|(_, counts)| all.add(*counts));
        living.sort_by(|(a, _), (b, _)| a.cmp(b));
        (living, all)
    }

    /// What each of `apis` has done so far, and its latencies within the last minutes.
    fn api_counts(&self, apis: &[ApiKey], now: Mono) -> Vec<(ApiKey, ApiCounts, Bins)> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bins: Vec<Bins> = self.apis.iter().map(|api| api.latency.bins()).collect();
        let mut marks = lock(&self.marks);
        let rows = apis.iter().filter_map(|api| {
            let (metrics, latency) = (self.apis.get(*api as usize)?, bins.get(*api as usize)?);
            let counts = ApiCounts {
                latency: *latency,
                bytes_in: get(&metrics.bytes_in),
                bytes_out: get(&metrics.bytes_out),
                rejected: get(&metrics.rejected),
            };
            let before = marks.older.get(*api as usize).copied().unwrap_or_default();
            Some((*api, counts, latency.since(&before)))
        });
        let rows = rows.collect();
        if now.since(marks.at) >= WINDOW {
            marks.at = now;
            marks.older = std::mem::replace(&mut marks.newer, bins);
        }
        rows
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
