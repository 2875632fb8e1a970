//! Starting again: after a clean stop, after the death of the process, after a loss of power.

use std::pin::pin;
use std::sync::atomic::Ordering;

use super::*;
use crate::LoadError;

#[test]
fn a_clean_stop_keeps_everything() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..25 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(25);
    run(manager.close(vec![writer], 7)).unwrap();
    drop(manager);
    world.power_loss(Profile::Strict, 0);
    let (manager, mut writer) = world.reopen(&small());
    assert!(manager.was_clean() && writer.was_clean());
    assert_eq!(manager.previous_broker_epoch(), 7);
    assert_eq!(writer.reader().offsets().high_watermark, 25);
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 0, 25);
    assert_eq!(append(&mut writer, &[25]), 25);
}

#[test]
fn stops_leave_one_producer_snapshot_beside_those_of_segments() {
    let world = World::new();
    let (manager, mut writer) = world.create(&LogConfig::default());
    append(&mut writer, &[0]);
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    for n in 1..5 {
        let (manager, mut writer) = world.reopen(&LogConfig::default());
        append(&mut writer, &[n]);
        run(manager.close(vec![writer], 1)).unwrap();
    }
    let (_manager, _writer) = world.reopen(&LogConfig::default());
    assert!(
        world.files(".snapshot").len() <= 1,
        "{:?}",
        world.files(".snapshot")
    );
}

#[test]
fn the_death_of_the_process_loses_nothing() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..25 {
        append(&mut writer, &[n]);
    }
    world.disk.crash();
    let (manager, mut writer) = world.reopen(&small());
    assert!(!manager.was_clean() && !writer.was_clean());
    assert_eq!(manager.previous_broker_epoch(), -1);
    assert_holds(&writer.reader(), 0, 25);
    assert_eq!(append(&mut writer, &[25]), 25);
}

#[test]
fn a_log_that_was_not_closed_is_no_clean_stop() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    run(manager.close(Vec::new(), 7)).unwrap();
    drop((manager, writer));
    let (manager, writer) = world.reopen(&small());
    assert!(!manager.was_clean());
    assert_holds(&writer.reader(), 0, 1);
}

/// Rounds of appends, flushes and losses of power, in every profile: what was flushed is there, offsets have no gap.
#[test]
fn what_was_flushed_survives_losses_of_power() {
    for seed in 0..60 {
        let profile = [Profile::Strict, Profile::Ext4Ordered, Profile::Adversarial][seed as usize % 3];
        let world = World::new();
        let mut rng = Rng::from_number(seed, "rounds");
        let (manager, mut writer) = world.create(&small());
        let (mut flushed, mut manager) = (0, Some(manager));
        for round in 0..6 {
            for _ in 0..rng.below(25) {
                append(&mut writer, &[round]);
                if rng.chance(0.15) {
                    let end = writer.reader().offsets().end;
                    flushed = run(writer.reader().flush_to(end)).unwrap();
                    assert_eq!(flushed, end);
                }
            }
            if let Some(manager) = manager.as_ref().filter(|_| rng.chance(0.5)) {
                run(manager.checkpoint()).unwrap();
            }
            drop((manager.take(), writer));
            world.power_loss(profile, seed * 100 + round as u64);
            let (again, loaded) = world.reopen(&small());
            let end = loaded.reader().offsets().end;
            assert!(
                end >= flushed,
                "seed {seed}: {flushed} were flushed, {end} are there"
            );
            assert_holds(&loaded.reader(), 0, end);
            (manager, writer) = (Some(again), loaded);
        }
    }
}

/// A flush may run while a write is under way, and must not count for it.
#[test]
fn a_flush_beside_a_write_does_not_cover_it() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    let reader = writer.reader();
    world.faults.slow_write.store(true, Ordering::Relaxed);
    let (bytes, info) = batch_with(&[1], &BatchOptions::default());
    {
        let mut slow = pin!(writer.append(bytes, info));
        assert!(
            slow.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(run(reader.flush_to(1)).unwrap(), 1);
        run(slow).unwrap();
    }
    world.faults.slow_write.store(false, Ordering::Relaxed);
    assert_eq!(run(reader.flush_to(2)).unwrap(), 2);
    drop((writer, reader, _manager));
    world.power_loss(Profile::Strict, 0);
    let (_manager, writer) = world.reopen(&small());
    assert_holds(&writer.reader(), 0, 2);
}

