//! The cleaner of a whole node: when it works, what it keeps to, and what becomes of a log that it can't clean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_types::Event;
use ottla_types::config::TopicConfig;
use ottla_wire::messages::delete_topics_request::DeleteTopicState;
use ottla_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use ottla_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, ProduceRequest, ProduceResponse};
use ottla_wire::records::{BatchBuilder, BatchOptions, Compressor};

use super::round::{clean_config, terms};
use crate::Node;
use crate::testing::{World, config};

/// Segments of a few batches.
const COMPACTED: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "300"),
    ("min.cleanable.dirty.ratio", "0.2"),
];

/// A batch with one record of one of three keys.
fn produce(world: &World, node: &Arc<Node>, topic: &str, n: u8) {
    let mut builder = BatchBuilder::new();
    let at = 1_700_000_000_000 + i64::from(n);
    builder
        .append(at, Some(&[n % 3]), Some(&[n; 20]), &[])
        .expect("fits");
    let batch = builder
        .finish(&BatchOptions::default(), &mut Compressor::new())
        .expect("builds");
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(&batch),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer: ProduceResponse = world.send(node, 9, &request).answer();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// A node with a compacted topic of 40 batches.
fn with_topic(more: &[(&str, &str)]) -> (World, Arc<Node>) {
    let world = World::new();
    let more: Vec<_> = [("log.cleaner.backoff.ms", "1000")]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let node = world.start(&more);
    world.create(&node, "t", 1, &COMPACTED);
    (0..40).for_each(|n| produce(&world, &node, "t", n));
    (world, node)
}

fn size(node: &Node, topic: &str) -> u64 {
    let partition = node.topics.by_name(topic, 0).expect("it is hosted");
    partition.reader().size_bytes()
}

/// How many rounds have ended.
fn rounds(world: &World) -> usize {
    let ended = |event: &&Event| matches!(event, Event::Cleaned { .. });
    world.events.all().iter().filter(ended).count()
}

fn series(node: &Node, name: &str) -> f64 {
    let page = node
        .snapshot()
        .page(crate::metrics::Format::Prometheus)
        .expect("a page");
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {page}"))
        .parse()
        .expect("a number")
}

fn leftovers(world: &World) -> Vec<String> {
    let left = |path: &String| path.ends_with(".cleaned") || path.ends_with(".swap");
    world.disk.paths().into_iter().filter(left).collect()
}

#[test]
fn a_compacted_topic_is_compacted_and_says_so() {
    let (world, node) = with_topic(&[]);
    let before = size(&node, "t");
    world.advance(Duration::from_millis(999));
    assert_eq!((rounds(&world), size(&node, "t")), (0, before), "it sleeps");
    world.advance(Duration::from_millis(1));
    assert_eq!(rounds(&world), 1);
    let after = size(&node, "t");
    assert!(after < before / 3, "{before} bytes became {after}");
    let read = series(&node, "ottla_log_cleaner_read_bytes_total");
    assert!(read > 0.0 && read < before as f64, "the active segment stays out");
    assert_eq!(series(&node, "ottla_log_cleaner_rounds_total"), 1.0);
    assert_eq!(
        series(&node, "kafka_log_logcleanermanager_time_since_last_run_ms"),
        0.0
    );
    let recopied = series(&node, "kafka_log_logcleaner_cleaner_recopy_percent");
    assert!(recopied > 0.0 && recopied < 30.0, "{recopied}");
    world.advance(Duration::from_secs(100));
    assert_eq!((rounds(&world), size(&node, "t")), (1, after), "it is clean");
    // What a clean stop leaves is known to the next start.
    let stopped = node.clone();
    world.run(async move { stopped.stop().await });
    drop(node);
    let node = world.start(&[("log.cleaner.backoff.ms", "1000")]);
    world.advance(Duration::from_secs(10));
    assert_eq!((rounds(&world), size(&node, "t")), (1, after));
}

#[test]
fn without_the_cleaner_nothing_is_compacted() {
    let (world, node) = with_topic(&[("log.cleaner.enable", "false")]);
    let before = size(&node, "t");
    world.advance(Duration::from_secs(100));
    assert_eq!((rounds(&world), size(&node, "t")), (0, before));
}

#[test]
fn as_many_logs_as_threads_are_cleaned_at_a_time() {
    for threads in ["1", "2", "3"] {
        let keys = [
            ("log.cleaner.threads", threads),
            ("log.cleaner.io.max.bytes.per.second", "1"),
        ];
        let (world, node) = with_topic(&keys);
        for topic in ["u", "v"] {
            world.create(&node, topic, 1, &COMPACTED);
            (0..40).for_each(|n| produce(&world, &node, topic, n));
        }
        world.advance(Duration::from_secs(10));
        let began = |event: &&Event| matches!(event, Event::CleaningBegan { .. });
        let under_way = world.events.all().iter().filter(began).count();
        assert_eq!(under_way.to_string(), threads);
    }
}

#[test]
fn the_cleaner_keeps_to_its_bytes_per_second() {
    let rate = [
        ("log.cleaner.io.max.bytes.per.second", "100"),
        ("log.cleaner.io.buffer.size", "400"),
    ];
    let (world, node) = with_topic(&rate);
    // It reads what is dirty twice.
    let least = 2 * size(&node, "t") / 100 - 10;
    world.advance(Duration::from_secs(least));
    assert_eq!(rounds(&world), 0);
    world.advance(Duration::from_secs(least));
    assert_eq!(rounds(&world), 1);
}

#[test]
fn a_stop_waits_for_no_slow_round() {
    let (world, node) = with_topic(&[("log.cleaner.io.max.bytes.per.second", "1")]);
    world.advance(Duration::from_secs(60));
    let began = ottla_io::Clock::now(&world);
    let stopped = node.clone();
    world.run(async move { stopped.stop().await });
    let took = ottla_io::Clock::now(&world).since(began);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(leftovers(&world), Vec::<String>::new());
    let marked = |path: &String| path.ends_with(".kafka_cleanshutdown");
    assert!(world.disk.paths().iter().any(marked), "a clean stop");
}

#[test]
fn a_topic_is_deleted_while_it_is_cleaned() {
    let slow = [
        ("log.cleaner.io.max.bytes.per.second", "1"),
        ("log.segment.delete.delay.ms", "0"),
        ("log.initial.task.delay.ms", "0"),
        ("log.retention.check.interval.ms", "100"),
    ];
    let (world, node) = with_topic(&slow);
    world.advance(Duration::from_secs(60));
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t"),
            ..Default::default()
        }],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let call = world.send(&node, 6, &request);
    world.advance(Duration::from_secs(2));
    let answer: DeleteTopicsResponse = call.answer();
    assert_eq!(answer.responses[0].error_code, 0);
    world.advance(Duration::from_secs(60));
    let of_topic = |path: &&String| path.contains("/t-0");
    assert_eq!(world.disk.paths().iter().find(of_topic), None);
    assert!(node.directories().iter().all(|dir| dir.online));
    // Another compacted topic is cleaned then: the round has left its place.
    assert_eq!(series(&node, "ottla_log_cleaner_failed_rounds_total"), 1.0);
}

