//! Against a log that Apache Kafka 4.3.1 wrote (`data/MakeFixture.java` says how): three leader epochs and a fourth with open
//! transactions, compressed batches, idempotent and transactional producers, markers, timestamps that run back. Rebuilt
//! indexes, epochs and producers must be Kafka's, byte for byte; so must what the log itself orders for the same batches; and
//! a changed byte must cut where Kafka cuts.

use ottla_log::format::producer_snapshot;
use ottla_log::recovery::{Carried, ScanConfig, SegmentReport, SegmentScan, scan_segment};
use ottla_log::*;
use ottla_types::Time;
use ottla_wire::records::Batches;

/// A segment's files, and the snapshot of the same name.
struct Files {
    base: i64,
    log: &'static [u8],
    index: &'static [u8],
    time: &'static [u8],
    txn: &'static [u8],
    snapshot: &'static [u8],
}

macro_rules! file {
    ($base:literal, $kind:literal) => {
        include_bytes!(concat!("data/fixture-0/00000000000000000", $base, $kind))
    };
}

macro_rules! segment {
    ($base:literal, $snapshot:expr) => {
        Files {
            base: parse($base),
            log: file!($base, ".log"),
            index: file!($base, ".index"),
            time: file!($base, ".timeindex"),
            txn: file!($base, ".txnindex"),
            snapshot: $snapshot,
        }
    };
}

fn parse(digits: &str) -> i64 {
    digits.parse().expect("digits")
}

fn fixture() -> Vec<Files> {
    vec![
        segment!("000", &[]),
        segment!("114", file!("114", ".snapshot")),
        segment!("229", file!("229", ".snapshot")),
        segment!("345", file!("345", ".snapshot")),
    ]
}

const END: i64 = 400;
const LAST_SNAPSHOT: &[u8] = file!("400", ".snapshot");
const EPOCHS: &str = include_str!("data/fixture-0/leader-epoch-checkpoint");
const RECOVERED: &str = include_str!("data/recovered.txt");
const NOW: Time = Time(1_700_000_000_000);
const FOREVER: u64 = u64::MAX;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 16384,
        index_interval_bytes: 700,
        index_bytes: 1200,
        ..LogConfig::default()
    }
}

fn epochs() -> EpochCache {
    let rows = EPOCHS.lines().skip(2).map(|line| {
        let (epoch, start) = line.split_once(' ').expect("two columns");
        EpochEntry {
            epoch: epoch.parse().expect("epoch"),
            start: start.parse().expect("start"),
        }
    });
    EpochCache::load(rows)
}

fn recover(base: i64, mut log: &[u8], carried: Carried, chunk: usize) -> SegmentReport {
    let scan = SegmentScan::new(
        ScanConfig::recover(&config(), 0),
        SegmentState::new(base, NOW),
        log.len() as u64,
        0,
        carried,
    );
    scan_segment(scan, &mut log, &mut vec![0; chunk]).expect("scan")
}

fn rows(producers: &Producers) -> Vec<producer_snapshot::SnapshotEntry> {
    producer_snapshot::decode(&producers.snapshot()).expect("own snapshot")
}

/// Java writes them in the order of its hash table, we by id.
fn sorted_rows(file: &[u8]) -> Vec<producer_snapshot::SnapshotEntry> {
    let mut rows = producer_snapshot::decode(file).expect("Kafka's snapshot");
    rows.sort();
    rows
}

#[test]
fn rebuilt_indexes_epochs_and_producers_are_kafkas() {
    for chunk in [1, 61, 1000, 1 << 20] {
        let mut carried = Carried::new(EpochCache::default(), Producers::new(0));
        for segment in fixture() {
            if !segment.snapshot.is_empty() {
                assert_eq!(
                    rows(&carried.producers),
                    sorted_rows(segment.snapshot),
                    "snapshot {}",
                    segment.base
                );
            }
            let report = recover(segment.base, segment.log, carried, chunk);
            assert_eq!(report.cut, None, "segment {}", segment.base);
            assert_eq!(report.state.size as usize, segment.log.len());
            assert!(report.index == segment.index, "index {}", segment.base);
            assert!(report.time_index == segment.time, "time index {}", segment.base);
            assert!(
                report.txn_index == segment.txn,
                "transaction index {}",
                segment.base
            );
            let loaded =
                SegmentState::loaded(segment.base, report.state.size, NOW, segment.index, segment.time);
            assert_eq!(loaded.index_entries, report.state.index_entries);
            assert_eq!(loaded.max_timestamp, report.state.max_timestamp);
            carried = report.carried;
        }
        assert_eq!(carried.next_offset, END);
        assert_eq!(carried.epochs, epochs());
        assert_eq!(rows(&carried.producers), sorted_rows(LAST_SNAPSHOT));
        assert_eq!(carried.producers.first_open_offset(), Some(396));
    }
}

#[test]
fn snapshots_round_trip_byte_for_byte() {
    for file in fixture()
        .iter()
        .map(|s| s.snapshot)
        .filter(|f| !f.is_empty())
        .chain([LAST_SNAPSHOT])
    {
        let decoded = producer_snapshot::decode(file).expect("decode");
        assert!(producer_snapshot::encode(decoded.into_iter()) == file);
        let offset = END + 1;
        let table = Producers::from_snapshot(offset, file, NOW, FOREVER).expect("load");
        assert_eq!(rows(&table), sorted_rows(file));
        table.check().expect("invariants");
    }
}

