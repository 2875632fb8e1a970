//! The consumer by assignment: the user says which partitions to read and from where. One fetch per broker is ahead of what is
//! read; nothing runs by itself, all progress is made inside [`Consumer::poll`] (a request that was sent is answered meanwhile).
//!
//! - `config`, `record`: what a user sees; `partition`: one assigned partition;
//! - `fetch`, `session`: requests; `flow`: what is asked next and what becomes of answers;
//! - `chunk`: bytes into records; `held`: partitions that a group assigns, which wait for their committed offsets.

mod chunk;
mod config;
mod fetch;
mod flow;
mod held;
mod partition;
mod record;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_io::{BoxFuture, Env, Mono};
use ottla_types::TopicPartition;
use ottla_wire::records::Decompressor;

use chunk::Chunk;
use fetch::Fetched;
use partition::Assigned;
use session::{Key, Session};

pub use config::{ConsumerConfig, OffsetReset};
pub use record::{ConsumerRecord, RecordHeader};

use crate::offsets::{Found, list_offsets};
use crate::{Cluster, Error, IsolationLevel, OffsetAndTimestamp, OffsetSpec, Result, TopicInfo};

/// The connection to one broker.
#[derive(Default)]
struct Broker {
    session: Session,
    running: Option<BoxFuture<'static, Result<Fetched>>>,
    /// What the running request asks for, with the generations of then.
    asked: BTreeMap<Key, (i64, u64)>,
    not_before: Mono,
    failures: u32,
    /// Responses that are not read to the end.
    unread: Vec<Weak<()>>,
}

/// A chunk of a response, and what it belongs to.
struct Ready {
    key: Key,
    generation: u64,
    chunk: Chunk,
    _response: Arc<()>,
}

/// Reads assigned partitions. Not shared: one task polls it.
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    assigned: BTreeMap<Key, Assigned>,
    generation: u64,
    brokers: BTreeMap<i32, Broker>,
    ready: VecDeque<Ready>,
    /// Records of a batch that was decoded but not given out to the end.
    decoded: VecDeque<ConsumerRecord>,
    /// The partition of `decoded`, its generation, and the position behind it.
    decoded_of: Option<(Key, u64, i64)>,
    scratch: Decompressor,
    refreshing: Option<BoxFuture<'static, Result<()>>>,
    refresh: bool,
    resolving: Option<BoxFuture<'static, Found>>,
    resolve_not_before: Mono,
    asked_generations: BTreeMap<TopicPartition, u64>,
    errors: VecDeque<Error>,
    trouble: Option<Error>,
}

impl Consumer {
    /// A consumer without partitions. Connects when first polled.
    pub fn new(env: &Env, config: ConsumerConfig) -> Result<Self> {
        let cluster = Cluster::new(env, config.client.clone())?;
        Ok(Consumer {
            cluster,
            assigned: BTreeMap::new(),
            generation: 0,
            brokers: BTreeMap::new(),
            ready: VecDeque::new(),
            decoded: VecDeque::new(),
            decoded_of: None,
            scratch: Decompressor::new(config.decompression),
            refreshing: None,
            refresh: false,
            resolving: None,
            resolve_not_before: Mono(0),
            asked_generations: BTreeMap::new(),
            errors: VecDeque::new(),
            trouble: None,
            config,
        })
    }

