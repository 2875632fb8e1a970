//! The log cleaner of a node (Kafka classes `LogCleaner`, `LogCleanerManager`): which compacted log is cleaned next, how many at a time,
//! and which are left alone. A round itself is in `round.rs`; what is dirty and what stays, `ottla_log::clean` decides.
//!
//! There is no task for it until there is a compacted topic. A round works beside its partition's owner, from whom it needs the
//! writer twice: to begin, and for the renames that put each cleaned segment in its place.

mod counts;
mod round;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_io::{Mono, timeout_at};
use ottla_log::clean::Range;
use ottla_store::Throttle;
use ottla_types::Uuid;
use ottla_types::config::BrokerConfig;
use tokio::sync::Notify;

pub use counts::CleanerCounts;
pub use round::CleanerJob;

use crate::Node;
use crate::partition::Partition;
use counts::Rounds;
use round::{clean_config, terms};

/// A partition, whatever name its topic has.
type Key = (Uuid, i32);

/// The cleaner. It lives as long as the node.
#[derive(Default)]
pub struct Cleaner {
    state: Mutex<State>,
    /// A round has ended.
    ended: Notify,
    throttle: Arc<Throttle>,
}

/// Invariant: a partition is in at most one of `busy` and `uncleanable`.
#[derive(Default)]
struct State {
    /// The scheduler runs.
    running: bool,
    /// No more rounds begin.
    stopped: bool,
    /// Logs that a round is at, and how to end it.
    busy: BTreeMap<Key, Arc<AtomicBool>>,
    /// Logs that can't be cleaned until somebody has looked at them and started the node again.
    uncleanable: BTreeMap<Key, Uncleanable>,
    rounds: Rounds,
    /// When it was last looked for a log to clean, and how dirty the dirtiest was, from 0 to 1.
    last_look: Option<(Mono, f64)>,
}

/// A log that is left alone.
struct Uncleanable {
    dir: PathBuf,
    /// What waits to be cleaned.
    bytes: u64,
}

/// A log whose turn it is.
struct Due {
    partition: Arc<Partition>,
    range: Range,
}

fn key(partition: &Partition) -> Key {
    (partition.topic_id, partition.id.partition)
}

impl Cleaner {
    /// There is a partition here: if it is the first compacted one, the scheduler begins its work.
    pub(crate) fn need(&self, node: &Arc<Node>, partition: &Partition) {
        if !partition.config().cleanup_policy.compact || std::mem::replace(&mut self.lock().running, true) {
            return;
        }
        let run = run(node.clone());
        node.keep(node.env.tasks.spawn("log-cleaner", Box::pin(run)));
    }

    /// Returns when no round is at this partition, which has been closed and will have no other.
    pub(crate) async fn leave(&self, partition: &Partition) {
        let key = key(partition);
        self.end_rounds(|busy| *busy == key).await;
        self.lock().uncleanable.remove(&key);
    }

    /// Returns when no round is under way and none will be.
    pub(crate) async fn stop(&self) {
        self.lock().stopped = true;
        self.end_rounds(|_| true).await;
    }

    async fn end_rounds(&self, which: impl Fn(&Key) -> bool) {
        loop {
            let ended = self.ended.notified();
            let mut waits = false;
            for (_, stop) in self.lock().busy.iter().filter(|(key, _)| which(key)) {
                stop.store(true, Ordering::Release);
                waits = true;
            }
            if !waits {
                return;
            }
            ended.await;
        }
    }

    /// Begins a round over the dirtiest log that is due, if there is one and not too many are under way.
    async fn begin_next(&self, node: &Arc<Node>, broker: &BrokerConfig) -> bool {
        let threads = usize::try_from(broker.log_cleaner_threads()).unwrap_or(0);
        if !broker.log_cleaner_enable() || self.lock().busy.len() >= threads {
            return false;
        }
        let rate = broker.log_cleaner_io_max_bytes_per_second();
        // A float becomes the nearest integer that there is.
        self.throttle.set((rate < u64::MAX as f64).then_some(rate as u64));
        let Some(Due { partition, range }) = self.dirtiest(node).await else {
            return false;
        };
        let stop = Arc::new(AtomicBool::new(false));
        {
            let mut state = self.lock();
            if state.stopped {
                return false;
            }
            state.busy.insert(key(&partition), stop.clone());
        }
        let terms = terms(broker, &partition.config(), self.throttle.clone(), stop);
        let round = round::run(node.clone(), partition, range, terms, threads);
        node.env.tasks.spawn("log-cleaning", Box::pin(round));
        true
    }

    /// The dirtiest of the logs that are due.
    async fn dirtiest(&self, node: &Node) -> Option<Due> {
        let (mut first, mut most): (Option<Due>, f64) = (None, 0.0);
        for partition in node.topics.all() {
            let config = partition.config();
            let key = key(&partition);
            let usable = config.cleanup_policy.compact && partition.reader().check().is_ok();
            if !usable || self.lock().busy.contains_key(&key) {
                continue;
            }
            let config = clean_config(&config);
            let looked = partition.clean(|reply| CleanerJob::Look { config, reply });
            let Ok(range) = looked.await else { continue };
            if let Some(uncleanable) = self.lock().uncleanable.get_mut(&key) {
                uncleanable.bytes = range.cleanable_bytes;
                continue;
            }
            most = most.max(range.ratio());
            let dirtier = |due: &Due| range.ratio() > due.range.ratio();
            if range.is_due(&config) && first.as_ref().is_none_or(dirtier) {
                first = Some(Due { partition, range });
            }
        }
        self.lock().last_look = Some((node.env.clock.now(), most));
        first
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins rounds until the node stops. What is configured counts from the next one on.
async fn run(node: Arc<Node>) {
    loop {
        let broker = node.broker();
        let ended = node.cleaner.ended.notified();
        if node.cleaner.begin_next(&node, &broker).await {
            continue;
        }
        let backoff = u64::try_from(broker.log_cleaner_backoff_ms()).unwrap_or(0).max(1);
        let until = node.env.clock.now().after(Duration::from_millis(backoff));
        // A round that has ended leaves room for another; one that has failed is tried again after the backoff only.
        timeout_at(&*node.env.clock, until, ended).await;
    }
}

#[cfg(test)]
mod tests;
