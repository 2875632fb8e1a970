//! What the members of a group had, read and committed, and what a watcher read: the oracle of `groups`. Time is a count of what
//! was noted, in the order in which it happened.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::group::{Committed, Offsets};
use ottla_client::{Error, Result};
use ottla_types::{ErrorCode, TopicPartition, Violation};

/// One commit of one partition.
struct Commit {
    begun: u64,
    partition: i32,
    offset: i64,
    generation: i32,
    /// When it was acknowledged.
    acknowledged: Option<u64>,
}

/// The group's history.
#[derive(Default)]
pub(super) struct GroupHistory {
    now: u64,
    /// Who had a partition in a generation.
    owners: BTreeMap<(i32, i32), String>,
    /// The latest generation of each member.
    generations: BTreeMap<String, i32>,
    /// What each member reads at the moment, and the offset that is due; `None` before its first record.
    reading: BTreeMap<(String, i32), Option<i64>>,
    /// The generation and the partitions of each host's member.
    holding: BTreeMap<String, (Option<i32>, Vec<i32>)>,
    commits: Vec<Commit>,
    /// What anybody has read.
    seen: BTreeSet<(i32, i64)>,
    /// The last that was read of what is committed.
    committed: BTreeMap<i32, i64>,
    reads: u64,
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
}

impl GroupHistory {
    /// The next moment.
    pub(super) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn complain(&mut self, name: &'static str, text: String) {
        self.violations.push(Violation::new(name, text));
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What was found since the last time.
    pub(super) fn take(&mut self) -> (Vec<Violation>, BTreeMap<&'static str, u64>) {
        (
            std::mem::take(&mut self.violations),
            std::mem::take(&mut self.counts),
        )
    }

    /// A member has all of these, `fresh` among them (G1, G2).
    pub(super) fn assigned(
        &mut self,
        name: &str,
        generation: Option<i32>,
        fresh: &[TopicPartition],
        all: &[TopicPartition],
    ) {
        for partition in fresh {
            self.reading.insert((name.to_owned(), partition.partition), None);
        }
        let Some(generation) = generation else { return };
        let before = self.generations.insert(name.to_owned(), generation).unwrap_or(-1);
        if generation < before {
            self.complain(
                "generations-grow",
                format!("{name} was in generation {before} and is in {generation}"),
            );
        }
        self.count("sometimes.a_generation_began");
        for partition in all {
            let key = (generation, partition.partition);
            let owner = self.owners.entry(key).or_insert_with(|| name.to_owned()).clone();
            if owner != name {
                self.complain(
                    "one-owner-in-a-generation",
                    format!("{partition} is both {owner}'s and {name}'s in generation {generation}"),
                );
            }
        }
        self.count("checked.owners");
    }

    /// A member gave these up.
    pub(super) fn gone(&mut self, name: &str, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.reading.remove(&(name.to_owned(), partition.partition));
            self.count("sometimes.a_partition_was_given_up");
        }
    }

    /// The group went on without a member that had these.
    pub(super) fn lost(&mut self, name: &str, partitions: &[TopicPartition]) {
        self.gone(name, partitions);
        if !partitions.is_empty() {
            self.count("sometimes.partitions_were_lost");
        }
    }

    /// A host's member has ended.
    pub(super) fn died(&mut self, host: &str) {
        self.holding.remove(host);
        let of_host = |name: &str| name == host || name.starts_with(&format!("{host}."));
        self.reading.retain(|(name, _), _| !of_host(name));
    }

    /// What a host's member has after a poll.
    pub(super) fn holds(&mut self, host: &str, generation: Option<i32>, partitions: &[TopicPartition]) {
        let partitions = partitions.iter().map(|p| p.partition).collect();
        self.holding.insert(host.to_owned(), (generation, partitions));
    }

    /// A member read a record: its own, the next one, and none before it was passed over without a commit.
    pub(super) fn consumed(&mut self, name: &str, partition: i32, offset: i64) {
        let attempted = self.commits.iter().filter(|c| c.partition == partition);
        let attempted = attempted.map(|c| c.offset).max().unwrap_or(0);
        let problem = match self.reading.get_mut(&(name.to_owned(), partition)) {
            None => Some((
                "reads-what-it-has",
                format!("{name} read {partition}:{offset}, which it has not"),
            )),
            Some(due) => {
                let before = due.replace(offset + 1);
                match before {
                    Some(due) if due != offset => Some((
                        "no-gaps",
                        format!("{name} read {partition}:{offset} where {due} was due"),
                    )),
                    None if offset > attempted => Some((
                        "no-gaps",
                        format!("{name} began at {partition}:{offset}; nobody committed past {attempted}"),
                    )),
                    _ => None,
                }
            }
        };
        if let Some((name, text)) = problem {
            self.complain(name, text);
        }
        self.seen.insert((partition, offset));
    }

