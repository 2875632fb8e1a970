//! Recovery of damaged segments against a naive one over the whole bytes: it never panics, keeps every batch below the first
//! damage, never invents or reorders one, builds the same indexes, and does nothing the second time.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use ottla_log::format::offset_index::OffsetEntry;
use ottla_log::format::time_index::TimeEntry;
use ottla_log::recovery::{Carried, ScanConfig, SegmentReport, SegmentScan, scan_segment};
use ottla_log::*;
use ottla_types::Time;
use ottla_wire::records::{BatchHeader, patch};
use proptest::prelude::*;
use support::{data_batch, marker_batch};

const BASE: i64 = 1000;

#[derive(Debug, Clone)]
struct Spec {
    records: i32,
    body: usize,
    producer: i64,
    kind: u8,
    epoch_step: bool,
    gap: i64,
    timestamp: i64,
}

fn spec() -> impl Strategy<Value = Spec> {
    let gap = prop_oneof![9 => Just(0i64), 1 => 1..5i64];
    (
        1..4i32,
        0..150usize,
        0..3i64,
        0..5u8,
        prop::bool::weighted(0.1),
        gap,
        -1..1000i64,
    )
        .prop_map(
            |(records, body, producer, kind, epoch_step, gap, timestamp)| Spec {
                records,
                body,
                producer,
                kind,
                epoch_step,
                gap,
                timestamp,
            },
        )
}

