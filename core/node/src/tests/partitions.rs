//! Producing and fetching: acknowledgements, waiting fetches, batches that are refused, partitions that go.

use std::sync::Arc;
use std::time::Duration;

use ottla_io::Clock;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::messages::delete_topics_request::DeleteTopicState;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use ottla_wire::messages::fetch_response::PartitionData;
use ottla_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use ottla_wire::messages::produce_response::PartitionProduceResponse;
use ottla_wire::messages::{
    DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse,
};
use ottla_wire::records::{BatchBuilder, BatchOptions, BatchRef, Codec, Compressor};

use crate::Node;
use crate::testing::{Call, World};

/// The wall clock of a new world.
const NOW: i64 = 1_700_000_000_000;

/// A batch of one record.
fn batch(at: i64, key: Option<&[u8]>, value: &[u8], options: &BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(at, key, Some(value), &[]).expect("fits");
    builder.finish(options, &mut Compressor::new()).expect("builds")
}

fn plain(value: &[u8]) -> Vec<u8> {
    batch(NOW, None, value, &BatchOptions::default())
}

fn produce(world: &World, node: &Arc<Node>, acks: i16, batch: &[u8]) -> Call {
    produce_in(9, world, node, acks, batch)
}

fn produce_in(version: i16, world: &World, node: &Arc<Node>, acks: i16, batch: &[u8]) -> Call {
    let request = ProduceRequest {
        acks,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    world.send(node, version, &request)
}

fn produced(call: &Call) -> PartitionProduceResponse<'static> {
    let mut answer: ProduceResponse<'static> = call.answer();
    answer.responses.remove(0).partition_responses.remove(0)
}

/// A fetch that waits for `min_bytes` at most ten seconds, of topic `t` by its name, or by its id in newer versions.
fn fetch(world: &World, node: &Arc<Node>, version: i16, id: Uuid, offset: i64, min_bytes: i32) -> Call {
    let request = FetchRequest {
        max_wait_ms: 10_000,
        min_bytes,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: if version < 13 { "t" } else { "" },
            topic_id: if version < 13 { Uuid::ZERO } else { id },
            partitions: vec![FetchPartition {
                partition: 0,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    world.send(node, version, &request)
}

fn fetched(call: &Call) -> PartitionData<'static> {
    let mut answer: FetchResponse<'static> = call.answer();
    assert_eq!(answer.error_code, 0);
    answer.responses.remove(0).partitions.remove(0)
}

fn delete(world: &World, node: &Arc<Node>) {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t"),
            ..Default::default()
        }],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let answer: DeleteTopicsResponse = world.send(node, 6, &request).answer();
    assert_eq!(answer.responses[0].error_code, 0);
}

fn with_topic(configs: &[(&str, &str)]) -> (World, Arc<Node>, Uuid) {
    let world = World::new();
    let node = world.start(&[]);
    let id = world.create(&node, "t", 1, configs);
    (world, node, id)
}

#[test]
fn acks_decide_what_is_answered() {
    let (world, node, id) = with_topic(&[]);
    for (acks, offset) in [(1, 0), (-1, 1)] {
        let answer = produced(&produce(&world, &node, acks, &plain(b"v")));
        assert_eq!(
            (answer.error_code, answer.base_offset, answer.log_append_time_ms),
            (0, offset, -1)
        );
    }
    assert!(
        produce(&world, &node, 0, &plain(b"v")).bytes().is_empty(),
        "no answer"
    );
    assert_eq!(fetched(&fetch(&world, &node, 12, id, 0, 1)).high_watermark, 3);
    for acks in [2, -2, i16::MAX] {
        let answer = produced(&produce(&world, &node, acks, &plain(b"v")));
        assert_eq!(answer.error_code, ErrorCode::InvalidRequiredAcks.code());
    }
    // Nobody waits for an answer: the end of the connection says that it failed.
    let rejected = produce(&world, &node, 0, b"garbage").rejected();
    assert_eq!(rejected.client_id, "tester");
    assert_eq!(fetched(&fetch(&world, &node, 12, id, 0, 1)).high_watermark, 3);
}

#[test]
fn acks_all_needs_the_replicas_that_the_topic_asks_for() {
    let (world, node, _) = with_topic(&[("min.insync.replicas", "2")]);
    let answer = produced(&produce(&world, &node, -1, &plain(b"v")));
    assert_eq!(answer.error_code, ErrorCode::NotEnoughReplicas.code());
    assert_eq!(produced(&produce(&world, &node, 1, &plain(b"v"))).base_offset, 0);
}

#[test]
fn with_flush_messages_an_acknowledged_batch_is_on_the_platter() {
    for (every, durable) in [("1", true), ("9223372036854775807", false)] {
        let (world, node, _) = with_topic(&[("flush.messages", every)]);
        let before = world.disk.pending();
        assert_eq!(
            produced(&produce(&world, &node, 1, &plain(b"payload"))).error_code,
            0
        );
        let log = world.disk.peek_durable("/data/t-0/00000000000000000000.log");
        let found = log.is_some_and(|log| log.windows(7).any(|bytes| bytes == b"payload"));
        assert_eq!(
            found, durable,
            "flush.messages={every}, {before} operations pending before"
        );
    }
}

