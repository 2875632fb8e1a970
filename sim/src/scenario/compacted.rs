//! What was written to a compacted topic, what is left of it, and whether that is right: the latest acknowledged record of each key is
//! there; a tombstone goes no earlier than `delete.retention.ms` after it was written and never before the values it deletes; offsets
//! are what was acknowledged, none twice; below the cleaner's checkpoint there is at most one record of a key; and no record twice.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_io::mem::MemDisk;
use ottla_types::Violation;
use ottla_wire::records::{Batches, Decompressor, Limits};

use super::compact::RETENTION;
use crate::world::World;

/// A record that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    offset: i64,
    key: String,
    /// `None` for a tombstone.
    value: Option<String>,
    /// What its producer called it, by a header.
    number: Option<u64>,
}

impl Kept {
    /// From a record's parts.
    pub(super) fn new(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>, number: Option<&[u8]>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Kept {
            offset,
            key: key.map(text).unwrap_or_default(),
            value: value.map(text),
            number: number.and_then(|number| text(number).parse().ok()),
        }
    }
}

/// A partition on the disk.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// In the order of the files.
    records: Vec<Kept>,
    /// Base and last offset of each batch, in the order of the files.
    batches: Vec<(i64, i64)>,
    /// Base offset of the active segment.
    pub(super) active: i64,
    /// What `cleaner-offset-checkpoint` says.
    pub(super) cleaned: Option<i64>,
}

/// Reads partition 0 of a topic.
pub(super) fn log(disk: &MemDisk, topic: &str) -> Log {
    let mut log = Log {
        active: -1,
        ..Log::default()
    };
    let folder = format!("/{topic}-0/");
    let mut scratch = Decompressor::new(Limits::default());
    // A swap that is decided hides what it replaces; one is read here only at rest.
    for path in disk.paths().iter().filter(|path| path.contains(&folder)) {
        let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".log"));
        let Some(base) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        log.active = log.active.max(base);
        let bytes = disk.peek(path).unwrap_or_default();
        for batch in Batches::tolerant(&bytes).map_while(Result::ok) {
            let header = *batch.header();
            let Ok(mut records) = batch.records_with(&mut scratch) else {
                break;
            };
            if batch.verify_crc().is_err() {
                break;
            }
            log.batches.push((header.base_offset, header.last_offset()));
            while let Some(Ok(record)) = records.next_record() {
                let number = record.headers().next().and_then(Result::ok).and_then(|h| h.value);
                let at = header.base_offset + i64::from(record.offset_delta);
                log.records.push(Kept::new(at, record.key, record.value, number));
            }
        }
    }
    let row = |text: Vec<u8>| {
        let text = String::from_utf8(text).ok()?;
        let rows = text.lines().skip(2);
        let mut found = rows.filter_map(|row| row.strip_prefix(&format!("{topic} 0 ")));
        found.next()?.parse().ok()
    };
    let path = disk
        .paths()
        .into_iter()
        .find(|path| path.ends_with("/cleaner-offset-checkpoint"));
    log.cleaned = path.and_then(|path| disk.peek(path)).and_then(row);
    log
}

/// A record that was handed to a producer.
#[derive(Debug)]
struct Sent {
    key: String,
    tombstone: bool,
    at: Duration,
    /// Its offset, once it was acknowledged with one.
    offset: Option<i64>,
}

/// Everything that was written, and read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Vec<Sent>,
    seen: BTreeMap<i64, Kept>,
    /// How often a consumer has read from the begin to the end.
    pub(super) passes: u64,
}

fn complain(world: &World, name: &'static str, text: String) {
    world.violation(Violation::new(name, text));
}

impl Ledger {
    /// Notes a record that is about to be sent and returns its number.
    pub(super) fn sent(&mut self, key: &str, tombstone: bool, at: Duration) -> u64 {
        self.sent.push(Sent {
            key: key.into(),
            tombstone,
            at,
            offset: None,
        });
        self.sent.len() as u64 - 1
    }

    /// A record was acknowledged. A duplicate whose offset the broker has forgotten has none.
    pub(super) fn acknowledged(&mut self, number: u64, offset: i64) {
        if let Some(sent) = self.sent.get_mut(number as usize).filter(|_| offset >= 0) {
            sent.offset = Some(offset);
        }
    }

    /// A consumer saw a record.
    pub(super) fn seen(&mut self, world: &World, record: &Kept) {
        self.is_sent(world, record);
        let before = self.seen.insert(record.offset, record.clone());
        if let Some(before) = before.filter(|before| before != record) {
            let text = format!("{before:?} was read, later {record:?}");
            complain(world, "reads-agree", text);
        }
    }

