//! The life of a sink task: read, convert, put; commit what the task says is safe. Kafka: `WorkerSinkTask`.

use std::sync::Arc;
use std::time::Duration;

use ottla_client::consumer::ConsumerRecord;
use ottla_io::{BoxFuture, Env, Mono};
use ottla_types::TopicPartition;
use tokio::sync::Mutex;

use super::control::{Control, Status, Target, unless};
use super::converters::Converters;
use super::reader::{Commits, Listener, Reader};
use crate::config::{Props, WorkerConfig};
use crate::connector::{ConnectError, Result};
use crate::sink::{Offsets, SinkContext, SinkRecord, SinkTask};

/// How long a task that could not take its records waits, unless it says so itself.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest a poll takes without a look at what else is to be done.
const GLANCE: Duration = Duration::from_secs(1);

/// What a task lives with.
pub(super) struct SinkLife {
    env: Env,
    config: WorkerConfig,
    control: Arc<Control>,
    reader: Reader,
    state: Arc<Mutex<State>>,
}

/// The task and what it was given. Behind a lock because partitions come and go while the reader polls.
struct State {
    control: Arc<Control>,
    task: Box<dyn SinkTask>,
    converters: Converters,
    context: SinkContext,
    /// Read and not put yet, because the task could not take it.
    batch: Vec<SinkRecord>,
    /// Behind what was put.
    put: Offsets,
    /// What was committed of that.
    committed: Offsets,
    /// What went wrong while partitions came or went.
    failed: Option<ConnectError>,
}

impl SinkLife {
    pub(super) fn new(
        env: Env,
        config: WorkerConfig,
        control: Arc<Control>,
        converters: Converters,
        mut reader: Reader,
        task: Box<dyn SinkTask>,
    ) -> Self {
        let state = State {
            control: control.clone(),
            task,
            converters,
            context: SinkContext::default(),
            batch: Vec::new(),
            put: Offsets::new(),
            committed: Offsets::new(),
            failed: None,
        };
        let state = Arc::new(Mutex::new(state));
        reader.tell(Arc::new(StateListener(state.clone())));
        SinkLife {
            env,
            config,
            control,
            reader,
            state,
        }
    }

    /// Lives until told to stop, or until it can't go on.
    pub(super) async fn run(mut self, props: Props) {
        let id = self.control.id().clone();
        let control = self.control.clone();
        let started = {
            let mut state = self.state.lock().await;
            unless(control.stops(), state.task.start(&props)).await
        };
        let result = match started {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(())) => {
                tracing::info!(task = %id, "Sink task finished initialization and start");
                self.live().await
            }
        };
        // A task that has failed may still bring what it took where it belongs; what it can't is not committed.
        if let Err(error) = self.reader.close().await {
            tracing::warn!(task = %id, %error, "the task could not leave its group");
        }
        let mut state = self.state.lock().await;
        state.task.stop().await;
        control.tell(match result {
            Ok(()) => Status::Stopped,
            Err(error) => {
                tracing::error!(task = %id, %error, "the task has failed and is not restarted until the worker is");
                Status::Failed(error.to_string())
            }
        });
    }

    async fn live(&mut self) -> Result<()> {
        let mut next_commit = self.next_commit();
        let (mut held, mut told) = (false, None);
        loop {
            let target = self.control.target();
            if target == Target::Stopped {
                return Ok(());
            }
            self.control.tell(if target == Target::Paused {
                Status::Paused
            } else {
                Status::Running
            });
            let waits = !self.state.lock().await.batch.is_empty();
            let hold = waits || target == Target::Paused;
            if hold || held {
                // Polled on, so that the group sees this member alive.
                let partitions = self.reader.assignment();
                partitions.iter().for_each(|p| self.reader.pause(p, hold));
                held = hold;
            }
            let patience = next_commit.since(self.env.clock.now()).min(GLANCE);
            let patience = match (waits, self.state.lock().await.context.timeout.take()) {
                (_, Some(timeout)) => timeout,
                (true, None) => AGAIN,
                (false, None) => patience,
            };
            let control = self.control.clone();
            let polled = unless(control.leaves(target), self.reader.poll(patience)).await;
            // Told once for each kind of trouble, not with each attempt.
            let trouble = self.reader.trouble().map(|error| error.to_string());
            if let Some(error) = trouble.as_ref().filter(|_| trouble != told) {
                tracing::warn!(task = %self.control.id(), error, "records can't be read now; trying again");
            }
            told = trouble;
            self.take(polled, target).await?;
            self.act_on_context().await?;
            let mut state = self.state.lock().await;
            if self.env.clock.now() >= next_commit || std::mem::take(&mut state.context.commit) {
                let all = state.put.clone();
                state.commit(&mut self.reader, all, false).await?;
                next_commit = self.next_commit();
            }
        }
    }

    fn next_commit(&self) -> Mono {
        self.env.clock.now().after(self.config.flush_interval)
    }

    /// Puts what a poll has brought, or what waits since an earlier one.
    async fn take(
        &mut self,
        polled: Option<std::result::Result<Vec<ConsumerRecord>, ottla_client::Error>>,
        target: Target,
    ) -> Result<()> {
        let mut state = self.state.lock().await;
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        match polled {
            Some(Ok(records)) => {
                let converted = records.iter().map(|record| state.converters.sink(record));
                let converted: Vec<SinkRecord> = converted.collect::<Result<_>>()?;
                state.batch.extend(converted);
            }
            Some(Err(error)) if error.is_retriable() => {
                tracing::warn!(task = %self.control.id(), %error, "records can't be read now; trying again");
                drop(state);
                unless(self.control.stops(), self.env.clock.sleep(AGAIN)).await;
                return Ok(());
            }
            Some(Err(error)) => {
                return Err(ConnectError::Fatal(format!(
                    "the topics of the sink can't be read: {error}"
                )));
            }
            None => {}
        }
        if target == Target::Running {
            state.put().await
        } else {
            Ok(())
        }
    }

    /// Does what the task has asked for.
    async fn act_on_context(&mut self) -> Result<()> {
        let mut state = self.state.lock().await;
        for (partition, offset) in std::mem::take(&mut state.context.seek) {
            let sought = self.reader.seek(&partition, offset);
            sought.map_err(|e| {
                ConnectError::Fatal(format!("the sink asked to read {partition} from {offset}: {e}"))
            })?;
            state.put.insert(partition, offset);
        }
        for (paused, list) in [
            (true, std::mem::take(&mut state.context.pause)),
            (false, std::mem::take(&mut state.context.resume)),
        ] {
            list.iter()
                .for_each(|partition| self.reader.pause(partition, paused));
        }
        Ok(())
    }
}

