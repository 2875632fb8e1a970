//! Consumer groups over the protocol: a member's life, what survives a restart, what waits for what.

use std::sync::Arc;
use std::time::Duration;

use ottla_types::{ErrorCode, Uuid};
use ottla_wire::messages::delete_topics_request::DeleteTopicState;
use ottla_wire::messages::join_group_request::JoinGroupRequestProtocol;
use ottla_wire::messages::leave_group_request::MemberIdentity;
use ottla_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ottla_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use ottla_wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};

use crate::Node;
use crate::testing::{Call, World};

/// One replica of few partitions, and groups that wait for nobody.
const SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "3"),
    ("group.initial.rebalance.delay.ms", "0"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    SETTINGS.iter().chain(more).copied().collect()
}

/// Stops a node, starts it again, and lets it load.
fn restart(world: &World, node: Arc<Node>) -> Arc<Node> {
    world.run(async move { node.stop().await });
    let node = world.start(SETTINGS);
    world.settle();
    node
}

/// Asks for the coordinator, which creates `__consumer_offsets`, and lets it load.
fn find(world: &World, node: &Arc<Node>) -> i16 {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["g"],
        ..Default::default()
    };
    let call = world.send(node, 4, &request);
    world.settle();
    let answer: FindCoordinatorResponse = call.answer();
    answer.coordinators[0].error_code
}

fn join(world: &World, node: &Arc<Node>, version: i16, member: &str) -> Call {
    let request = JoinGroupRequest {
        group_id: "g",
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol {
            name: "range",
            metadata: b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff",
        }],
        ..Default::default()
    };
    world.send(node, version, &request)
}

/// A member that has joined alone: its id and its generation.
fn member(world: &World, node: &Arc<Node>) -> (String, i32) {
    let refused: JoinGroupResponse = join(world, node, 9, "").answer();
    assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
    let call = join(world, node, 9, refused.member_id);
    world.advance(Duration::from_millis(5));
    let joined: JoinGroupResponse = call.answer();
    assert_eq!(joined.error_code, 0);
    assert_eq!(joined.leader, joined.member_id);
    let request = SyncGroupRequest {
        group_id: "g",
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id,
            assignment: b"all",
        }],
        ..Default::default()
    };
    let synced: SyncGroupResponse = world.send(node, 5, &request).answer();
    assert_eq!((synced.error_code, synced.assignment), (0, &b"all"[..]));
    (joined.member_id.to_string(), joined.generation_id)
}

fn heartbeat(world: &World, node: &Arc<Node>, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest {
        group_id: "g",
        generation_id: generation,
        member_id: member,
        ..Default::default()
    };
    let answer: HeartbeatResponse = world.send(node, 4, &request).answer();
    answer.error_code
}

