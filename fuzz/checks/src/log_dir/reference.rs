//! What recovery should make of a log directory, the simple way: whole files, one pass, from the rules of `DESIGN` and
//! `ottla_log::recovery` and not from the store's code.

use std::collections::BTreeMap;

use ottla_log::{EpochCache, EpochEntry, LogConfig};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, HEADER_SIZE};

use super::build::{FOLDER, Files};
use super::edit::is_segment;

/// What is expected.
#[derive(Debug, PartialEq)]
pub enum Expected {
    /// Segments by base with their sizes, and the log's end.
    Log {
        /// Sizes by base.
        segments: BTreeMap<Offset, usize>,
        /// The end.
        end: Offset,
    },
    /// Damage below the recovery point: the directory goes offline.
    Offline,
    /// Flushed bytes were changed, which a start does not look at: anything but a panic and a made-up record.
    Anything,
}

/// The numbers of an offset checkpoint for our partition; `None` for a file that can't be read.
pub fn checkpoint(files: &Files, name: &str) -> Option<Offset> {
    let text = std::str::from_utf8(files.get(&format!("data/{name}"))?).ok()?;
    let mut lines = text.lines();
    let count = (lines.next()? == "0").then(|| lines.next()?.trim().parse::<usize>().ok())??;
    let rows: Option<Vec<Option<Offset>>> = lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [topic, partition, offset] = words[..] else {
                return None;
            };
            let (partition, offset) = (partition.parse::<i32>().ok()?, offset.parse().ok()?);
            Some((topic == "orders" && partition == 0).then_some(offset))
        })
        .collect();
    let rows = rows.filter(|rows| rows.len() == count)?;
    rows.into_iter().flatten().last()
}

/// The epoch checkpoint; none for a file that can't be read.
pub fn epochs(files: &Files) -> EpochCache {
    let read = || {
        let text = std::str::from_utf8(files.get(&format!("{FOLDER}leader-epoch-checkpoint"))?).ok()?;
        let mut lines = text.lines();
        let count = (lines.next()? == "0").then(|| lines.next()?.trim().parse::<usize>().ok())??;
        let rows: Option<Vec<EpochEntry>> = lines
            .map(|line| {
                let (epoch, start) = line.split_once(' ')?;
                Some(EpochEntry {
                    epoch: epoch.parse().ok()?,
                    start: start.trim().parse().ok()?,
                })
            })
            .collect();
        rows.filter(|rows| rows.len() == count).map(EpochCache::load)
    };
    read().unwrap_or_default()
}

/// The segments of a directory, by base.
pub fn segments(files: &Files) -> BTreeMap<Offset, &Vec<u8>> {
    let base = |path: &str| path.get(FOLDER.len()..FOLDER.len() + 20)?.parse().ok();
    files
        .iter()
        .filter(|(path, _)| is_segment(path))
        .filter_map(|(path, bytes)| Some((base(path)?, bytes)))
        .collect()
}

/// The batches at the begin of a segment's bytes that are whole and have their checksum: position, header, bytes.
pub fn batches(bytes: &[u8]) -> Vec<(usize, BatchHeader, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(header) = BatchHeader::parse(&bytes[at..]) {
        let size = header.size_in_bytes();
        let Some(batch) = bytes[at..].get(..size).filter(|b| b.len() >= HEADER_SIZE) else {
            break;
        };
        if header.magic != 2 || crc32c::crc32c(&batch[21..]) != header.crc {
            break;
        }
        found.push((at, header, batch));
        at += size;
    }
    found
}

/// A pass over the segments.
struct Pass<'a> {
    compact: bool,
    recovery_point: Offset,
    epochs: EpochCache,
    epochs_known: bool,
    next: Offset,
    epoch: i32,
    /// The newest epoch of segments that were not read, so that nobody knows it.
    epoch_unread: i32,
    original: &'a BTreeMap<Offset, &'a Vec<u8>>,
}

/// What was found in one segment that is read whole.
struct Found {
    size: usize,
    whole: bool,
}