    /// The cluster as this consumer knows it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Reads these partitions from now on and no others. Those that stay keep their positions; new ones begin where
    /// `auto.offset.reset` says, unless they are sought.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let mut before = std::mem::take(&mut self.assigned);
        for partition in partitions {
            let key: Key = (partition.topic.into(), partition.partition);
            let kept = before.remove(&key).unwrap_or_default();
            self.assigned.insert(key, kept);
        }
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned
            .keys()
            .map(|(topic, partition)| TopicPartition::new(&**topic, *partition))
            .collect()
    }

    /// Reads on at `offset`.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        let generation = self.next_generation();
        self.at(partition)?.go(offset.max(0), generation);
        Ok(())
    }

    /// Reads on at the first record that is not older than `timestamp` (milliseconds since 1970), at the end if there is none.
    pub fn seek_to_timestamp(&mut self, partition: &TopicPartition, timestamp: i64) -> Result<()> {
        self.seek_to(partition, OffsetSpec::Timestamp(timestamp))
    }

    /// Reads on at the log start.
    pub fn seek_to_beginning(&mut self, partition: &TopicPartition) -> Result<()> {
        self.seek_to(partition, OffsetSpec::Earliest)
    }

    /// Reads on at the end: only records that come after the next poll or [`Consumer::position`] has found it.
    pub fn seek_to_end(&mut self, partition: &TopicPartition) -> Result<()> {
        self.seek_to(partition, OffsetSpec::Latest)
    }

    /// Reads on at any offset that a broker can name.
    pub fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()> {
        let generation = self.next_generation();
        self.at(partition)?.ask(spec, generation);
        Ok(())
    }

    /// Gives no records of the partition until it is resumed.
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        let generation = self.next_generation();
        let assigned = self.at(partition)?;
        assigned.paused = true;
        // What is buffered would stand before the others' records.
        assigned.rewind(generation);
        Ok(())
    }

    /// Gives records of the partition again.
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.at(partition)?.paused = false;
        Ok(())
    }

    /// Records, at most `max.poll.records`; none if none came within `timeout`. Failures that may pass (a broker that is
    /// away, a topic that is not there yet) are tried again and told by [`Consumer::trouble`]; an error is one that the user
    /// must do something about.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>> {
        let deadline = self.cluster.now().after(timeout);
        loop {
            let records = self.take_records();
            if !records.is_empty() {
                self.ask_ahead().await;
                return Ok(records);
            }
            if let Some(error) = self.errors.pop_front() {
                return Err(error);
            }
            if !self.wait(deadline).await {
                return Ok(Vec::new());
            }
        }
    }

    /// The next requests leave before the user works on the records it gets.
    pub(crate) async fn ask_ahead(&mut self) {
        self.start();
        std::future::poll_fn(|cx| {
            self.poll_running(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }

    /// The offset of the next record that [`Consumer::poll`] gives of this partition; finds it out if need be.
    pub async fn position(&mut self, partition: &TopicPartition) -> Result<i64> {
        let deadline = self.cluster.api_deadline();
        loop {
            if let Some(position) = self.at(partition)?.position {
                return Ok(position);
            }
            if let Some(error) = self.errors.pop_front() {
                return Err(error);
            }
            if !self.wait(deadline).await {
                return Err(Error::Timeout {
                    what: format!("find the position of {partition}"),
                    after: self.config.client.api_timeout,
                    last: self.trouble.take().map(Box::new),
                    advice: "check the brokers, or raise default.api.timeout.ms",
                });
            }
        }
    }

    /// What failed last and is being tried again; `None` when all is well.
    pub fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// The high watermark of a partition as the last response told it.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.get(partition)?.high_watermark
    }

    /// The log start of a partition as the last response told it.
    pub fn log_start(&self, partition: &TopicPartition) -> Option<i64> {
        self.get(partition)?.log_start
    }

    /// How many offsets lie between position and high watermark.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let assigned = self.get(partition)?;
        Some(assigned.high_watermark?.saturating_sub(assigned.position?).max(0))
    }

    /// The log starts of partitions, assigned or not.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.ends(partitions, OffsetSpec::Earliest).await
    }

    /// The ends of partitions, assigned or not: high watermarks, or last stable offsets when reading committed records.
    pub async fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>> {
        self.ends(partitions, OffsetSpec::Latest).await
    }

    /// The first records that are not older than the timestamps; `None` where there is none.
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let wanted: Vec<_> = times
            .iter()
            .map(|(p, at)| (p.clone(), OffsetSpec::Timestamp(*at)))
            .collect();
        let found = list_offsets(
            &self.cluster,
            &wanted,
            IsolationLevel::ReadUncommitted,
            self.cluster.api_deadline(),
        )
        .await;
        found
            .into_iter()
            .map(|(partition, result)| Ok((partition, result?)))
            .collect()
    }

    /// A topic's partitions.
    pub async fn partitions_for(&self, topic: &str) -> Result<Arc<TopicInfo>> {
        self.cluster
            .topic(topic, false, self.cluster.api_deadline())
            .await
    }

    async fn ends(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let wanted: Vec<_> = partitions.iter().map(|p| (p.clone(), spec)).collect();
        let found = list_offsets(
            &self.cluster,
            &wanted,
            self.config.isolation_level,
            self.cluster.api_deadline(),
        )
        .await;
        found
            .into_iter()
            .map(|(partition, result)| Ok((partition, result?.map_or(0, |o| o.offset))))
            .collect()
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn get(&self, partition: &TopicPartition) -> Option<&Assigned> {
        self.assigned
            .get(&(Arc::from(partition.topic.as_str()), partition.partition))
    }

    fn at(&mut self, partition: &TopicPartition) -> Result<&mut Assigned> {
        let key: Key = (Arc::from(partition.topic.as_str()), partition.partition);
        self.assigned.get_mut(&key).ok_or_else(|| Error::NotAssigned {
            partition: partition.clone(),
        })
    }
}
