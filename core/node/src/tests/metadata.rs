//! The metadata log as a start finds it and a node keeps it: snapshots, what they make superfluous, and directories that a node must not
//! touch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_io::mem::MemDisk;
use ottla_metadata::image::LeaderRecoveryState;
use ottla_metadata::snapshot::{FileName, Head, SnapshotState, write};
use ottla_metadata::{Loader, MetadataImage, Quorum, Records, Snapshot, SnapshotId};
use ottla_types::{ErrorCode, Event};
use ottla_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use ottla_wire::messages::update_features_request::FeatureUpdateKey;
use ottla_wire::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ottla_wire::metadata_records::{FeatureLevelRecord, MetadataRecord, NoOpRecord};
use ottla_wire::records::{BatchBuilder, BatchOptions, Batches, Compressor};

use crate::Node;
use crate::testing::{World, config};

const FOLDER: &str = "/data/__cluster_metadata-0";
const LOG: &str = "/data/__cluster_metadata-0/00000000000000000000.log";
const SMALL: [(&str, &str); 2] = [
    ("metadata.log.max.record.bytes.between.snapshots", "400"),
    ("metadata.log.segment.ms", "1"),
];
/// Voters that stand in the log.
const DYNAMIC: [(&str, &str); 2] = [
    ("controller.quorum.voters", ""),
    ("controller.quorum.bootstrap.servers", "n1:9093"),
];

fn snapshots(world: &World) -> Vec<SnapshotId> {
    let paths = world.disk.paths();
    let names = paths.iter().filter_map(|p| p.rsplit_once('/'));
    let files = names.filter_map(|(_, name)| FileName::parse(name));
    let whole = files.inspect(|file| assert_eq!(file.state, SnapshotState::Whole));
    whole.map(|file| file.id).collect()
}

fn path(id: SnapshotId) -> String {
    let state = SnapshotState::Whole;
    format!("{FOLDER}/{}", FileName { id, state })
}

fn stop(world: &World, node: Arc<Node>) {
    world.run(async move { node.stop().await });
}

/// A world that goes on with another's disk, as after a crash of the process, or of the power with what was synced.
fn after_crash(disk: &MemDisk, durable: bool) -> World {
    let files = if durable {
        disk.export_durable()
    } else {
        disk.export()
    };
    World::with_files(&files)
}

fn loaded(world: &World) -> Option<i64> {
    let events = world.events.all().into_iter();
    events.rev().find_map(|event| match event {
        Event::SnapshotLoaded { offset, .. } => Some(offset),
        _ => None,
    })
}

/// What is there of topics, which a restart must not change.
fn topics(image: &MetadataImage) -> BTreeMap<String, usize> {
    let topic = |t: &Arc<ottla_metadata::image::Topic>| (t.name.to_string(), t.partitions.size());
    image.topics().iter().map(topic).collect()
}

#[test]
fn a_start_takes_a_snapshot_and_the_log_behind_it() {
    for more in [&[][..], &DYNAMIC[..]] {
        let settings = [&SMALL[..], more].concat();
        let world = World::new();
        let node = world.start(&settings);
        for n in 0..7 {
            world.create(&node, &format!("t{n}"), n + 1, &[("retention.ms", "7")]);
        }
        let (before, ids) = (node.image(), snapshots(&world));
        assert!(ids.len() > 3, "{ids:?}");
        let newest = *ids.iter().max().expect("some");
        // Nothing was stopped: a snapshot is there, durable, before anybody may rely on it.
        for durable in [false, true] {
            let world = after_crash(&world.disk, durable);
            let node = world.start(&settings);
            assert_eq!(loaded(&world), Some(newest.offset));
            assert_eq!(topics(&node.image()), topics(&before));
            assert_eq!(node.image().configs(), before.configs());
            assert_eq!(
                node.image().topics().by_name("t3").map(|t| t.id),
                before.topics().by_name("t3").map(|t| t.id)
            );
        }
        stop(&world, node);
        let bytes = world.disk.peek(path(newest)).expect("is there");
        let quorum = Snapshot::read(&bytes).expect("whole").quorum;
        assert_eq!(quorum.voters.len(), more.len() / 2);
    }
}

