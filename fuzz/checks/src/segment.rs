//! One segment through `ottla_log`'s scan, against a naive reading of the whole bytes: it never panics, keeps every batch below the
//! first damage, never invents or reorders one, builds the same indexes, and does nothing the second time.

use ottla_log::format::offset_index::OffsetEntry;
use ottla_log::format::time_index::TimeEntry;
use ottla_log::recovery::{Carried, ScanConfig, SegmentReport, SegmentScan, scan_segment};
use ottla_log::{EpochCache, LogConfig, Producers, SegmentState};
use ottla_types::Time;
use ottla_wire::records::{BatchHeader, HEADER_SIZE, patch};

use crate::batches::{data_batch, marker_batch};
use crate::input::Input;

/// Where the segment begins.
pub const BASE: i64 = 1000;
/// `index.interval.bytes`.
const INTERVAL: usize = 200;

/// A batch to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its records, 1 or more.
    pub records: i32,
    /// Bytes of its body.
    pub body: usize,
    /// Whose it is, if it is somebody's.
    pub producer: i64,
    /// 0 and 1 plain, 2 idempotent, 3 transactional, else a marker.
    pub kind: u8,
    /// Whether it begins a leader epoch.
    pub epoch_step: bool,
    /// Offsets left out before it, where a log may have gaps.
    pub gap: i64,
    /// Its timestamp.
    pub timestamp: i64,
}

/// A change to a segment's bytes. Places are taken modulo what there is.
#[derive(Debug, Clone)]
pub enum Harm {
    /// None at all.
    None,
    /// Flips the bits of `mask`.
    Flip {
        /// Where.
        at: usize,
        /// Which.
        mask: u8,
    },
    /// Cuts the end off.
    CutOff {
        /// Where.
        at: usize,
    },
    /// Zeroes bytes.
    Zero {
        /// Where.
        at: usize,
        /// How many.
        count: usize,
    },
    /// Appends bytes.
    Append {
        /// Which.
        bytes: Vec<u8>,
    },
    /// Exchanges the begin of the file with what follows `at`.
    Swap {
        /// Where.
        at: usize,
        /// How many bytes.
        count: usize,
    },
    /// Sets a batch's length.
    Length {
        /// Which batch.
        at: usize,
        /// To what.
        value: i32,
    },
    /// Sets a batch's leader epoch.
    Epoch {
        /// Which batch.
        at: usize,
        /// To what.
        value: i32,
    },
    /// Sets a batch's base offset.
    BaseOffset {
        /// Which batch.
        at: usize,
        /// To what.
        value: i64,
    },
}

/// A segment as it was written.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where its batches begin.
    pub boundaries: Vec<usize>,
    /// The epoch checkpoint.
    pub epochs: EpochCache,
}

/// Writes a segment. `gaps` says whether [`Spec::gap`] counts.
pub fn build(specs: &[Spec], gaps: bool) -> Segment {
    let (mut bytes, mut boundaries, mut epochs) = (Vec::new(), Vec::new(), EpochCache::default());
    let (mut next, mut epoch) = (BASE, 3);
    for spec in specs {
        if gaps {
            next += spec.gap;
        }
        epoch += i32::from(spec.epoch_step);
        let (records, body, timestamp) = (spec.records, spec.body, spec.timestamp);
        let mut batch = match spec.kind {
            0 | 1 => data_batch(records, body, timestamp, None),
            2 => data_batch(records, body, timestamp, Some((spec.producer, 0, 0, false))),
            3 => data_batch(records, body, timestamp, Some((10 + spec.producer, 0, 0, true))),
            _ => marker_batch(10 + spec.producer, 0, records == 1, timestamp),
        };
        patch::base_offset(&mut batch, next).expect("a whole header");
        patch::leader_epoch(&mut batch, epoch).expect("a whole header");
        epochs.assign(epoch, next);
        next = BatchHeader::parse(&batch).expect("a header").next_offset();
        boundaries.push(bytes.len());
        bytes.extend(batch);
    }
    Segment {
        bytes,
        boundaries,
        epochs,
    }
}

