//! What every part of a world reaches: time, the trace, violations, counters, and who listens to domain events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_io::Observer;
use ottla_types::{Event, Violation};

use super::Host;
use crate::locked;
use crate::timers::Timers;
use crate::trace::Trace;

type OnEvent = Arc<dyn Fn(Host, Duration, &Event) + Send + Sync>;

/// What every part of a world shares.
pub(crate) struct Shared {
    pub(crate) timers: Arc<Timers>,
    pub(crate) trace: Trace,
    pub(super) violations: Mutex<Vec<Violation>>,
    pub(super) counters: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) observers: Mutex<Vec<OnEvent>>,
}

impl Shared {
    pub(super) fn new(timers: Arc<Timers>) -> Arc<Self> {
        let (trace, violations, counters, observers) = Default::default();
        Arc::new(Shared {
            timers,
            trace,
            violations,
            counters,
            observers,
        })
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: &'static str, n: u64) {
        if n > 0 {
            *locked(&self.counters).entry(what).or_default() += n;
        }
    }

    pub(crate) fn violation(&self, violation: Violation) {
        self.line("!", &format!("VIOLATION {violation}"));
        locked(&self.violations).push(violation);
    }

    pub(crate) fn line(&self, who: &str, what: &str) {
        self.trace.line(self.timers.now(), who, what);
    }
}

/// A node's [`Observer`]: the trace, and who else looks.
pub(super) struct Watch {
    pub(super) shared: Arc<Shared>,
    pub(super) host: Host,
    pub(super) name: String,
    pub(super) alive: Arc<AtomicBool>,
}

impl Observer for Watch {
    fn enabled(&self) -> bool {
        true
    }

    fn observe(&self, event: &Event) {
        if self.alive.load(Ordering::Relaxed) {
            self.shared.line(&self.name, &format!("{event:?}"));
            let now = Duration::from_nanos(self.shared.timers.now());
            let observers = locked(&self.shared.observers).clone();
            observers.iter().for_each(|look| look(self.host, now, event));
        }
    }
}
