//! Repair of a damaged segment against what was written: what was not harmed stays, nothing is invented, the account is the
//! difference, a recovery finds nothing more to say, and the second time there is nothing to do.

use ottla_fuzz_checks::segment::{BASE, Harm, Segment, Spec, apply, build, config};
use ottla_log::recovery::{Carried, ScanConfig, SegmentScan, scan_segment};
use ottla_log::repair::{Extent, Findings, Marks, Policy, Surveyed, Walk, Walked, plan, survey};
use ottla_log::*;
use ottla_types::Time;
use ottla_wire::records::{BatchHeader, field};
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
    )
        .prop_map(|(records, body, producer, kind, epoch_step, gap)| Spec {
            records,
            body,
            producer,
            kind,
            epoch_step,
            gap,
            timestamp: 5,
        })
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0..6000usize;
    prop_oneof![
        4 => (at.clone(), 1..=255u8).prop_map(|(at, mask)| Harm::Flip { at, mask }),
        1 => at.clone().prop_map(|at| Harm::CutOff { at }),
        3 => (at, 1..600usize).prop_map(|(at, count)| Harm::Zero { at, count }),
        1 => (0..40usize, any::<i32>()).prop_map(|(at, value)| Harm::Length { at, value }),
        1 => (0..40usize, 0..9i32).prop_map(|(at, value)| Harm::Epoch { at, value }),
        1 => (0..40usize, 990..1050i64).prop_map(|(at, value)| Harm::BaseOffset { at, value }),
    ]
}

/// A log as files: base offset and bytes.
type Files = Vec<(i64, Vec<u8>)>;

fn look(files: &Files, anchors: &[u32], chunk: usize) -> Vec<Surveyed> {
    let walked = files.iter().enumerate().map(|(i, (base, bytes))| {
        let extent = Extent {
            base: *base,
            next: files.get(i + 1).map(|(next, _)| *next),
        };
        let mut walk = Walk::new(extent, bytes.len() as u64, anchors.to_vec());
        while let Some((at, least)) = walk.wants() {
            let end = bytes.len().min(at as usize + least.max(chunk));
            walk.feed(&bytes[at as usize..end]);
        }
        Walked::new(extent, bytes.len() as u64, walk)
    });
    survey(walked.collect())
}

/// What a repair leaves.
fn carry_out(files: &Files, findings: &Findings) -> Files {
    let mut after = files.clone();
    let Some(plan) = &findings.plan else { return after };
    for change in &plan.segments {
        let at = after
            .iter()
            .position(|(base, _)| *base == change.base)
            .expect("a segment");
        let (base, bytes) = after.remove(at);
        if change.front > 0 || (!change.gone && change.pieces.iter().all(|p| p.base != base)) {
            after.push((base, bytes[..change.front as usize].to_vec()));
        }
        for piece in &change.pieces {
            let (from, to) = (piece.position as usize, (piece.position + piece.bytes) as usize);
            after.push((piece.base, bytes[from..to].to_vec()));
        }
        after.sort();
    }
    after.extend(plan.new_segment.map(|base| (base, Vec::new())));
    after
}

/// The batches of files: header and the bytes that the checksum covers.
fn batches(files: &Files) -> Vec<(BatchHeader, Vec<u8>)> {
    let mut found = Vec::new();
    for (_, bytes) in files {
        let mut at = 0;
        while let Some(header) = BatchHeader::parse(&bytes[at..]) {
            let end = at + header.size_in_bytes();
            found.push((header, bytes[at + field::ATTRIBUTES..end].to_vec()));
            at = end;
        }
        assert_eq!(at, bytes.len(), "a repaired segment holds whole batches");
    }
    found
}

/// The batches as written, and which of them were not touched.
fn untouched(whole: &Segment, bytes: &[u8]) -> Vec<BatchHeader> {
    let ends = whole
        .boundaries
        .iter()
        .copied()
        .skip(1)
        .chain([whole.bytes.len()]);
    let places = whole.boundaries.iter().copied().zip(ends);
    places
        .filter(|(from, to)| bytes.get(*from..*to) == Some(&whole.bytes[*from..*to]))
        .filter_map(|(from, _)| BatchHeader::parse(&whole.bytes[from..]))
        .collect()
}

/// A recovery after the repair accepts every byte.
fn recovers(files: &Files) {
    let mut next = 0;
    for (base, bytes) in files {
        let mut carried = Carried::new(EpochCache::default(), Producers::new(i64::MAX));
        carried.next_offset = next;
        let cfg = ScanConfig::rebuild(&config(false));
        let scan = SegmentScan::new(
            cfg,
            SegmentState::new(*base, Time(0)),
            bytes.len() as u64,
            0,
            carried,
        );
        let report = scan_segment(scan, &mut bytes.as_slice(), &mut [0; 100]).expect("no violation");
        assert_eq!(report.cut, None);
        next = report.end;
    }
}