#[test]
fn what_a_snapshot_stands_for_goes_when_it_is_too_large() {
    let settings = [&SMALL[..], &[("metadata.max.retention.bytes", "3000")]].concat();
    let world = World::new();
    let node = world.start(&settings);
    for n in 0..12 {
        world.create(&node, &format!("t{n}"), 1, &[]);
        world.advance(Duration::from_millis(5));
    }
    let before = node.image();
    let ids = snapshots(&world);
    assert!((1..=4).contains(&ids.len()), "{ids:?}");
    assert!(
        node.metadata_log().offsets().start >= ids[0].offset,
        "the log was not cut"
    );
    let newest = *ids.iter().max().expect("some");
    let world = after_crash(&world.disk, true);
    let node = world.start(&settings);
    assert!(node.metadata_log().offsets().start > 0);
    assert_eq!(topics(&node.image()), topics(&before));

    // Without its snapshots nobody knows what was before the log's begin.
    drop(node);
    let mut files = world.disk.export();
    files.retain(|name, _| !name.ends_with(".checkpoint"));
    let world = World::with_files(&files);
    let error = world
        .try_start(config(&settings))
        .err()
        .expect("it does not start");
    assert!(error.contains("no whole snapshot"), "{error} {newest}");
}

#[test]
fn a_snapshot_is_written_when_its_time_has_come() {
    let world = World::new();
    let node = world.start(&[("metadata.log.max.snapshot.interval.ms", "5000")]);
    world.create(&node, "t", 1, &[]);
    assert_eq!(snapshots(&world), []);
    world.advance(Duration::from_secs(11));
    assert_eq!(snapshots(&world).len(), 1);
    // Nothing has changed since.
    world.advance(Duration::from_secs(60));
    assert_eq!(snapshots(&world).len(), 1);
}

#[test]
fn what_a_snapshot_stands_for_goes_when_it_is_too_old() {
    let world = World::new();
    let settings = [&SMALL[..], &[("metadata.max.retention.ms", "100000")]].concat();
    let node = world.start(&settings);
    for n in 0..7 {
        world.create(&node, &format!("t{n}"), 1, &[]);
    }
    let before = snapshots(&world);
    assert!(before.len() > 1, "{before:?}");
    world.advance(Duration::from_secs(90));
    assert_eq!(snapshots(&world), before);
    world.advance(Duration::from_secs(100));
    let newest = *before.iter().max().expect("some");
    assert_eq!(snapshots(&world), [newest]);
    assert_eq!(node.metadata_log().offsets().start, newest.offset);
}

#[test]
fn a_damaged_snapshot_is_put_aside_for_an_older_one() {
    let world = World::new();
    let node = world.start(&SMALL);
    for n in 0..7 {
        world.create(&node, &format!("t{n}"), 1, &[]);
    }
    let before = node.image();
    let mut ids = snapshots(&world);
    ids.sort_unstable();
    let [.., older, newest] = ids[..] else {
        panic!("{ids:?}")
    };
    let world = after_crash(&world.disk, false);
    assert!(world.disk.poke(path(newest), 100, b"damage"));
    let node = world.start(&SMALL);
    assert_eq!(loaded(&world), Some(older.offset));
    assert_eq!(topics(&node.image()), topics(&before));
    assert!(world.disk.peek(format!("{}.damaged", path(newest))).is_some());
}

#[test]
fn a_half_written_snapshot_is_removed() {
    let world = World::new();
    let node = world.start(&[]);
    world.create(&node, "t", 1, &[]);
    let mut files = world.disk.export();
    let name = format!("{}/00000000000000000004-0000000001.checkpoint.part", &FOLDER[1..]);
    let key = files
        .keys()
        .find(|k| k.ends_with(".log") && k.contains("metadata"))
        .expect("a log");
    let slash = if key.starts_with('/') { "/" } else { "" };
    files.insert(format!("{slash}{name}"), b"half".to_vec());
    let world = World::with_files(&files);
    let node = world.start(&[]);
    assert_eq!(topics(&node.image()).len(), 1);
    assert!(!world.disk.paths().iter().any(|p| p.ends_with(".part")));
}

