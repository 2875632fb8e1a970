//! Mistakes that were made once, each with the test that found it or would have.

use std::sync::atomic::Ordering;

use super::*;
use ottla_io::write_all_at;
use ottla_log::{EndTxn, Origin};
use ottla_types::Event;
use ottla_wire::records::EndTxnMarker;

fn append_in_epoch(writer: &mut LogWriter, epoch: i32) -> Result<Append, AppendError> {
    let (bytes, info) = batch_with(&[1], &BatchOptions::default());
    run(writer.append(
        bytes,
        AppendInfo {
            leader_epoch: epoch,
            ..info
        },
    ))
}

/// Recovery takes an epoch above the checkpoint's for damage, so the checkpoint has to come first.
#[test]
fn the_death_of_the_process_after_a_new_leader_epoch_loses_nothing() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for epoch in [3, 3, 4, 4, 7] {
        append_in_epoch(&mut writer, epoch).unwrap();
    }
    let text = world
        .disk
        .peek_durable("/data/orders-0/leader-epoch-checkpoint")
        .unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "0\n3\n3 0\n4 2\n7 4\n");
    drop((manager, writer));
    world.disk.crash();
    let (_manager, writer) = world.reopen(&small());
    assert_eq!(writer.loss(), None);
    assert_holds(&writer.reader(), 0, 5);
    assert_eq!(writer.reader().end_offset_for_epoch(4).end, 4);
}

/// A consumer got a batch before the log's end had moved past it, asked for the next one, and was told that its offset is out of range.
#[test]
fn a_reader_never_gets_bytes_beyond_the_end_while_an_append_is_under_way() {
    let world = World::new();
    let cfg = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let (_manager, mut writer) = world.create(&cfg);
    let reader = writer.reader();
    // Enough entries that an index is written, and waits, after the batch is.
    world.faults.slow_write.store(true, Ordering::Relaxed);
    let mut waits = 0;
    for n in 0..400 {
        writer.set_high_watermark(n);
        let (bytes, info) = batch_with(&[n], &BatchOptions::default());
        let mut appending = pin!(writer.append(bytes, info));
        let mut polls = 0;
        while appending
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            polls += 1;
            let end = reader.offsets().end;
            let found = read_all(&reader, (end - 1).max(0));
            assert_eq!(found.last().map_or(0, |(_, last)| last + 1), end, "append {n}");
        }
        waits = waits.max(polls);
    }
    assert!(waits > 1, "no index was written");
}

/// The first life's recovery point must not judge the second's log, though the operator removed the folder by hand.
#[test]
fn a_log_does_not_inherit_the_recovery_point_of_a_removed_folder() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..20 {
        append(&mut writer, &[n]);
    }
    run(writer.flush()).unwrap();
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    run(world
        .disk
        .handle()
        .remove_dir_all(&PathBuf::from("/data/orders-0")))
    .unwrap();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    drop((manager, writer));
    world.disk.crash();
    let (_manager, writer) = world.reopen(&small());
    assert_holds(&writer.reader(), 0, 1);
}

#[test]
fn a_topic_is_deleted_and_made_again_as_often_as_one_likes() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for _ in 0..5 {
        run(manager.delete(writer)).unwrap();
        writer = run(manager.create(&tp(0), uuid(9), small(), NOW)).unwrap();
        append(&mut writer, &[0]);
    }
    assert!(manager.directories()[0].online);
}

/// Wherever the disk runs full, in a batch, an index, a roll, an epoch: the log stays as it was and goes on when there is room.
#[test]
fn a_disk_may_run_full_anywhere() {
    for room in 0..400 {
        let world = World::new();
        let (manager, mut writer) = world.create(&small());
        let mut epoch = 3;
        for _ in 0..5 {
            append_in_epoch(&mut writer, epoch).unwrap();
        }
        world.disk.set_capacity(Some(world.disk.used() + room * 5));
        let mut end = 5;
        let error = loop {
            epoch += i32::from(end % 3 == 0);
            match append_in_epoch(&mut writer, epoch) {
                Ok(_) => end += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AppendError::DiskFull { .. }), "{room}: {error}");
        assert_holds(&writer.reader(), 0, end);
        world.disk.set_capacity(None);
        for _ in 0..10 {
            append_in_epoch(&mut writer, epoch).unwrap_or_else(|e| panic!("{room}: {e}"));
        }
        writer.log().check().unwrap();
        drop((manager, writer));
        world.disk.crash();
        let (_manager, writer) = world.reopen(&small());
        assert_eq!(writer.loss(), None, "{room}");
        assert_holds(&writer.reader(), 0, end + 10);
    }
}

