//! A limit of bytes per second that several rounds of the cleaner share (Kafka class `Throttler`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_io::Mono;

use crate::log_dir::lock;

/// What was used of a bandwidth, and until when that is to be waited for. Time in which nothing is used is not saved up.
#[derive(Debug)]
pub struct Throttle {
    /// Bytes per second; `u64::MAX` for no limit.
    limit: AtomicU64,
    paid: Mutex<Mono>,
}

impl Default for Throttle {
    /// Without a limit.
    fn default() -> Self {
        Throttle {
            limit: AtomicU64::new(u64::MAX),
            paid: Mutex::default(),
        }
    }
}

impl Throttle {
    /// Bytes per second from now on, `None` for no limit. Who waits already, waits as long as he was told.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let limit = bytes_per_second.unwrap_or(u64::MAX).max(1);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// `bytes` were read or written. Nothing more is to be before the time that is returned.
    pub(crate) fn charge(&self, now: Mono, bytes: u64) -> Mono {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == u64::MAX {
            return now;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(limit);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid = lock(&self.paid);
        *paid = (*paid).max(now).after(cost);
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_share_it_wait_for_each_other() {
        let throttle = Throttle::default();
        let at = |ms: u64| Mono(ms * 1_000_000);
        assert_eq!(throttle.charge(at(5), u64::MAX), at(5), "no limit");
        throttle.set(Some(1000));
        assert_eq!(throttle.charge(at(10), 500), at(510));
        assert_eq!(throttle.charge(at(20), 100), at(610));
        assert_eq!(
            throttle.charge(at(9000), 1),
            at(9001),
            "idle time is not saved up"
        );
        throttle.set(Some(0));
        assert_eq!(throttle.charge(at(10_000), 2), at(12_000), "one byte at least");
    }
}