/// `kafka-storage format --standalone` leaves a folder that holds a snapshot alone: it once was taken for unfinished, and removed.
#[test]
fn the_voters_that_format_named_stay() {
    let world = World::new();
    let node = world.start(&DYNAMIC);
    let first = snapshots(&world);
    assert_eq!(first, [SnapshotId { offset: 0, epoch: 0 }]);
    stop(&world, node);
    let log = world.disk.peek(LOG).expect("a log");
    let batch = Batches::new(&log).next().expect("a batch").expect("whole");
    assert_eq!(batch.header().record_count, 3, "leader, kraft.version, voters");
    let state = world.disk.peek(format!("{FOLDER}/quorum-state")).expect("it");
    let state = String::from_utf8_lossy(&state).into_owned();
    assert!(state.contains("\"data_version\":1"), "{state}");
    // The next epoch has no need to repeat them.
    let node = world.start(&DYNAMIC);
    stop(&world, node);
    let log = world.disk.peek(LOG).expect("a log");
    let leaders = Batches::tolerant(&log)
        .map_while(Result::ok)
        .filter(|b| b.header().attributes.is_control())
        .map(|b| b.header().record_count);
    assert_eq!(leaders.collect::<Vec<_>>(), [3, 1]);
}

/// A log that holds one more batch.
fn with_batch(disk: &MemDisk, value: &[u8]) -> World {
    let mut files = disk.export();
    let log = files
        .iter_mut()
        .find(|(name, _)| format!("/{}", name.trim_start_matches('/')) == LOG);
    let (_, bytes) = log.expect("a log");
    let end = Batches::tolerant(bytes)
        .map_while(Result::ok)
        .map(|b| b.header().next_offset())
        .last();
    let mut builder = BatchBuilder::new();
    builder.append(0, None, Some(value), &[]).expect("fits");
    let options = BatchOptions {
        base_offset: end.expect("batches"),
        leader_epoch: 1,
        ..BatchOptions::default()
    };
    bytes.extend(builder.finish(&options, &mut Compressor::new()).expect("builds"));
    World::with_files(&files)
}

fn encoded(record: &MetadataRecord<'_>) -> Vec<u8> {
    let mut records = Records::unbounded(30);
    records.push(record).expect("fits");
    records.iter().next().expect("one").to_vec()
}

fn level(name: &str, feature_level: i16) -> Vec<u8> {
    encoded(&MetadataRecord::FeatureLevel(FeatureLevelRecord {
        name,
        feature_level,
    }))
}

#[test]
fn metadata_of_a_newer_release_is_refused_untouched() {
    let world = World::new();
    let node = world.start(&SMALL);
    world.create(&node, "t", 1, &[]);
    stop(&world, node);
    // A record that is known is none of these.
    let node = with_batch(&world.disk, &encoded(&MetadataRecord::NoOp(NoOpRecord {}))).start(&SMALL);
    drop(node);
    for (value, says) in [
        (b"\x01\x1d\x00\x00".to_vec(), "no record has type 29"),
        (b"\x01\x02\x01\x00".to_vec(), "TopicRecord has no version 1"),
        (level("metadata.version", 31), "metadata-version-is-known"),
        (
            level("group.version", 2),
            "group.version 2, which this release knows at 0 to 1",
        ),
        (
            level("new.version", 1),
            "new.version 1, which this release knows not at all",
        ),
    ] {
        let world = with_batch(&world.disk, &value);
        let before = world.disk.export();
        let error = world.try_start(config(&SMALL)).err().expect("it does not start");
        assert!(
            error.contains(says) && error.contains("/data was left as it is"),
            "{error}"
        );
        assert!(world.disk.export() == before, "{says}: something was changed");
    }
}

#[test]
fn voters_that_are_not_this_node_are_refused_untouched() {
    let world = World::new();
    let node = world.start(&DYNAMIC);
    stop(&world, node);
    let id = SnapshotId { offset: 0, epoch: 0 };
    let bytes = world.disk.peek(path(id)).expect("is there");
    let mut quorum: Quorum = Snapshot::read(&bytes).expect("whole").quorum;
    let mut other = quorum.voters[0].clone();
    other.id = 2;
    quorum.voters.push(other);
    let head = Head {
        id,
        now: 0,
        last_contained_timestamp: 0,
        quorum: &quorum,
    };
    let two = write(&head, &Records::unbounded(30)).expect("builds");
    let mut files = world.disk.export();
    files.retain(|name, _| !name.contains("__cluster_metadata-0/") || name.ends_with("checkpoint"));
    let (_, first) = files
        .iter_mut()
        .find(|(name, _)| name.contains("0000000000.checkpoint"))
        .expect("it");
    *first = two;
    let world = World::with_files(&files);
    let error = world
        .try_start(config(&DYNAMIC))
        .err()
        .expect("it does not start");
    assert!(error.contains("names the voters 1, 2"), "{error}");
    assert!(world.disk.export() == files);
}

