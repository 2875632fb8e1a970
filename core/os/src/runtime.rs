//! The threads: workers for tasks, a bounded pool for blocking work, and the environment that a node gets from them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use ottla_io::{Env, Observer};
use tokio::runtime::{Builder, Handle};

use crate::clock::OsClock;
use crate::disk::OsDisk;
use crate::entropy::OsEntropy;
use crate::net::{OsNet, SocketOptions};
use crate::tasks::OsTasks;

/// How many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Threads that run tasks. 0: the calling thread alone, inside [`Runtime::block_on`].
    pub workers: usize,
    /// The most threads that run blocking work at the same time; they are started when needed and end when idle.
    pub blocking: usize,
}

impl Default for RuntimeOptions {
    /// A worker for each available core but one, which the kernel's network and disk work and the pool take up: on two cores a
    /// single worker costs a sixth less CPU at low rates, since no task is handed to a thread that has to be woken for it.
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        RuntimeOptions {
            workers: cores.saturating_sub(1).max(1),
            blocking: 64,
        }
    }
}

/// A tokio runtime.
pub struct Runtime {
    inner: tokio::runtime::Runtime,
    workers: usize,
}

impl Runtime {
    /// Starts the threads.
    pub fn new(options: RuntimeOptions) -> io::Result<Self> {
        let RuntimeOptions { workers, blocking } = options;
        let mut builder = if workers == 0 {
            Builder::new_current_thread()
        } else {
            Builder::new_multi_thread()
        };
        if workers > 0 {
            builder.worker_threads(workers);
        }
        let inner = builder
            // Going to sleep and being woken costs several microseconds: whoever else can run on this core goes first, since it may well
            // be a peer that is about to send.
            .on_thread_park(std::thread::yield_now)
            .max_blocking_threads(blocking.max(1))
            .thread_name("ottla")
            .enable_all()
            .build()?;
        Ok(Runtime {
            inner,
            workers: workers.max(1),
        })
    }

    /// Runs `future` on the calling thread, and the spawned tasks beside it.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.inner.block_on(future)
    }

    /// Ends the tasks at their next await and waits at most `patience` for blocking work. A plain drop waits for it without
    /// a limit.
    pub fn shutdown(self, patience: Duration) {
        self.inner.shutdown_timeout(patience);
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.inner.handle()
    }
}

/// The real world for one node in this process.
pub fn env(runtime: &Runtime, sockets: SocketOptions, observer: Arc<dyn Observer>) -> Env {
    let handle = runtime.handle();
    Env {
        clock: Arc::new(OsClock::new(handle.clone())),
        net: Arc::new(OsNet::new(sockets)),
        disk: Arc::new(OsDisk::new(handle.clone())),
        entropy: Arc::new(OsEntropy),
        tasks: Arc::new(OsTasks::new(handle.clone(), runtime.workers)),
        observer,
    }
}