impl Pass<'_> {
    /// Reads a segment. `None` if what is expected depends on segments that were not read.
    fn read(&mut self, base: Offset, bytes: &[u8]) -> Option<Found> {
        self.next = self.next.max(base);
        let mut size = 0;
        for (at, header, batch) in batches(bytes) {
            let (first, last, epoch) = (
                header.base_offset,
                header.last_offset(),
                header.partition_leader_epoch,
            );
            let strict = self.next >= self.recovery_point;
            let follows = if strict && !self.compact {
                first == self.next
            } else {
                first >= self.next
            };
            let named = self
                .epochs
                .epoch_for(first)
                .filter(|_| strict && self.epochs_known);
            let fits = last >= first && last < Offset::MAX && last - base <= i64::from(i32::MAX);
            if (0..self.epoch_unread).contains(&epoch) && epoch >= self.epoch {
                return None;
            }
            let of_epoch = epoch < 0 || epoch >= self.epoch;
            let of_checkpoint = named.is_none_or(|named| (0..=named).contains(&epoch));
            if !(follows && fits && of_epoch && of_checkpoint && readable_marker(&header, batch)) {
                break;
            }
            if epoch >= 0 {
                self.epoch = epoch;
                if self.epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
                    self.epochs.assign(epoch, first);
                }
            }
            self.next = last + 1;
            size = at + batch.len();
        }
        Some(Found {
            size,
            whole: size == bytes.len(),
        })
    }

    /// Takes a segment that is not read for what it was.
    fn trust(&mut self, base: Offset, bytes: &[u8]) -> Option<()> {
        let same = self
            .original
            .get(&base)
            .is_some_and(|original| **original == bytes);
        let batches = batches(bytes);
        if let Some((_, last, _)) = batches.last() {
            self.next = self.next.max(last.next_offset());
            self.epoch_unread = self.epoch_unread.max(last.partition_leader_epoch);
        }
        same.then_some(())
    }
}

/// A control batch of a producer must hold an end-of-transaction marker, or nothing.
fn readable_marker(header: &BatchHeader, batch: &[u8]) -> bool {
    if !header.attributes.is_control() || !header.has_producer_id() || header.record_count == 0 {
        return true;
    }
    let batch = ottla_wire::records::BatchRef::first(batch).ok();
    let record = batch.and_then(|b| b.records().next()).and_then(Result::ok);
    record.is_some_and(|r| {
        let (key, value) = (r.key.unwrap_or_default(), r.value.unwrap_or_default());
        ottla_wire::records::EndTxnMarker::from_record(key, value).is_some()
    })
}

/// What should come of `files`, which were `original` before the damage.
pub fn expect(cfg: &LogConfig, original: &Files, files: &Files) -> Expected {
    let clean = files.contains_key("data/.kafka_cleanshutdown");
    let recovery_point = checkpoint(files, "recovery-point-offset-checkpoint").unwrap_or(0);
    let start = checkpoint(files, "log-start-offset-checkpoint").unwrap_or(0);
    let (original, found) = (segments(original), segments(files));
    let epochs = epochs(files);
    let mut pass = Pass {
        compact: cfg.compact,
        recovery_point,
        epochs_known: epochs.latest().is_some(),
        epochs,
        next: 0,
        epoch: -1,
        epoch_unread: -1,
        original: &original,
    };
    let bases: Vec<Offset> = found.keys().copied().collect();
    let mut kept = BTreeMap::new();
    for (i, (base, bytes)) in found.iter().enumerate() {
        let next = bases.get(i + 1).copied();
        let trusted = clean || next.is_some_and(|next| next <= recovery_point);
        let (size, whole) = if trusted {
            if pass.trust(*base, bytes).is_none() {
                return Expected::Anything;
            }
            (bytes.len(), true)
        } else {
            match pass.read(*base, bytes) {
                Some(found) => (found.size, found.whole),
                None => return Expected::Anything,
            }
        };
        let end = pass.next.max(*base);
        let gap = !trusted && !cfg.compact && next.is_some_and(|next| end < next);
        if end < recovery_point && (!whole || gap || next.is_none()) {
            return Expected::Offline;
        }
        kept.insert(*base, size);
        if !whole || gap {
            break;
        }
    }
    outcome(kept, start, pass.next)
}

/// A log that ends below its start begins anew there, as in Kafka.
fn outcome(kept: BTreeMap<Offset, usize>, start: Offset, end: Offset) -> Expected {
    let Some(first) = kept.keys().next().copied() else {
        return Expected::Log {
            segments: BTreeMap::from([(start, 0)]),
            end: start,
        };
    };
    let (start, end) = (start.max(first), end.max(first));
    if end < start {
        return Expected::Log {
            segments: BTreeMap::from([(start, 0)]),
            end: start,
        };
    }
    Expected::Log { segments: kept, end }
}
