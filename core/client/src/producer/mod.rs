//! The producer: [`Producer::send`] puts records into batches, one task sends them.
//!
//! - `config`, `record`, `partitioner`, `murmur2`: what a user sees;
//! - `accumulator`, `queue`, `batch`: records waiting, and the rules of order and sequences, pure;
//! - `sender`, `request`: the task, and its requests.

mod accumulator;
mod batch;
mod config;
mod murmur2;
mod partitioner;
mod queue;
mod record;
mod request;
mod sender;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_io::{Env, Mono, timeout_at};
use ottla_types::TopicPartition;
use tokio::sync::Notify;

use accumulator::{Accumulator, Added, Bounds};
use sender::Sender;

pub use config::{Acks, ProducerConfig};
pub use murmur2::{murmur2, partition_for_key};
pub use partitioner::{DefaultPartitioner, Murmur2, Partitioner, RoundRobin, Sticky};
pub use record::{Delivery, Header, Record, RecordMetadata};

use crate::{Cluster, Error, Result, TopicInfo};

/// What handles and task share.
pub(crate) struct Shared {
    cluster: Cluster,
    config: ProducerConfig,
    idempotent: bool,
    accumulator: Mutex<Accumulator>,
    partitioner: Mutex<Box<dyn Partitioner>>,
    /// The sender has something to look at.
    work: Notify,
    /// There may be room again.
    room: Notify,
}

/// Sends records. Clones share buffer and connections; when the last one is dropped, what was sent is still delivered.
#[derive(Clone)]
pub struct Producer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    task: Mutex<Option<ottla_io::Task>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.accumulator().closing = true;
        self.shared.work.notify_one();
    }
}

impl Producer {
    /// A producer with Kafka's default partitioner. Connects when the first record is sent.
    pub fn new(env: &Env, config: ProducerConfig) -> Result<Self> {
        let partitioner = DefaultPartitioner::new(env, config.batch_size);
        Self::with_partitioner(env, config, partitioner)
    }

    /// A producer with another partitioner.
    pub fn with_partitioner(
        env: &Env,
        config: ProducerConfig,
        partitioner: impl Partitioner + 'static,
    ) -> Result<Self> {
        let idempotent = config.check()?;
        let cluster = Cluster::with_in_flight(env, config.client.clone(), config.max_in_flight)?;
        let bounds = Bounds {
            batch_size: config.batch_size.max(1),
            linger: config.linger,
            memory: config.buffer_memory,
            delivery_timeout: config.delivery_timeout,
        };
        let shared = Arc::new(Shared {
            cluster,
            config,
            idempotent,
            accumulator: Mutex::new(Accumulator::new(bounds)),
            partitioner: Mutex::new(Box::new(partitioner)),
            work: Notify::new(),
            room: Notify::new(),
        });
        let task = env
            .tasks
            .spawn("producer", Box::pin(Sender::new(shared.clone()).run()));
        Ok(Producer(Arc::new(Handle {
            shared,
            task: Mutex::new(Some(task)),
        })))
    }