/// A commit of a simple consumer.
fn commit(world: &World, node: &Arc<Node>, version: i16, id: Uuid, offset: i64) -> Call {
    let request = OffsetCommitRequest {
        group_id: "g",
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t",
            topic_id: id,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                committed_metadata: Some("m"),
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    world.send(node, version, &request)
}

fn committed(call: &Call) -> i16 {
    let answer: OffsetCommitResponse = call.answer();
    answer.topics[0].partitions[0].error_code
}

/// What the group has committed: an error of the whole, or topics with the offset of their partition 0.
fn fetch(world: &World, node: &Arc<Node>, version: i16, topics: Option<(&str, Uuid)>) -> (i16, Vec<i64>) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g",
            topics: topics.map(|(name, topic_id)| {
                vec![OffsetFetchRequestTopics {
                    name,
                    topic_id,
                    partition_indexes: vec![0],
                }]
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer: OffsetFetchResponse = world.send(node, version, &request).answer();
    let group = &answer.groups[0];
    let offsets = group.topics.iter().map(|t| t.partitions[0].committed_offset);
    (group.error_code, offsets.collect())
}

#[test]
fn a_member_joins_commits_and_leaves() {
    let world = World::new();
    let node = world.start(SETTINGS);
    world.create(&node, "t", 1, &[]);
    assert_eq!(find(&world, &node), 0);
    let (id, generation) = member(&world, &node);
    assert_eq!(heartbeat(&world, &node, &id, generation), 0);
    assert_eq!(
        heartbeat(&world, &node, &id, generation + 1),
        ErrorCode::IllegalGeneration.code()
    );
    let listed: ListGroupsResponse = world.send(&node, 5, &ListGroupsRequest::default()).answer();
    assert_eq!(listed.groups.len(), 1);
    assert_eq!(
        (listed.groups[0].group_state, listed.groups[0].group_type),
        ("Stable", "Classic")
    );
    let request = DescribeGroupsRequest {
        groups: vec!["g", "nobody"],
        ..Default::default()
    };
    let described: DescribeGroupsResponse = world.send(&node, 6, &request).answer();
    assert_eq!(described.groups[0].members[0].client_host, "/10.0.0.9");
    assert_eq!(described.groups[1].error_code, ErrorCode::GroupIdNotFound.code());
    let described: DescribeGroupsResponse = world.send(&node, 5, &request).answer();
    assert_eq!(
        (described.groups[1].error_code, described.groups[1].group_state),
        (0, "Dead")
    );
    let leave = LeaveGroupRequest {
        group_id: "g",
        members: vec![MemberIdentity {
            member_id: &id,
            ..Default::default()
        }],
        ..Default::default()
    };
    let left: LeaveGroupResponse = world.send(&node, 5, &leave).answer();
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    assert_eq!(
        heartbeat(&world, &node, &id, generation),
        ErrorCode::UnknownMemberId.code()
    );
}

#[test]
fn a_silent_member_is_out_when_its_session_ends() {
    let world = World::new();
    let node = world.start(SETTINGS);
    find(&world, &node);
    let (id, generation) = member(&world, &node);
    world.advance(Duration::from_millis(9_000));
    assert_eq!(heartbeat(&world, &node, &id, generation), 0);
    world.advance(Duration::from_millis(9_900));
    assert_eq!(heartbeat(&world, &node, &id, generation), 0);
    world.advance(Duration::from_millis(10_001));
    assert_eq!(
        heartbeat(&world, &node, &id, generation),
        ErrorCode::UnknownMemberId.code()
    );
}

#[test]
fn offsets_and_members_survive_a_restart() {
    let world = World::new();
    let node = world.start(SETTINGS);
    let topic = world.create(&node, "t", 1, &[]);
    find(&world, &node);
    assert_eq!(committed(&commit(&world, &node, 9, Uuid::ZERO, 41)), 0);
    assert_eq!(committed(&commit(&world, &node, 10, topic, 42)), 0);
    let unknown = Uuid::from_random([7; 16]).expect("a uuid");
    assert_eq!(
        committed(&commit(&world, &node, 10, unknown, 1)),
        ErrorCode::UnknownTopicId.code()
    );
    let node = restart(&world, node);
    assert_eq!(fetch(&world, &node, 9, Some(("t", Uuid::ZERO))), (0, vec![42]));
    assert_eq!(fetch(&world, &node, 10, Some(("", topic))), (0, vec![42]));
    assert_eq!(fetch(&world, &node, 10, None), (0, vec![42]));
    let (id, generation) = member(&world, &node);
    // The member is still one.
    let node = restart(&world, node);
    assert_eq!(heartbeat(&world, &node, &id, generation), 0);
}

#[test]
fn with_flush_messages_a_commit_waits_for_the_platter() {
    let world = World::new();
    let node = world.start(&with(&[("log.flush.interval.messages", "1")]));
    world.create(&node, "t", 1, &[]);
    find(&world, &node);
    let call = commit(&world, &node, 9, Uuid::ZERO, 5);
    world.settle();
    assert_eq!(committed(&call), 0);
    assert_eq!(fetch(&world, &node, 9, Some(("t", Uuid::ZERO))), (0, vec![5]));
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let world = World::new();
    let node = world.start(SETTINGS);
    world.create(&node, "t", 1, &[]);
    find(&world, &node);
    assert_eq!(committed(&commit(&world, &node, 9, Uuid::ZERO, 5)), 0);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t"),
            ..Default::default()
        }],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let deleted: DeleteTopicsResponse = world.send(&node, 6, &request).answer();
    assert_eq!(deleted.responses[0].error_code, 0);
    world.settle();
    world.create(&node, "t", 1, &[]);
    assert_eq!(fetch(&world, &node, 9, Some(("t", Uuid::ZERO))), (0, vec![-1]));
    // Nothing is left of the group.
    let listed: ListGroupsResponse = world.send(&node, 5, &ListGroupsRequest::default()).answer();
    assert!(listed.groups.is_empty());
}

