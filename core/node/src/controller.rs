//! The active controller: one task that turns requests into records, commits them, replays them and has them applied, one change
//! after the other. What a change consists of is `ottla_metadata::controller`'s; here is only the order of things.

use std::sync::Arc;

use ottla_io::Rng;
use ottla_metadata::controller::ApiError;
use ottla_metadata::{Loader, MetadataImage, Records};
use ottla_store::LogWriter;
use ottla_types::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::Node;
use crate::kraft::MetadataLog;
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
    Stop(oneshot::Sender<LogWriter>),
}

/// Where changes are handed in.
pub struct Controller(mpsc::Sender<Command>);

/// The other end: what [`Duty::run`] works on.
pub struct Duty {
    commands: mpsc::Receiver<Command>,
    log: MetadataLog,
    loader: Loader,
    rng: Rng,
}

impl Controller {
    /// A controller over a replayed log.
    pub fn new(log: MetadataLog, loader: Loader, rng: Rng) -> (Controller, Duty) {
        let (send, commands) = mpsc::channel(QUEUE);
        (
            Controller(send),
            Duty {
                commands,
                log,
                loader,
                rng,
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
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Change(plan) => {
                    if let Err(error) = self.change(&node, plan).await {
                        node.fail(format!("the metadata log can't be written: {error}"));
                        return;
                    }
                }
                Command::Host => node.host_again().await,
                Command::Stop(reply) => {
                    let _ = reply.send(self.log.into_writer());
                    return;
                }
            }
        }
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
