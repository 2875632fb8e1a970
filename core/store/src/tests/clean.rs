//! Rounds of the cleaner on the disk in memory: what readers see before, during and after, a full disk, and a crash or a loss of power
//! before every single operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use ottla_log::Origin;
use ottla_log::clean::CleanConfig;
use ottla_wire::records::{Decompressor, EndTxnMarker};

use super::*;
use crate::{CleanTerms, Cleaning, CleaningError, StoreError};

/// Small segments of a compacted log, and terms under which every round is due.
fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 100,
        compact: true,
        delete: false,
        ..LogConfig::default()
    }
}

fn terms() -> CleanTerms {
    CleanTerms {
        config: CleanConfig {
            min_cleanable_ratio: 0.0,
            ..CleanConfig::default()
        },
        map_bytes: 24 * 100,
        // Of two batches, or less than one.
        buffer_bytes: 130,
        ..CleanTerms::default()
    }
}

fn put(writer: &mut LogWriter, key: u8, value: u8, txn: Option<(i64, i32)>) {
    let mut builder = BatchBuilder::new();
    builder
        .append(NOW.as_millis(), Some(&[key]), Some(&[value; 40]), &[])
        .unwrap();
    let (producer_id, base_sequence) = txn.unwrap_or((-1, -1));
    let options = BatchOptions {
        producer_id,
        base_sequence,
        producer_epoch: if txn.is_some() { 0 } else { -1 },
        transactional: txn.is_some(),
        ..BatchOptions::default()
    };
    let bytes = builder.finish(&options, &mut Compressor::new()).unwrap();
    let meta = BatchMeta::from_header(BatchRef::first(&bytes).unwrap().header(), None);
    run(writer.append(BytesMut::from(&bytes[..]), AppendInfo::client(meta, 3, NOW))).unwrap();
}

fn abort(writer: &mut LogWriter, id: i64) {
    let marker = EndTxnMarker {
        committed: false,
        coordinator_epoch: 0,
    };
    let bytes = marker.to_batch(NOW.as_millis(), id, 0, 0, 3).unwrap();
    let meta = BatchMeta::from_header(BatchRef::first(&bytes).unwrap().header(), Some(marker.into()));
    let info = AppendInfo {
        origin: Origin::Coordinator {
            transaction_version: 1,
        },
        ..AppendInfo::client(meta, 3, NOW)
    };
    run(writer.append(BytesMut::from(&bytes[..]), info)).unwrap();
}

/// Four keys written over and over, and aborted transactions whose markers lie segments behind their data.
fn fill(writer: &mut LogWriter) -> BTreeMap<u8, u8> {
    let newest = fill_the_cache(writer);
    run(writer.flush()).unwrap();
    newest
}

/// The same without a flush.
fn fill_the_cache(writer: &mut LogWriter) -> BTreeMap<u8, u8> {
    let mut newest = BTreeMap::new();
    for n in 0..40u8 {
        put(writer, n % 4, n, None);
        newest.insert(n % 4, n);
        match n {
            5 | 25 => put(writer, 9, n, Some((7, if n == 5 { 0 } else { 1 }))),
            18 | 36 => abort(writer, 7),
            _ => {}
        }
    }
    run(writer.roll(NOW)).unwrap();
    let end = writer.log().end();
    writer.set_high_watermark(end);
    newest
}

/// What a consumer of committed records gets: offset, key, value.
fn committed(reader: &LogReader) -> Vec<(Offset, u8, u8)> {
    let (mut found, mut from) = (Vec::new(), 0);
    let mut scratch = Decompressor::default();
    loop {
        let slice = run(reader.read(from, 300, Upto::LastStable, true)).unwrap();
        let Some(file) = slice.file else { return found };
        let (read, bytes) = run(read_exact_at(&*file, slice.position, BytesMut::new(), slice.len));
        read.unwrap();
        let hidden = |id: i64, at: Offset| {
            let covers = |t: &&ottla_log::format::txn_index::AbortedTxn| {
                t.producer_id == id && t.first_offset <= at && at <= t.last_offset
            };
            slice.aborted.iter().find(covers).is_some()
        };
        for batch in Batches::tolerant(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = *batch.header();
            from = header.next_offset();
            if header.attributes.is_control() || hidden(header.producer_id, header.base_offset) {
                continue;
            }
            let mut records = batch.records_with(&mut scratch).unwrap();
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                let at = header.base_offset + i64::from(record.offset_delta);
                found.push((at, record.key.unwrap()[0], record.value.unwrap()[0]));
            }
        }
    }
}

fn newest(found: &[(Offset, u8, u8)]) -> BTreeMap<u8, u8> {
    found.iter().map(|(_, key, value)| (*key, *value)).collect()
}

/// A round, swapped in. Returns the next checkpoint.
fn round(writer: &mut LogWriter, now: Time) -> Result<Offset, CleaningError> {
    let mut cleaning = writer.begin_cleaning(terms(), now);
    run(cleaning.index())?;
    while let Some(group) = run(cleaning.next_group())? {
        assert!(run(writer.swap_in(group, now)).map_err(CleaningError::Store)?);
    }
    writer.log().check().unwrap();
    Ok(cleaning.end().unwrap())
}