/// Overwrites a field of a batch's header.
fn overwrite(bytes: &mut [u8], boundaries: &[usize], batch: usize, field: usize, value: &[u8]) {
    let begin = boundaries
        .get(batch % boundaries.len().max(1))
        .copied()
        .unwrap_or(0)
        + field;
    if let Some(place) = bytes.get_mut(begin..begin + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Does one harm.
pub fn apply(harm: &Harm, bytes: &mut Vec<u8>, boundaries: &[usize]) {
    let len = bytes.len().max(1);
    match harm {
        Harm::None => {}
        Harm::Flip { at, mask } => {
            if let Some(byte) = bytes.get_mut(at % len) {
                *byte ^= mask;
            }
        }
        Harm::CutOff { at } => bytes.truncate(at % len),
        Harm::Zero { at, count } => bytes.iter_mut().skip(at % len).take(*count).for_each(|b| *b = 0),
        Harm::Append { bytes: more } => bytes.extend(more),
        Harm::Swap { at, count } => {
            let at = at % len;
            if let Some((low, high)) = bytes.split_at_mut_checked(at) {
                let count = low.len().min(high.len()).min(*count);
                low[..count].swap_with_slice(&mut high[..count]);
            }
        }
        Harm::Length { at, value } => overwrite(bytes, boundaries, *at, 8, &value.to_be_bytes()),
        Harm::Epoch { at, value } => overwrite(bytes, boundaries, *at, 12, &value.to_be_bytes()),
        Harm::BaseOffset { at, value } => overwrite(bytes, boundaries, *at, 0, &value.to_be_bytes()),
    }
}

/// The log's settings.
pub fn config(gaps: bool) -> LogConfig {
    LogConfig {
        index_interval_bytes: INTERVAL as u32,
        compact: gaps,
        ..LogConfig::default()
    }
}

/// Recovers the segment, `chunk` bytes at a time.
pub fn scan(bytes: &[u8], epochs: &EpochCache, gaps: bool, chunk: usize) -> SegmentReport {
    let carried = Carried::new(epochs.clone(), Producers::new(BASE));
    let state = SegmentState::new(BASE, Time(0));
    let cfg = ScanConfig::recover(&config(gaps), 0);
    let scan = SegmentScan::new(cfg, state, bytes.len() as u64, 0, carried);
    scan_segment(scan, &mut &bytes[..], &mut vec![0; chunk]).expect("no violation")
}

/// What recovery should find, the simple way.
#[derive(Debug, PartialEq)]
struct Naive {
    size: usize,
    end: i64,
    batches: u64,
    index: Vec<u8>,
    time: Vec<u8>,
}

/// Whether the batch at the begin of `rest` is whole, intact, and may follow.
fn is_good(
    header: &BatchHeader,
    batch: &[u8],
    epochs: &EpochCache,
    gaps: bool,
    end: i64,
    epoch: i32,
) -> bool {
    let named = epochs.epoch_for(header.base_offset).unwrap_or(i32::MAX);
    let (base, last) = (header.base_offset, header.last_offset());
    header.magic == 2
        && batch.len() >= HEADER_SIZE
        && crc32c::crc32c(&batch[21..]) == header.crc
        && if gaps { base >= end } else { base == end }
        && last >= base
        && last - BASE <= i64::from(i32::MAX)
        && header.partition_leader_epoch >= epoch.max(0)
        && header.partition_leader_epoch <= named
}

fn naive(bytes: &[u8], epochs: &EpochCache, gaps: bool) -> Naive {
    let mut found = Naive {
        size: 0,
        end: BASE,
        batches: 0,
        index: Vec::new(),
        time: Vec::new(),
    };
    let (mut last_entry, mut last_epoch) = (0, -1);
    let (mut max, mut written) = (TimeEntry::none(BASE), -1);
    while let Some(header) = BatchHeader::parse(&bytes[found.size..]) {
        let Some(batch) = bytes[found.size..].get(..header.size_in_bytes()) else {
            break;
        };
        if !is_good(&header, batch, epochs, gaps, found.end, last_epoch) {
            break;
        }
        let offset = header.last_offset();
        if header.max_timestamp > max.timestamp {
            max = TimeEntry {
                timestamp: header.max_timestamp,
                offset,
            };
        }
        if found.size - last_entry > INTERVAL {
            let position = found.size as u32;
            found
                .index
                .extend(OffsetEntry { offset, position }.to_bytes(BASE));
            if max.timestamp > written {
                found.time.extend(max.to_bytes(BASE));
                written = max.timestamp;
            }
            last_entry = found.size;
        }
        found.size += batch.len();
        found.end = offset + 1;
        found.batches += 1;
        last_epoch = header.partition_leader_epoch;
    }
    if max.timestamp > written {
        found.time.extend(max.to_bytes(BASE));
    }
    found
}

/// Damages a segment and checks what recovery makes of it.
pub fn check_damaged(specs: &[Spec], harms: &[Harm], gaps: bool, chunk: usize) {
    let whole = build(specs, gaps);
    let mut bytes = whole.bytes.clone();
    for harm in harms {
        apply(harm, &mut bytes, &whole.boundaries);
    }
    let report = scan(&bytes, &whole.epochs, gaps, chunk);
    let size = report.state.size as usize;
    let found = Naive {
        size,
        end: report.end,
        batches: report.batches,
        index: report.index.clone(),
        time: report.time_index.clone(),
    };
    assert_eq!(found, naive(&bytes, &whole.epochs, gaps));
    assert_eq!(report.cut.is_some(), size < bytes.len());
    check_kept(&whole, &bytes, size);
    if !gaps && !can_forge(harms) {
        check_nothing_invented(&whole, &bytes[..size]);
    }
    // The second time there is nothing to do, and how the bytes come in does not matter.
    let again = scan(&bytes[..size], &whole.epochs, gaps, 1000);
    assert_eq!(again.cut, None);
    assert_eq!(SegmentReport { cut: None, ..report }, again);
}

/// Whether these harms can make a batch that nobody wrote and nobody can tell from a real one: new bytes with a checksum that fits
/// (a fuzzer computes it), or a batch moved elsewhere and given the offset that comes next there, which no checksum covers.
fn can_forge(harms: &[Harm]) -> bool {
    let has = |wanted: fn(&Harm) -> bool| harms.iter().any(wanted);
    has(|h| matches!(h, Harm::Append { .. })) || (harms.len() > 1 && has(|h| matches!(h, Harm::Swap { .. })))
}

/// Every batch below the first changed byte is kept.
fn check_kept(whole: &Segment, bytes: &[u8], size: usize) {
    let pairs = bytes.iter().zip(&whole.bytes);
    let changed = pairs.clone().position(|(a, b)| a != b).unwrap_or(pairs.len());
    let ends = whole
        .boundaries
        .iter()
        .copied()
        .skip(1)
        .chain([whole.bytes.len()]);
    let safe = ends.take_while(|end| *end <= changed).last().unwrap_or(0);
    assert!(size >= safe, "{size} of {safe} safe bytes kept");
}

/// What is kept are batches that were written, byte for byte, but for a leader epoch that was changed to a lower possible one.
fn check_nothing_invented(whole: &Segment, kept: &[u8]) {
    assert!(kept.len() <= whole.bytes.len(), "more than was written");
    for (at, (a, b)) in kept.iter().zip(&whole.bytes).enumerate() {
        let begin = whole.boundaries.iter().rev().find(|begin| **begin <= at);
        let of_epoch = (12..16).contains(&(at - begin.copied().unwrap_or(0)));
        assert!(
            a == b || of_epoch,
            "byte {at} of {} was never written",
            kept.len()
        );
    }
}

fn spec(input: &mut Input) -> Spec {
    Spec {
        kind: input.byte() % 5,
        records: 1 + input.below(3) as i32,
        body: input.below(150),
        producer: input.below(3) as i64,
        epoch_step: input.one_in(10),
        gap: if input.one_in(10) {
            input.below(5) as i64
        } else {
            0
        },
        timestamp: input.below(1001) as i64 - 1,
    }
}

fn harm(input: &mut Input) -> Harm {
    let at = |input: &mut Input| input.below(6000);
    match input.byte() % 9 {
        0 => Harm::None,
        1 => Harm::Flip {
            at: at(input),
            mask: input.byte(),
        },
        2 => Harm::CutOff { at: at(input) },
        3 => Harm::Zero {
            at: at(input),
            count: input.below(600),
        },
        4 => {
            let count = input.below(200);
            Harm::Append {
                bytes: input.take(count).to_vec(),
            }
        }
        5 => Harm::Swap {
            at: at(input),
            count: input.below(300),
        },
        6 => Harm::Length {
            at: input.below(40),
            value: input.i32(),
        },
        7 => Harm::Epoch {
            at: input.below(40),
            value: input.i32(),
        },
        _ => Harm::BaseOffset {
            at: input.below(40),
            value: if input.one_in(2) {
                input.i64()
            } else {
                BASE + input.below(100) as i64
            },
        },
    }
}

/// The target: bytes as a segment and harms to it.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let gaps = input.one_in(4);
    let chunk = 1 + input.below(400);
    let specs: Vec<Spec> = (0..input.below(40)).map(|_| spec(&mut input)).collect();
    let harms: Vec<Harm> = (0..input.below(4)).map(|_| harm(&mut input)).collect();
    check_damaged(&specs, &harms, gaps, chunk);
}
