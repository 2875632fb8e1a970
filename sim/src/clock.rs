//! A node's clocks over virtual time: the monotonic one may run fast or slow, the wall clock may also stand wrong and jump.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ottla_io::{Clock, Mono, Sleep};
use ottla_types::Time;

use crate::locked;
use crate::timers::{self, Timers};

/// What the wall clocks of a world show when it begins: 2026-01-01 00:00:00 UTC.
pub(crate) const WALL_START_MS: u64 = 1_767_225_600_000;
const MILLION: i128 = 1_000_000;

/// How a node's clocks relate to virtual time.
#[derive(Debug, Clone, Copy, Default)]
struct Setting {
    /// Virtual time, and this clock's reading, when the rate last changed.
    since: u64,
    reading: u64,
    /// Parts per million by which the clock runs fast (or slow, if negative).
    drift_ppm: i32,
    /// Milliseconds by which the wall clock is ahead.
    wall_offset_ms: i64,
}

impl Setting {
    fn reading(&self, now: u64) -> u64 {
        let passed = i128::from(now.saturating_sub(self.since));
        self.reading + (passed * (MILLION + i128::from(self.drift_ppm)) / MILLION).max(0) as u64
    }

    /// The virtual time at which the clock shows `reading`, or a little later.
    fn when(&self, reading: u64) -> u64 {
        let ahead = i128::from(reading.saturating_sub(self.reading));
        let rate = (MILLION + i128::from(self.drift_ppm)).max(1);
        self.since
            .saturating_add(((ahead * MILLION + rate - 1) / rate).min(i128::from(u64::MAX / 4)) as u64)
    }
}

/// The clocks of one machine; they run on while its processes die and restart.
pub(crate) struct NodeClock {
    timers: Arc<Timers>,
    setting: Mutex<Setting>,
}

impl NodeClock {
    pub(crate) fn new(timers: Arc<Timers>) -> Arc<Self> {
        Arc::new(NodeClock {
            timers,
            setting: Mutex::default(),
        })
    }

    pub(crate) fn set_drift(&self, ppm: i32) {
        let now = self.timers.now();
        let mut setting = locked(&self.setting);
        (setting.reading, setting.since) = (setting.reading(now), now);
        setting.drift_ppm = ppm.clamp(-900_000, 900_000);
    }

    /// Moves the wall clock by `ms`.
    pub(crate) fn jump(&self, ms: i64) {
        locked(&self.setting).wall_offset_ms += ms;
    }

    fn reading(&self) -> u64 {
        locked(&self.setting).reading(self.timers.now())
    }
}

/// The clocks as one incarnation sees them: its monotonic clock began when it was started.
pub(crate) struct SimClock {
    node: Arc<NodeClock>,
    zero: u64,
}

impl SimClock {
    pub(crate) fn new(node: Arc<NodeClock>) -> Self {
        let zero = node.reading();
        SimClock { node, zero }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Mono {
        Mono(self.node.reading() - self.zero)
    }

    fn wall(&self) -> Time {
        let offset = locked(&self.node.setting).wall_offset_ms;
        Time((WALL_START_MS + self.node.reading() / 1_000_000).saturating_add_signed(offset))
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        Box::pin(NodeSleep {
            node: self.node.clone(),
            reading: at.0.saturating_add(self.zero),
            sleep: None,
        })
    }
}

/// Sleeps until the node's clock shows `reading`, whatever happens to its rate meanwhile.
struct NodeSleep {
    node: Arc<NodeClock>,
    reading: u64,
    sleep: Option<timers::Sleep>,
}

impl Future for NodeSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.node.reading() >= self.reading {
                return Poll::Ready(());
            }
            if let Some(sleep) = &mut self.sleep
                && Pin::new(sleep).poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            let when = locked(&self.node.setting)
                .when(self.reading)
                .max(self.node.timers.now() + 1);
            self.sleep = Some(self.node.timers.sleep_until(when));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_wakes_late_and_never_early() {
        for drift_ppm in [-900_000, -333, 0, 7, 250_000] {
            let setting = Setting {
                since: 1_000_000,
                reading: 77,
                drift_ppm,
                wall_offset_ms: 0,
            };
            for reading in [0, 78, 1_000_000_007, 86_400_000_000_000] {
                let when = setting.when(reading);
                assert!(setting.reading(when) >= reading, "{drift_ppm} {reading}");
                assert!(
                    reading <= 77 || setting.reading(when - 1) < reading,
                    "{drift_ppm} {reading}"
                );
            }
        }
    }
}
