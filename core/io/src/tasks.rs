//! Tasks, and the pool for work that blocks or burns the CPU.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_types::Time;

use crate::Op;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It panicked, with this message.
    Panicked(String),
}

/// What a back end gives for a spawned task.
pub trait TaskHandle: Send + Sync {
    /// Stops the task at its next await; no effect if it has ended.
    fn cancel(&self);
    /// Waits for its end.
    fn join(self: Box<Self>) -> BoxFuture<'static, Outcome>;
}

/// A spawned task. Dropping it lets the task run on.
pub struct Task(Box<dyn TaskHandle>);

impl Task {
    /// Wraps a back end's handle.
    pub fn new(handle: impl TaskHandle + 'static) -> Self {
        Task(Box::new(handle))
    }

    /// Stops the task at its next await; no effect if it has ended.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Waits for its end.
    pub async fn join(self) -> Outcome {
        self.0.join().await
    }
}

/// What the operating system says of the process that a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStats {
    /// CPU time of all threads, in user and system mode.
    pub cpu: Duration,
    /// Bytes of memory in use.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Open files and sockets.
    pub open_files: u64,
    /// How many it may open.
    pub max_files: u64,
    /// When it was started.
    pub started: Time,
}

/// A node's executor.
pub trait Tasks: Send + Sync {
    /// Runs `task` beside the caller. `name` is for people.
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Task;
    /// Runs `work` where blocking and long computing are allowed: a pool of threads, or in a trial a queue with durations.
    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()>;
    /// How many tasks can run at the same time.
    fn parallelism(&self) -> usize;
    /// What the operating system says of the process; `None` where a node is none, as in a trial. Reads files: not for a worker.
    fn process(&self) -> Option<ProcessStats> {
        None
    }
}

/// [`Tasks::blocking`] with a result. `None` only if the pool is shutting down and dropped the work.
pub async fn run_blocking<T: Send + 'static>(
    tasks: &dyn Tasks,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let slot = Arc::new(Mutex::new(None));
    let filled = slot.clone();
    tasks
        .blocking(
            name,
            Box::new(move || {
                let value = work();
                if let Ok(mut slot) = filled.lock() {
                    *slot = Some(value);
                }
            }),
        )
        .await;
    slot.lock().ok().and_then(|mut slot| slot.take())
}
