//! Many seeds of one scenario, each in a world and on a thread of its own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use ottla_types::Violation;

use crate::locked;
use crate::scenario::Scenario;

/// What a campaign found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Seeds that ran.
    pub runs: u64,
    /// The first violation of each seed that failed, by seed.
    pub failed: BTreeMap<u64, Violation>,
    /// All runs' counters, added up. What a campaign wanted to happen and did not is missing here, or zero.
    pub counters: BTreeMap<&'static str, u64>,
    /// Virtual time of all runs.
    pub elapsed: Duration,
}

impl Summary {
    /// A counter; 0 if nothing counted it.
    pub fn count(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or(0)
    }
}

/// Runs the drawn plans of `seeds`, `threads` at a time. The result does not depend on the number of threads.
pub fn campaign(scenario: &Scenario, seeds: Range<u64>, threads: usize) -> Summary {
    let next = Mutex::new(seeds);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(seed) = { locked(&next).next() } {
                    let report = scenario.run(&scenario.draw(seed));
                    let mut summary = locked(&summary);
                    summary.runs += 1;
                    summary.elapsed += report.elapsed;
                    for (what, n) in report.counters {
                        *summary.counters.entry(what).or_default() += n;
                    }
                    if let Some(violation) = report.violations.into_iter().next() {
                        summary.failed.insert(seed, violation);
                    }
                }
            });
        }
    });
    summary.into_inner().unwrap_or_default()
}