#[test]
fn a_waiting_fetch_is_woken_by_a_produce() {
    let (world, node, id) = with_topic(&[]);
    for version in [12, 17] {
        let offset = i64::from(version > 12);
        let started = world.now();
        let waiting = fetch(&world, &node, version, id, offset, 1);
        assert!(!waiting.is_done());
        let batch = plain(b"v");
        produce(&world, &node, 1, &batch);
        let answer = fetched(&waiting);
        assert_eq!(answer.records.map(<[u8]>::len), Some(batch.len()));
        assert_eq!(world.now(), started, "no time went by");
    }
}

#[test]
fn a_fetch_waits_until_there_are_enough_bytes_or_its_time_is_up() {
    let (world, node, id) = with_topic(&[]);
    let batch = plain(&[7; 100]);
    let waiting = fetch(&world, &node, 12, id, 0, 2 * batch.len() as i32);
    produce(&world, &node, 1, &batch);
    assert!(!waiting.is_done());
    produce(&world, &node, 1, &batch);
    assert_eq!(fetched(&waiting).records.map(<[u8]>::len), Some(2 * batch.len()));
    let waiting = fetch(&world, &node, 12, id, 1, 1 << 20);
    world.advance(Duration::from_millis(9_999));
    assert!(!waiting.is_done());
    world.advance(Duration::from_millis(1));
    assert_eq!(fetched(&waiting).records.map(<[u8]>::len), Some(batch.len()));
}

#[test]
fn a_waiting_fetch_leaves_nothing_behind_when_its_time_is_up() {
    let (world, node, id) = with_topic(&[]);
    let partition = node.topics.by_id(id, 0).expect("the topic is there");
    let sits = || format!("{:?}", partition.waiters).contains("FetchWaiter");
    assert!(!sits());
    let waiting = fetch(&world, &node, 12, id, 0, 1);
    assert!(sits());
    world.advance(Duration::from_secs(10));
    assert!(waiting.is_done());
    assert!(!sits());
}

#[test]
fn a_fetch_of_what_is_not_there_is_answered_at_once() {
    let (world, node, id) = with_topic(&[]);
    for offset in [1, -1, i64::MAX] {
        let answer = fetched(&fetch(&world, &node, 12, id, offset, 1));
        assert_eq!(answer.error_code, ErrorCode::OffsetOutOfRange.code(), "{offset}");
    }
    let other = Uuid::from_random([9; 16]).expect("an id");
    let answer = fetched(&fetch(&world, &node, 13, other, 0, 1));
    assert_eq!(answer.error_code, ErrorCode::UnknownTopicId.code());
}

#[test]
fn a_fetch_whose_topic_is_deleted_is_answered_at_once() {
    for (version, code) in [
        (12, ErrorCode::UnknownTopicOrPartition),
        (17, ErrorCode::UnknownTopicId),
    ] {
        let (world, node, id) = with_topic(&[]);
        let waiting = fetch(&world, &node, version, id, 0, 1);
        assert!(!waiting.is_done());
        delete(&world, &node);
        assert_eq!(fetched(&waiting).error_code, code.code());
    }
}

#[test]
fn a_closed_partition_refuses_what_comes_late() {
    let (world, node, id) = with_topic(&[]);
    let partition = node.topics.by_id(id, 0).expect("the topic is there");
    let closed = partition.close();
    world.settle();
    let (maintained, deleted) = (partition.maintain(), partition.delete_records(-1));
    // A produce that looked the partition up before, and comes to append only now.
    let late = produce(&world, &node, 1, &plain(b"v"));
    world.settle();
    assert!(late.is_done(), "nobody is left to wait for");
    assert_eq!(produced(&late).error_code, ErrorCode::NotLeaderOrFollower.code());
    world.run(async move {
        assert!(closed.await.is_ok());
        assert!(maintained.await.is_err());
        assert!(deleted.await.is_err());
    });
}

#[test]
fn batches_that_are_not_sound_are_refused_and_not_written() {
    let (world, node, id) = with_topic(&[("max.message.bytes", "500")]);
    let good = plain(b"v");
    let mut crc = good.clone();
    let last = crc.len() - 1;
    crc[last] ^= 1;
    let mut magic = good.clone();
    magic[16] = 1;
    let two = [&good[..], &good].concat();
    let large = plain(&[7; 600]);
    let transactional = BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let transactional = batch(NOW, None, b"v", &transactional);
    let control = BatchOptions {
        control: true,
        ..BatchOptions::default()
    };
    let control = batch(NOW, None, b"v", &control);
    let cases: [(&str, &[u8], ErrorCode); 8] = [
        ("crc", &crc, ErrorCode::CorruptMessage),
        ("cut", &good[..good.len() - 1], ErrorCode::InvalidRecord),
        ("empty", &[], ErrorCode::InvalidRecord),
        ("two", &two, ErrorCode::InvalidRecord),
        ("large", &large, ErrorCode::MessageTooLarge),
        ("transactional", &transactional, ErrorCode::InvalidTxnState),
        ("control", &control, ErrorCode::InvalidRecord),
        ("magic", &magic, ErrorCode::InvalidRecord),
    ];
    let seen: Vec<_> = cases
        .iter()
        .map(|(name, batch, _)| (*name, produced(&produce(&world, &node, 1, batch)).error_code))
        .collect();
    let expected: Vec<_> = cases.iter().map(|(name, _, code)| (*name, code.code())).collect();
    assert_eq!(seen, expected);
    assert_eq!(fetched(&fetch(&world, &node, 12, id, 0, 0)).high_watermark, 0);
}

