//! The only file that touches madsim: a runtime, processes to spawn on, kill and pause, and virtual time. madsim's own network,
//! disk and clocks are not used (`net`, `disk` and `clock` here are richer), so another executor can stand in.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::time::TimeHandle;

/// Runs `main` to its end in a world of its own, on the calling thread. The order in which ready tasks run is drawn from `schedule`.
/// Panics of `main` and of tasks pass through.
///
/// The thread must be a new one: madsim seeds the hash keys of the standard library once per thread.
pub(crate) fn run<F: Future>(schedule: u64, main: impl FnOnce(Executor) -> F) -> F::Output {
    let runtime = Runtime::with_seed_and_config(schedule, madsim::Config::default());
    runtime.block_on(async {
        main(Executor {
            handle: Handle::current(),
            time: TimeHandle::current(),
        })
        .await
    })
}

/// The runtime as its inside sees it.
#[derive(Clone)]
pub(crate) struct Executor {
    handle: Handle,
    time: TimeHandle,
}

impl Executor {
    /// Virtual nanoseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    /// Wakes `waker` once virtual time has reached `at`.
    pub(crate) fn wake_at(&self, at: u64, waker: &Waker) {
        let wait = Duration::from_nanos(at.saturating_sub(self.now()));
        let mut sleep = pin!(self.time.sleep(wait));
        // A new sleep lasts at least a millisecond; a reset one does not.
        sleep.as_mut().reset(self.time.now_instant() + wait);
        if sleep.poll(&mut Context::from_waker(waker)).is_ready() {
            waker.wake_by_ref();
        }
    }

    /// A process to run tasks in.
    pub(crate) fn process(&self, name: &str) -> Process {
        let node = self.handle.create_node().name(name).build();
        Process {
            handle: self.handle.clone(),
            node,
        }
    }

    /// Runs a task of the world itself: it can't be killed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        madsim::task::spawn(task);
    }
}

/// A group of tasks that are killed and paused together.
#[derive(Clone)]
pub(crate) struct Process {
    handle: Handle,
    node: NodeHandle,
}

impl Process {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.node.spawn(task);
    }

    /// Its tasks are dropped instead of running on.
    pub(crate) fn kill(&self) {
        // A paused task would be dropped inside madsim's own lock.
        self.handle.resume(self.node.id());
        self.handle.kill(self.node.id());
    }

    pub(crate) fn pause(&self) {
        self.handle.pause(self.node.id());
    }

    pub(crate) fn resume(&self) {
        self.handle.resume(self.node.id());
    }
}
