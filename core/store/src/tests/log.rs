//! One log in use: appends, reads, rolls, retention, DeleteRecords, look-ups by time.

use super::*;
use crate::{ReadError, StoreError, TimestampOffset};

#[test]
fn what_is_appended_is_read_across_segments() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..30 {
        assert_eq!(append(&mut writer, &[n]), n);
    }
    let reader = writer.reader();
    assert!(reader.segment_count() > 3);
    assert_holds(&reader, 0, 30);
    let sizes: usize = world
        .files(".log")
        .iter()
        .map(|f| world.disk.peek(format!("/{f}")).unwrap().len())
        .sum();
    assert_eq!(reader.size_bytes(), sizes as u64);
    let first = BatchRef::first(
        &world
            .disk
            .peek("/data/orders-0/00000000000000000000.log")
            .unwrap(),
    )
    .unwrap()
    .header()
    .partition_leader_epoch;
    assert_eq!(first, 3, "the leader's epoch is stamped");
    assert_eq!(reader.end_offset_for_epoch(3).end, 30);
}

#[test]
fn reads_stop_at_their_limit() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..10 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(4);
    let reader = writer.reader();
    let slice = run(reader.read(3, 1 << 20, Upto::HighWatermark, true)).unwrap();
    assert_eq!((slice.first_offset, slice.offsets.high_watermark), (3, 4));
    let one = slice.len;
    assert!(
        run(reader.read(4, 1 << 20, Upto::HighWatermark, true))
            .unwrap()
            .is_empty()
    );
    assert!(run(reader.read(0, 10, Upto::LogEnd, false)).unwrap().is_empty());
    assert_eq!(run(reader.read(0, 10, Upto::LogEnd, true)).unwrap().len, one);
    let error = run(reader.read(11, 1, Upto::LogEnd, true)).unwrap_err();
    assert_eq!(
        error,
        ReadError::OutOfRange {
            offset: 11,
            start: 0,
            end: 10
        }
    );
}

#[test]
fn batches_that_wait_together_are_written_together() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    let batches = (0..20).map(|n| {
        let (bytes, info) = batch_with(&[n], &BatchOptions::default());
        crate::Batch { bytes, info }
    });
    let results = run(writer.append_all(batches.collect()));
    assert!(results.iter().all(Result::is_ok));
    assert_holds(&writer.reader(), 0, 20);
}

#[test]
fn retention_removes_old_segments_after_the_delay() {
    let world = World::new();
    let cfg = LogConfig {
        retention_ms: Some(1000),
        ..small()
    };
    let (manager, mut writer) = world.create(&cfg);
    let now = i64::try_from(NOW.0).unwrap();
    for n in 0..20 {
        append(&mut writer, &[if n < 10 { now - 5000 } else { now }]);
    }
    writer.set_high_watermark(20);
    run(writer.maintain(NOW)).unwrap();
    let start = writer.reader().offsets().start;
    assert!(start > 0 && start <= 10, "{start}");
    assert_holds(&writer.reader(), start, 20);
    assert!(!world.files(".deleted").is_empty());
    run(manager.maintain(NOW));
    assert!(!world.files(".deleted").is_empty(), "readers may still be there");
    run(manager.maintain(Time(NOW.0 + 60_000)));
    assert!(world.files(".deleted").is_empty());
}

#[test]
fn deleted_records_stay_deleted_after_a_clean_stop() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..10 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(8);
    let error = run(writer.delete_records(9, NOW)).unwrap_err();
    assert!(
        matches!(error, StoreError::OutOfRange { offset: 9, .. }),
        "{error}"
    );
    run(writer.delete_records(2, NOW)).unwrap();
    assert_eq!(writer.reader().offsets().start, 2);
    assert!(run(writer.reader().read(1, 1, Upto::LogEnd, true)).is_err());
    run(manager.close(vec![writer], 5)).unwrap();
    drop(manager);
    let (_manager, writer) = world.reopen(&small());
    let offsets = writer.reader().offsets();
    assert_eq!((offsets.start, offsets.high_watermark, offsets.end), (2, 8, 10));
    assert_holds(&writer.reader(), 2, 10);
}

#[test]
fn truncation_cuts_bytes_indexes_and_epochs() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    assert_eq!(run(writer.truncate_to(7, NOW)).unwrap(), 7);
    assert_holds(&writer.reader(), 0, 7);
    for n in 7..30 {
        assert_eq!(append(&mut writer, &[n]), n);
    }
    assert_holds(&writer.reader(), 0, 30);
}

fn at(timestamp: i64, offset: Offset) -> Option<TimestampOffset> {
    Some(TimestampOffset { timestamp, offset })
}

#[test]
fn records_are_found_by_time_compressed_or_not() {
    for codec in Codec::ALL {
        let world = World::new();
        let (_manager, mut writer) = world.create(&small());
        for n in 0..12 {
            let times: Vec<i64> = (0..3).map(|r| 1000 + 30 * n + 10 * r).collect();
            let (bytes, info) = batch_with(&times, &compressed(codec));
            run(writer.append(bytes, info)).unwrap();
        }
        let reader = writer.reader();
        for (n, time) in (0..36).map(|n| (n, 1000 + 10 * n)) {
            assert_eq!(
                run(reader.offset_for_timestamp(time)).unwrap(),
                at(time, n),
                "{codec:?}"
            );
            assert_eq!(
                run(reader.offset_for_timestamp(time - 9)).unwrap(),
                at(time, n),
                "{codec:?}"
            );
        }
        assert_eq!(run(reader.offset_for_timestamp(1351)).unwrap(), None);
        assert_eq!(run(reader.max_timestamp()).unwrap(), at(1350, 35));
    }
}

#[test]
fn times_out_of_order_give_the_first_record_and_never_a_deleted_one() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for times in [[50, 900], [10, 20], [900, 30], [700, 5]] {
        append(&mut writer, &times);
    }
    writer.set_high_watermark(8);
    let reader = writer.reader();
    assert_eq!(run(reader.max_timestamp()).unwrap(), at(900, 1));
    assert_eq!(run(reader.offset_for_timestamp(15)).unwrap(), at(50, 0));
    run(writer.delete_records(2, NOW)).unwrap();
    assert_eq!(run(reader.max_timestamp()).unwrap(), at(900, 4));
    assert_eq!(run(reader.offset_for_timestamp(15)).unwrap(), at(20, 3));
    run(writer.delete_records(5, NOW)).unwrap();
    assert_eq!(run(reader.max_timestamp()).unwrap(), at(700, 6));
    run(writer.delete_records(8, NOW)).unwrap();
    assert_eq!(run(reader.max_timestamp()).unwrap(), None);
}

#[test]
fn append_time_holds_for_every_record() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    let options = BatchOptions {
        log_append_time: Some(500),
        ..BatchOptions::default()
    };
    let (bytes, info) = batch_with(&[1, 2, 3], &options);
    run(writer.append(bytes, info)).unwrap();
    writer.set_high_watermark(3);
    run(writer.delete_records(1, NOW)).unwrap();
    assert_eq!(
        run(writer.reader().offset_for_timestamp(400)).unwrap(),
        at(500, 1)
    );
}