#[test]
fn a_damaged_log_is_left_alone_and_the_others_are_cleaned() {
    let (world, node) = with_topic(&[]);
    let first = |path: &String| path.contains("/t-0/") && path.ends_with("00000000000000000000.log");
    let path = world.disk.paths().into_iter().find(first).expect("a segment");
    let bytes = world.disk.peek(&path).expect("readable");
    let last = bytes.len() - 1;
    assert!(world.disk.poke(&path, last as u64, &[bytes[last] ^ 1]));
    world.create(&node, "u", 1, &COMPACTED);
    (0..40).for_each(|n| produce(&world, &node, "u", n));
    let before = [size(&node, "t"), size(&node, "u")];
    world.advance(Duration::from_secs(5));
    assert_eq!(size(&node, "t"), before[0]);
    assert!(size(&node, "u") < before[1] / 3);
    let name = "kafka_log_logcleanermanager_uncleanable_partitions_count{logDirectory=\"/data\"}";
    assert_eq!(series(&node, name), 1.0);
    let name = "kafka_log_logcleanermanager_uncleanable_bytes{logDirectory=\"/data\"}";
    assert!(series(&node, name) > 1000.0);
    assert_eq!(
        series(&node, "ottla_log_cleaner_failed_rounds_total"),
        1.0,
        "once is enough"
    );
    assert!(node.directories().iter().all(|dir| dir.online));
}

#[test]
fn terms_follow_the_configuration() {
    let broker = config(&[
        ("log.cleaner.threads", "4"),
        ("log.cleaner.dedupe.buffer.size", "8388608"),
        ("log.cleaner.io.buffer.load.factor", "0.5"),
        ("log.cleaner.io.buffer.size", "80000"),
    ]);
    let set = [
        ("delete.retention.ms", "11"),
        ("min.compaction.lag.ms", "12"),
        ("max.compaction.lag.ms", "13"),
        ("min.cleanable.dirty.ratio", "0.25"),
    ];
    let set: BTreeMap<String, String> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let topic = TopicConfig::resolve(&set, &broker).expect("valid");
    let terms = terms(&broker, &topic, Arc::default(), Arc::default());
    assert_eq!(
        (terms.map_bytes, terms.load_factor, terms.buffer_bytes),
        (2 << 20, 0.5, 10_000)
    );
    let config = terms.config;
    assert_eq!((config.delete_retention_ms, config.min_lag_ms), (11, 12));
    assert_eq!((config.max_lag_ms, config.min_cleanable_ratio), (Some(13), 0.25));
    let plain = TopicConfig::resolve(&BTreeMap::new(), &broker).expect("valid");
    assert_eq!(clean_config(&plain).max_lag_ms, None);
}
