//! One partition this node leads. It has one owner at a time: whoever finds it idle does the queued work at once, on its own
//! worker, and others only leave theirs in the queue. Nobody blocks, and the usual append costs no hand-over between threads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::BytesMut;
use ottla_io::Env;
use ottla_log::{AppendInfo, Appended, BatchMeta, LogConfig};
use ottla_store::{Append, AppendError, Batch, LogReader, LogWriter, StorageError};
use ottla_types::config::{TimestampType, TopicConfig};
use ottla_types::{Epoch, ErrorCode, Event, Offset, Time, TopicPartition, Uuid};
use tokio::sync::oneshot;

use crate::Node;
use crate::cleaner::CleanerJob;
use crate::errors;
use crate::metrics::TopicMetrics;
use crate::waiters::Waiters;

/// An append that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The log append time, or −1 when the producer's timestamps stand.
    pub log_append_time: i64,
    /// The log's start.
    pub log_start: Offset,
}

/// A request's part that was refused: the protocol's error, and words where the bare code would puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The error.
    pub code: ErrorCode,
    /// Why, for people.
    pub message: Option<String>,
}

impl Refused {
    /// Just the error.
    pub fn code(code: ErrorCode) -> Self {
        Refused { code, message: None }
    }

    /// The error and its reason.
    pub fn because(code: ErrorCode, message: impl std::fmt::Display) -> Self {
        Refused {
            code,
            message: Some(message.to_string()),
        }
    }
}

/// A batch on its way into the log.
pub struct Appending {
    due: Option<Due>,
    /// Comes when the batch is acknowledged.
    pub result: oneshot::Receiver<Result<Produced, Refused>>,
}

impl Appending {
    /// Has the batch appended, if it is not yet.
    pub fn begin(&mut self) {
        self.due = None;
    }
}

/// Work that is queued at a partition, and done at the latest when this is dropped: nobody can leave it undone.
struct Due(Arc<Partition>);

impl Drop for Due {
    fn drop(&mut self) {
        self.0.work();
    }
}

type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// A batch that waits to be appended.
struct Queued {
    batch: BytesMut,
    meta: BatchMeta,
    reply: Reply<Produced>,
}

/// Who waits for a batch's append, and what its answer needs.
struct Waiting {
    meta: BatchMeta,
    size: usize,
    reply: Reply<Produced>,
}

impl Queued {
    fn part(self, epoch: Epoch, now: Time) -> (Batch, Waiting) {
        let Queued { batch, meta, reply } = self;
        let size = batch.len();
        let info = AppendInfo::client(meta, epoch, now);
        (Batch { bytes: batch, info }, Waiting { meta, size, reply })
    }
}

/// The most batches of one write.
const GROUP_BATCHES: usize = 32;
/// With this many bytes a write is large enough.
const GROUP_BYTES: usize = 1 << 20;

enum Job {
    Append(Queued),
    DeleteRecords { offset: Offset, reply: Reply<Offset> },
    Configure { config: LogConfig },
    Maintain { reply: oneshot::Sender<()> },
    Clean(CleanerJob),
    Flushed { upto: Result<Offset, StorageError> },
    Close { reply: oneshot::Sender<LogWriter> },
}

/// An append that waits for a flush.
struct Unflushed {
    produced: Produced,
    /// Bytes that become readable with it.
    size: usize,
    reply: Reply<Produced>,
}

struct State {
    /// The writer, while nobody works; `None` while somebody does, and for good once closed.
    writer: Option<LogWriter>,
    /// Whether the writer was given away: jobs that come now are refused by being dropped.
    closed: bool,
    jobs: VecDeque<Job>,
    config: Arc<TopicConfig>,
    /// By offset.
    unflushed: VecDeque<Unflushed>,
    flushing: bool,
}

/// A partition led by this node.
pub struct Partition {
    /// Its name.
    pub id: TopicPartition,
    /// Its topic's id.
    pub topic_id: Uuid,
    /// Fetches that wait for it.
    pub waiters: Waiters,
    /// Its topic's counters.
    pub metrics: Arc<TopicMetrics>,
    epoch: Epoch,
    reader: LogReader,
    state: Mutex<State>,
    node: Weak<Node>,
    env: Env,
}

