//! Clocks: one that only moves forward, one that people read. They can disagree between nodes, and the second can jump.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ottla_types::Time;

/// A point of a node's monotonic clock, in nanoseconds since that node's own zero. Never comparable between nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl Mono {
    /// This point plus `d`, saturating.
    pub fn after(self, d: Duration) -> Mono {
        Mono(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A future that is ready when its time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A node's clocks.
pub trait Clock: Send + Sync {
    /// The monotonic clock. Two calls never go backwards.
    fn now(&self) -> Mono;
    /// The wall clock. It may jump either way.
    fn wall(&self) -> Time;
    /// Ready once [`Clock::now`] has reached `at`; at once if it has already.
    fn sleep_until(&self, at: Mono) -> Sleep;

    /// Ready after `d`.
    fn sleep(&self, d: Duration) -> Sleep {
        self.sleep_until(self.now().after(d))
    }
}

/// `future`'s result, or `None` once `deadline` has come without one. The future is looked at first.
pub async fn timeout_at<T>(clock: &dyn Clock, deadline: Mono, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = clock.sleep_until(deadline);
    std::future::poll_fn(move |cx| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
