//! A full disk: nothing goes offline, deletions go on, and what could not be written is made good when there is room.

use std::sync::atomic::Ordering;

use super::*;

/// Segments of few batches, of which retention keeps one or two.
fn kept() -> LogConfig {
    LogConfig {
        retention_bytes: Some(1200),
        ..small()
    }
}

/// Everything fails that needs room.
fn fill(world: &World) {
    world.faults.full[0].store(0, Ordering::Relaxed);
    world.faults.full[1].store(u64::MAX, Ordering::Relaxed);
}

fn free(world: &World) {
    world.faults.full[1].store(0, Ordering::Relaxed);
}

fn assert_full(error: &impl ToString) {
    let error = error.to_string();
    assert!(error.contains("is full: free space"), "{error}");
}

fn assert_online(manager: &LogManager) {
    let offline = manager.directories().remove(0).offline;
    assert_eq!(offline, None);
}

#[test]
fn retention_needs_no_room() {
    let world = World::new();
    let (manager, mut writer) = world.create(&kept());
    for n in 0..40 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(40);
    fill(&world);
    let before = world.disk.used();
    run(writer.maintain(NOW)).unwrap();
    assert_online(&manager);
    let start = writer.reader().offsets().start;
    assert!(start > 0);
    run(manager.maintain(Time(NOW.0 + 60_000)));
    assert!(world.disk.used() < before - 2_000, "the segments are gone");
    assert_full(&try_append(&mut writer, &[40]).unwrap_err());
    free(&world);
    append(&mut writer, &[40]);
    assert_holds(&writer.reader(), start, 41);
}

#[test]
fn the_active_segment_waits_for_room_to_be_retired() {
    let world = World::new();
    let cfg = LogConfig {
        retention_ms: Some(1000),
        ..small()
    };
    let (manager, mut writer) = world.create(&cfg);
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(20);
    let active = writer.log().active().unwrap().base;
    fill(&world);
    for _ in 0..3 {
        run(writer.maintain(NOW)).unwrap();
        assert_online(&manager);
        assert_eq!(writer.reader().offsets().start, active);
        assert_holds(&writer.reader(), active, 20);
        writer.log().check().unwrap();
    }
    free(&world);
    run(writer.maintain(NOW)).unwrap();
    assert_holds(&writer.reader(), 20, 20);
    append(&mut writer, &[20]);
    drop((manager, writer));
    world.disk.crash();
    let (_manager, writer) = world.reopen(&cfg);
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 20, 21);
}

#[test]
fn checkpoints_are_written_when_there_is_room() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    run(writer.reader().flush_to(1)).unwrap();
    fill(&world);
    run(manager.checkpoint()).unwrap();
    assert_online(&manager);
    assert!(!world.disk.paths().iter().any(|p| p.ends_with(".tmp")));
    free(&world);
    run(manager.checkpoint()).unwrap();
    let points = world.disk.peek("/data/recovery-point-offset-checkpoint").unwrap();
    assert_eq!(points, b"0\n1\norders 0 1\n");
}

#[test]
fn a_partition_is_made_when_there_is_room_and_deleted_without() {
    let world = World::new();
    let manager = world.open();
    let create = || run(manager.create(&tp(0), uuid(9), small(), NOW));
    for _ in 0..2 {
        // Wherever it runs full.
        let mut n = 0;
        let mut writer = loop {
            let asked = world.faults.asked.load(Ordering::Relaxed);
            world.faults.full[0].store(asked + n, Ordering::Relaxed);
            world.faults.full[1].store(asked + n + 1, Ordering::Relaxed);
            match create() {
                Ok(writer) => break writer,
                Err(error) => assert_full(&error),
            }
            assert_online(&manager);
            assert_eq!(world.files(""), Vec::<String>::new(), "{n}");
            n += 1;
        };
        assert!(n > 3, "{n}");
        free(&world);
        for n in 0..20 {
            append(&mut writer, &[n]);
        }
        run(writer.flush()).unwrap();
        run(manager.checkpoint()).unwrap();
        fill(&world);
        run(manager.delete(writer)).unwrap();
        assert_online(&manager);
        // Its recovery point could not be taken out, and a new log must not inherit it.
        assert_full(&create().err().unwrap());
    }
    free(&world);
    let mut writer = create().unwrap();
    append(&mut writer, &[0]);
    drop((manager, writer));
    world.disk.crash();
    let (_manager, writer) = world.reopen(&small());
    assert_holds(&writer.reader(), 0, 1);
}

