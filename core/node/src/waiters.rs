//! Fetches that wait for bytes. They sit on the partitions they asked for and are woken by them, never polled.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// One fetch that found fewer than `fetch.min.bytes`.
#[derive(Debug)]
pub struct FetchWaiter {
    missing: AtomicI64,
    woken: Notify,
}

impl FetchWaiter {
    /// Waits for `missing` more bytes.
    pub fn new(missing: usize) -> Arc<Self> {
        Arc::new(FetchWaiter {
            missing: AtomicI64::new(missing as i64),
            woken: Notify::new(),
        })
    }

    /// Counts bytes that became readable; wakes the fetch when they are enough. Says whether it did.
    fn add(&self, bytes: usize) -> bool {
        let enough = self.missing.fetch_sub(bytes as i64, Ordering::AcqRel) <= bytes as i64;
        if enough {
            self.woken.notify_one();
        }
        enough
    }

    /// Returns once enough bytes came, or something changed that the fetch must look at.
    pub async fn wait(&self) {
        self.woken.notified().await;
    }
}

/// The fetches that wait on one partition.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<Vec<Arc<FetchWaiter>>>);

impl Waiters {
    /// Adds a fetch. It leaves by being woken, or by [`Waiters::remove`].
    pub fn add(&self, waiter: &Arc<FetchWaiter>) {
        self.lock().push(waiter.clone());
    }

    /// Removes a fetch that waits no more.
    pub fn remove(&self, waiter: &Arc<FetchWaiter>) {
        self.lock().retain(|w| !Arc::ptr_eq(w, waiter));
    }

    /// `bytes` more became readable.
    pub fn readable(&self, bytes: usize) {
        self.lock().retain(|w| !w.add(bytes));
    }

    /// Something changed that every waiting fetch must look at: a new leader epoch, a truncation, the partition's end.
    pub fn wake_all(&self) {
        self.lock().drain(..).for_each(|w| w.woken.notify_one());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<FetchWaiter>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(waiter: &FetchWaiter) -> bool {
        let mut wait = Box::pin(waiter.wait());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(wait.as_mut(), &mut cx).is_ready()
    }

    #[test]
    fn a_fetch_wakes_when_its_bytes_are_there_and_not_before() {
        let (waiters, fetch) = (Waiters::default(), FetchWaiter::new(100));
        waiters.add(&fetch);
        waiters.readable(60);
        assert!(!is_woken(&fetch));
        waiters.readable(40);
        assert!(is_woken(&fetch));
        assert!(waiters.lock().is_empty());
    }

    #[test]
    fn a_removed_fetch_is_left_alone() {
        let (waiters, fetch) = (Waiters::default(), FetchWaiter::new(1));
        waiters.add(&fetch);
        waiters.remove(&fetch);
        waiters.wake_all();
        assert!(!is_woken(&fetch));
    }
}