#[test]
fn damage_above_the_recovery_point_cuts_the_log_for_good() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..25 {
        append(&mut writer, &[n]);
    }
    drop((writer, _manager));
    world.disk.crash();
    world.disk.settle();
    assert!(
        world
            .disk
            .poke("/data/orders-0/00000000000000000000.log", 200, b"damage")
    );
    let (manager, mut writer) = world.reopen(&small());
    let loss = writer.loss().cloned().unwrap();
    assert!(loss.segments > 1 && loss.end < 5, "{loss:?}");
    let from = loss.end;
    for n in from..40 {
        assert_eq!(append(&mut writer, &[n]), n);
    }
    run(writer.reader().flush_to(40)).unwrap();
    run(manager.checkpoint()).unwrap();
    drop((writer, manager));
    // The removed segments must not come back.
    world.power_loss(Profile::Strict, 0);
    let (_manager, writer) = world.reopen(&small());
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 0, 40);
}

#[test]
fn damage_below_the_recovery_point_takes_the_directory_offline() {
    let world = World::new();
    let (manager, mut writer) = world.create(&LogConfig::default());
    for n in 0..5 {
        append(&mut writer, &[n]);
    }
    run(writer.flush()).unwrap();
    run(manager.checkpoint()).unwrap();
    drop((writer, manager));
    world.disk.crash();
    assert!(
        world
            .disk
            .poke("/data/orders-0/00000000000000000000.log", 100, b"damage")
    );
    let manager = world.open();
    let error = run(manager.load(&tp(0), LogConfig::default(), NOW))
        .err()
        .unwrap();
    assert!(
        matches!(&error, LoadError::Storage(e) if e.reason.contains("corrupt")),
        "{error}"
    );
    assert!(!manager.directories()[0].online);
}

/// Whole batches at a segment's end are gone, the next segment's name is there: the log must not go on behind the gap.
#[test]
fn a_gap_between_segments_ends_the_log() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    drop((writer, _manager));
    world.disk.crash();
    let mut files = world.disk.export();
    let first = files.get_mut("data/orders-0/00000000000000000000.log").unwrap();
    let one = BatchRef::first(first).unwrap().size_in_bytes();
    first.truncate(2 * one);
    let world = World {
        disk: MemDisk::import(&files).unwrap(),
        faults: Arc::default(),
    };
    let (_manager, mut writer) = world.reopen(&small());
    assert_eq!(writer.loss().map(|loss| loss.end), Some(2));
    assert_eq!(append(&mut writer, &[2]), 2);
    assert_holds(&writer.reader(), 0, 3);
}

/// A batch of one record of producer 7, or what became of it.
fn send(writer: &mut LogWriter, producer_id: i64, sequence: i32) -> Appended {
    let options = BatchOptions {
        producer_id,
        producer_epoch: 0,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    let (bytes, info) = batch_with(&[NOW.0 as i64], &options);
    run(writer.append(bytes, info)).unwrap().appended
}

/// The answers to a producer's last batches were lost in a clean stop: its retries are answered with the offsets they got.
#[test]
fn retries_are_recognised_after_a_clean_stop() {
    // A segment with few index entries, and one that is read from the sixteenth before its end only.
    for batches in [4, 40] {
        let cfg = LogConfig {
            index_interval_bytes: 0,
            ..LogConfig::default()
        };
        let world = World::new();
        let (manager, mut writer) = world.create(&cfg);
        for sequence in 0..batches {
            send(&mut writer, 7, sequence);
            send(&mut writer, 8, sequence);
        }
        run(manager.close(vec![writer], 7)).unwrap();
        drop(manager);
        let (_manager, mut writer) = world.reopen(&cfg);
        for back in 1..=batches.min(5) {
            let sequence = batches - back;
            for producer in [7, 8] {
                let offset = i64::from(2 * sequence) + producer - 7;
                let again = send(&mut writer, producer, sequence);
                assert!(
                    matches!(again, Appended::Duplicate { base_offset, .. } if base_offset == offset),
                    "{back} before the end: {again:?}"
                );
            }
        }
        let next = send(&mut writer, 7, batches);
        assert!(
            matches!(next, Appended::Written { base_offset, .. } if base_offset == i64::from(2 * batches))
        );
    }
}
