//! What the cleaner shows of itself, by Kafka's names (Kafka classes `LogCleaner`, `LogCleanerManager`, `CleanerStats`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ottla_log::clean::Stats;

use super::Cleaner;
use crate::Node;

/// A round that has ended well.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Round {
    pub stats: Stats,
    pub took: Duration,
    /// How full the offset map was, from 0 to 1.
    pub map_use: f64,
    /// How long `max.compaction.lag.ms` had run out.
    pub overdue_ms: u64,
}

/// The last rounds, as many as run at a time, and the sum of all.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: VecDeque<Round>,
    count: u64,
    failed: u64,
    read: u64,
    written: u64,
}

impl Rounds {
    /// A round has ended, one of `threads` at a time. `None`: it did not come to its end.
    pub fn ended(&mut self, round: Option<Round>, threads: usize) {
        let Some(round) = round else {
            self.failed += 1;
            return;
        };
        self.count += 1;
        self.read += round.stats.bytes_read;
        self.written += round.stats.bytes_written;
        self.last.push_back(round);
        while self.last.len() > threads.max(1) {
            self.last.pop_front();
        }
    }
}

/// The cleaner at one moment. What Kafka takes from the last round of each thread is from the last rounds here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CleanerCounts {
    /// How dirty the dirtiest log was when one was last looked for, in percent.
    pub max_dirty_percent: u64,
    /// Milliseconds since then.
    pub since_last_look_ms: u64,
    /// Of what the last rounds have read, how much they wrote again, in percent.
    pub recopy_percent: u64,
    /// The longest of them, in seconds.
    pub max_clean_secs: u64,
    /// How full their offset maps were at most, in percent.
    pub max_map_percent: u64,
    /// How long the most overdue of their logs was so, in seconds.
    pub max_delay_secs: u64,
    /// Rounds that came to their end since the start.
    pub rounds: u64,
    /// Rounds that did not.
    pub failed_rounds: u64,
    /// Bytes of batches that they have read.
    pub bytes_read: u64,
    /// Bytes of batches that they have written.
    pub bytes_written: u64,
    /// By directory: logs that can't be cleaned, and their bytes that wait for it.
    pub uncleanable: Vec<(String, u64, u64)>,
}

impl Cleaner {
    pub(crate) fn counts(&self, node: &Node) -> CleanerCounts {
        let mut uncleanable: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for dir in node.directories() {
            uncleanable.insert(dir.path.display().to_string(), (0, 0));
        }
        let state = self.lock();
        for one in state.uncleanable.values() {
            let (count, bytes) = uncleanable.entry(one.dir.display().to_string()).or_default();
            *count += 1;
            *bytes += one.bytes;
        }
        let rounds = &state.rounds;
        let last = || rounds.last.iter();
        let (read, written) = last().fold((0, 0), |(read, written), round| {
            (read + round.stats.bytes_read, written + round.stats.bytes_written)
        });
        let percent = |part: f64| (100.0 * part) as u64;
        CleanerCounts {
            max_dirty_percent: state.last_look.map_or(0, |(_, most)| percent(most)),
            since_last_look_ms: state.last_look.map_or(0, |(at, _)| {
                u64::try_from(node.env.clock.now().since(at).as_millis()).unwrap_or(u64::MAX)
            }),
            recopy_percent: 100 * written / read.max(1),
            max_clean_secs: last().map(|round| round.took.as_secs()).max().unwrap_or(0),
            max_map_percent: last().map(|round| percent(round.map_use)).max().unwrap_or(0),
            max_delay_secs: last().map(|round| round.overdue_ms / 1000).max().unwrap_or(0),
            rounds: rounds.count,
            failed_rounds: rounds.failed,
            bytes_read: rounds.read,
            bytes_written: rounds.written,
            uncleanable: uncleanable
                .into_iter()
                .map(|(dir, (count, bytes))| (dir, count, bytes))
                .collect(),
        }
    }
}