/// A finished rewrite takes the place of all segments that it was made from.
#[test]
fn the_cleaners_swap_is_finished() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..25 {
        append(&mut writer, &[n]);
    }
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    let logs = world.files(".log");
    let old: Vec<Vec<u8>> = logs
        .iter()
        .map(|f| world.disk.peek(format!("/{f}")).unwrap())
        .collect();
    // The cleaner has put the first three segments into one, and died when it had removed only the second.
    let merged = [old[0].clone(), old[1].clone(), old[2].clone()].concat();
    let disk = world.disk.handle();
    run(async {
        let swap = PathBuf::from("/data/orders-0/00000000000000000000.log.swap");
        let file = disk.open(&swap, ottla_io::OpenOptions::CreateNew).await.unwrap();
        write_all_at(&*file, 0, vec![merged.into()]).await.0.unwrap();
        disk.remove_file(&PathBuf::from(format!("/{}", logs[1])))
            .await
            .unwrap();
    });
    let (_manager, writer) = world.reopen(&small());
    assert_eq!(writer.reader().segment_count(), old.len() - 2);
    assert_holds(&writer.reader(), 0, 25);
    assert!(world.files(".swap").is_empty());
}

/// A log that nobody looked at since a crash is not vouched for by a later clean stop.
#[test]
fn a_clean_stop_does_not_vouch_for_logs_that_were_never_loaded() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    drop((manager, writer));
    world.disk.crash();
    let manager = world.open();
    run(manager.close(Vec::new(), 1)).unwrap();
    drop(manager);
    assert!(!world.open().was_clean());
}

fn transactional(producer: i64, sequence: i32) -> (BytesMut, AppendInfo) {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: 0,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    batch_with(&[1], &options)
}

fn end_txn(writer: &mut LogWriter, producer: i64, commit: bool) {
    let marker = EndTxnMarker {
        committed: commit,
        coordinator_epoch: 0,
    };
    let bytes = marker.to_batch(1, producer, 0, 0, 3).unwrap();
    let control = Some(EndTxn {
        commit,
        coordinator_epoch: 0,
    });
    let batch = BatchMeta::from_header(BatchRef::first(&bytes).unwrap().header(), control);
    let info = AppendInfo {
        origin: Origin::Coordinator {
            transaction_version: 0,
        },
        ..AppendInfo::client(batch, 3, NOW)
    };
    run(writer.append(BytesMut::from(&bytes[..]), info)).unwrap();
}

fn aborted(reader: &LogReader) -> Vec<(i64, i64)> {
    let mut found = std::collections::BTreeSet::new();
    let mut from = 0;
    loop {
        let slice = run(reader.read(from, 1, Upto::LastStable, true)).unwrap();
        found.extend(slice.aborted.iter().map(|a| (a.producer_id, a.first_offset)));
        let Some(file) = slice.file else {
            return found.into_iter().collect();
        };
        let (read, bytes) = run(read_exact_at(&*file, slice.position, BytesMut::new(), slice.len));
        read.unwrap();
        from = BatchRef::first(&bytes).unwrap().header().next_offset();
    }
}

