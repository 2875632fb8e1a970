//! Keys of the broker, by what a client sees of them.

use ottla_types::ErrorCode;
use ottla_wire::messages::delete_topics_request::DeleteTopicState;
use ottla_wire::messages::metadata_request::MetadataRequestTopic;
use ottla_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse};

use crate::testing::{World, config};

/// Asks about a topic, as a client does before it uses it. Its error and how many partitions it has.
fn ask(more: &[(&str, &str)], allow: bool) -> (i16, usize) {
    let world = World::new();
    let node = world.start(more);
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t"),
            ..Default::default()
        }]),
        allow_auto_topic_creation: allow,
        ..Default::default()
    };
    let call = world.send(&node, 12, &request);
    world.run(std::future::ready(()));
    let answer: MetadataResponse = call.answer();
    (answer.topics[0].error_code, answer.topics[0].partitions.len())
}

#[test]
fn topics_are_created_as_the_broker_says() {
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(ask(&[], true), (0, 1));
    assert_eq!(ask(&[("num.partitions", "3")], true), (0, 3));
    assert_eq!(ask(&[], false), (unknown, 0));
    assert_eq!(ask(&[("auto.create.topics.enable", "false")], true), (unknown, 0));
}

#[test]
fn topics_are_not_deleted_when_the_broker_says_so() {
    for (enabled, code) in [
        ("true", ErrorCode::None),
        ("false", ErrorCode::TopicDeletionDisabled),
    ] {
        let world = World::new();
        let node = world.start(&[("delete.topic.enable", enabled)]);
        world.create(&node, "t", 1, &[]);
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some("t"),
                ..Default::default()
            }],
            timeout_ms: 1_000,
            ..Default::default()
        };
        let answer: DeleteTopicsResponse = world.send(&node, 6, &request).answer();
        assert_eq!(answer.responses[0].error_code, code.code(), "{enabled}");
    }
}

#[test]
fn what_is_not_served_stops_the_start() {
    for (more, says) in [
        (
            &[("controller.quorum.voters", "1@n1:9093,2@n2:9093")][..],
            "more than one voter",
        ),
        (
            &[
                ("controller.quorum.voters", ""),
                ("controller.quorum.bootstrap.servers", "n1:9093,n2:9093"),
            ],
            "more than one voter",
        ),
        (
            &[("metadata.log.dir", "/elsewhere")],
            "metadata.log.dir must be the first of log.dirs",
        ),
        (
            &[
                ("process.roles", "broker"),
                ("listeners", "PLAINTEXT://n1:9092"),
                ("controller.quorum.voters", "2@n2:9093"),
            ],
            "process.roles must be broker,controller",
        ),
    ] {
        let error = World::new()
            .try_start(config(more))
            .err()
            .expect("it does not start");
        assert!(error.contains(says), "{error}");
    }
    // The place where it is anyway may be named.
    assert!(
        World::new()
            .try_start(config(&[("metadata.log.dir", "/data")]))
            .is_ok()
    );
}
