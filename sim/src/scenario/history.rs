//! What clients sent, were told and saw, and whether the log agrees. A record is its value, which nobody sends twice.

use std::collections::BTreeMap;

use ottla_types::Violation;

use crate::world::World;

/// A value that was handed to a producer.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// Which producer (one life of it): order is promised within one.
    pub(super) producer: String,
    /// The partition it went to.
    pub(super) partition: i32,
    /// Whether the producer promises order and at most one copy.
    pub(super) idempotent: bool,
}

/// The values of one test.
#[derive(Default)]
pub(super) struct History {
    /// In the order they were handed over, by number; a value's number is the first part of its text.
    sent: Vec<Sent>,
    acknowledged: BTreeMap<u64, i64>,
    failed: BTreeMap<u64, String>,
    /// What consumers saw, by partition and offset.
    seen: BTreeMap<(i32, i64), String>,
}

impl History {
    /// Notes a value that is about to be sent and returns its number and text.
    pub(super) fn sent(&mut self, sent: Sent) -> (u64, String) {
        let number = self.sent.len() as u64;
        let text = format!("{number} from {}", sent.producer);
        self.sent.push(sent);
        (number, text)
    }

    /// Notes what became of a value. `Err` says nothing about whether it is in the log.
    pub(super) fn ended(&mut self, number: u64, result: Result<i64, String>) {
        match result {
            Ok(offset) => drop(self.acknowledged.insert(number, offset)),
            Err(why) => drop(self.failed.insert(number, why)),
        }
    }

    /// Notes what a consumer saw: the same offset must always show the same.
    pub(super) fn seen(&mut self, world: &World, partition: i32, offset: i64, value: &str) {
        let before = self.seen.insert((partition, offset), value.to_owned());
        if let Some(before) = before.filter(|before| before != value) {
            let text = format!("{partition}:{offset} was read as `{before}`, later as `{value}`");
            world.violation(Violation::new("reads-agree", text));
        }
    }

    /// How many values were acknowledged, and how many were reported as failed.
    pub(super) fn ends(&self) -> (usize, usize) {
        (self.acknowledged.len(), self.failed.len())
    }

    /// Whether consumers saw all of these logs.
    pub(super) fn saw_all(&self, logs: &[BTreeMap<i64, String>]) -> bool {
        self.seen.len() >= logs.iter().map(BTreeMap::len).sum()
    }

    /// Holds the history against the partitions' logs.
    pub(super) fn check(&self, world: &World, logs: &[BTreeMap<i64, String>]) {
        world.count("checked.history");
        let complain = |name, text| world.violation(Violation::new(name, text));
        let mut copies: BTreeMap<u64, Vec<(i32, i64)>> = BTreeMap::new();
        for (partition, log) in (0..).zip(logs) {
            if let Some((expected, (offset, _))) = (0..).zip(log).find(|(n, (offset, _))| n != *offset) {
                complain(
                    "offsets-are-dense",
                    format!("expected {partition}:{expected}, found {offset}"),
                );
            }
            let mut last: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
            for (offset, value) in log {
                let number = value.split(' ').next().and_then(|n| n.parse::<u64>().ok());
                let sent = number.and_then(|n| Some((n, self.sent.get(usize::try_from(n).ok()?)?)));
                let Some((number, sent)) = sent.filter(|(n, s)| {
                    s.partition == partition && *value == format!("{n} from {}", s.producer)
                }) else {
                    complain(
                        "nothing-is-invented",
                        format!("{partition}:{offset} holds `{value}`"),
                    );
                    continue;
                };
                copies.entry(number).or_default().push((partition, *offset));
                let before = last.insert(&sent.producer, (number, *offset));
                if let Some((before, at)) = before.filter(|(before, _)| sent.idempotent && *before > number) {
                    complain(
                        "order-of-a-producer",
                        format!("{partition}:{offset} holds {number}, behind {before} at {at}"),
                    );
                }
            }
        }
        for (number, places) in copies.iter().filter(|(_, places)| places.len() > 1) {
            if self.sent.get(*number as usize).is_some_and(|s| s.idempotent) {
                complain("written-once", format!("{number} stands at {places:?}"));
            } else {
                world.count("sometimes.a_retry_wrote_twice");
            }
        }
        for (number, offset) in &self.acknowledged {
            let partition = self.sent.get(*number as usize).map_or(-1, |s| s.partition);
            let known = copies
                .get(number)
                .is_some_and(|places| places.contains(&(partition, *offset)));
            // A duplicate that the broker has forgotten the offset of is acknowledged without one.
            let somewhere = *offset < 0 && copies.contains_key(number);
            if !known && !somewhere {
                complain(
                    "acknowledged-is-durable",
                    format!(
                        "{number} was acknowledged at {partition}:{offset}; it stands at {:?}",
                        copies.get(number)
                    ),
                );
            }
        }
        for ((partition, offset), value) in &self.seen {
            let found = logs.get(*partition as usize).and_then(|log| log.get(offset));
            if found != Some(value) {
                complain(
                    "read-is-durable",
                    format!("{partition}:{offset} was read as `{value}`, in the log there is {found:?}"),
                );
            }
        }
        if self.acknowledged.len() + self.failed.len() != self.sent.len() {
            world.count("sometimes.a_producer_died_with_records_under_way");
        }
    }
}