impl Partition {
    /// Takes over a loaded or new log.
    pub fn new(
        node: &Arc<Node>,
        id: TopicPartition,
        topic_id: Uuid,
        epoch: Epoch,
        mut writer: LogWriter,
        config: Arc<TopicConfig>,
    ) -> Arc<Self> {
        let (reader, env) = (writer.reader(), node.env.clone());
        // The only replica: everything in its log is replicated as widely as it will ever be.
        writer.set_high_watermark(reader.offsets().end);
        env.observe(|| Event::BecameLeader {
            partition: id.clone(),
            epoch,
        });
        let state = State {
            writer: Some(writer),
            closed: false,
            jobs: VecDeque::new(),
            config,
            unflushed: VecDeque::new(),
            flushing: false,
        };
        let (waiters, state) = (Waiters::default(), Mutex::new(state));
        let metrics = node.metrics.topic(topic_id, &id.topic);
        Arc::new(Partition {
            id,
            topic_id,
            waiters,
            metrics,
            epoch,
            reader,
            state,
            node: Arc::downgrade(node),
            env,
        })
    }

    /// The leader epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// For reading; clones share the log.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Its configuration.
    pub fn config(&self) -> Arc<TopicConfig> {
        self.lock().config.clone()
    }

    /// Whether clients may not write it (Kafka class `Topic`).
    pub fn is_internal(&self) -> bool {
        crate::topics::is_internal(&self.id.topic)
    }