#[test]
fn a_round_keeps_the_newest_and_a_restart_finds_it() {
    let world = World::new();
    let (manager, mut writer) = world.create(&compacted());
    let expected = fill(&mut writer);
    let before = committed(&writer.reader());
    let (segments, size) = (writer.reader().segment_count(), writer.reader().size_bytes());
    assert_eq!(newest(&before), expected);
    let end = writer.log().end();
    assert_eq!(round(&mut writer, NOW).unwrap(), end);
    let after = committed(&writer.reader());
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(after.iter().all(|record| before.contains(record)));
    assert_eq!(newest(&after), expected);
    assert!(writer.reader().size_bytes() < size / 2);
    // Groups go by what they were: the next round finds them small enough to become fewer.
    round(&mut writer, NOW).unwrap();
    assert_eq!(committed(&writer.reader()), after);
    assert!(writer.reader().segment_count() < segments);
    assert_eq!(world.files(".cleaned").len() + world.files(".swap").len(), 0);
    assert_eq!(writer.log().end(), end);
    put(&mut writer, 1, 99, None);
    drop((writer, manager));
    world.disk.crash();
    let (_manager, mut writer) = world.reopen(&compacted());
    assert_eq!(writer.loss(), None);
    assert_eq!(writer.log().end(), end + 1);
    writer.set_high_watermark(end + 1);
    assert_eq!(newest(&committed(&writer.reader()))[&1], 99);
}

#[test]
fn a_reader_of_an_old_segment_reads_on() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    fill(&mut writer);
    let reader = writer.reader();
    // Two plans from before: the one has its file open, the other has not.
    let slice = run(reader.read(0, 1 << 20, Upto::LogEnd, true)).unwrap();
    let segment = reader.shared.view().segments[0].clone();
    let old = run(read_exact_at(
        &*slice.file.unwrap(),
        0,
        BytesMut::new(),
        slice.len,
    ))
    .1;
    segment.close_if_idle();
    segment.close_if_idle();
    round(&mut writer, NOW).unwrap();
    let file = run(segment.file()).unwrap();
    let now = run(read_exact_at(&*file, 0, BytesMut::new(), old.len())).1;
    assert_eq!(now, old);
    assert_ne!(read_all(&reader, 0).len(), 0);
}

#[test]
fn what_changed_meanwhile_is_not_swapped_in() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    fill(&mut writer);
    let mut cleaning: Cleaning = writer.begin_cleaning(terms(), NOW);
    run(cleaning.index()).unwrap();
    let group = run(cleaning.next_group()).unwrap().unwrap();
    run(writer.delete_records(30, NOW)).unwrap();
    run(writer.maintain(NOW)).unwrap();
    let before = committed_from(&writer.reader());
    assert!(!run(writer.swap_in(group, NOW)).unwrap());
    assert_eq!(world.files(".cleaned").len(), 0);
    assert_eq!(committed_from(&writer.reader()), before);
}

fn committed_from(reader: &LogReader) -> Vec<(Offset, Offset)> {
    read_all(reader, reader.offsets().start)
}

#[test]
fn a_full_disk_ends_the_round_and_loses_nothing() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    let expected = fill(&mut writer);
    let before = committed(&writer.reader());
    world.disk.set_capacity(Some(world.disk.used() + 100));
    let error = round(&mut writer, NOW).unwrap_err();
    assert!(
        matches!(error, CleaningError::Store(StoreError::DiskFull { .. })),
        "{error}"
    );
    assert_eq!(world.files(".cleaned").len(), 0);
    // Groups before it may be in their place.
    let found = committed(&writer.reader());
    assert_eq!(newest(&found), expected);
    assert!(found.len() > 4 && found.iter().all(|record| before.contains(record)));
    world.disk.set_capacity(None);
    round(&mut writer, NOW).unwrap();
    assert_eq!(newest(&committed(&writer.reader())), expected);
}