fn check(specs: &[Spec], harms: &[Harm], gaps: bool, with_index: bool, chunk: usize) {
    let whole = build(specs, gaps);
    let mut bytes = whole.bytes.clone();
    for harm in harms {
        apply(harm, &mut bytes, &whole.boundaries);
    }
    let anchors: Vec<u32> = whole.boundaries.iter().skip(1).map(|at| *at as u32).collect();
    let anchors = if with_index { anchors } else { Vec::new() };
    let end = batches(&vec![(BASE, whole.bytes.clone())])
        .last()
        .map_or(BASE, |(h, _)| h.next_offset());
    let marks = Marks {
        recovery_point: end,
        known_end: end,
        clean: false,
    };
    let before: Files = vec![(BASE, bytes.clone())];
    let surveyed = look(&before, &anchors, chunk);
    assert_eq!(
        surveyed,
        look(&before, &anchors, 1 << 20),
        "however the bytes come in"
    );
    let findings = plan(&surveyed, marks, Policy::Holes);
    // Base offsets and leader epochs that were changed: no checksum protects them.
    let changed = |field: std::ops::Range<usize>| {
        let of = |begin: &&usize| bytes.get(**begin + field.start..**begin + field.end);
        let was = |begin: &usize| whole.bytes.get(begin + field.start..begin + field.end);
        whole
            .boundaries
            .iter()
            .filter(|b| of(b).is_some() && of(b) != was(b))
            .count()
    };
    let (offsets_moved, epochs_moved) = (changed(0..8), changed(12..16));
    if offsets_moved > 0 && !findings.tail.is_empty() {
        // A batch that claims the last offsets makes what lies behind it look unflushed: left to recovery, which cuts it off.
        return;
    }
    let after = carry_out(&before, &findings);
    recovers(&after);
    let left = batches(&after);
    // Nothing invented: each batch's content was written, once, in this order.
    let mut written = batches(&vec![(BASE, whole.bytes.clone())]).into_iter();
    for (_, content) in &left {
        assert!(
            written.any(|(_, c)| c == *content),
            "a batch that nobody wrote there"
        );
    }
    // What was not harmed is there. Harm to offsets and epochs, which nothing protects, can be told from the batches around it only.
    let ambiguous = offsets_moved + epochs_moved > 0
        && (harms.len() > 1 || specs.len() < 3 || specs.iter().any(|s| s.epoch_step));
    if !ambiguous && (with_index || harms.len() == 1) {
        for header in untouched(&whole, &bytes) {
            assert!(
                left.iter().any(|(h, _)| *h == header),
                "offset {} was not harmed",
                header.base_offset
            );
        }
    }
    // The account is the difference.
    let size = |files: &Files| files.iter().map(|(_, b)| b.len() as u64).sum::<u64>();
    let lost = findings.plan.as_ref().map_or(0, |p| p.lost_bytes());
    assert_eq!(size(&before) - size(&after), lost);
    assert!(findings.tail.is_empty(), "all of it had been flushed");
    if !gaps && offsets_moved == 0 {
        let held: i64 = left.iter().map(|(h, _)| h.next_offset() - h.base_offset).sum();
        let told = findings.plan.as_ref().map_or(0, |p| p.lost_offsets()) as i64;
        let given = findings.plan.as_ref().map_or(end, |p| p.end);
        assert_eq!(
            held + told,
            given - BASE,
            "each offset is held or told of: {findings:?}"
        );
        assert!(given >= end, "no offset is given out again");
    }
    // The second time there is nothing to do.
    let point = findings.plan.as_ref().map_or(end, |p| p.recovery_point);
    let marks = Marks {
        recovery_point: point,
        ..marks
    };
    let again = plan(&look(&after, &[], 1 << 20), marks, Policy::Holes);
    assert_eq!((again.plan, again.tail), (None, Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_not_harmed_survives_a_repair(
        specs in prop::collection::vec(spec(), 1..40),
        harms in prop::collection::vec(harm(), 1..4),
        gaps in any::<bool>(),
        with_index in any::<bool>(),
        chunk in 61..400usize,
    ) {
        check(&specs, &harms, gaps, with_index, chunk);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600), point in -1..2000i64) {
        let files = vec![(BASE, bytes)];
        for policy in [Policy::Holes, Policy::Prefix] {
            let marks = Marks { recovery_point: point, known_end: point, clean: false };
            let _ = carry_out(&files, &plan(&look(&files, &[3, 70], 61), marks, policy));
        }
    }
}
