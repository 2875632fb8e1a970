//! The machine's rules one by one; its random lives are in `tests/machine.rs`.

use super::*;
use ottla_types::Time;

const NOW: Time = Time(1000);

fn batch(records: i64, size: u32) -> BatchMeta {
    BatchMeta {
        base_offset: 0,
        last_offset: records - 1,
        size,
        max_timestamp: 500,
        leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: records as u32,
        is_transactional: false,
        is_control: false,
        control: None,
    }
}

fn log() -> Log {
    Log::create(0, NOW, &mut Vec::new())
}

fn cfg() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        max_message_bytes: 500,
        ..LogConfig::default()
    }
}

fn lead(
    log: &mut Log,
    records: i64,
    size: u32,
    epoch: Epoch,
    out: &mut Vec<Effect>,
) -> Result<Appended, AppendError> {
    log.append(&cfg(), &AppendInfo::client(batch(records, size), epoch, NOW), out)
}

fn follow(
    log: &mut Log,
    base: Offset,
    epoch: Epoch,
    following: Epoch,
    out: &mut Vec<Effect>,
) -> Result<Appended, AppendError> {
    log.append(
        &cfg(),
        &AppendInfo::replicated(batch(2, 100).at(base, epoch), following, NOW),
        out,
    )
}

#[test]
fn a_leader_gives_offsets_and_its_epoch() {
    let (mut log, mut out) = (log(), Vec::new());
    lead(&mut log, 3, 100, 4, &mut out).expect("append");
    let second = lead(&mut log, 2, 80, 4, &mut out).expect("append");
    let expected = Appended::Written {
        base_offset: 3,
        last_offset: 4,
        leader_epoch: 4,
        segment: 0,
        position: 100,
    };
    assert_eq!(second, expected);
    let write = |position, size, base_offset, last_offset| Effect::Write {
        segment: 0,
        position,
        size,
        base_offset,
        last_offset,
    };
    assert_eq!(
        out,
        [Effect::EpochsChanged, write(0, 100, 0, 2), write(100, 80, 3, 4)]
    );
    assert_eq!(
        (log.end(), log.high_watermark(), log.end_offset_for(4).end),
        (5, 0, 5)
    );
}

#[test]
fn a_roll_closes_snapshots_and_opens_in_this_order() {
    let (mut log, mut out) = (log(), Vec::new());
    for _ in 0..2 {
        lead(&mut log, 1, 500, 0, &mut out).expect("append");
    }
    out.clear();
    lead(&mut log, 1, 500, 0, &mut out).expect("append");
    assert!(
        matches!(
            out.as_slice(),
            [
                Effect::TimeIndexEntry { segment: 0, .. },
                Effect::CloseSegment {
                    segment: 0,
                    reason: RollReason::Size,
                    size: 1000,
                    end: 2
                },
                Effect::ProducerSnapshot { offset: 2, .. },
                Effect::OpenSegment { base: 2 },
                Effect::Write {
                    segment: 2,
                    position: 0,
                    ..
                },
            ]
        ),
        "{out:?}"
    );
    log.check().expect("invariants");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut log, mut out) = (log(), Vec::new());
    follow(&mut log, 10, 3, 5, &mut out).expect("a follower may begin behind a gap");
    assert_eq!(
        log.segments().list().iter().map(|s| s.base).collect::<Vec<_>>(),
        [0]
    );
    let (before, effects) = (log.clone(), out.clone());
    assert_eq!(
        lead(&mut log, 1, 501, 5, &mut out),
        Err(AppendError::TooLarge {
            size: 501,
            limit: 500
        })
    );
    let large = AppendInfo::replicated(batch(1, 1001).at(12, 3), 5, NOW);
    let too_large = AppendError::LargerThanSegment {
        size: 1001,
        limit: 1000,
    };
    assert_eq!(log.append(&cfg(), &large, &mut out), Err(too_large));
    let behind = AppendError::UnexpectedOffset {
        base_offset: 11,
        end: 12,
    };
    assert_eq!(follow(&mut log, 11, 3, 5, &mut out), Err(behind));
    for epoch in [-1, 2, 6] {
        let error = AppendError::UnexpectedEpoch {
            epoch,
            newest: 3,
            following: 5,
        };
        assert_eq!(follow(&mut log, 12, epoch, 5, &mut out), Err(error));
    }
    let control = BatchMeta {
        is_control: true,
        ..batch(1, 100)
    };
    let control = log.append(&cfg(), &AppendInfo::client(control, 5, NOW), &mut out);
    assert!(matches!(control, Err(AppendError::Invalid { .. })));
    let backwards = BatchMeta {
        last_offset: -1,
        ..batch(1, 100)
    };
    let backwards = log.append(&cfg(), &AppendInfo::client(backwards, 5, NOW), &mut out);
    assert!(matches!(backwards, Err(AppendError::Invalid { .. })));
    assert_eq!(
        follow(&mut log, Offset::MAX - 1, 3, 5, &mut out),
        Err(AppendError::NoOffsetsLeft)
    );
    // A leader that has fallen behind its own log is a broken invariant, not a bad request.
    assert!(matches!(
        lead(&mut log, 1, 100, 2, &mut out),
        Err(AppendError::Violation(_))
    ));
    assert_eq!((log, out), (before, effects));
}