#[test]
fn a_topics_rules_on_timestamps_and_keys_hold() {
    let rules = [
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "2000"),
    ];
    let (world, node, _) = with_topic(&rules);
    for (at, code) in [
        (NOW - 1_001, ErrorCode::InvalidTimestamp),
        (NOW - 1_000, ErrorCode::None),
        (NOW + 2_000, ErrorCode::None),
        (NOW + 2_001, ErrorCode::InvalidTimestamp),
    ] {
        let batch = batch(at, None, b"v", &BatchOptions::default());
        let answer = produced(&produce(&world, &node, 1, &batch));
        assert_eq!(answer.error_code, code.code(), "{}", at - NOW);
    }
    let (world, node, _) = with_topic(&[("cleanup.policy", "compact")]);
    let answer = produced(&produce(&world, &node, 1, &plain(b"v")));
    assert_eq!(answer.error_code, ErrorCode::InvalidRecord.code());
    let keyed = batch(NOW, Some(b"k"), b"v", &BatchOptions::default());
    assert_eq!(produced(&produce(&world, &node, 1, &keyed)).error_code, 0);
}

#[test]
fn a_topic_may_ask_for_the_brokers_time() {
    let (world, node, id) = with_topic(&[("message.timestamp.type", "LogAppendTime")]);
    world.advance(Duration::from_millis(500));
    let answer = produced(&produce(
        &world,
        &node,
        1,
        &batch(5, None, b"v", &BatchOptions::default()),
    ));
    assert_eq!(answer.log_append_time_ms, NOW + 500);
    let data = fetched(&fetch(&world, &node, 12, id, 0, 1));
    let stored = BatchRef::first(data.records.expect("a batch")).expect("whole");
    assert_eq!(stored.header().max_timestamp, NOW + 500);
    stored.verify_crc().expect("the checksum is made anew");
}

#[test]
fn a_topic_may_ask_for_a_codec() {
    for (wanted, codec) in [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("producer", Codec::Lz4),
    ] {
        let (world, node, id) = with_topic(&[("compression.type", wanted)]);
        let sent = batch(
            NOW,
            None,
            &[7; 400],
            &BatchOptions::default().with_codec(Codec::Lz4),
        );
        assert_eq!(
            produced(&produce(&world, &node, 1, &sent)).error_code,
            0,
            "{wanted}"
        );
        let data = fetched(&fetch(&world, &node, 12, id, 0, 1));
        let stored = BatchRef::first(data.records.expect("a batch")).expect("whole");
        assert_eq!(stored.header().attributes.codec(), Ok(codec), "{wanted}");
        stored.verify_crc().expect("sound");
    }
}

#[test]
fn a_producer_older_than_zstd_may_not_use_it() {
    // Kafka class ProduceRequest: a consumer as old as that producer could not read it (KIP-110).
    let (world, node, _) = with_topic(&[]);
    let zstd = batch(NOW, None, b"v", &BatchOptions::default().with_codec(Codec::Zstd));
    let refused = ErrorCode::UnsupportedCompressionType;
    for (version, code) in [(3, refused), (6, refused), (7, ErrorCode::None)] {
        let answer = produced(&produce_in(version, &world, &node, 1, &zstd));
        assert_eq!(answer.error_code, code.code(), "version {version}");
    }
}

#[test]
fn a_partition_whose_log_cannot_be_opened_is_offline_and_the_others_serve() {
    let world = World::new();
    let node = world.start(&[]);
    let id = world.create(&node, "t", 2, &[]);
    assert_eq!(produced(&produce(&world, &node, 1, &plain(b"v"))).base_offset, 0);
    world.run(async move { node.stop().await });
    world.disk.crash();
    assert!(world.disk.poke("/data/t-0/partition.metadata", 0, b"garbage"));
    let node = world.start(&[]);
    let offline = ErrorCode::KafkaStorageError.code();
    assert_eq!(
        produced(&produce(&world, &node, 1, &plain(b"v"))).error_code,
        offline
    );
    for version in [12, 17] {
        let answer = fetched(&fetch(&world, &node, version, id, 0, 1));
        assert_eq!(answer.error_code, offline, "version {version}");
    }
    assert!(node.topics.by_id(id, 1).is_some());
    assert_eq!(
        node.partition("t", Uuid::ZERO, 2).err(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    assert_eq!(
        node.partition("", id, 2).err(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    assert_eq!(
        node.partition("", Uuid::ZERO, 0).err(),
        Some(ErrorCode::UnknownTopicId)
    );
}