    /// Puts a record into its batch. Waits, up to `max.block.ms`, for the topic's metadata and for room in the buffer. The
    /// delivery tells what becomes of it.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery> {
        let shared = &*self.0.shared;
        let deadline = || shared.cluster.now().after(shared.config.max_block);
        let known = shared.cluster.view().topics.get(record.topic).cloned();
        let topic = match known {
            Some(topic) if !shared.cluster.is_old(&topic) => topic,
            _ => shared.cluster.topic(record.topic, true, deadline()).await?,
        };
        let partition = self.partition(&record, &topic)?;
        match self.add(&record, &topic, partition)? {
            Some(delivery) => Ok(delivery),
            None => {
                self.add_when_there_is_room(&record, &topic, partition, deadline())
                    .await
            }
        }
    }

    /// Like [`Producer::send`], but never waits: [`Error::BufferFull`] if there is no room. The topic's metadata must be known
    /// from an earlier [`Producer::send`] or [`Producer::partitions`].
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery> {
        let view = self.0.shared.cluster.view();
        let Some(topic) = view.topics.get(record.topic) else {
            return Err(Error::NoPartition {
                partition: TopicPartition::new(record.topic, record.partition.unwrap_or(-1)),
                count: 0,
            });
        };
        let partition = self.partition(&record, topic)?;
        self.add(&record, topic, partition)?.ok_or(Error::BufferFull)
    }

    /// The topic's partitions.
    pub async fn partitions(&self, topic: &str) -> Result<Arc<TopicInfo>> {
        let deadline = self.0.shared.cluster.now().after(self.0.shared.config.max_block);
        self.0.shared.cluster.topic(topic, true, deadline).await
    }

    /// The cluster as this producer knows it.
    pub fn cluster(&self) -> &Cluster {
        &self.0.shared.cluster
    }

    /// Bytes of records that wait or are under way.
    pub fn buffered(&self) -> usize {
        self.0.shared.accumulator().used()
    }

    /// Sends everything at once that was put into batches so far, and waits until it is delivered or has failed. What failed
    /// is told by the deliveries; the first failure is returned too.
    pub async fn flush(&self) -> Result<()> {
        let batches = self.0.shared.accumulator().flush();
        self.0.shared.work.notify_one();
        let mut result = Ok(());
        for batch in batches {
            result = result.and(batch.wait().await.map(drop));
        }
        result
    }

    /// Ends the producer: delivers what was sent, for at most `patience`; the rest fails with [`Error::Closed`].
    pub async fn close(self, patience: Duration) -> Result<()> {
        let shared = self.0.shared.clone();
        let deadline = shared.cluster.now().after(patience);
        shared.accumulator().closing = true;
        let result = timeout_at(shared.cluster.env().clock.as_ref(), deadline, self.flush()).await;
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if result.is_none() {
            if let Some(task) = &task {
                task.cancel();
            }
            let mut accumulator = shared.accumulator();
            accumulator
                .flush()
                .iter()
                .for_each(|batch| batch.complete(Err(Error::Closed)));
            accumulator.fail_waiting(&Error::Closed);
        }
        shared.work.notify_one();
        if let Some(task) = task {
            task.join().await;
        }
        result.unwrap_or(Err(Error::Closed))
    }

    fn partition(&self, record: &Record<'_>, topic: &TopicInfo) -> Result<i32> {
        let partition = match record.partition {
            Some(partition) => partition,
            None => {
                let mut partitioner = self
                    .0
                    .shared
                    .partitioner
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                partitioner.partition(record, topic)
            }
        };
        if topic.partition(partition).is_none() {
            let partition = TopicPartition::new(record.topic, partition);
            return Err(Error::NoPartition {
                partition,
                count: topic.partitions.len(),
            });
        }
        Ok(partition)
    }

    /// The delivery, or `None` if there is no room.
    fn add(&self, record: &Record<'_>, topic: &TopicInfo, partition: i32) -> Result<Option<Delivery>> {
        let shared = &*self.0.shared;
        let (size, config) = (record.size_bound(), &shared.config);
        for (key, limit) in [
            ("max.request.size", config.max_request_size),
            ("buffer.memory", config.buffer_memory),
        ] {
            if size > limit {
                return Err(Error::RecordTooLarge { size, key, limit });
            }
        }
        let env = shared.cluster.env();
        let timestamp = record.timestamp.unwrap_or_else(|| env.clock.wall().as_millis());
        let mut accumulator = shared.accumulator();
        if accumulator.closing {
            return Err(Error::Closed);
        }
        match accumulator.add(&topic.name, partition, record, timestamp, env.clock.now()) {
            Added::Yes { delivery, wake } => {
                drop(accumulator);
                if wake {
                    shared.work.notify_one();
                }
                Ok(Some(delivery))
            }
            Added::Full => Ok(None),
            Added::TooLarge => Err(Error::RecordTooLarge {
                size,
                key: "the format's 2 GiB",
                limit: i32::MAX as usize,
            }),
        }
    }

    async fn add_when_there_is_room(
        &self,
        record: &Record<'_>,
        topic: &TopicInfo,
        partition: i32,
        deadline: Mono,
    ) -> Result<Delivery> {
        let shared = &*self.0.shared;
        let _waiting = Waiting::new(shared);
        shared.work.notify_one();
        loop {
            let mut room = pin!(shared.room.notified());
            room.as_mut().enable();
            if let Some(delivery) = self.add(record, topic, partition)? {
                return Ok(delivery);
            }
            if timeout_at(shared.cluster.env().clock.as_ref(), deadline, room)
                .await
                .is_none()
            {
                return Err(Error::Timeout {
                    what: format!("find room for a record to `{}`", record.topic),
                    after: shared.config.max_block,
                    last: None,
                    advice: "send more slowly, or raise buffer.memory or max.block.ms",
                });
            }
        }
    }
}

/// Counts a caller that waits for room, for as long as it waits.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.accumulator().waiting += 1;
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.accumulator().waiting -= 1;
    }
}
