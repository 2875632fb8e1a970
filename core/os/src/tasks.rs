//! Tasks on tokio's workers, and its bounded pool for work that blocks.

use std::panic::resume_unwind;

use ottla_io::{BoxFuture, Op, Outcome, ProcessStats, Task, TaskHandle, Tasks};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use crate::process;

/// The runtime's executor.
pub(crate) struct OsTasks {
    handle: Handle,
    workers: usize,
}

impl OsTasks {
    pub(crate) fn new(handle: Handle, workers: usize) -> Self {
        OsTasks { handle, workers }
    }
}

struct OsTask(JoinHandle<()>);

impl Tasks for OsTasks {
    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) -> Task {
        Task::new(OsTask(self.handle.spawn(task)))
    }

    fn blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        let done = self.handle.spawn_blocking(work);
        Op::pending(async move {
            // A panic in the pool is the waiting task's panic: nobody may take it for a result.
            if let Err(e) = done.await
                && e.is_panic()
            {
                resume_unwind(e.into_panic());
            }
        })
    }

    fn parallelism(&self) -> usize {
        self.workers
    }

    fn process(&self) -> Option<ProcessStats> {
        process::stats().ok()
    }
}

impl TaskHandle for OsTask {
    fn cancel(&self) {
        self.0.abort();
    }

    fn join(self: Box<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            match self.0.await {
                Ok(()) => Outcome::Done,
                Err(e) if e.is_panic() => Outcome::Panicked(message(e)),
                Err(_) => Outcome::Cancelled,
            }
        })
    }
}

fn message(e: JoinError) -> String {
    match e.into_panic().downcast::<String>() {
        Ok(text) => *text,
        Err(other) => match other.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a panic without a message".to_owned(),
        },
    }
}