/// The log from the disk, replayed.
fn replayed(world: &World) -> MetadataImage {
    let log = world.disk.peek(LOG).expect("a log");
    let mut loader = Loader::new();
    for batch in Batches::tolerant(&log).map_while(Result::ok) {
        if !batch.header().attributes.is_control() {
            for (offset, record) in (batch.header().base_offset..).zip(batch.records()) {
                let value = record.expect("whole").value.unwrap_or_default();
                loader.replay(value, offset).expect("replays");
            }
        }
    }
    loader.image().clone()
}

#[test]
fn a_clean_stop_is_a_controlled_shutdown() {
    let world = World::new();
    let node = world.start(&[]);
    let id = world.create(&node, "t", 2, &[]);
    stop(&world, node);
    let image = replayed(&world);
    let broker = image.cluster().broker(1).expect("registered");
    assert!(broker.fenced && broker.in_controlled_shutdown);
    for index in 0..2 {
        let partition = image.topics().partition(id, index).expect("is there");
        assert_eq!((partition.leader, partition.isr.as_slice()), (-1, &[][..]));
        assert_eq!(partition.elr, [1], "it holds all that was committed");
    }
    let node = world.start(&[]);
    let image = node.image();
    let broker = image.cluster().broker(1).expect("registered");
    assert!(!broker.fenced && !broker.in_controlled_shutdown);
    let partition = image.topics().partition(id, 0).expect("is there");
    assert_eq!((partition.leader, partition.isr.as_slice()), (1, &[1][..]));
    assert_eq!(partition.leader_recovery_state, LeaderRecoveryState::Recovered);
}

#[test]
fn the_quorum_is_described() {
    for (settings, version, named) in [
        (&[][..], 2, false),
        (&DYNAMIC[..], 2, true),
        (&DYNAMIC[..], 0, false),
    ] {
        let world = World::new();
        let node = world.start(settings);
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: crate::kraft::TOPIC,
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let answer: DescribeQuorumResponse = world.send(&node, version, &request).answer();
        let partition = &answer.topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.leader_id, partition.leader_epoch),
            (0, 1, 1)
        );
        let end = node.metadata_log().offsets().end;
        assert_eq!(
            (
                partition.high_watermark,
                partition.current_voters[0].log_end_offset
            ),
            (end, end)
        );
        assert_eq!(!partition.current_voters[0].replica_directory_id.is_zero(), named);
        let listener = answer
            .nodes
            .first()
            .map(|n| (n.node_id, n.listeners[0].host, n.listeners[0].port));
        assert_eq!(listener, (version == 2).then_some((1, "n1", 9093)));

        let other = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: "t",
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let answer: DescribeQuorumResponse = world.send(&node, version, &other).answer();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(answer.topics[0].partitions[0].error_code, unknown);
    }
}

#[test]
fn levels_are_changed_and_outlive_a_restart() {
    let world = World::new();
    let node = world.start(&[]);
    let update = |node: &Arc<Node>, feature, level, upgrade_type, validate_only| -> (i16, Option<String>) {
        let request = UpdateFeaturesRequest {
            timeout_ms: 1_000,
            feature_updates: vec![FeatureUpdateKey {
                feature,
                max_version_level: level,
                upgrade_type,
                ..Default::default()
            }],
            validate_only,
        };
        let answer: UpdateFeaturesResponse = world.send(node, 2, &request).answer();
        (answer.error_code, answer.error_message.map(str::to_string))
    };
    let invalid = ErrorCode::InvalidUpdateVersion.code();
    assert_eq!(update(&node, "group.version", 0, 1, false).0, invalid);
    assert_eq!(update(&node, "kraft.version", 1, 1, false).0, invalid);
    assert_eq!(update(&node, "group.version", 0, 2, true), (0, None));
    assert_eq!(node.image().feature("group.version"), 1);
    assert_eq!(update(&node, "group.version", 0, 2, false), (0, None));
    assert_eq!(node.image().feature("group.version"), 0);
    stop(&world, node);
    let node = world.start(&[]);
    assert_eq!(node.image().feature("group.version"), 0);
}