#[test]
fn groups_are_deleted_when_they_are_empty() {
    let world = World::new();
    let node = world.start(SETTINGS);
    world.create(&node, "t", 1, &[]);
    find(&world, &node);
    let (_, _) = member(&world, &node);
    let delete = || {
        let request = DeleteGroupsRequest {
            groups_names: vec!["g"],
        };
        let answer: DeleteGroupsResponse = world.send(&node, 2, &request).answer();
        answer.results[0].error_code
    };
    assert_eq!(delete(), ErrorCode::NonEmptyGroup.code());
    world.advance(Duration::from_millis(10_001));
    assert_eq!(delete(), 0);
    assert_eq!(delete(), ErrorCode::GroupIdNotFound.code());
}

#[test]
fn a_group_is_expired_after_its_retention() {
    let world = World::new();
    let node = world.start(&with(&[
        ("offsets.retention.minutes", "2"),
        ("offsets.retention.check.interval.ms", "30000"),
        ("offset.metadata.max.bytes", "1"),
    ]));
    world.create(&node, "t", 1, &[]);
    find(&world, &node);
    assert_eq!(committed(&commit(&world, &node, 9, Uuid::ZERO, 5)), 0);
    world.advance(Duration::from_secs(115));
    assert_eq!(fetch(&world, &node, 9, None), (0, vec![5]));
    world.advance(Duration::from_secs(40));
    assert_eq!(fetch(&world, &node, 9, None), (0, vec![]));
}

#[test]
fn without_enough_brokers_there_is_no_coordinator() {
    let world = World::new();
    let node = world.start(&[]);
    assert_eq!(find(&world, &node), ErrorCode::CoordinatorNotAvailable.code());
}

#[test]
fn who_waits_is_answered_when_the_node_stops() {
    let world = World::new();
    let node = world.start(&with(&[("group.initial.rebalance.delay.ms", "60000")]));
    find(&world, &node);
    let call = join(&world, &node, 3, "");
    assert!(!call.is_done());
    world.run({
        let node = node.clone();
        async move { node.stop().await }
    });
    let answer: JoinGroupResponse = call.answer();
    assert_eq!(answer.error_code, ErrorCode::NotCoordinator.code());
}

#[test]
fn what_the_configuration_says_of_groups_holds() {
    let world = World::new();
    let node = world.start(&with(&[
        ("group.min.session.timeout.ms", "10001"),
        ("offset.metadata.max.bytes", "0"),
    ]));
    world.create(&node, "t", 1, &[]);
    find(&world, &node);
    let refused: JoinGroupResponse = join(&world, &node, 9, "").answer();
    assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());
    let error = committed(&commit(&world, &node, 9, Uuid::ZERO, 5));
    assert_eq!(error, ErrorCode::OffsetMetadataTooLarge.code());

    let world = World::new();
    let node = world.start(&with(&[("group.max.session.timeout.ms", "9999")]));
    find(&world, &node);
    let refused: JoinGroupResponse = join(&world, &node, 9, "").answer();
    assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());

    let world = World::new();
    let node = world.start(&with(&[("group.max.size", "1")]));
    find(&world, &node);
    member(&world, &node);
    let second: JoinGroupResponse = join(&world, &node, 9, "").answer();
    assert_eq!(second.error_code, ErrorCode::GroupMaxSizeReached.code());
}

#[test]
fn the_offsets_topic_is_made_as_the_broker_says() {
    let world = World::new();
    let node = world.start(&with(&[
        ("offsets.topic.segment.bytes", "1048576"),
        ("offsets.topic.compression.codec", "3"),
    ]));
    world.create(&node, "t", 1, &[]);
    assert_eq!(find(&world, &node), 0);
    let partitions = node.topics.of("__consumer_offsets");
    assert_eq!(partitions.len(), 3);
    let config = partitions[0].config();
    assert_eq!(config.segment_bytes, 1 << 20);
    assert!(config.cleanup_policy.compact && !config.cleanup_policy.delete);
    assert_eq!(committed(&commit(&world, &node, 9, Uuid::ZERO, 5)), 0);
    let (_, generation) = member(&world, &node);
    assert_eq!(generation, 1);
    // What was written compressed is read again.
    let node = restart(&world, node);
    assert_eq!(fetch(&world, &node, 9, Some(("t", Uuid::ZERO))), (0, vec![5]));
}