    /// The record is one that was sent, as it was sent, and where it was acknowledged.
    fn is_sent(&self, world: &World, record: &Kept) {
        let sent = record.number.and_then(|n| self.sent.get(n as usize));
        let same = sent.is_some_and(|sent| {
            let value = record.number.map(|n| format!("value {n}"));
            sent.key == record.key && record.value == value.filter(|_| !sent.tombstone)
        });
        if !same {
            complain(
                world,
                "nothing-is-invented",
                format!("{record:?} was sent as {sent:?}"),
            );
        }
        let at = sent.and_then(|sent| sent.offset);
        if at.is_some_and(|at| at != record.offset) {
            let text = format!("{record:?} was acknowledged at {at:?}");
            complain(world, "acknowledged-offsets-stand", text);
        }
    }

    /// Looks at the log after the cleaner has changed it.
    pub(super) fn watch(&self, world: &World, now: Duration, log: &Log) {
        world.count("checked.compacted");
        self.check_order(world, log);
        self.check_newest(world, now, log);
    }

    /// Looks at the log when all is over.
    pub(super) fn check(&self, world: &World, log: &Log) {
        self.watch(world, world.now(), log);
        let mut numbers = BTreeMap::new();
        for record in &log.records {
            self.is_sent(world, record);
            if let Some(before) = numbers.insert(record.number, record.offset) {
                complain(
                    world,
                    "written-once",
                    format!("{record:?} stands at {before} too"),
                );
            }
        }
        let limit = log.cleaned.unwrap_or(0).min(log.active);
        let mut keys = BTreeMap::new();
        for record in log.records.iter().filter(|record| record.offset < limit) {
            if let Some(before) = keys.insert(&record.key, record.offset) {
                let text = format!("{record:?} and one at {before}, both below {limit}");
                complain(world, "one-record-of-a-key", text);
            }
        }
        if log.records.len() < self.sent.len() {
            world.count("sometimes.the_cleaner_removed_something");
        }
    }

    /// Offsets rise from batch to batch, and no offset that was acknowledged lies above the log's end.
    fn check_order(&self, world: &World, log: &Log) {
        if let Some(pair) = log.batches.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
            complain(world, "offsets-ascend", format!("{pair:?}"));
        }
        let last = log.batches.last().map_or(-1, |batch| batch.1);
        if let Some(at) = self
            .sent
            .iter()
            .filter_map(|sent| sent.offset)
            .find(|at| *at > last)
        {
            let text = format!("{at} was acknowledged, the log ends with {last}");
            complain(world, "acknowledged-is-durable", text);
        }
    }

    /// The newest acknowledged record of each key, or a newer one, is there. If it is a tombstone, it may be gone after its time, but
    /// then so is everything before it.
    fn check_newest(&self, world: &World, now: Duration, log: &Log) {
        let mut newest: BTreeMap<&str, (i64, &Sent)> = BTreeMap::new();
        for sent in &self.sent {
            let Some(at) = sent.offset else { continue };
            let entry = newest.entry(&sent.key).or_insert((at, sent));
            if at > entry.0 {
                *entry = (at, sent);
            }
        }
        for (key, (at, sent)) in newest {
            let found = log.records.iter().filter(|record| record.key == key);
            let found = found.map(|record| record.offset).max();
            match found {
                Some(found) if found >= at => {}
                Some(found) => {
                    let text = format!("{key}: {sent:?} is gone, the newest is at {found}");
                    complain(world, "the-latest-value-survives", text);
                }
                None if self.was_deleted(key, at, now) => world.count("compact.tombstone_gone"),
                None => {
                    let text = format!("{key}: {sent:?} is gone at {now:?}");
                    let name = if sent.tombstone {
                        "tombstones-stay-their-time"
                    } else {
                        "the-latest-value-survives"
                    };
                    complain(world, name, text);
                }
            }
        }
    }
    /// Whether a tombstone of this key at `at` or above has had its time: one that was acknowledged, or may be in the log without.
    fn was_deleted(&self, key: &str, at: i64, now: Duration) -> bool {
        let deletes = |sent: &Sent| sent.tombstone && sent.offset.is_none_or(|offset| offset >= at);
        let old = |sent: &Sent| now >= sent.at + RETENTION;
        self.sent
            .iter()
            .any(|sent| sent.key == key && deletes(sent) && old(sent))
    }
}