#[test]
fn a_follower_opens_a_segment_where_offsets_would_overflow() {
    let (mut log, mut out) = (log(), Vec::new());
    follow(&mut log, 0, 0, 0, &mut out).expect("append");
    let far = 1 << 40;
    follow(&mut log, far, 0, 0, &mut out).expect("append");
    assert_eq!(
        log.segments()
            .list()
            .iter()
            .map(|s| (s.base, s.size))
            .collect::<Vec<_>>(),
        [(0, 100), (far, 100)]
    );
    log.check().expect("invariants");
}

#[test]
fn watermarks_stay_within_the_log_and_only_rise() {
    let (mut log, mut out) = (log(), Vec::new());
    lead(&mut log, 5, 100, 0, &mut out).expect("append");
    out.clear();
    log.set_high_watermark(9, &mut out);
    assert_eq!(
        out,
        [
            Effect::HighWatermarkMoved { offset: 5 },
            Effect::LastStableMoved { offset: 5 }
        ]
    );
    log.set_high_watermark(3, &mut out);
    assert_eq!((log.high_watermark(), out.len()), (5, 2));
    let range = LogError::OffsetOutOfRange {
        offset: 6,
        low: 0,
        high: 5,
    };
    assert_eq!(log.move_start(6, StartCause::DeleteRecords, &mut out), Err(range));
    log.move_start(4, StartCause::DeleteRecords, &mut out)
        .expect("within");
    log.move_start(2, StartCause::Leader, &mut out)
        .expect("nothing to do");
    assert_eq!(log.start(), 4);
    log.flushed(99);
    assert_eq!(log.recovery_point(), 5);
}

#[test]
fn retention_of_everything_leaves_an_empty_segment() {
    let (mut log, mut out) = (log(), Vec::new());
    let cfg = LogConfig {
        retention_ms: Some(100),
        ..cfg()
    };
    for _ in 0..3 {
        lead(&mut log, 1, 500, 0, &mut out).expect("append");
    }
    log.set_high_watermark(2, &mut out);
    out.clear();
    log.retention(&cfg, Time(10_000), &mut out).expect("retention");
    let moved = Effect::StartMoved {
        offset: 2,
        cause: StartCause::RetentionTime,
    };
    assert!(
        out.starts_with(&[moved]) && out.ends_with(&[Effect::DeleteSegment { segment: 0 }]),
        "{out:?}"
    );
    log.set_high_watermark(3, &mut out);
    out.clear();
    log.retention(&cfg, Time(10_000), &mut out).expect("retention");
    assert!(
        out.contains(&Effect::OpenSegment { base: 3 })
            && out.ends_with(&[Effect::DeleteSegment { segment: 2 }])
    );
    assert_eq!((log.start(), log.end(), log.segments().list().len()), (3, 3, 1));
    out.clear();
    log.retention(&cfg, Time(u64::MAX >> 1), &mut out)
        .expect("retention");
    assert_eq!(out, [], "an empty active segment stays");
    let kept = LogConfig { delete: false, ..cfg };
    lead(&mut log, 1, 500, 0, &mut out).expect("append");
    log.set_high_watermark(4, &mut out);
    out.clear();
    log.retention(&kept, Time(u64::MAX >> 1), &mut out)
        .expect("retention");
    assert_eq!(out, [], "a compacted log deletes by its start only");
}

