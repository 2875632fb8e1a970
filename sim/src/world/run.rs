//! From a seed to a report: a world on a thread of its own, its scenario to the end or to the limit, and what is left of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ottla_types::Violation;

use super::World;
use crate::executor::{self, Executor};
use crate::locked;
use crate::net::link::NetConfig;
use crate::tasks::message;

/// How a world is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of faults, latencies, workloads and the nodes' entropy.
    pub seed: u64,
    /// Seed of the order in which ready tasks run.
    pub schedule: u64,
    /// The network at the beginning.
    pub net: NetConfig,
    /// Virtual time after which a scenario that has not ended is a violation of `ends-in-time`.
    pub limit: Duration,
}

impl Options {
    /// A healthy network, an hour of virtual time, both seeds equal.
    pub fn seed(seed: u64) -> Self {
        Options {
            seed,
            schedule: seed,
            net: NetConfig::default(),
            limit: Duration::from_secs(3600),
        }
    }
}

/// What a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The world's seed.
    pub seed: u64,
    /// Hash of everything that happened, finer than the trace's lines. Equal hashes mean equal runs.
    pub hash: u64,
    /// One line per event: virtual seconds, who, what.
    pub trace: Vec<String>,
    /// Invariants that did not hold, in the order found. Empty: the run passed.
    pub violations: Vec<Violation>,
    /// Effective firings of each kind of fault, and other counts.
    pub counters: BTreeMap<&'static str, u64>,
    /// Virtual time that passed.
    pub elapsed: Duration,
}

impl Report {
    /// A counter; 0 if nothing counted it.
    pub fn count(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or(0)
    }

    /// Panics with the end of the story if anything was violated: for tests.
    #[track_caller]
    pub fn expect_pass(self) -> Report {
        if let Some(violation) = self.violations.first() {
            let tail = self.trace[self.trace.len().saturating_sub(40)..].join("\n");
            panic!("seed {}: {violation}\nthe end of its trace:\n{tail}", self.seed);
        }
        self
    }
}

/// Runs `scenario` in a world of its own, on a thread of its own, to its end. A panic of the scenario (an assertion) or of any
/// node's task is a violation of `no-panic`.
pub fn run<F>(options: Options, scenario: impl FnOnce(World) -> F + Send + 'static) -> Report
where
    F: Future<Output = ()> + 'static,
{
    let seed = options.seed;
    let thread = std::thread::Builder::new()
        .name(format!("seed {seed}"))
        .stack_size(16 << 20);
    let joined =
        thread.spawn(move || executor::run(options.schedule, |executor| live(executor, options, scenario)));
    match joined.map(|thread| thread.join()) {
        Ok(Ok(report)) => report,
        Ok(Err(panic)) => broken(seed, message(&*panic)),
        Err(e) => broken(seed, e.to_string()),
    }
}

/// The report of a run whose world itself broke.
fn broken(seed: u64, text: String) -> Report {
    let violations = vec![Violation::new("world-stands", text)];
    Report {
        seed,
        hash: 0,
        trace: Vec::new(),
        violations,
        counters: BTreeMap::new(),
        elapsed: Duration::ZERO,
    }
}

async fn live<F: Future<Output = ()>>(
    executor: Executor,
    options: Options,
    scenario: impl FnOnce(World) -> F,
) -> Report {
    let (seed, limit) = (options.seed, options.limit);
    let world = World::new(executor, options);
    let shared = world.0.shared.clone();
    {
        let mut scenario = Box::pin(async { scenario(world.clone()).await });
        let mut end = shared.timers.sleep(limit);
        std::future::poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| scenario.as_mut().poll(cx))) {
                Ok(Poll::Ready(())) => return Poll::Ready(()),
                Ok(Poll::Pending) => {}
                Err(panic) => {
                    shared.violation(Violation::new(
                        "no-panic",
                        format!("the scenario: {}", message(&*panic)),
                    ));
                    return Poll::Ready(());
                }
            }
            Pin::new(&mut end).poll(cx).map(|()| {
                let text = format!("the scenario has not ended after {limit:?} of virtual time");
                shared.violation(Violation::new("ends-in-time", text));
            })
        })
        .await;
    }
    let report = Report {
        seed,
        elapsed: Duration::from_nanos(shared.timers.now()),
        hash: shared.trace.hash(),
        trace: shared.trace.lines(),
        violations: locked(&shared.violations).clone(),
        counters: locked(&shared.counters).clone(),
    };
    world.end().await;
    report
}