/// Aborted transactions stay aborted for readers, over rolls, a crash, and an index that has to be made anew.
#[test]
fn aborted_transactions_stay_aborted() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for round in 0..8 {
        for producer in [1, 2] {
            let (bytes, info) = transactional(producer, round);
            run(writer.append(bytes, info)).unwrap();
        }
        writer.set_high_watermark(writer.log().end());
        assert_eq!(
            writer.reader().offsets().last_stable,
            i64::from(round) * 4,
            "two are open"
        );
        end_txn(&mut writer, 1, round % 2 == 0);
        end_txn(&mut writer, 2, false);
        writer.set_high_watermark(writer.log().end());
        assert_eq!(writer.reader().offsets().last_stable, writer.log().end());
    }
    let end = writer.log().end();
    let mut expected: Vec<_> = (0..8).map(|round| (2, round * 4 + 1)).collect();
    expected.extend((0..8).filter(|round| round % 2 == 1).map(|round| (1, round * 4)));
    expected.sort_unstable();
    assert_eq!(aborted(&writer.reader()), expected);
    drop((manager, writer));
    world.disk.crash();
    let (manager, mut writer) = world.reopen(&small());
    writer.set_high_watermark(end);
    assert_eq!(aborted(&writer.reader()), expected, "rebuilt");
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    let index = world.files(".index");
    assert!(index.len() > 3);
    run(world
        .disk
        .handle()
        .remove_file(&PathBuf::from(format!("/{}", index[1]))))
    .unwrap();
    let txn = world.files(".txnindex");
    run(world
        .disk
        .handle()
        .remove_file(&PathBuf::from(format!("/{}", index[2]))))
    .unwrap();
    world.disk.poke(format!("/{}", txn[2]), 0, &[9, 9]);
    let (_manager, writer) = world.reopen(&small());
    assert_eq!(aborted(&writer.reader()), expected, "one kept, one rebuilt");
}

/// A clean stop leaves a snapshot at the log's end. Should the disk lose the batches below it all the same, that is reported, and the
/// node starts.
#[test]
fn a_snapshot_ahead_of_the_log_does_not_stop_the_node() {
    let world = World::new();
    let (manager, mut writer) = world.create(&LogConfig::default());
    let options = |base_sequence| BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence,
        ..BatchOptions::default()
    };
    for sequence in 0..5 {
        let (bytes, info) = batch_with(&[1], &options(sequence));
        run(writer.append(bytes, info)).unwrap();
    }
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    let mut files = world.disk.export();
    files.remove("data/recovery-point-offset-checkpoint").unwrap();
    let log = files.get_mut("data/orders-0/00000000000000000000.log").unwrap();
    let one = BatchRef::first(log).unwrap().size_in_bytes();
    log.truncate(3 * one);
    let world = World {
        disk: MemDisk::import(&files).unwrap(),
        faults: Arc::default(),
    };
    let (_manager, mut writer) = world.reopen(&LogConfig::default());
    assert_eq!(writer.loss().map(|loss| loss.end), Some(3));
    assert_holds(&writer.reader(), 0, 3);
    let (bytes, info) = batch_with(&[1], &options(3));
    run(writer.append(bytes, info)).expect("the producer goes on after what is left of it");
}

/// Epochs are in the batches too: a checkpoint of them that is rotten costs nothing, least of all the whole directory.
#[test]
fn a_rotten_epoch_checkpoint_is_as_good_as_none() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for epoch in [3, 4] {
        append_in_epoch(&mut writer, epoch).unwrap();
    }
    drop((manager, writer));
    world.disk.crash();
    assert!(
        world
            .disk
            .poke("/data/orders-0/leader-epoch-checkpoint", 4, &[0xff])
    );
    let (_manager, writer) = world.reopen(&small());
    assert_holds(&writer.reader(), 0, 2);
    assert_eq!(writer.reader().end_offset_for_epoch(3).end, 1);
}

/// A folder that lost every segment begins anew and says so; a second start must not take the new log for a damaged one.
#[test]
fn a_log_without_segments_begins_anew_once() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    run(writer.flush()).unwrap();
    run(manager.checkpoint()).unwrap();
    drop((manager, writer));
    let mut files = world.disk.export();
    files.remove("data/orders-0/00000000000000000000.log").unwrap();
    let world = World {
        disk: MemDisk::import(&files).unwrap(),
        faults: Arc::default(),
    };
    for start in 0..2 {
        let (_manager, writer) = world.reopen(&small());
        assert_eq!(writer.loss().is_some(), start == 0, "start {start}");
        assert_holds(&writer.reader(), 0, 0);
        drop((_manager, writer));
        world.power_loss(Profile::Strict, 0);
    }
}