#[test]
fn flush_messages_asks_for_a_flush() {
    let (mut log, mut out) = (log(), Vec::new());
    let cfg = LogConfig {
        flush_messages: Some(2),
        ..cfg()
    };
    let info = AppendInfo::client(batch(1, 100), 0, NOW);
    log.append(&cfg, &info, &mut out).expect("append");
    assert!(!out.contains(&Effect::Flush { to: 1 }));
    log.append(&cfg, &info, &mut out).expect("append");
    assert_eq!(out.last(), Some(&Effect::Flush { to: 2 }));
    log.flushed(2);
    out.clear();
    log.append(&cfg, &info, &mut out).expect("append");
    assert_eq!(out.len(), 1);
}

#[test]
fn a_log_that_ends_below_its_start_begins_anew() {
    let found = Recovered {
        segments: vec![SegmentState::new(0, NOW), SegmentState::new(5, NOW)],
        epochs: EpochCache::load([crate::EpochEntry { epoch: 1, start: 0 }]),
        producers: Producers::new(0),
        start: 20,
        end: 7,
        high_watermark: 30,
        recovery_point: 7,
    };
    let mut out = Vec::new();
    let log = Log::recover(found, NOW, &mut out).expect("no violation");
    assert_eq!(
        (log.start(), log.end(), log.high_watermark(), log.recovery_point()),
        (20, 20, 20, 20)
    );
    let expected = [
        Effect::DeleteSegment { segment: 5 },
        Effect::DeleteSegment { segment: 0 },
        Effect::EpochsChanged,
        Effect::OpenSegment { base: 20 },
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_truncation_that_does_not_fit_is_refused() {
    let (mut log, mut out) = (log(), Vec::new());
    for _ in 0..5 {
        lead(&mut log, 1, 500, 0, &mut out).expect("append");
    }
    log.flushed(5);
    let good = Truncation {
        end: 1,
        segment: SegmentState {
            size: 500,
            ..log.segments().list()[0]
        },
        producers: Producers::new(0),
    };
    let before = log.clone();
    for bad in [
        Truncation {
            end: 6,
            ..good.clone()
        },
        Truncation {
            segment: SegmentState {
                size: 1001,
                ..good.segment
            },
            ..good.clone()
        },
        Truncation {
            segment: SegmentState {
                base: 7,
                ..good.segment
            },
            ..good.clone()
        },
    ] {
        out.clear();
        assert!(matches!(
            log.truncate(bad, &mut out),
            Err(LogError::OffsetOutOfRange { .. })
        ));
        assert_eq!((&log, out.len()), (&before, 0));
    }
    log.truncate(good, &mut out).expect("fits");
    let cut = Effect::TruncateSegment {
        segment: 0,
        size: 500,
        index_entries: 0,
        time_entries: 1,
        end: 1,
    };
    let expected = [
        Effect::RecoveryPointLowered { offset: 1 },
        Effect::DeleteSegment { segment: 4 },
        Effect::DeleteSegment { segment: 2 },
        cut,
        Effect::DeleteSnapshotsAbove { offset: 1 },
    ];
    assert_eq!(out, expected);
    log.check().expect("invariants");
}
