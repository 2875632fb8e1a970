//! What is due when: one queue of virtual time for sleeps, deliveries and faults. A sleep that is dropped leaves nothing
//! behind, and what falls on the same instant happens in the order in which it was asked for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::executor::Executor;
use crate::locked;

enum Due {
    Wake(Waker),
    Run(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Queue {
    due: BTreeMap<(u64, u64), Due>,
    next: u64,
    /// The earliest instant at which the executor will wake the driver.
    armed: Option<u64>,
    driver: Option<Waker>,
    closed: bool,
}

/// The queue and the executor that drives it.
pub(crate) struct Timers {
    executor: Executor,
    queue: Mutex<Queue>,
}

impl Timers {
    pub(crate) fn new(executor: Executor) -> Arc<Self> {
        let timers = Arc::new(Timers {
            executor,
            queue: Mutex::default(),
        });
        let driven = timers.clone();
        timers
            .executor
            .spawn(std::future::poll_fn(move |cx| driven.drive(cx)));
        timers
    }

    /// Virtual nanoseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.executor.now()
    }

    pub(crate) fn run_at(&self, at: u64, work: impl FnOnce() + Send + 'static) {
        let mut queue = locked(&self.queue);
        queue.next += 1;
        let key = (at, queue.next);
        self.insert(&mut queue, key, Due::Run(Box::new(work)));
    }

    pub(crate) fn sleep_until(self: &Arc<Self>, at: u64) -> Sleep {
        Sleep {
            timers: self.clone(),
            at,
            id: None,
        }
    }

    pub(crate) fn sleep(self: &Arc<Self>, d: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(d.as_nanos() as u64))
    }

    /// Forgets everything and ends the driver. The wakers hold the tasks and the tasks hold the world, so without this a world
    /// would never be freed.
    pub(crate) fn close(&self) {
        let (due, driver) = {
            let mut queue = locked(&self.queue);
            queue.closed = true;
            (std::mem::take(&mut queue.due), queue.driver.take())
        };
        drop(due);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn insert(&self, queue: &mut Queue, key: (u64, u64), due: Due) {
        if queue.closed {
            return;
        }
        queue.due.insert(key, due);
        self.arm(queue, key.0);
    }

    fn arm(&self, queue: &mut Queue, at: u64) {
        if queue.armed.is_none_or(|armed| at < armed)
            && let Some(driver) = &queue.driver
        {
            queue.armed = Some(at);
            self.executor.wake_at(at, driver);
        }
    }

    fn drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.now();
            let mut queue = locked(&self.queue);
            if queue.closed {
                return Poll::Ready(());
            }
            queue.driver.get_or_insert_with(|| cx.waker().clone());
            match queue.due.first_entry() {
                Some(entry) if entry.key().0 <= now => {
                    let due = entry.remove();
                    drop(queue);
                    match due {
                        Due::Wake(waker) => waker.wake(),
                        Due::Run(work) => work(),
                    }
                }
                Some(entry) => {
                    let at = entry.key().0;
                    queue.armed = queue.armed.filter(|armed| *armed > now);
                    self.arm(&mut queue, at);
                    return Poll::Pending;
                }
                None => {
                    queue.armed = queue.armed.filter(|armed| *armed > now);
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Ready once virtual time has reached an instant.
pub(crate) struct Sleep {
    timers: Arc<Timers>,
    at: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timers = self.timers.clone();
        if timers.now() >= self.at {
            return Poll::Ready(());
        }
        let mut queue = locked(&timers.queue);
        let id = *self.id.get_or_insert_with(|| {
            queue.next += 1;
            queue.next
        });
        timers.insert(&mut queue, (self.at, id), Due::Wake(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let removed = locked(&self.timers.queue).due.remove(&(self.at, id));
            drop(removed);
        }
    }
}
