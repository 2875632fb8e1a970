//! The life of a source task: poll, convert, send; commit what was acknowledged. Kafka: `WorkerSourceTask`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_client::Producer;
use ottla_client::producer::Delivery;
use ottla_io::{Env, Mono, timeout_at};

use super::control::{Control, Status, Target, unless};
use super::converters::Converters;
use crate::config::{Props, WorkerConfig};
use crate::connector::{ConnectError, Result};
use crate::offsets::{Ledger, OffsetKey, OffsetStore, Sent, offset_json, partition_key};
use crate::source::{SourceContext, SourceMap, SourceRecord, SourceTask};

/// How long a task that could not poll for a passing reason waits.
const AGAIN: Duration = Duration::from_secs(1);

/// What a task lives with.
pub(super) struct SourceLife {
    pub(super) env: Env,
    pub(super) config: WorkerConfig,
    pub(super) control: Arc<Control>,
    pub(super) converters: Converters,
    pub(super) producer: Producer,
    pub(super) store: Arc<dyn OffsetStore>,
    pub(super) task: Box<dyn SourceTask>,
}

/// A record on its way.
struct UnderWay {
    sent: Sent,
    record: SourceRecord,
    delivery: Delivery,
}

/// What was sent and not committed yet.
#[derive(Default)]
struct Progress {
    ledger: Ledger,
    /// By topic and partition, within which records arrive in order.
    under_way: BTreeMap<(Arc<str>, i32), VecDeque<UnderWay>>,
    /// What may be committed and is not.
    offsets: BTreeMap<Arc<OffsetKey>, SourceMap>,
    /// The key of the last record, which most often is the next one's too.
    last_key: Option<(Arc<SourceMap>, Arc<OffsetKey>)>,
}

