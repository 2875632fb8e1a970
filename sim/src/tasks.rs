//! A node's executor: tasks that die with their process, and the pool for blocking work as a queue with durations in virtual
//! time. A panic in any of them is a violation of the world: it is recorded, and the task ends.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ottla_io::{BoxFuture, Op, Outcome, Rng, Task, TaskHandle, Tasks};
use ottla_types::Violation;

use crate::executor::Process;
use crate::locked;
use crate::world::Shared;

/// Tasks that a node can run at the same time, as it believes.
const PARALLELISM: usize = 4;
/// Threads of the pool.
const WORKERS: usize = 4;
/// How long a piece of blocking work takes.
const WORK_NANOS: (u64, u64) = (5_000, 400_000);

#[derive(Default)]
struct Status {
    cancelled: bool,
    outcome: Option<Outcome>,
    task: Option<Waker>,
    joiner: Option<Waker>,
}

impl Status {
    fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.task = None;
            if let Some(joiner) = self.joiner.take() {
                joiner.wake();
            }
        }
    }
}

/// A task under watch: catches its panic, drops it when cancelled, tells its end.
struct Watched {
    shared: Arc<Shared>,
    name: String,
    task: Option<BoxFuture<'static, ()>>,
    status: Arc<Mutex<Status>>,
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let outcome = if locked(&self.status).cancelled {
            Outcome::Cancelled
        } else {
            let Some(task) = &mut self.task else {
                return Poll::Ready(());
            };
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(Poll::Pending) => {
                    locked(&self.status).task = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Ok(Poll::Ready(())) => Outcome::Done,
                Err(panic) => {
                    let message = message(&*panic);
                    self.shared
                        .violation(Violation::new("no-panic", format!("{}: {message}", self.name)));
                    Outcome::Panicked(message)
                }
            }
        };
        // What the task holds goes before anybody learns that it has ended.
        self.task = None;
        locked(&self.status).end(outcome);
        Poll::Ready(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let task = self.task.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
            let text = format!("{}, while it was dropped: {}", self.name, message(&*panic));
            self.shared.violation(Violation::new("no-panic", text));
        }
        locked(&self.status).end(Outcome::Cancelled);
    }
}

/// The text of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".into())
}

struct SimTask(Arc<Mutex<Status>>);

impl TaskHandle for SimTask {
    fn cancel(&self) {
        let mut status = locked(&self.0);
        status.cancelled = true;
        if let Some(task) = status.task.take() {
            task.wake();
        }
    }

    fn join(self: Box<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(poll_fn(move |cx| {
            let mut status = locked(&self.0);
            match &status.outcome {
                Some(outcome) => Poll::Ready(outcome.clone()),
                None => {
                    status.joiner = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

struct Job {
    name: &'static str,
    work: Box<dyn FnOnce() + Send>,
    done: Arc<Mutex<Status>>,
}

#[derive(Default)]
struct Pool {
    busy: usize,
    queue: VecDeque<Job>,
}

/// [`Tasks`] of one incarnation of a node.
pub(crate) struct SimTasks {
    shared: Arc<Shared>,
    process: Process,
    node: String,
    pool: Arc<Mutex<Pool>>,
    rng: Arc<Mutex<Rng>>,
}

impl SimTasks {
    pub(crate) fn new(shared: Arc<Shared>, process: Process, node: String, rng: Rng) -> Self {
        SimTasks {
            shared,
            process,
            node,
            pool: Arc::default(),
            rng: Arc::new(Mutex::new(rng)),
        }
    }

    /// A worker: takes one job after the other while there are any.
    async fn work(shared: Arc<Shared>, node: String, pool: Arc<Mutex<Pool>>, rng: Arc<Mutex<Rng>>) {
        loop {
            let job = {
                let mut pool = locked(&pool);
                let Some(job) = pool.queue.pop_front() else {
                    pool.busy -= 1;
                    return;
                };
                job
            };
            let (nanos, first) = {
                let mut rng = locked(&rng);
                (rng.between(WORK_NANOS.0, WORK_NANOS.1), rng.chance(0.5))
            };
            // The effect may come early or late in the time that the work takes.
            let rest = if first { nanos } else { 0 };
            shared.timers.sleep(Duration::from_nanos(nanos - rest)).await;
            let outcome = match catch_unwind(AssertUnwindSafe(job.work)) {
                Ok(()) => Outcome::Done,
                Err(panic) => {
                    let text = format!("{node}/{}: {}", job.name, message(&*panic));
                    shared.violation(Violation::new("no-panic", text.clone()));
                    Outcome::Panicked(text)
                }
            };
            shared.timers.sleep(Duration::from_nanos(rest)).await;
            locked(&job.done).end(outcome);
        }
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Task {
        let status = Arc::new(Mutex::new(Status::default()));
        let name = format!("{}/{name}", self.node);
        self.process.spawn(Watched {
            shared: self.shared.clone(),
            name,
            task: Some(task),
            status: status.clone(),
        });
        Task::new(SimTask(status))
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        let done = Arc::new(Mutex::new(Status::default()));
        let mut pool = locked(&self.pool);
        pool.queue.push_back(Job {
            name,
            work,
            done: done.clone(),
        });
        if pool.busy < WORKERS {
            pool.busy += 1;
            let worker = SimTasks::work(
                self.shared.clone(),
                self.node.clone(),
                self.pool.clone(),
                self.rng.clone(),
            );
            self.process.spawn(worker);
        }
        Op::pending(async move {
            Box::new(SimTask(done)).join().await;
        })
    }

    fn parallelism(&self) -> usize {
        PARALLELISM
    }
}
