//! Requests that a real Kafka 4.3.1 cluster of three brokers refused, with its error and its words.

mod common;

use common::{Rules, cluster, config, dice, replay};
use ottla_metadata::controller::*;
use ottla_metadata::image::{BrokerRegistration, LeaderRecoveryState};
use ottla_metadata::{ConfigResource, MetadataImage, ResourceKind};
use ottla_types::Uuid;

/// Three brokers, `orders` with six partitions on all of them, and `a.b`.
fn kafka() -> MetadataImage {
    let mut image = cluster(3);
    let topics = [topic("orders", 6, 3), topic("a.b", 1, 1)];
    let (records, results) = create_topics(&image, &config(), &Rules, &topics, false, &mut dice(1)).unwrap();
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    replay(&mut image, &records);
    image
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'_> {
    CreatableTopic {
        name,
        num_partitions,
        replication_factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn assigned<'a>(name: &'a str, assignments: &[(i32, &[i32])]) -> CreatableTopic<'a> {
    let one = |(partition, brokers): &(i32, &[i32])| Assignment {
        partition: *partition,
        brokers: brokers.to_vec(),
    };
    CreatableTopic {
        assignments: assignments.iter().map(one).collect(),
        ..topic(name, -1, -1)
    }
}

fn configured<'a>(key: &'a str, value: Option<&'a str>) -> CreatableTopic<'a> {
    CreatableTopic {
        configs: vec![(key, value)],
        ..topic("configured2", 1, 1)
    }
}