/// The log, given Kafka's batches one by one, orders Kafka's rolls, index entries, snapshots and epochs.
#[test]
fn appends_order_what_kafka_wrote() {
    let cfg = config();
    let mut out = Vec::new();
    let mut log = Log::create(0, NOW, &mut out);
    for segment in fixture() {
        for batch in Batches::new(segment.log) {
            let batch = batch.expect("whole");
            let header = *batch.header();
            let marker = marker_of(batch.bytes());
            let info = AppendInfo::replicated(BatchMeta::from_header(&header, marker), 7, NOW);
            log.append(&cfg, &info, &mut out).expect("append");
            log.check().expect("invariants");
        }
    }
    log.close(&mut out).expect("close");
    assert_eq!(log.epochs(), &epochs());
    let bases: Vec<i64> = log.segments().list().iter().map(|s| s.base).collect();
    assert_eq!(bases, [0, 114, 229, 345]);
    for segment in fixture() {
        let base = segment.base;
        let (mut index, mut time, mut txn) = (Vec::new(), Vec::new(), Vec::new());
        for effect in &out {
            match effect {
                Effect::IndexEntry { segment, entry } if *segment == base => {
                    index.extend(entry.to_bytes(base));
                }
                Effect::TimeIndexEntry { segment, entry } if *segment == base => {
                    time.extend(entry.to_bytes(base));
                }
                Effect::AbortedTxn { segment, entry } if *segment == base => txn.extend(entry.to_bytes()),
                Effect::ProducerSnapshot { offset, bytes } if *offset == base => {
                    assert_eq!(sorted_rows(bytes), sorted_rows(segment.snapshot));
                }
                _ => {}
            }
        }
        assert!(
            index == segment.index && time == segment.time && txn == segment.txn,
            "segment {base}"
        );
    }
    let Some(Effect::ProducerSnapshot { offset: END, bytes }) = out.last() else {
        panic!("{:?}", out.last())
    };
    assert_eq!(sorted_rows(bytes), sorted_rows(LAST_SNAPSHOT));
}

/// Key and value of a marker: version and type, version and coordinator epoch.
fn marker_of(bytes: &[u8]) -> Option<EndTxn> {
    let batch = ottla_wire::records::BatchRef::first(bytes).expect("batch");
    if !batch.header().attributes.is_control() {
        return None;
    }
    let record = batch.records().next().expect("a record").expect("readable");
    let (key, value) = (record.key.expect("key"), record.value.expect("value"));
    let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
    Some(EndTxn {
        commit: key[3] == 1,
        coordinator_epoch,
    })
}

/// Kafka's own recovery of each segment with one byte changed.
#[test]
fn a_changed_byte_cuts_where_kafka_cuts() {
    let segments = fixture();
    let mut compared = 0;
    for row in RECOVERED.lines().skip(1) {
        let columns: Vec<&str> = row.split(' ').collect();
        let number = |i: usize| columns[i].parse::<i64>().expect("number");
        let segment = segments.iter().find(|s| s.base == number(0)).expect("segment");
        let mut log = segment.log.to_vec();
        let changed = usize::try_from(number(1)).ok();
        if let Some(at) = changed {
            log[at] ^= 0x55;
        }
        let producers = match segment.snapshot {
            [] => Producers::new(0),
            bytes => Producers::from_snapshot(segment.base, bytes, NOW, FOREVER).expect("snapshot"),
        };
        let report = recover(
            segment.base,
            &log,
            Carried::new(EpochCache::default(), producers.clone()),
            4096,
        );
        let crc = |bytes: &[u8]| i64::from(crc32c::crc32c(bytes));
        let ours = (
            i64::from(report.state.size),
            report.end,
            crc(&report.index),
            crc(&report.time_index),
            crc(&report.txn_index),
        );
        let kafkas = (number(2), number(3), number(4), number(5), number(6));
        if changed.is_none_or(|at| covered(segment.log, at)) {
            assert_eq!(ours, kafkas, "{row}");
            let epochs: String = report
                .carried
                .epochs
                .entries()
                .iter()
                .map(|e| format!("{}@{},", e.epoch, e.start))
                .collect();
            assert_eq!(if epochs.is_empty() { "-" } else { &epochs }, columns[7], "{row}");
            compared += 1;
        } else {
            // Base offset and leader epoch lie outside the checksum; Kafka takes any. With the checkpoint we don't.
            let report = recover(segment.base, &log, Carried::new(epochs(), producers), 4096);
            assert!(
                report.cut.is_some() && i64::from(report.state.size) < kafkas.0,
                "{row}"
            );
        }
    }
    assert!(compared >= 30, "{compared} rows compared");
}

/// Whether a byte lies in what a batch's checksum or its length protects.
fn covered(log: &[u8], at: usize) -> bool {
    let mut begin = 0;
    for batch in Batches::new(log) {
        let size = batch.expect("whole").size_in_bytes();
        if at < begin + size {
            return !matches!(at - begin, 0..8 | 12..16);
        }
        begin += size;
    }
    false
}
