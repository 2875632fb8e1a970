//! Between a worker and one task: what it should do, and how it fares.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A task of a connector (Kafka: `ConnectorTaskId`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// The connector's name.
    pub connector: String,
    /// Its number, from 0.
    pub task: usize,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// What a task should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Running,
    Paused,
    Stopped,
}

/// How a task fares, in Kafka's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is being started.
    Unassigned,
    /// It runs.
    Running,
    /// It waits to be resumed.
    Paused,
    /// It has ended as it was told to.
    Stopped,
    /// It has ended because of this.
    Failed(String),
}

/// A task and how it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// The task.
    pub id: TaskId,
    /// How it fares.
    pub status: Status,
}

struct State {
    target: Target,
    status: Status,
}

/// Shared by worker and task.
pub(super) struct Control {
    id: TaskId,
    state: Mutex<State>,
    changed: Notify,
}

impl Control {
    pub(super) fn new(id: TaskId, target: Target) -> Arc<Self> {
        Arc::new(Control {
            id,
            state: Mutex::new(State {
                target,
                status: Status::Unassigned,
            }),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> &TaskId {
        &self.id
    }

    pub(super) fn set(&self, target: Target) {
        self.state().target = target;
        self.changed.notify_waiters();
    }

    pub(super) fn target(&self) -> Target {
        self.state().target
    }

    pub(super) fn tell(&self, status: Status) {
        self.state().status = status;
        self.changed.notify_waiters();
    }

    pub(super) fn status(&self) -> TaskStatus {
        TaskStatus {
            id: self.id.clone(),
            status: self.state().status.clone(),
        }
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Returns once the task should do something else than `now`.
    pub(super) async fn leaves(&self, now: Target) {
        self.until(|state| state.target != now).await;
    }

    /// Returns once the task should stop.
    pub(super) async fn stops(&self) {
        self.until(|state| state.target == Target::Stopped).await;
    }

    /// Returns once the task has ended.
    pub(super) async fn ended(&self) {
        self.until(|state| matches!(state.status, Status::Stopped | Status::Failed(_)))
            .await;
    }
}

/// The result of `work`, or `None` if `first` comes before it. `first` is looked at first.
pub(super) async fn unless<T>(first: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut first, mut work) = (std::pin::pin!(first), std::pin::pin!(work));
    std::future::poll_fn(move |cx| {
        if first.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}