#[test]
fn create_topics_refuses_in_kafkas_words() {
    let image = kafka();
    let long = "a".repeat(250);
    let too_long = format!(
        "INVALID_TOPIC_EXCEPTION: Topic name is invalid: the length of '{long}' is longer than the max allowed length 249"
    );
    let cases = [
        (
            topic("orders", 6, 3),
            "TOPIC_ALREADY_EXISTS: Topic 'orders' already exists.",
        ),
        (
            topic(".", 1, 1),
            "INVALID_TOPIC_EXCEPTION: Topic name is invalid: '.' is not allowed",
        ),
        (
            topic("..", 1, 1),
            "INVALID_TOPIC_EXCEPTION: Topic name is invalid: '..' is not allowed",
        ),
        (topic(&long, 1, 1), &too_long),
        (
            topic("a b", 1, 1),
            "INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'a b' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'",
        ),
        (
            topic("a_b", 1, 1),
            "INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b",
        ),
        (
            topic("__cluster_metadata", 1, 1),
            "INVALID_REQUEST: Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (
            topic("zero", 0, 1),
            "INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("zero", -2, 1),
            "INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("zero", 1, 0),
            "INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            topic("zero", 1, -2),
            "INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            topic("zero", 1, 4),
            "INVALID_REPLICATION_FACTOR: Unable to replicate the partition 4 time(s): The target replication factor of \
             4 cannot be reached because only 3 broker(s) are registered or some brokers have all their log directories \
             cordoned.",
        ),
        (
            topic("many", 10_001, 1),
            "POLICY_VIOLATION: Excessively large number of partitions per request.",
        ),
        (
            topic("many", 10_000, 1),
            "POLICY_VIOLATION: Unable to perform excessively large batch operation.",
        ),
        (
            assigned("manual2", &[(0, &[2, 1]), (2, &[3, 2])]),
            "INVALID_REPLICA_ASSIGNMENT: partitions should be a consecutive 0-based integer sequence",
        ),
        (
            assigned("manual2", &[(-1, &[2, 1]), (0, &[3, 2])]),
            "INVALID_REPLICA_ASSIGNMENT: partitions should be a consecutive 0-based integer sequence",
        ),
        (
            assigned("manual2", &[(0, &[2, 9])]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 9, but no such broker is \
             registered.",
        ),
        (
            assigned("manual2", &[(0, &[2, 2])]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 2 more than once.",
        ),
        (
            assigned("manual2", &[(0, &[])]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes an empty replica list.",
        ),
        (
            assigned("manual2", &[(1, &[1]), (0, &[1, 2])]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 2 replica(s), but \
             this is not consistent with previous partitions, which have 1 replica(s).",
        ),
        (
            configured("retention.ms", Some("x")),
            "INVALID_CONFIG: Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            configured("no.such", Some("x")),
            "INVALID_CONFIG: Unknown topic config name: no.such",
        ),
        (
            configured("retention.ms", None),
            "INVALID_CONFIG: Null value not supported for topic configs: retention.ms",
        ),
    ];
    for (request, expected) in cases {
        let result = create_topics(&image, &config(), &Rules, &[request], false, &mut dice(1));
        let error = match result {
            Err(error) => error,
            Ok((records, results)) => {
                assert!(records.is_empty(), "{records:?}");
                results[0].1.clone().expect_err(expected)
            }
        };
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn create_partitions_refuses_in_kafkas_words() {
    let image = kafka();
    type Case = (&'static str, i32, Option<Vec<Vec<i32>>>, &'static str);
    let cases: [Case; 7] = [
        (
            "nope",
            3,
            None,
            "UNKNOWN_TOPIC_OR_PARTITION: no such topic or partition on this broker",
        ),
        (
            "orders",
            6,
            None,
            "INVALID_PARTITIONS: Topic already has 6 partition(s).",
        ),
        (
            "orders",
            2,
            None,
            "INVALID_PARTITIONS: The topic orders currently has 6 partition(s); 2 would not be an increase.",
        ),
        (
            "orders",
            0,
            None,
            "INVALID_PARTITIONS: The topic orders currently has 6 partition(s); 0 would not be an increase.",
        ),
        (
            "orders",
            8,
            Some(vec![vec![1, 2, 3]]),
            "INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition(s), but only 1 assignment(s) were \
             specified.",
        ),
        (
            "orders",
            7,
            Some(vec![vec![1, 2]]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 2 replica(s), but \
             this is not consistent with previous partitions, which have 3 replica(s).",
        ),
        (
            "orders",
            7,
            Some(vec![vec![3, 1, 7]]),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 7, but no such broker is \
             registered.",
        ),
    ];
    for (name, count, assignments, expected) in cases {
        let request = CreatePartitionsTopic {
            name,
            count,
            assignments,
        };
        let (records, results) = create_partitions(&image, &[request], false, &mut dice(1)).unwrap();
        assert!(records.is_empty());
        assert_eq!(results[0].1.clone().unwrap_err().to_string(), expected);
    }
    // Here Kafka answers UNKNOWN_SERVER_ERROR and keeps half of it; nothing is kept here.
    let request = CreatePartitionsTopic {
        name: "orders",
        count: i32::MAX,
        assignments: None,
    };
    let error = create_partitions(&image, &[request], false, &mut dice(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "POLICY_VIOLATION: Unable to perform excessively large batch operation."
    );
}

#[test]
fn incremental_alter_configs_refuses_in_kafkas_words() {
    use OpType::{Append, Delete, Set, Subtract};
    let image = kafka();
    let orders = || ConfigResource::topic("orders");
    let cases = [
        (
            orders(),
            ("retention.ms", Append, Some("1")),
            "INVALID_CONFIG: Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            orders(),
            ("retention.ms", Subtract, Some("1")),
            "INVALID_CONFIG: Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (
            ConfigResource::topic("nope"),
            ("retention.ms", Set, Some("1")),
            "UNKNOWN_TOPIC_OR_PARTITION: The topic 'nope' does not exist.",
        ),
        (
            ConfigResource::topic(""),
            ("retention.ms", Set, Some("1")),
            "INVALID_REQUEST: Default topic resources are not allowed.",
        ),
        (
            orders(),
            ("no.such", Set, Some("1")),
            "INVALID_CONFIG: Unknown topic config name: no.such",
        ),
        (
            orders(),
            ("retention.ms", Set, None),
            "INVALID_REQUEST: Null value not supported for : retention.ms",
        ),
        (
            ConfigResource::default_broker(),
            ("min.insync.replicas", Delete, None),
            "INVALID_CONFIG: Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
        (
            ConfigResource::broker(1),
            ("min.insync.replicas", Set, Some("1")),
            "INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (
            ConfigResource {
                kind: ResourceKind::Broker,
                name: "x".to_string(),
            },
            ("log.cleaner.threads", Set, Some("2")),
            "INVALID_REQUEST: Unable to parse broker name as a base 10 number.",
        ),
    ];
    for (resource, (key, op, value), expected) in cases {
        let ops = vec![ConfigOp { key, op, value }];
        let (records, results) =
            incremental_alter_configs(&image, &Rules, &[ResourceOps { resource, ops }], false).unwrap();
        assert!(records.is_empty());
        assert_eq!(results[0].1.clone().unwrap_err().to_string(), expected);
    }
    let set = |value| ConfigOp {
        key: "retention.ms",
        op: Set,
        value: Some(value),
    };
    let twice = ResourceOps {
        resource: orders(),
        ops: vec![set("1"), set("2")],
    };
    let (_, results) = incremental_alter_configs(&image, &Rules, &[twice], false).unwrap();
    assert_eq!(
        results[0].1.clone().unwrap_err().to_string(),
        "INVALID_REQUEST: Error due to duplicate config keys"
    );
}

#[test]
fn delete_topics_tells_names_from_ids() {
    let image = kafka();
    let orders = image.topics().by_name("orders").unwrap().id;
    let selectors = [
        TopicSelector::Name("nope"),
        TopicSelector::Id(Uuid::from_bytes([3; 16])),
        TopicSelector::Id(Uuid::ZERO),
        TopicSelector::Name("orders"),
        TopicSelector::Id(orders),
    ];
    let (records, results) = delete_topics(&image, &selectors).unwrap();
    assert!(records.is_empty());
    let codes: Vec<&str> = results
        .iter()
        .map(|(_, result)| result.as_ref().unwrap_err().code.name())
        .collect();
    assert_eq!(
        codes,
        [
            "UNKNOWN_TOPIC_OR_PARTITION",
            "UNKNOWN_TOPIC_ID",
            "INVALID_REQUEST",
            "INVALID_REQUEST",
            "INVALID_REQUEST"
        ]
    );
}

#[test]
fn alter_partition_refuses_by_epoch_and_member() {
    let mut image = kafka();
    let fenced = fence_broker(&image, &config(), 3).unwrap();
    replay(&mut image, &fenced);
    let orders = image.topics().by_name("orders").unwrap().clone();
    let (index, partition) = orders.partitions.iter().next().unwrap();
    let leader = image.cluster().broker(partition.leader).unwrap();
    let other = image.cluster().broker(3 - leader.id).unwrap();
    let members = [leader, other].map(|broker| (broker.id, broker.epoch));
    let good = AlterPartition {
        topic_id: orders.id,
        partition: *index,
        leader_epoch: partition.leader_epoch,
        new_isr: vec![members[0]],
        leader_recovery_state: LeaderRecoveryState::Recovered,
        partition_epoch: partition.partition_epoch,
    };
    let asked = |from: &BrokerRegistration, change: &dyn Fn(&mut AlterPartition)| {
        let mut request = good.clone();
        change(&mut request);
        let (records, results) = alter_partition(&image, &config(), from.id, from.epoch, &[request]).unwrap();
        let result = results[0].1.as_ref();
        assert_eq!(records.is_empty(), result.is_err());
        result
            .map(|partition| partition.isr.clone())
            .map_err(|code| code.name())
    };
    assert_eq!(asked(leader, &|_| ()), Ok(vec![leader.id]));
    assert_eq!(asked(other, &|_| ()), Err("INVALID_REQUEST"));
    type Case<'a> = (&'a dyn Fn(&mut AlterPartition), &'a str);
    let cases: [Case<'_>; 11] = [
        (&|r| r.topic_id = Uuid::ZERO, "UNKNOWN_TOPIC_ID"),
        (&|r| r.partition = 99, "UNKNOWN_TOPIC_OR_PARTITION"),
        (&|r| r.leader_epoch += 1, "NOT_CONTROLLER"),
        (&|r| r.partition_epoch += 1, "NOT_CONTROLLER"),
        (&|r| r.leader_epoch -= 1, "FENCED_LEADER_EPOCH"),
        (&|r| r.partition_epoch -= 1, "INVALID_UPDATE_VERSION"),
        (&|r| r.new_isr = vec![members[1]], "INVALID_REQUEST"),
        (&|r| r.new_isr = vec![members[0]; 2], "INVALID_REQUEST"),
        (&|r| r.new_isr.push((9, -1)), "INVALID_REQUEST"),
        (&|r| r.new_isr.push((3, -1)), "INELIGIBLE_REPLICA"),
        (
            &|r| r.new_isr.push((members[1].0, members[1].1 - 1)),
            "INELIGIBLE_REPLICA",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(asked(leader, change), Err(expected));
    }
    let stale = alter_partition(&image, &config(), leader.id, leader.epoch - 1, &[]).unwrap_err();
    assert_eq!(stale.code.name(), "STALE_BROKER_EPOCH");
}

#[test]
fn a_topic_given_twice_is_refused_once() {
    let image = kafka();
    let requests = [topic("x", 1, 1), topic("y", 1, 1), topic("x", 2, 1)];
    let (records, results) =
        create_topics(&image, &config(), &Rules, &requests, false, &mut dice(1)).unwrap();
    let results: Vec<(&str, Option<String>)> = results
        .iter()
        .map(|(name, r)| (*name, r.as_ref().err().map(ApiError::to_string)))
        .collect();
    assert_eq!(
        results,
        [
            ("x", Some("INVALID_REQUEST: Duplicate topic name.".to_string())),
            ("y", None)
        ]
    );
    assert_eq!(records.len(), 2);
}
