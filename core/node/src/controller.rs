//! The active controller: one task that turns requests into records, commits them, replays them and has them applied, one change
//! after the other. What a change consists of is `ottla_metadata::controller`'s; here is only the order of things.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use ottla_io::{Env, Rng};
use ottla_metadata::controller::ApiError;
use ottla_metadata::{Loader, MetadataImage, Records};
use ottla_store::LogWriter;
use ottla_types::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::Node;
use crate::kraft::{MetadataLog, Written};
use crate::start::StartError;

/// Changes that may wait; a request for one more waits itself.
const QUEUE: usize = 1024;

/// What a change is planned with.
pub struct Planner<'a> {
    /// The image, with every change before this one.
    pub image: &'a MetadataImage,
    rng: &'a mut Rng,
}

impl Planner<'_> {
    /// The image, and a source of random numbers beside it.
    pub fn parts(&mut self) -> (&MetadataImage, impl FnMut() -> u64) {
        (self.image, || self.rng.next_u64())
    }
}

type Then = Box<dyn FnOnce(Result<(), ApiError>) + Send>;
type Plan = Box<dyn FnOnce(&mut Planner<'_>) -> (Option<Records>, Then) + Send>;

enum Command {
    Change(Plan),
    Host,
    Tidy,
    Stop(oneshot::Sender<LogWriter>),
}

/// What the controller has to deal with.
enum Next {
    Written(Written),
    /// `None` when nobody can hand in anything any more.
    Command(Option<Command>),
}

/// Where changes are handed in.
pub struct Controller(mpsc::Sender<Command>);

/// The other end: what [`Duty::run`] works on.
pub struct Duty {
    commands: mpsc::Receiver<Command>,
    log: MetadataLog,
    loader: Loader,
    rng: Rng,
    env: Env,
    /// The snapshot that is being written.
    writing: Option<oneshot::Receiver<Written>>,
}

impl Controller {
    /// A controller over a replayed log.
    pub fn new(env: &Env, log: MetadataLog, loader: Loader, rng: Rng) -> (Controller, Duty) {
        let (send, commands) = mpsc::channel(QUEUE);
        (
            Controller(send),
            Duty {
                commands,
                log,
                loader,
                rng,
                env: env.clone(),
                writing: None,
            },
        )
    }

    /// Makes a change: `plan` gives its records and its answer. Returns the answer when the records are committed and
    /// applied on this node.
    pub async fn change<T: Send + 'static>(
        &self,
        plan: impl FnOnce(&mut Planner<'_>) -> Result<(Records, T), ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let plan: Plan = Box::new(move |planner| match plan(planner) {
            Ok((records, value)) => {
                let then: Then = Box::new(move |done| drop(reply.send(done.map(|()| value))));
                (Some(records), then)
            }
            Err(error) => (None, Box::new(move |_| drop(reply.send(Err(error))))),
        });
        let gone = || ApiError::new(ErrorCode::NotController, "the controller has stopped");
        self.0.send(Command::Change(plan)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Has this node try again to host the partitions that its disk had no room for, between two changes.
    pub async fn host(&self) {
        // A controller that has stopped hosts nothing.
        let _ = self.0.send(Command::Host).await;
    }

    /// Has the controller see whether a snapshot is due, or the past can go.
    pub async fn tidy(&self) {
        let _ = self.0.send(Command::Tidy).await;
    }

    /// Ends the controller after the changes handed in so far. The result is its log.
    pub async fn stop(&self) -> Option<LogWriter> {
        let (reply, log) = oneshot::channel();
        self.0.send(Command::Stop(reply)).await.ok()?;
        log.await.ok()
    }
}

impl Duty {
    /// Makes changes until told to stop. An error ends the process: what the log holds and what memory holds may differ.
    pub async fn run(mut self, node: Arc<Node>) {
        loop {
            let command = match self.next().await {
                Next::Written(written) => {
                    if let Err(error) = self.log.written(written).await {
                        node.fail(format!("the metadata log can't be cut: {error}"));
                        return;
                    }
                    continue;
                }
                Next::Command(command) => command,
            };
            let done = match command {
                Some(Command::Change(plan)) => self.change(&node, plan).await,
                Some(Command::Host) => {
                    node.host_again().await;
                    Ok(())
                }
                Some(Command::Tidy) => self.log.clean().await,
                Some(Command::Stop(reply)) => {
                    // What is under way must not write to a directory that is not ours any more.
                    if let Some(writing) = self.writing.take() {
                        let _ = writing.await;
                    }
                    let _ = reply.send(self.log.into_writer());
                    return;
                }
                None => return,
            };
            if let Err(error) = done {
                node.fail(format!("the metadata log can't be written: {error}"));
                return;
            }
            self.snapshot();
        }
    }

    /// A snapshot's end first, so that it is not delayed by ever more changes.
    async fn next(&mut self) -> Next {
        poll_fn(|cx| {
            if let Some(writing) = &mut self.writing
                && let Poll::Ready(written) = Pin::new(writing).poll(cx)
            {
                self.writing = None;
                let gone = |_| Err("the task that wrote it is gone".to_string());
                return Poll::Ready(Next::Written(written.unwrap_or_else(gone)));
            }
            self.commands.poll_recv(cx).map(Next::Command)
        })
        .await
    }

    /// Begins a snapshot beside the changes that go on, if one is due.
    fn snapshot(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let Some(job) = self.log.snapshot_if_due(self.loader.published()) else {
            return;
        };
        let (send, written) = oneshot::channel();
        let env = self.env.clone();
        let work = async move {
            let _ = send.send(job.run(&env).await);
        };
        // It ends by itself, and a stop waits for it.
        drop(self.env.tasks.spawn("metadata-snapshot", Box::pin(work)));
        self.writing = Some(written);
    }

    async fn change(&mut self, node: &Arc<Node>, plan: Plan) -> Result<(), StartError> {
        let (records, then) = plan(&mut Planner {
            image: self.loader.image(),
            rng: &mut self.rng,
        });
        if let Some(records) = records.filter(|records| !records.is_empty()) {
            let base = match self.log.append(&records).await {
                // The log is as it was, and nothing was replayed: only this change is refused.
                Err(error) if error.is_disk_full() => {
                    then(Err(ApiError::new(
                        ErrorCode::KafkaStorageError,
                        error.to_string(),
                    )));
                    return Ok(());
                }
                other => other?,
            };
            for (value, offset) in records.iter().zip(base..) {
                self.loader.replay(value, offset)?;
            }
            if let Some(changes) = self.loader.publish()? {
                node.apply(Arc::new(self.loader.published().clone()), &changes)
                    .await;
            }
        }
        then(Ok(()));
        Ok(())
    }
}