impl SourceLife {
    /// Lives until told to stop, or until it can't go on.
    pub(super) async fn run(mut self, context: SourceContext, props: Props) {
        let id = self.control.id().clone();
        let mut progress = Progress::default();
        let result = match unless(self.control.clone().stops(), self.task.start(context, &props)).await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(())) => {
                tracing::info!(task = %id, "Source task finished initialization and start");
                self.live(&mut progress).await
            }
        };
        self.task.stop().await;
        if let Err(error) = self.finish(&mut progress).await {
            tracing::warn!(task = %id, %error, "not everything could be committed; it is read again after the next start");
        }
        let _ = self.producer.clone().close(Duration::ZERO).await;
        self.control.tell(match result {
            Ok(()) => Status::Stopped,
            Err(error) => {
                tracing::error!(task = %id, %error, "the task has failed and is not restarted until the worker is");
                Status::Failed(error.to_string())
            }
        });
    }

    async fn live(&mut self, progress: &mut Progress) -> Result<()> {
        let mut next_commit = self.next_commit();
        loop {
            match self.control.target() {
                Target::Stopped => return Ok(()),
                Target::Paused => {
                    self.control.tell(Status::Paused);
                    let resumed = self.control.leaves(Target::Paused);
                    timeout_at(&*self.env.clock, next_commit, resumed).await;
                }
                Target::Running => {
                    self.control.tell(Status::Running);
                    self.turn(progress).await?;
                }
            }
            self.settle(progress).await?;
            if self.env.clock.now() >= next_commit {
                self.commit(progress).await;
                next_commit = self.next_commit();
            }
        }
    }

    fn next_commit(&self) -> Mono {
        self.env.clock.now().after(self.config.flush_interval)
    }

    /// One poll, and what it brought on its way. A stop or pause ends either where nothing is lost.
    async fn turn(&mut self, progress: &mut Progress) -> Result<()> {
        let control = self.control.clone();
        let records = match unless(control.leaves(Target::Running), self.task.poll()).await {
            None => return Ok(()),
            Some(Ok(records)) => records,
            Some(Err(ConnectError::Retriable(problem))) => {
                tracing::warn!(task = %control.id(), problem, "the task could not poll; it tries again");
                unless(control.stops(), self.env.clock.sleep(AGAIN)).await;
                return Ok(());
            }
            Some(Err(error)) => return Err(error),
        };
        for record in records {
            let converted = self.converters.source(&record)?;
            let headers = converted.headers();
            let send = self.producer.send(converted.record(&record, &headers));
            // What was polled and not sent is not in the ledger, so it is read again after the next start.
            let Some(sent) = unless(control.stops(), send).await else {
                return Ok(());
            };
            let delivery = sent.map_err(|e| self.refused(&record, &e))?;
            progress.sent(&control.id().connector, record, delivery)?;
            self.settle(progress).await?;
        }
        Ok(())
    }

    fn refused(&self, record: &SourceRecord, error: &ottla_client::Error) -> ConnectError {
        let (topic, offset) = (
            &record.topic,
            offset_json(&record.source_offset).unwrap_or_default(),
        );
        ConnectError::Fatal(format!(
            "the record before {offset} could not be written to topic {topic}: {error}; then restart the worker: it reads on at the \
             last committed offset"
        ))
    }

    /// Takes note of what has arrived.
    async fn settle(&mut self, progress: &mut Progress) -> Result<()> {
        for queue in progress.under_way.values_mut() {
            while let Some(first) = queue.pop_front_if(|first| first.delivery.is_done()) {
                match first.delivery.await {
                    Ok(metadata) => {
                        progress.ledger.acknowledge(&first.sent);
                        self.task.commit_record(&first.record, Some(&metadata));
                    }
                    Err(error) => return Err(self.refused(&first.record, &error)),
                }
            }
        }
        progress.under_way.retain(|_, queue| !queue.is_empty());
        Ok(())
    }

    /// Commits what has arrived. What fails is kept and committed the next time.
    async fn commit(&mut self, progress: &mut Progress) {
        progress.offsets.extend(progress.ledger.take());
        // A source that can't be read again (stdin) gives empty offsets: there is nothing to keep.
        progress.offsets.retain(|_, offset| !offset.is_empty());
        if progress.offsets.is_empty() {
            return;
        }
        let deadline = self.env.clock.now().after(self.config.flush_timeout);
        let set = write(self.store.clone(), &progress.offsets);
        let result = timeout_at(&*self.env.clock, deadline, set)
            .await
            .unwrap_or_else(|| {
                Err(ConnectError::Retriable(
                    "offset.flush.timeout.ms has passed".into(),
                ))
            });
        match result {
            Ok(()) => {
                let count = progress.offsets.len();
                tracing::debug!(task = %self.control.id(), count, "committed source offsets");
                progress.offsets.clear();
                if let Err(error) = self.task.commit().await {
                    tracing::warn!(task = %self.control.id(), %error, "the task's own commit has failed");
                }
            }
            Err(error) => {
                tracing::error!(task = %self.control.id(), %error, "source offsets could not be committed; tried again later");
            }
        }
    }

    /// Waits for what is under way, as long as a stop may take, and commits it.
    async fn finish(&mut self, progress: &mut Progress) -> Result<()> {
        // The worker's own patience is the same, so a part of it is left for the commit.
        let patience = self.config.shutdown_timeout / 2;
        let deadline = self.env.clock.now().after(patience);
        let flushed = timeout_at(&*self.env.clock, deadline, self.producer.flush()).await;
        let settled = self.settle(progress).await;
        self.commit(progress).await;
        settled?;
        match flushed {
            Some(_) if progress.offsets.is_empty() => Ok(()),
            _ => Err(ConnectError::Fatal(format!(
                "{} records have not arrived",
                progress.ledger.len()
            ))),
        }
    }
}

async fn write(store: Arc<dyn OffsetStore>, offsets: &BTreeMap<Arc<OffsetKey>, SourceMap>) -> Result<()> {
    let values = offsets
        .iter()
        .map(|(key, offset)| Ok((key.clone(), Some(offset_json(offset)?.into_bytes()))));
    store.set(values.collect::<Result<_>>()?).await
}

impl Progress {
    fn sent(&mut self, connector: &str, record: SourceRecord, delivery: Delivery) -> Result<()> {
        let key = match &self.last_key {
            Some((partition, key)) if Arc::ptr_eq(partition, &record.source_partition) => key.clone(),
            _ => {
                let key = Arc::new(partition_key(connector, &record.source_partition)?);
                self.last_key = Some((record.source_partition.clone(), key.clone()));
                key
            }
        };
        let sent = self.ledger.send(&key, record.source_offset.clone());
        let place = (record.topic.clone(), delivery.partition());
        let under_way = UnderWay {
            sent,
            record,
            delivery,
        };
        self.under_way.entry(place).or_default().push_back(under_way);
        Ok(())
    }
}