/// Copies the disk before each operation of a round, lets each copy crash or lose power, and starts on it.
#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    let expected = fill(&mut writer);
    let (before, end) = (committed(&writer.reader()), writer.log().end());
    let copies: Arc<Mutex<Vec<MemDisk>>> = Arc::default();
    let (disk, kept) = (world.disk.clone(), copies.clone());
    *world.faults.before.lock().unwrap() = Some(Box::new(move || kept.lock().unwrap().push(disk.fork())));
    round(&mut writer, NOW).unwrap();
    *world.faults.before.lock().unwrap() = None;
    let after = committed(&writer.reader());
    let copies = copies.lock().unwrap();
    assert!(copies.len() > 20, "{}", copies.len());
    let mut outcomes = BTreeSet::new();
    for (n, copy) in copies.iter().enumerate() {
        for seed in 0..8u64 {
            let world = World {
                disk: copy.fork(),
                faults: Arc::default(),
            };
            match seed {
                0 => drop(world.disk.crash()),
                1 => world.power_loss(Profile::Strict, seed),
                2..5 => world.power_loss(Profile::Ext4Ordered, seed),
                _ => world.power_loss(Profile::Adversarial, seed),
            }
            let (_manager, mut writer) = world.reopen(&compacted());
            assert_eq!(
                (writer.loss(), writer.log().end()),
                (None, end),
                "step {n}, seed {seed}"
            );
            writer.set_high_watermark(end);
            let found = committed(&writer.reader());
            assert_eq!(newest(&found), expected, "step {n}, seed {seed}");
            assert!(
                found.iter().all(|record| before.contains(record)),
                "step {n}, seed {seed}"
            );
            assert_eq!(world.files(".cleaned").len() + world.files(".swap").len(), 0);
            outcomes.insert(found.len());
            round(&mut writer, NOW).unwrap();
            assert_eq!(committed(&writer.reader()), after, "step {n}, seed {seed}");
        }
    }
    assert!(
        outcomes.contains(&before.len()) && outcomes.contains(&after.len()),
        "{outcomes:?}"
    );
}

/// The newest value of a key may be younger than the last flush. Without a flush of its own a round would drop the older value, which
/// is on the platter, and a loss of power the newer one, which is not.
#[test]
fn a_loss_of_power_takes_no_key_that_was_cleaned_for_a_younger_value() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    put(&mut writer, 1, 7, None);
    run(writer.flush()).unwrap();
    fill_the_cache(&mut writer);
    let mut cleaning = writer.begin_cleaning(terms(), NOW);
    run(cleaning.index()).unwrap();
    let group = run(cleaning.next_group()).unwrap().unwrap();
    assert!(run(writer.swap_in(group, NOW)).unwrap());
    drop(writer);
    world.power_loss(Profile::Strict, 1);
    let (_manager, mut writer) = world.reopen(&compacted());
    let end = writer.log().end();
    writer.set_high_watermark(end);
    let left = newest(&committed(&writer.reader()));
    assert!(left.contains_key(&1), "{left:?}");
}

#[test]
fn the_checkpoint_is_kafkas_and_outlives_a_crash() {
    let world = World::new();
    let (manager, mut writer) = world.create(&compacted());
    fill(&mut writer);
    let text = || {
        let bytes = world.disk.peek("/data/cleaner-offset-checkpoint");
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(text(), None);
    let mut cleaning = writer.begin_cleaning(terms(), NOW);
    run(cleaning.index()).unwrap();
    let name = writer.partition().to_string().replace('-', " ");
    assert_eq!(
        text(),
        Some(format!("0\n1\n{name} 0\n")),
        "before the first segment is replaced"
    );
    while let Some(group) = run(cleaning.next_group()).unwrap() {
        assert!(run(writer.swap_in(group, NOW)).unwrap());
    }
    let end = run(cleaning.finish()).unwrap();
    assert_eq!(text(), Some(format!("0\n1\n{name} {end}\n")));
    let clean = writer.cleanable(&terms().config, NOW);
    assert_eq!((clean.first_dirty, clean.cleanable_bytes), (end, 0));
    drop((writer, manager));
    world.power_loss(Profile::Strict, 1);
    let (_manager, mut writer) = world.reopen(&compacted());
    assert_eq!(writer.reader().cleaned(), Some(end));
    // What comes in the place of what is cut is not clean.
    run(writer.truncate_to(end - 3, NOW)).unwrap();
    let cut = writer.log().end();
    assert!(cut < end);
    assert_eq!(text(), Some(format!("0\n1\n{name} {cut}\n")));
}

/// The gaps stay when `cleanup.policy` changes, and recovery must not take them for damage.
#[test]
fn a_log_that_is_no_longer_compacted_keeps_its_gaps() {
    let world = World::new();
    let (manager, mut writer) = world.create(&compacted());
    let expected = fill(&mut writer);
    round(&mut writer, NOW).unwrap();
    drop((writer, manager));
    world.disk.crash();
    // No checkpoint of recovery points was written yet: everything is checked.
    let plain = LogConfig {
        compact: false,
        ..compacted()
    };
    let (_manager, mut writer) = world.reopen(&plain);
    assert_eq!(writer.loss(), None);
    let end = writer.log().end();
    writer.set_high_watermark(end);
    assert_eq!(newest(&committed(&writer.reader())), expected);
}

#[test]
fn a_round_that_is_asked_to_end_leaves_nothing_behind() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&compacted());
    let expected = fill(&mut writer);
    let terms = terms();
    let stop = terms.stop.clone();
    let mut cleaning = writer.begin_cleaning(terms, NOW);
    run(cleaning.index()).unwrap();
    stop.store(true, Ordering::Relaxed);
    let ended = run(cleaning.next_group());
    assert!(matches!(ended, Err(CleaningError::Changed)), "{ended:?}");
    assert_eq!(world.files(".cleaned").len(), 0);
    round(&mut writer, NOW).unwrap();
    assert_eq!(newest(&committed(&writer.reader())), expected);
}