    /// A member asks to commit; gives the commits' first number and how many there are.
    pub(super) fn commit_begins(&mut self, generation: i32, offsets: &Offsets) -> (usize, usize) {
        let begun = self.tick();
        let first = self.commits.len();
        self.commits.extend(offsets.iter().map(|(partition, at)| Commit {
            begun,
            partition: partition.partition,
            offset: at.offset,
            generation,
            acknowledged: None,
        }));
        (first, self.commits.len())
    }

    /// The answer to a commit. One of an older generation must not be taken after one of a newer (G3).
    pub(super) fn commit_ends(&mut self, (first, end): (usize, usize), result: Result<()>) {
        let now = self.tick();
        match result.as_ref().map_err(Error::code) {
            Ok(()) => {}
            Err(Some(ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)) => {
                return self.count("sometimes.a_commit_was_refused");
            }
            Err(_) => return self.count("sometimes.a_commit_failed"),
        }
        let mut stale = Vec::new();
        for index in first..end {
            let Some(commit) = self.commits.get(index) else {
                continue;
            };
            let newer = self.commits.iter().find(|c| {
                c.partition == commit.partition
                    && c.generation > commit.generation
                    && c.acknowledged.is_some_and(|at| at < commit.begun)
            });
            if let Some(newer) = newer {
                stale.push(format!(
                    "{}:{} of generation {} was taken after one of {}",
                    commit.partition, commit.offset, commit.generation, newer.generation
                ));
            }
        }
        for index in first..end {
            if let Some(commit) = self.commits.get_mut(index) {
                commit.acknowledged = Some(now);
            }
        }
        stale
            .into_iter()
            .for_each(|text| self.complain("old-generations-commit-nothing", text));
        self.count("sometimes.a_commit_was_acknowledged");
    }

    /// What is committed as somebody read it. A group whose members never seek only ever goes forward: anything below an
    /// acknowledged commit has taken that one back (G4).
    pub(super) fn read(&mut self, begun: u64, committed: &Committed) {
        self.tick();
        self.reads += 1;
        for (partition, at) in committed {
            let offset = at.as_ref().map_or(-1, |at| at.offset);
            self.committed.insert(partition.partition, offset);
        }
        let mut least: BTreeMap<i32, i64> = BTreeMap::new();
        for commit in &self.commits {
            if commit.acknowledged.is_some_and(|at| at < begun) {
                let least = least.entry(commit.partition).or_insert(-1);
                *least = (*least).max(commit.offset);
            }
        }
        for (partition, least) in least {
            let found = committed.iter().find(|(p, _)| p.partition == partition);
            let offset = found.and_then(|(_, at)| at.as_ref()).map_or(-1, |at| at.offset);
            if offset < least {
                self.complain(
                    "commits-stay",
                    format!("{partition}: {least} was acknowledged, {offset} is read"),
                );
            }
        }
        self.count("checked.committed");
    }

    /// How often what is committed was read.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// What the group still lacks: everything read and committed, and all of `members` in one generation with each partition at
    /// one of them (G8). `None` if nothing.
    pub(super) fn missing(&self, ends: &[i64], members: usize) -> Option<String> {
        for (partition, end) in (0..).zip(ends) {
            if let Some(unread) = (0..*end).find(|offset| !self.seen.contains(&(partition, *offset))) {
                return Some(format!("{partition}:{unread} was read by nobody"));
            }
            let committed = self.committed.get(&partition).copied().unwrap_or(-1);
            if committed.max(0) != *end {
                return Some(format!("{partition} is committed up to {committed} of {end}"));
            }
        }
        let generations: BTreeSet<Option<i32>> = self.holding.values().map(|(g, _)| *g).collect();
        let mut held: Vec<i32> = self.holding.values().flat_map(|(_, p)| p.clone()).collect();
        held.sort_unstable();
        let all: Vec<i32> = (0..).take(ends.len()).collect();
        let one = generations.len() == 1 && !generations.contains(&None);
        (self.holding.len() != members || !one || held != all)
            .then(|| format!("the group has not settled: {:?}", self.holding))
    }
}
