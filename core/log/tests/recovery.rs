//! Recovery of damaged segments against a naive one over the whole bytes: it never panics, keeps every batch below the first
//! damage, never invents or reorders one, builds the same indexes, and does nothing the second time. The check itself is the
//! fuzz target's (`ottla_fuzz_checks::segment`).

use ottla_fuzz_checks::batches::data_batch;
use ottla_fuzz_checks::segment::{BASE, Harm, Spec, build, check_damaged, config, scan};
use ottla_log::recovery::{Carried, ScanConfig, SegmentScan, scan_segment};
use ottla_log::*;
use ottla_types::Time;
use ottla_wire::records::{BatchHeader, patch};
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_segment_keeps_its_good_front(
        specs in prop::collection::vec(spec(), 0..40),
        harms in prop::collection::vec(harm(), 1..3),
        gaps in any::<bool>(),
        chunk in 1..400usize,
    ) {
        check_damaged(&specs, &harms, gaps, chunk);
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
        let scan_cut = SegmentScan::new(ScanConfig::cut(&config(gaps), offset), state, whole.bytes.len() as u64, 0, carried);
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
        ScanConfig::replay(&config(false)),
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
    let scan = SegmentScan::new(ScanConfig::rebuild(&config(false)), state, 500, 0, carried);
    let report = scan_segment(scan, &mut batch.as_slice(), &mut [0; 64]).expect("scan");
    assert_eq!((report.state.size, report.end), (71, BASE + 2));
}
