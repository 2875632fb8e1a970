//! Exponential backoff with jitter (Kafka class `ExponentialBackoff`), and operations that are tried until a deadline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_io::{Clock, Mono, Rng};

use crate::{Error, Result};

/// Pauses between attempts.
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    rng: Mutex<Rng>,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration, rng: Rng) -> Self {
        Backoff {
            first,
            max: max.max(first),
            rng: Mutex::new(rng),
        }
    }

    /// The pause after `failures` failed attempts (from 1): doubled each time, then 20% more or less.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let jitter = 0.8 + 0.4 * self.rng.lock().unwrap_or_else(PoisonError::into_inner).unit();
        doubled.min(self.max).mul_f64(jitter)
    }
}

/// One operation's attempts.
pub(crate) struct Attempts {
    clock: Arc<dyn Clock>,
    backoff: Arc<Backoff>,
    begun: Mono,
    deadline: Mono,
    failures: u32,
}

impl Attempts {
    pub(crate) fn new(clock: &Arc<dyn Clock>, backoff: &Arc<Backoff>, deadline: Mono) -> Self {
        Attempts {
            clock: clock.clone(),
            backoff: backoff.clone(),
            begun: clock.now(),
            deadline,
            failures: 0,
        }
    }

    /// Waits before the next attempt, or gives the error to return: `error` itself if trying again is no use, a timeout if
    /// the deadline comes first.
    pub(crate) async fn again(&mut self, what: &str, error: Error) -> Result<()> {
        if !error.is_retriable() {
            return Err(error);
        }
        self.failures += 1;
        let at = self.clock.now().after(self.backoff.pause(self.failures));
        if at >= self.deadline {
            return Err(Error::Timeout {
                what: what.to_owned(),
                after: self.clock.now().since(self.begun),
                last: Some(Box::new(error)),
                advice: "raise the timeout if the cluster is only slow",
            });
        }
        self.clock.sleep_until(at).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let backoff = Backoff::new(
            Duration::from_millis(100),
            Duration::from_secs(1),
            Rng::from_number(1, "t"),
        );
        for (failures, ms) in [
            (1, 100.0),
            (2, 200.0),
            (3, 400.0),
            (4, 800.0),
            (5, 1000.0),
            (4_000_000, 1000.0),
        ] {
            for _ in 0..50 {
                let pause = backoff.pause(failures).as_secs_f64() * 1e3;
                assert!((ms * 0.8..=ms * 1.2).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