impl State {
    /// Puts the batch. If the task can't take it now, it stays.
    async fn put(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        match self.task.put(&mut self.context, &self.batch).await {
            Ok(()) => {
                for record in self.batch.drain(..) {
                    let partition = TopicPartition::new(&*record.topic, record.partition);
                    self.put.insert(partition, record.offset + 1);
                }
                Ok(())
            }
            Err(ConnectError::Retriable(problem)) => {
                tracing::warn!(task = %self.control.id(), problem, "the task could not take its records; it gets them again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Commits what the task says is safe of `offsets`. A commit that fails is made again with the next one.
    async fn commit(&mut self, to: &mut dyn Commits, offsets: Offsets, closing: bool) -> Result<()> {
        let changed =
            |(partition, offset): &(&TopicPartition, &i64)| self.committed.get(*partition) != Some(*offset);
        if !offsets.iter().any(|entry| changed(&entry)) {
            return Ok(());
        }
        let mut safe = match self.task.pre_commit(&mut self.context, offsets.clone()).await {
            Ok(safe) => safe,
            Err(ConnectError::Retriable(problem)) => {
                tracing::warn!(task = %self.control.id(), problem, "offsets could not be committed; tried again later");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        safe.retain(|partition, offset| {
            let most = offsets.get(partition);
            most.is_some_and(|most| *offset <= *most) && self.committed.get(partition) != Some(offset)
        });
        if safe.is_empty() {
            return Ok(());
        }
        match to.commit(&safe).await {
            Ok(()) => {
                tracing::debug!(task = %self.control.id(), offsets = ?safe, "committed");
                self.committed.extend(safe);
            }
            Err(error) => {
                let id = self.control.id();
                tracing::warn!(task = %id, %error, closing, "offsets could not be committed; what is behind the last commit may come again");
            }
        }
        Ok(())
    }
}

/// The state as a reader sees it.
struct StateListener(Arc<Mutex<State>>);

impl Listener for StateListener {
    fn assigned<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let state = &mut *self.0.lock().await;
            tracing::info!(task = %state.control.id(), partitions = listed(partitions), "partitions assigned");
            if let Err(error) = state.task.open(&mut state.context, partitions).await {
                state.failed = Some(error);
            }
        })
    }

    fn revoked<'a>(
        &'a self,
        commits: Option<&'a mut dyn Commits>,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let state = &mut *self.0.lock().await;
            tracing::info!(task = %state.control.id(), partitions = listed(partitions), lost = commits.is_none(), "partitions given up");
            if let Some(commits) = commits {
                let mut offsets = state.put.clone();
                offsets.retain(|partition, _| partitions.contains(partition));
                if let Err(error) = state.commit(commits, offsets, true).await {
                    state.failed = Some(error);
                }
            }
            state.task.close(partitions).await;
            let gone = |partition: &TopicPartition| partitions.contains(partition);
            state.put.retain(|partition, _| !gone(partition));
            state.committed.retain(|partition, _| !gone(partition));
            state
                .batch
                .retain(|r| !gone(&TopicPartition::new(&*r.topic, r.partition)));
        })
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(", ")
}