/// A change to a segment's bytes.
#[derive(Debug, Clone)]
enum Harm {
    None,
    Flip { at: usize, mask: u8 },
    CutOff { at: usize },
    Zero { at: usize, count: usize },
    Append { bytes: Vec<u8> },
    Swap { at: usize, count: usize },
    Length { at: usize, value: i32 },
    Epoch { at: usize, value: i32 },
    BaseOffset { at: usize, value: i64 },
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0..6000usize;
    prop_oneof![
        1 => Just(Harm::None),
        4 => (at.clone(), 1..=255u8).prop_map(|(at, mask)| Harm::Flip { at, mask }),
        2 => at.clone().prop_map(|at| Harm::CutOff { at }),
        2 => (at.clone(), 1..600usize).prop_map(|(at, count)| Harm::Zero { at, count }),
        1 => prop::collection::vec(any::<u8>(), 1..200).prop_map(|bytes| Harm::Append { bytes }),
        1 => (at.clone(), 1..300usize).prop_map(|(at, count)| Harm::Swap { at, count }),
        1 => (0..40usize, any::<i32>()).prop_map(|(at, value)| Harm::Length { at, value }),
        1 => (0..40usize, -1..9i32).prop_map(|(at, value)| Harm::Epoch { at, value }),
        1 => (0..40usize, 990..1050i64).prop_map(|(at, value)| Harm::BaseOffset { at, value }),
    ]
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

fn apply(harm: &Harm, bytes: &mut Vec<u8>, boundaries: &[usize]) {
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

struct Segment {
    bytes: Vec<u8>,
    boundaries: Vec<usize>,
    epochs: EpochCache,
}

fn build(specs: &[Spec], gaps: bool) -> Segment {
    let (mut bytes, mut boundaries, mut epochs) = (Vec::new(), Vec::new(), EpochCache::default());
    let (mut next, mut epoch) = (BASE, 3);
    for spec in specs {
        if gaps {
            next += spec.gap;
        }
        epoch += i32::from(spec.epoch_step);
        let mut batch = match spec.kind {
            0 | 1 => data_batch(spec.records, spec.body, spec.timestamp, None),
            2 => data_batch(
                spec.records,
                spec.body,
                spec.timestamp,
                Some((spec.producer, 0, 0, false)),
            ),
            3 => data_batch(
                spec.records,
                spec.body,
                spec.timestamp,
                Some((10 + spec.producer, 0, 0, true)),
            ),
            _ => marker_batch(10 + spec.producer, 0, spec.records == 1, spec.timestamp),
        };
        patch::base_offset(&mut batch, next).expect("patch");
        patch::leader_epoch(&mut batch, epoch).expect("patch");
        epochs.assign(epoch, next);
        next = BatchHeader::parse(&batch).expect("header").next_offset();
        boundaries.push(bytes.len());
        bytes.extend(batch);
    }
    Segment {
        bytes,
        boundaries,
        epochs,
    }
}

fn cfg(gaps: bool) -> LogConfig {
    LogConfig {
        index_interval_bytes: 200,
        compact: gaps,
        ..LogConfig::default()
    }
}

fn scan(bytes: &[u8], epochs: &EpochCache, gaps: bool, chunk: usize) -> SegmentReport {
    let carried = Carried::new(epochs.clone(), Producers::new(BASE));
    let state = SegmentState::new(BASE, Time(0));
    let scan = SegmentScan::new(
        ScanConfig::recover(&cfg(gaps), 0),
        state,
        bytes.len() as u64,
        0,
        carried,
    );
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
        let (size, last) = (header.size_in_bytes(), header.last_offset());
        let Some(batch) = bytes[found.size..].get(..size) else {
            break;
        };
        let named = epochs.epoch_for(header.base_offset).unwrap_or(i32::MAX);
        let epoch = header.partition_leader_epoch;
        let good = header.magic == 2
            && size >= 61
            && crc32c::crc32c(&batch[21..]) == header.crc
            && if gaps {
                header.base_offset >= found.end
            } else {
                header.base_offset == found.end
            }
            && last >= header.base_offset
            && last - BASE <= i64::from(i32::MAX)
            && epoch >= last_epoch.max(0)
            && epoch <= named;
        if !good {
            break;
        }
        if header.max_timestamp > max.timestamp {
            max = TimeEntry {
                timestamp: header.max_timestamp,
                offset: last,
            };
        }
        if found.size - last_entry > 200 {
            found.index.extend(
                OffsetEntry {
                    offset: last,
                    position: found.size as u32,
                }
                .to_bytes(BASE),
            );
            if max.timestamp > written {
                found.time.extend(max.to_bytes(BASE));
                written = max.timestamp;
            }
            last_entry = found.size;
        }
        found.size += size;
        found.end = last + 1;
        found.batches += 1;
        last_epoch = epoch;
    }
    if max.timestamp > written {
        found.time.extend(max.to_bytes(BASE));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_segment_keeps_its_good_front(
        specs in prop::collection::vec(spec(), 0..40),
        harms in prop::collection::vec(harm(), 1..3),
        gaps in any::<bool>(),
        chunk in 1..400usize,
    ) {
        let whole = build(&specs, gaps);
        let mut bytes = whole.bytes.clone();
        for harm in &harms {
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
        prop_assert_eq!(&found, &naive(&bytes, &whole.epochs, gaps));
        prop_assert_eq!(report.cut.is_some(), size < bytes.len());

        // Every batch below the first changed byte is kept.
        let changed = bytes.iter().zip(&whole.bytes).position(|(a, b)| a != b).unwrap_or(bytes.len().min(whole.bytes.len()));
        let mut ends = whole.boundaries.iter().copied().skip(1).chain([whole.bytes.len()]);
        let safe = ends.by_ref().take_while(|end| *end <= changed).last().unwrap_or(0);
        prop_assert!(size >= safe, "{} of {} safe bytes kept", size, safe);
        // Nothing is invented: without gaps what is kept are the batches that were written, byte for byte, but for a leader
        // epoch that was changed to a lower possible one.
        if !gaps {
            let same = bytes[..size].iter().zip(&whole.bytes).enumerate().all(|(at, (a, b))| {
                let begin = whole.boundaries.iter().rev().find(|begin| **begin <= at).copied().unwrap_or(0);
                a == b || (12..16).contains(&(at - begin))
            });
            prop_assert!(same && size <= whole.bytes.len());
        }
        // The second time there is nothing to do, and how the bytes come in does not matter.
        let again = scan(&bytes[..size], &whole.epochs, gaps, 1000);
        prop_assert_eq!(&again.cut, &None);
        prop_assert_eq!(SegmentReport { cut: None, ..report.clone() }, again);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..100usize) {
        let report = scan(&bytes, &EpochCache::default(), true, chunk);
        prop_assert!(report.state.size as usize <= bytes.len());
        for (index, base) in [(&bytes, 0), (&bytes, i64::MAX)] {
            let loaded = SegmentState::loaded(base, 10, Time(0), index, index);
            let _ = (loaded.cut_before(5, index, index), ottla_log::recovery::sanity_check(base, 9, Some(index), Some(index), index));
        }
        let _ = Producers::from_snapshot(7, &bytes, Time(0), 1);
    }

    /// A cut goes before the first batch that holds the offset or a later one.
    #[test]
    fn a_cut_is_found_at_any_offset(specs in prop::collection::vec(spec(), 1..30), at in 0..100i64, gaps in any::<bool>()) {
        let whole = build(&specs, gaps);
        let offset = BASE + at;
        let built = scan(&whole.bytes, &whole.epochs, gaps, 64);
        let loaded = SegmentState::loaded(BASE, built.state.size, Time(0), &built.index, &built.time_index);
        let state = loaded.cut_before(offset, &built.index, &built.time_index);
        let carried = Carried::new(EpochCache::default(), Producers::new(BASE));
        let scan_cut = SegmentScan::new(ScanConfig::cut(&cfg(gaps), offset), state, whole.bytes.len() as u64, 0, carried);
        let cut = scan_segment(scan_cut, &mut whole.bytes.as_slice(), &mut [0; 70]).expect("scan");
        let headers: Vec<BatchHeader> =
            whole.boundaries.iter().filter_map(|begin| BatchHeader::parse(&whole.bytes[*begin..])).collect();
        let first = headers.iter().position(|h| h.last_offset() >= offset);
        let size = first.map_or(whole.bytes.len(), |n| whole.boundaries[n]);
        prop_assert_eq!(cut.state.size as usize, size);
        let spanning = first.map(|n| headers[n].base_offset).filter(|base| *base < offset);
        prop_assert_eq!(cut.end, spanning.unwrap_or(offset));
        // The same as if the rest had never been written.
        let fresh = scan(&whole.bytes[..size], &whole.epochs, gaps, 64);
        prop_assert_eq!(cut.carried.producers.snapshot(), fresh.carried.producers.snapshot());
        prop_assert_eq!(cut.state.max_timestamp.timestamp, fresh.state.max_timestamp.timestamp);
        prop_assert_eq!(cut.state.index_entries, fresh.state.index_entries);
        prop_assert_eq!(cut.state.bytes_since_index, fresh.state.bytes_since_index);
    }
}

/// A table that a snapshot has brought up to an offset takes in what lies above, once.
#[test]
fn batches_below_the_snapshot_are_not_taken_in_again() {
    let mut bytes = Vec::new();
    for (i, sequence) in [0, 2, 4].into_iter().enumerate() {
        let mut batch = data_batch(2, 10, 5, Some((7, 0, sequence, false)));
        patch::base_offset(&mut batch, BASE + 2 * i as i64).expect("patch");
        patch::leader_epoch(&mut batch, 0).expect("patch");
        bytes.extend(batch);
    }
    let first = scan(&bytes[..71], &EpochCache::default(), false, 50)
        .carried
        .producers;
    assert_eq!(
        (first.end(), first.get(7).map(|e| e.batches().len())),
        (BASE + 2, Some(1))
    );
    let state = SegmentState::new(BASE, Time(0));
    let carried = Carried::new(EpochCache::default(), first);
    let scan = SegmentScan::new(
        ScanConfig::replay(&cfg(false)),
        state,
        bytes.len() as u64,
        0,
        carried,
    );
    let report = scan_segment(scan, &mut bytes.as_slice(), &mut [0; 64]).expect("scan");
    assert_eq!(
        report.carried.producers.get(7).map(|e| e.batches().len()),
        Some(3)
    );
}

/// A file that is shorter than its length said is cut at its last whole batch, not waited for.
#[test]
fn a_file_that_ends_early_is_cut() {
    let whole = build(&[], false);
    assert_eq!(scan(&whole.bytes, &whole.epochs, false, 9).end, BASE);
    let mut batch = data_batch(2, 10, 5, None);
    patch::base_offset(&mut batch, BASE).expect("patch");
    let carried = Carried::new(EpochCache::default(), Producers::new(BASE));
    let state = SegmentState::new(BASE, Time(0));
    let scan = SegmentScan::new(ScanConfig::rebuild(&cfg(false)), state, 500, 0, carried);
    let report = scan_segment(scan, &mut batch.as_slice(), &mut [0; 64]).expect("scan");
    assert_eq!((report.state.size, report.end), (71, BASE + 2));
}
