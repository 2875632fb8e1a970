//! A disk that fills up, and one that breaks.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_full_disk_refuses_appends_until_there_is_room() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..7 {
        append(&mut writer, &[n]);
    }
    // Room for a part of the next batch.
    world.disk.set_capacity(Some(world.disk.used() + 50));
    let error = try_append(&mut writer, &[7]).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
    let error = try_append(&mut writer, &[7]).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
    assert_holds(&writer.reader(), 0, 7);
    world.disk.set_capacity(None);
    for n in 7..20 {
        assert_eq!(append(&mut writer, &[n]), n);
    }
    assert_holds(&writer.reader(), 0, 20);
    drop((writer, _manager));
    world.disk.crash();
    let (_manager, writer) = world.reopen(&small());
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 0, 20);
}

/// A producer's repetition can come in the same group as its original, which then is not there to repeat.
#[test]
fn a_repetition_fails_with_its_original() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    let from_producer = |sequence| {
        let options = BatchOptions {
            producer_id: 5,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        let (bytes, info) = batch_with(&[1], &options);
        Batch { bytes, info }
    };
    let group = || {
        vec![
            from_producer(0),
            from_producer(1),
            from_producer(1),
            from_producer(0),
        ]
    };
    let bases = |results: Vec<Result<Append, AppendError>>| -> Vec<Option<Offset>> {
        results
            .into_iter()
            .map(|r| r.ok().map(|append| append.appended.base_offset()))
            .collect()
    };
    run(writer.append_all(vec![from_producer(0)]));
    world.disk.set_capacity(Some(world.disk.used() + 50));
    // What is there already is a repetition; the second batch was lost, and its repetition with it.
    assert_eq!(
        bases(run(writer.append_all(group()))),
        [Some(0), None, None, Some(0)]
    );
    world.disk.set_capacity(None);
    assert_eq!(
        bases(run(writer.append_all(group()))),
        [Some(0), Some(1), Some(1), Some(0)]
    );
    assert_holds(&writer.reader(), 0, 2);
}

#[test]
fn a_group_fails_when_its_write_does() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    world.faults.fail_write.store(true, Ordering::Relaxed);
    let group = (1..4).map(|n| {
        let (bytes, info) = batch_with(&[n], &BatchOptions::default());
        Batch { bytes, info }
    });
    let results = run(writer.append_all(group.collect()));
    assert_eq!(results.len(), 3);
    for result in results {
        assert!(matches!(result, Err(AppendError::Storage(_))), "{result:?}");
    }
}

#[test]
fn a_failed_sync_takes_the_directory_offline_for_good() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    world.faults.fail_sync.store(true, Ordering::Relaxed);
    let error = run(writer.reader().flush_to(1)).unwrap_err();
    assert!(error.reason.contains("input/output error"), "{error}");
    world.faults.fail_sync.store(false, Ordering::Relaxed);
    // The kernel would report success the next time, for bytes that it has dropped.
    assert!(run(writer.reader().flush_to(1)).is_err());
    assert!(matches!(
        try_append(&mut writer, &[1]),
        Err(AppendError::Storage(_))
    ));
    assert_eq!(writer.reader().offsets().recovery_point, 0);
    let directory = &manager.directories()[0];
    assert!(!directory.online);
    let reason = directory.offline.as_deref().unwrap_or_default();
    assert!(reason.contains("input/output error"), "{reason}");
    assert!(run(manager.close(vec![writer], 1)).is_err());
    drop(manager);
    assert!(!world.open().was_clean());
}

#[test]
fn a_kill_leaves_no_producer_snapshot_without_its_content() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    world.faults.slow_write.store(true, Ordering::Relaxed);
    for n in 0..20 {
        let (bytes, info) = batch_with(&[n], &BatchOptions::default());
        let mut appending = pin!(writer.append(bytes, info));
        // A kill may come wherever the append waits.
        while appending
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            for path in world.files(".snapshot") {
                let file = run(world.env().disk.open(path.as_ref(), OpenOptions::Read)).unwrap();
                assert!(run(file.len()).unwrap() > 0, "{path} is empty");
            }
        }
    }
    assert!(!world.files(".snapshot").is_empty());
    assert!(world.files(".cleaned").is_empty());
}

/// What a failed sync did not write looks written after a restart, and no later sync writes it: built upon as it is, a loss of power
/// would leave a hole below what was flushed afterwards.
#[test]
fn what_a_failed_sync_left_is_written_again() {
    let world = World::new();
    let config = LogConfig::default();
    let (manager, mut writer) = world.create(&config);
    for n in 0..3 {
        append(&mut writer, &[n]);
    }
    run(writer.reader().flush_to(Offset::MAX)).unwrap();
    // Several pages: the next append dirties the last one again.
    for n in 3..90 {
        append(&mut writer, &[n]);
    }
    let path = PathBuf::from(world.files(".log").remove(0));
    let file = run(world.disk.handle().open(&path, OpenOptions::Read)).unwrap();
    let file = file.handle().downcast_ref::<ottla_io::mem::MemFile>().unwrap();
    assert!(file.fail_sync(), "there was something to lose");
    drop((manager, writer));
    world.disk.crash();
    let (manager, mut writer) = world.reopen(&config);
    assert_holds(&writer.reader(), 0, 90);
    run(writer.renew()).unwrap();
    append(&mut writer, &[90]);
    assert_eq!(run(writer.reader().flush_to(Offset::MAX)).unwrap(), 91);
    drop((manager, writer));
    world.power_loss(Profile::Strict, 1);
    let (_manager, writer) = world.reopen(&config);
    assert_holds(&writer.reader(), 0, 91);
}