/// After a clean stop the search for the end begins where the last index entry points. If that is no batch, the index is wrong, not the
/// log; and offsets that are there are never given again.
#[test]
fn a_damaged_index_costs_no_batch() {
    for keep_recovery_point in [true, false] {
        let world = World::new();
        let (manager, mut writer) = world.create(&LogConfig {
            index_interval_bytes: 0,
            ..LogConfig::default()
        });
        for n in 0..5 {
            append(&mut writer, &[n]);
        }
        run(manager.close(vec![writer], 1)).unwrap();
        drop(manager);
        let mut files = world.disk.export();
        if !keep_recovery_point {
            files.remove("data/recovery-point-offset-checkpoint").unwrap();
        }
        let index = files.get_mut("data/orders-0/00000000000000000000.index").unwrap();
        *index.last_mut().unwrap() ^= 1;
        let world = World {
            disk: MemDisk::import(&files).unwrap(),
            faults: Arc::default(),
        };
        let (_manager, mut writer) = world.reopen(&LogConfig::default());
        assert_eq!(writer.loss(), None);
        assert_holds(&writer.reader(), 0, 5);
        assert_eq!(append(&mut writer, &[5]), 5);
    }
}

/// A reader passes over segments in which nothing is left, however many there are; it took the directory offline after eight.
#[test]
fn many_empty_segments_are_passed_over() {
    let world = World::new();
    let compact = LogConfig {
        compact: true,
        ..small()
    };
    let (manager, mut writer) = world.create(&compact);
    for n in 0..60 {
        append(&mut writer, &[n]);
    }
    drop((manager, writer));
    let mut files = world.disk.export();
    let mut logs: Vec<&mut Vec<u8>> = files
        .iter_mut()
        .filter(|(path, _)| path.ends_with(".log"))
        .map(|(_, bytes)| bytes)
        .collect();
    assert!(logs.len() > 11, "{}", logs.len());
    logs.pop();
    logs.into_iter().for_each(Vec::clear);
    let world = World {
        disk: MemDisk::import(&files).unwrap(),
        faults: Arc::default(),
    };
    let (manager, writer) = world.reopen(&compact);
    let found = read_all(&writer.reader(), 0);
    assert_eq!(found.last(), Some(&(59, 59)));
    assert!(manager.directories()[0].online);
}

/// What an observer hears of a load.
#[test]
fn a_cut_is_reported() {
    let world = World::new();
    let (manager, mut writer) = world.create(&LogConfig::default());
    for n in 0..3 {
        append(&mut writer, &[n]);
    }
    drop((manager, writer));
    world.disk.crash();
    let size = world
        .disk
        .peek("/data/orders-0/00000000000000000000.log")
        .unwrap()
        .len() as u64;
    assert!(
        world
            .disk
            .poke("/data/orders-0/00000000000000000000.log", size - 3, b"bad")
    );
    let heard = Heard::default();
    let env = Env {
        observer: Arc::new(heard.clone()),
        ..world.env()
    };
    let manager = run(LogManager::open(
        &env,
        StoreConfig::new(vec![DIR.into()], NodeId(1)),
    ))
    .unwrap();
    let (_, writer) = run(manager.load(&tp(0), LogConfig::default(), NOW))
        .unwrap()
        .unwrap();
    assert_eq!(writer.loss().map(|l| l.end), Some(2));
    let events = heard.0.lock().unwrap();
    assert!(
        matches!(&events[0], Event::LogCut { end: 2, bytes, .. } if *bytes == size / 3),
        "{events:?}"
    );
    assert!(
        matches!(
            &events[1],
            Event::LogLoaded {
                start: 0,
                end: 2,
                clean: false,
                ..
            }
        ),
        "{events:?}"
    );
}

#[derive(Clone, Default)]
struct Heard(Arc<std::sync::Mutex<Vec<Event>>>);

impl ottla_io::Observer for Heard {
    fn enabled(&self) -> bool {
        true
    }

    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}