#[test]
fn a_load_is_tried_again_when_there_is_room() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    drop((manager, writer));
    world.disk.crash();
    let manager = world.open();
    let load = || run(manager.load(&tp(0), small(), NOW));
    fill(&world);
    assert_full(&load().err().unwrap());
    assert_online(&manager);
    free(&world);
    let (_, mut writer) = load().unwrap().unwrap();
    assert_holds(&writer.reader(), 0, 20);
    append(&mut writer, &[20]);
    // What recovery found in batches is in no file yet, so the recovery point must not pass it.
    drop(writer);
    run(world
        .env()
        .disk
        .remove_file("/data/orders-0/leader-epoch-checkpoint".as_ref()))
    .unwrap();
    let (_, writer) = load().unwrap().unwrap();
    let point = writer.reader().offsets().recovery_point;
    fill(&world);
    assert_eq!(run(writer.reader().flush_to(Offset::MAX)).unwrap(), point);
    assert_online(&manager);
    free(&world);
    assert_eq!(run(writer.reader().flush_to(Offset::MAX)).unwrap(), 21);
}

#[test]
fn a_clean_stop_on_a_full_disk_is_none() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    fill(&world);
    assert_full(&run(manager.close(vec![writer], 1)).unwrap_err());
    assert_online(&manager);
    drop(manager);
    free(&world);
    world.power_loss(Profile::Strict, 1);
    let (manager, writer) = world.reopen(&small());
    assert!(!manager.was_clean());
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 0, 20);
}

/// Does everything that needs room or may run into a full disk; what is refused is left out.
fn live(world: &World) -> (LogManager, LogWriter) {
    let (manager, mut writer) = world.create(&kept());
    let refused = |error: &dyn std::fmt::Display| assert_full(&error);
    let mut other = None;
    for round in 0..4 {
        for n in 0..7 {
            let (bytes, info) = batch_with(&[n], &BatchOptions::default());
            let info = AppendInfo {
                leader_epoch: 3 + round,
                ..info
            };
            let _ = run(writer.append(bytes, info)).inspect_err(|e| refused(e));
            writer.set_high_watermark(Offset::MAX);
        }
        run(writer.flush()).unwrap();
        run(writer.maintain(NOW)).unwrap();
        run(manager.checkpoint()).unwrap();
        let _ = run(writer.roll(NOW)).inspect_err(|e| refused(e));
        let (start, end) = (writer.reader().offsets().start, writer.reader().offsets().end);
        run(writer.truncate_to(start.max(end - 1), NOW)).unwrap();
        match other.take() {
            Some(log) => run(manager.delete(log)).unwrap(),
            None => {
                let created = run(manager.create(&tp(1), uuid(8), small(), NOW));
                other = created.inspect_err(|e| refused(e)).ok();
            }
        }
        let _ = run(writer.delete_records(start + 1, NOW)).inspect_err(|e| match e {
            crate::StoreError::OutOfRange { .. } => {}
            full => refused(full),
        });
        run(manager.maintain(Time(NOW.0 + 60_000)));
        writer.log().check().unwrap();
    }
    (manager, writer)
}

/// Whatever the disk has no room for, once or from then on: the directory stays online, nothing that was taken is lost.
#[test]
fn any_write_may_find_the_disk_full() {
    let world = World::new();
    drop(live(&world));
    let writes = world.faults.asked.load(Ordering::Relaxed);
    assert!(writes > 100, "{writes}");
    for (n, many) in (0..writes).flat_map(|n| [(n, 1), (n, 5), (n, u64::MAX - writes)]) {
        let world = World::new();
        let made = world.faults.asked.load(Ordering::Relaxed);
        // The first log must come into being.
        let n = n.max(made + 20);
        world.faults.full[0].store(n, Ordering::Relaxed);
        world.faults.full[1].store(n + many, Ordering::Relaxed);
        let (manager, mut writer) = live(&world);
        assert_online(&manager);
        free(&world);
        let (start, end) = (writer.reader().offsets().start, writer.reader().offsets().end);
        assert_holds(&writer.reader(), start, end);
        append_in(&mut writer, 9);
        run(writer.maintain(NOW)).unwrap();
        run(manager.checkpoint()).unwrap();
        assert_online(&manager);
        let start = writer.reader().offsets().start;
        drop((manager, writer));
        world.disk.crash();
        let (_manager, writer) = world.reopen(&kept());
        assert_eq!(writer.loss(), None, "{n} {many}");
        assert_eq!(writer.reader().offsets().start, start);
        assert_holds(&writer.reader(), start, end + 1);
    }
}

fn append_in(writer: &mut LogWriter, leader_epoch: i32) {
    let (bytes, info) = batch_with(&[0], &BatchOptions::default());
    let info = AppendInfo { leader_epoch, ..info };
    run(writer.append(bytes, info)).unwrap();
}
