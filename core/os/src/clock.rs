//! Clocks: `Instant` since the process's first look, the system's wall clock, tokio's timer wheel (1 ms, never early).

use std::future::ready;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_io::{Clock, Mono, Sleep};
use ottla_types::Time;
use tokio::runtime::Handle;

/// The zero of [`Mono`]: one for the process, so that all its environments agree.
static ZERO: OnceLock<Instant> = OnceLock::new();

/// The machine's clocks.
pub(crate) struct OsClock {
    handle: Handle,
    zero: Instant,
}

impl OsClock {
    pub(crate) fn new(handle: Handle) -> Self {
        OsClock {
            handle,
            zero: *ZERO.get_or_init(Instant::now),
        }
    }
}

impl Clock for OsClock {
    fn now(&self) -> Mono {
        Mono(u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> Time {
        // Before 1970 is a clock that was never set: 0 is as wrong as it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        if self.now() >= at {
            return Box::pin(ready(()));
        }
        // A timer belongs to the runtime in whose context it is made; callers need not be there.
        let _context = self.handle.enter();
        let far = Duration::from_secs(100 * 365 * 24 * 3600);
        let deadline = self.zero + Duration::from_nanos(at.0).min(far);
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}