    /// Checks the leader epoch that a client sent; −1 stands for "not known" (KIP-320).
    pub fn check_epoch(&self, current: Epoch) -> Result<(), ErrorCode> {
        match current {
            -1 => Ok(()),
            e if e < self.epoch => Err(ErrorCode::FencedLeaderEpoch),
            e if e > self.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Queues a validated batch. It is appended by [`Appending::begin`], or earlier with another one.
    pub fn append(self: &Arc<Self>, batch: BytesMut, meta: BatchMeta) -> Appending {
        let (reply, result) = oneshot::channel();
        self.queue(Job::Append(Queued { batch, meta, reply }));
        let due = Some(Due(self.clone()));
        Appending { due, result }
    }

    /// Moves the log start up to `offset`, or to the high watermark if it is −1. The result is the new log start.
    pub fn delete_records(self: &Arc<Self>, offset: Offset) -> oneshot::Receiver<Result<Offset, Refused>> {
        self.submit(|reply| Job::DeleteRecords { offset, reply })
    }

    /// Rolls by time and applies retention.
    pub fn maintain(self: &Arc<Self>) -> oneshot::Receiver<()> {
        self.submit(|reply| Job::Maintain { reply })
    }

    /// What the cleaner needs the log's writer for. The result does not come if the partition was closed.
    pub fn clean<T>(
        self: &Arc<Self>,
        job: impl FnOnce(oneshot::Sender<T>) -> CleanerJob,
    ) -> oneshot::Receiver<T> {
        self.submit(|reply| Job::Clean(job(reply)))
    }

    /// Takes a new configuration.
    pub fn configure(self: &Arc<Self>, config: Arc<TopicConfig>, log: LogConfig) {
        self.lock().config = config;
        self.enqueue(Job::Configure { config: log });
    }

    /// Ends the partition here; what is queued behind is refused. The result is its log.
    pub fn close(self: &Arc<Self>) -> oneshot::Receiver<LogWriter> {
        self.submit(|reply| Job::Close { reply })
    }

    /// Whether it has ended here.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn submit<T>(self: &Arc<Self>, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> oneshot::Receiver<T> {
        let (reply, result) = oneshot::channel();
        self.enqueue(job(reply));
        result
    }

    fn enqueue(self: &Arc<Self>, job: Job) {
        self.queue(job);
        self.work();
    }

    fn queue(&self, job: Job) {
        let mut state = self.lock();
        if !state.closed {
            state.jobs.push_back(job);
        }
    }

    /// Does what is queued, unless somebody is at it.
    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.jobs.is_empty() {
            return;
        }
        let Some(writer) = state.writer.take() else { return };
        drop(state);
        let mut turn: ottla_io::BoxFuture<'static, ()> = Box::pin(self.clone().turn(writer));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if turn.as_mut().poll(&mut cx).is_pending() {
            // The disk makes us wait: the rest of the turn becomes a task, so that no caller can abandon it half done.
            self.env.tasks.spawn("partition", turn);
        }
    }

    /// Does the queued jobs, then gives the writer back.
    async fn turn(self: Arc<Self>, mut writer: LogWriter) {
        loop {
            let job = {
                let mut state = self.lock();
                match state.jobs.pop_front() {
                    Some(job) => job,
                    None => {
                        state.writer = Some(writer);
                        return;
                    }
                }
            };
            match job {
                Job::Append(first) => self.do_append(&mut writer, first).await,
                Job::DeleteRecords { offset, reply } => {
                    let _ = reply.send(self.do_delete_records(&mut writer, offset).await);
                }
                Job::Configure { config } => writer.set_config(config),
                Job::Maintain { reply } => {
                    self.do_maintain(&mut writer).await;
                    let _ = reply.send(());
                }
                Job::Clean(job) => job.run(&mut writer, self.env.clock.wall()).await,
                Job::Flushed { upto } => self.do_flushed(&mut writer, upto),
                Job::Close { reply } => {
                    // The jobs behind are dropped, which refuses them.
                    let mut state = self.lock();
                    state.closed = true;
                    let rest = std::mem::take(&mut state.jobs);
                    drop(state);
                    drop(rest);
                    self.waiters.wake_all();
                    let _ = reply.send(writer);
                    return;
                }
            }
        }
    }

    /// Appends a batch, and those right behind it in the queue in the same write.
    async fn do_append(self: &Arc<Self>, writer: &mut LogWriter, first: Queued) {
        let now = self.env.clock.wall();
        let (batch, waiting) = first.part(self.epoch, now);
        if !matches!(self.lock().jobs.front(), Some(Job::Append(_))) {
            let result = writer.append(batch.bytes, batch.info).await;
            let flush_to = result.as_ref().map_or(None, |append| append.flush_to);
            self.settle(writer, flush_to, [(result, waiting)].into_iter());
            return;
        }
        let (batches, waiting) = self.with_queued_behind((batch, waiting), now);
        let results = writer.append_all(batches).await;
        let flush_to = results.iter().flatten().find_map(|append| append.flush_to);
        // After a violation there are fewer results than batches: the node stops, and who waits for the rest is refused.
        self.settle(writer, flush_to, results.into_iter().zip(waiting));
    }

    /// `first`, and as many of the appends that are next in the queue as one write takes.
    fn with_queued_behind(&self, first: (Batch, Waiting), now: Time) -> (Vec<Batch>, Vec<Waiting>) {
        let mut bytes = first.1.size;
        let (mut batches, mut waiting) = (vec![first.0], vec![first.1]);
        let mut state = self.lock();
        while batches.len() < GROUP_BATCHES
            && bytes < GROUP_BYTES
            && let Some(job) = state.jobs.pop_front_if(|job| matches!(job, Job::Append(_)))
            && let Job::Append(next) = job
        {
            let (batch, next) = next.part(self.epoch, now);
            bytes += next.size;
            batches.push(batch);
            waiting.push(next);
        }
        (batches, waiting)
    }

    fn refuse(&self, error: &AppendError, reply: Reply<Produced>) {
        match error {
            AppendError::Violation(violation) => self.stop_node(&violation.to_string()),
            AppendError::Storage(_) => self.directory_failed(),
            _ => {}
        }
        let refused = errors::append(error);
        self.metrics.produce_failed(refused.code);
        let _ = reply.send(Err(refused));
    }

    /// Shows and answers appends, at once or when the platter has them. `flush_to`: a flush is due, because `flush.messages` was
    /// reached by one of them, or because a segment was closed.
    fn settle(
        self: &Arc<Self>,
        writer: &mut LogWriter,
        flush_to: Option<Offset>,
        results: impl Iterator<Item = (Result<Append, AppendError>, Waiting)>,
    ) {
        let config = self.config();
        let append_time = config.message_timestamp_type == TimestampType::LogAppendTime;
        let offsets = self.reader.offsets();
        let mut unflushed = Vec::new();
        for (result, Waiting { meta, size, reply }) in results {
            let appended = match result {
                Ok(append) => append.appended,
                Err(error) => {
                    self.refuse(&error, reply);
                    continue;
                }
            };
            self.metrics.produced(size, meta.record_count);
            let written = matches!(appended, Appended::Written { .. });
            let (base_offset, last_offset) = (appended.base_offset(), appended.last_offset());
            let produced = Produced {
                base_offset,
                last_offset,
                log_append_time: if append_time { meta.max_timestamp } else { -1 },
                log_start: offsets.start,
            };
            // A duplicate of a batch that is not flushed yet waits with it.
            let waits = config.flush_messages < i64::MAX
                && (flush_to.is_some() || !written)
                && offsets.recovery_point <= last_offset;
            // Where every batch is flushed nobody reads what a loss of power could still take back.
            let hidden = waits && config.flush_messages == 1;
            if written && !hidden {
                self.replicated(writer, last_offset + 1, size);
            }
            if waits {
                unflushed.push(Unflushed {
                    produced,
                    size: if written && hidden { size } else { 0 },
                    reply,
                });
            } else {
                self.acknowledge(produced, reply);
            }
        }
        if !unflushed.is_empty() {
            self.acknowledge_after_flush(unflushed);
        } else if let Some(to) = flush_to {
            // A segment was closed: its bytes go to the platter in the background.
            let reader = self.reader.clone();
            let flush = async move { drop(reader.flush_to(to).await) };
            self.env.tasks.spawn("flush", Box::pin(flush));
        }
    }

    /// With one replica an append is replicated at once.
    fn replicated(&self, writer: &mut LogWriter, end: Offset, size: usize) {
        writer.set_high_watermark(end);
        self.waiters.readable(size);
    }

    fn directory_failed(&self) {
        if let Some(node) = self.node.upgrade() {
            node.check_directories();
        }
    }

    fn stop_node(&self, reason: &str) {
        if let Some(node) = self.node.upgrade() {
            node.fail(format!("{}: {reason}", self.id));
        }
    }

    fn acknowledge(&self, produced: Produced, reply: oneshot::Sender<Result<Produced, Refused>>) {
        self.env.observe(|| Event::Acknowledged {
            partition: self.id.clone(),
            base: produced.base_offset,
            last: produced.last_offset,
        });
        let _ = reply.send(Ok(produced));
    }

    /// `flush.messages`: the acknowledgement waits for the platter. One flush serves all that came before it began.
    fn acknowledge_after_flush(self: &Arc<Self>, waiting: Vec<Unflushed>) {
        let mut state = self.lock();
        state.unflushed.extend(waiting);
        if !std::mem::replace(&mut state.flushing, true) {
            drop(state);
            self.spawn_flush();
        }
    }

    fn spawn_flush(self: &Arc<Self>) {
        let partition = self.clone();
        let flush = async move {
            let upto = partition.reader.flush_to(Offset::MAX).await;
            partition.enqueue(Job::Flushed { upto });
        };
        self.env.tasks.spawn("flush", Box::pin(flush));
    }

    fn do_flushed(self: &Arc<Self>, writer: &mut LogWriter, upto: Result<Offset, StorageError>) {
        let mut state = self.lock();
        let count = match &upto {
            Ok(offset) => state
                .unflushed
                .iter()
                .take_while(|u| u.produced.last_offset < *offset)
                .count(),
            Err(_) => state.unflushed.len(),
        };
        let ready: Vec<Unflushed> = state.unflushed.drain(..count).collect();
        let more = !state.unflushed.is_empty();
        state.flushing = more;
        drop(state);
        if more {
            self.spawn_flush();
        }
        match upto {
            Ok(offset) => {
                self.replicated(writer, offset, ready.iter().map(|u| u.size).sum());
                for Unflushed { produced, reply, .. } in ready {
                    self.acknowledge(produced, reply);
                }
            }
            Err(error) => {
                self.directory_failed();
                for Unflushed { reply, .. } in ready {
                    let _ = reply.send(Err(Refused::because(ErrorCode::KafkaStorageError, &error)));
                }
            }
        }
    }

    async fn do_delete_records(&self, writer: &mut LogWriter, offset: Offset) -> Result<Offset, Refused> {
        let offsets = self.reader.offsets();
        let target = if offset == -1 {
            offsets.high_watermark
        } else {
            offset
        };
        if target < 0 || target > offsets.high_watermark {
            return Err(Refused::code(ErrorCode::OffsetOutOfRange));
        }
        let config = self.config();
        if !config.cleanup_policy.delete {
            return Err(Refused::because(
                ErrorCode::PolicyViolation,
                "cleanup.policy does not contain delete",
            ));
        }
        writer
            .delete_records(target, self.env.clock.wall())
            .await
            .map_err(|e| errors::store(&e))?;
        Ok(self.reader.offsets().start)
    }

    async fn do_maintain(&self, writer: &mut LogWriter) {
        if let Err(error) = writer.maintain(self.env.clock.wall()).await {
            tracing::error!(partition = %self.id, %error, "retention failed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
