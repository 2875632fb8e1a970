//! A folder that Apache Kafka 4.3.1 wrote (`core/log/tests/data`): leader epochs, every kind of producer, aborted transactions.
//! It is opened as if Ottla had written it, after a clean stop and after a crash, and left as Kafka would leave it.

use std::collections::BTreeMap;

use super::*;
use crate::checkpoint::write_partition_metadata;
use ottla_io::write_all_at;
use ottla_log::format::producer_snapshot::{SnapshotEntry, decode};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../log/tests/data/fixture-0/", $name)).as_slice())),*]
    };
}

const LAST_SNAPSHOT: &str = "00000000000000000400.snapshot";
const FILES: [(&str, &[u8]); 21] = files![
    "00000000000000000000.index",
    "00000000000000000000.log",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000114.index",
    "00000000000000000114.log",
    "00000000000000000114.snapshot",
    "00000000000000000114.timeindex",
    "00000000000000000114.txnindex",
    "00000000000000000229.index",
    "00000000000000000229.log",
    "00000000000000000229.snapshot",
    "00000000000000000229.timeindex",
    "00000000000000000229.txnindex",
    "00000000000000000345.index",
    "00000000000000000345.log",
    "00000000000000000345.snapshot",
    "00000000000000000345.timeindex",
    "00000000000000000345.txnindex",
    "00000000000000000400.snapshot",
    "leader-epoch-checkpoint",
];

/// What the fixture was written with.
fn kafkas() -> LogConfig {
    LogConfig {
        segment_bytes: 16_384,
        index_interval_bytes: 700,
        index_bytes: 1200,
        producer_expiration_ms: u64::MAX >> 1,
        ..LogConfig::default()
    }
}

fn put(world: &World, name: &str, bytes: &[u8]) {
    run(async {
        let disk = world.disk.handle();
        disk.create_dir_all(&PathBuf::from("/data/orders-0"))
            .await
            .unwrap();
        let file = disk
            .open(&PathBuf::from(name), ottla_io::OpenOptions::Truncate)
            .await
            .unwrap();
        write_all_at(&*file, 0, vec![bytes.to_vec().into()])
            .await
            .0
            .unwrap();
    });
}

fn world(clean: bool) -> World {
    let world = World::new();
    for (name, bytes) in FILES {
        put(&world, &format!("/data/orders-0/{name}"), bytes);
    }
    let topic_id = write_partition_metadata(uuid(9));
    put(&world, "/data/orders-0/partition.metadata", topic_id.as_bytes());
    if clean {
        put(
            &world,
            "/data/.kafka_cleanshutdown",
            b"{\"version\":0,\"brokerEpoch\":11}",
        );
        put(
            &world,
            "/data/recovery-point-offset-checkpoint",
            b"0\n1\norders 0 400\n",
        );
        put(
            &world,
            "/data/replication-offset-checkpoint",
            b"0\n1\norders 0 400\n",
        );
    }
    world
}

/// The files of the log, by name.
fn found(world: &World) -> BTreeMap<String, Vec<u8>> {
    let files = world.disk.export().into_iter();
    files
        .filter_map(|(path, bytes)| Some((path.strip_prefix("data/orders-0/")?.to_string(), bytes)))
        .collect()
}

/// A snapshot's entries by producer: Kafka writes them in the order of a hash map.
fn producers(bytes: &[u8]) -> Vec<SnapshotEntry> {
    let mut entries = decode(bytes).unwrap();
    entries.sort();
    entries
}

/// Every byte of every segment is served, in order.
fn assert_serves_everything(reader: &LogReader) {
    let mut served = Vec::new();
    let mut from = 0;
    loop {
        let slice = run(reader.read(from, 1 << 20, Upto::LogEnd, true)).unwrap();
        let Some(file) = slice.file else { break };
        let (read, bytes) = run(read_exact_at(&*file, slice.position, BytesMut::new(), slice.len));
        read.unwrap();
        from = Batches::new(&bytes)
            .last()
            .unwrap()
            .unwrap()
            .header()
            .next_offset();
        served.extend_from_slice(&bytes);
    }
    let logs = FILES.iter().filter(|(name, _)| name.ends_with(".log"));
    assert!(served == logs.flat_map(|(_, bytes)| bytes.to_vec()).collect::<Vec<_>>());
}

#[test]
fn after_a_clean_stop_nothing_changes() {
    let world = world(true);
    let (manager, mut writer) = world.reopen(&kafkas());
    assert_eq!(manager.previous_broker_epoch(), 11);
    assert_eq!((writer.loss(), writer.reader().offsets().end), (None, 400));
    writer.set_high_watermark(400);
    assert_serves_everything(&writer.reader());
    let last = FILES.iter().find(|(name, _)| *name == LAST_SNAPSHOT).unwrap();
    assert_eq!(producers(&writer.log().producers().snapshot()), producers(last.1));
    run(manager.close(vec![writer], 12)).unwrap();
    let found = found(&world);
    for (name, bytes) in FILES {
        assert!(found[name] == bytes, "{name}");
    }
}

#[test]
fn after_a_crash_the_indexes_are_made_as_kafka_made_them() {
    let world = world(false);
    // A crash leaves no snapshot of the log's end, and here only half of each index.
    let last = PathBuf::from("/data/orders-0").join(LAST_SNAPSHOT);
    run(world.disk.handle().remove_file(&last)).unwrap();
    for (name, bytes) in FILES {
        if name.ends_with("index") {
            put(
                &world,
                &format!("/data/orders-0/{name}"),
                &bytes[..bytes.len() / 2],
            );
        }
    }
    let (manager, writer) = world.reopen(&kafkas());
    assert_eq!((writer.loss(), writer.reader().offsets().end), (None, 400));
    assert_serves_everything(&writer.reader());
    run(manager.close(vec![writer], 12)).unwrap();
    let found = found(&world);
    for (name, bytes) in FILES {
        let made = &found[name];
        if name.ends_with(".snapshot") {
            assert_eq!(producers(made), producers(bytes), "{name}");
        } else {
            assert!(made == bytes, "{name}");
        }
    }
}
