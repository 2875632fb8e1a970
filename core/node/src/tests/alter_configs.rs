//! Settings changed while the node runs: what takes hold, what is refused, and what a restart knows.

use std::sync::Arc;

use ottla_types::ErrorCode;
use ottla_wire::messages::alter_configs_request::{
    AlterConfigsResource as ReplaceResource, AlterableConfig as Replacement,
};
use ottla_wire::messages::describe_configs_request::DescribeConfigsResource;
use ottla_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use ottla_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};

use crate::Node;
use crate::testing::World;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

/// Changes one resource. The error's code and words.
fn alter(world: &World, node: &Arc<Node>, kind: i8, name: &str, changes: &[Change<'_>]) -> (i16, String) {
    let configs = changes.iter().map(|(name, op, value)| AlterableConfig {
        name,
        config_operation: *op,
        value: *value,
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: name,
            configs: configs.collect(),
        }],
        ..Default::default()
    };
    let answer: IncrementalAlterConfigsResponse = world.send(node, 1, &request).answer();
    let response = &answer.responses[0];
    (
        response.error_code,
        response.error_message.unwrap_or_default().to_string(),
    )
}

fn set(world: &World, node: &Arc<Node>, kind: i8, name: &str, key: &str, value: &str) {
    let answer = alter(world, node, kind, name, &[(key, SET, Some(value))]);
    assert_eq!(answer, (0, String::new()));
}

/// A key's value and its source.
fn value(world: &World, node: &Arc<Node>, kind: i8, name: &str, key: &str) -> (String, i8) {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name,
            configuration_keys: Some(vec![key]),
        }],
        ..Default::default()
    };
    let answer: DescribeConfigsResponse = world.send(node, 4, &request).answer();
    let configs = &answer.results[0].configs;
    let config = configs.first().expect("the key is described");
    (config.value.unwrap_or("none").to_string(), config.config_source)
}

#[test]
fn the_nearest_setting_holds_and_a_restart_knows_all() {
    let world = World::new();
    let more = [("log.retention.hours", "3")];
    let node = world.start(&more);
    world.create(&node, "t", 2, &[]);
    let of = |node: &Arc<Node>| value(&world, node, TOPIC, "t", "retention.ms");
    assert_eq!(
        of(&node),
        ("10800000".into(), 5),
        "the file, by its synonym, which Kafka calls a default"
    );
    let retention = |node: &Arc<Node>| node.topics.by_name("t", 1).unwrap().config().retention_ms;
    assert_eq!(retention(&node), 10_800_000);
    set(&world, &node, BROKER, "", "log.retention.ms", "300");
    assert_eq!((of(&node), retention(&node)), (("300".into(), 3), 300));
    set(&world, &node, BROKER, "1", "log.retention.ms", "200");
    assert_eq!((of(&node), retention(&node)), (("200".into(), 2), 200));
    set(&world, &node, TOPIC, "t", "retention.ms", "100");
    assert_eq!((of(&node), retention(&node)), (("100".into(), 1), 100));

    world.run(async move { node.stop().await });
    let node = world.start(&more);
    assert_eq!((of(&node), retention(&node)), (("100".into(), 1), 100));
    assert_eq!(
        value(&world, &node, BROKER, "1", "log.retention.ms"),
        ("200".into(), 2)
    );
    for (kind, name, key) in [(TOPIC, "t", "retention.ms"), (BROKER, "1", "log.retention.ms")] {
        assert_eq!(alter(&world, &node, kind, name, &[(key, DELETE, None)]).0, 0);
    }
    assert_eq!((of(&node), retention(&node)), (("300".into(), 3), 300));
}

#[test]
fn lists_grow_and_shrink() {
    let world = World::new();
    let node = world.start(&[]);
    world.create(&node, "t", 1, &[]);
    let policy = || value(&world, &node, TOPIC, "t", "cleanup.policy").0;
    for (op, entry, left) in [
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "compact", ""),
    ] {
        assert_eq!(
            alter(&world, &node, TOPIC, "t", &[("cleanup.policy", op, Some(entry))]).0,
            0
        );
        assert_eq!(policy(), left);
    }
    let (code, text) = alter(&world, &node, TOPIC, "t", &[("retention.ms", APPEND, Some("1"))]);
    assert_eq!(code, ErrorCode::InvalidConfig.code());
    assert_eq!(
        text,
        "Can't APPEND to key retention.ms because its type is not LIST."
    );
}

#[test]
fn a_resource_takes_all_changes_or_none() {
    let world = World::new();
    let node = world.start(&[]);
    world.create(&node, "t", 1, &[]);
    let both = [
        ("retention.ms", SET, Some("5")),
        ("segment.bytes", SET, Some("2")),
    ];
    let (code, text) = alter(&world, &node, TOPIC, "t", &both);
    assert_eq!(code, ErrorCode::InvalidConfig.code());
    assert_eq!(
        text,
        "Invalid value 2 for configuration segment.bytes: Value must be at least 1048576"
    );
    assert_eq!(value(&world, &node, TOPIC, "t", "retention.ms").1, 5);

    let request = AlterConfigsRequest {
        resources: vec![ReplaceResource {
            resource_type: TOPIC,
            resource_name: "t",
            configs: vec![Replacement {
                name: "retention.ms",
                value: Some("7"),
            }],
        }],
        ..Default::default()
    };
    set(&world, &node, TOPIC, "t", "flush.messages", "9");
    let answer: AlterConfigsResponse = world.send(&node, 2, &request).answer();
    assert_eq!(answer.responses[0].error_code, 0);
    assert_eq!(value(&world, &node, TOPIC, "t", "retention.ms"), ("7".into(), 1));
    assert_eq!(
        value(&world, &node, TOPIC, "t", "flush.messages").1,
        5,
        "what is not named is unset"
    );
}

#[test]
fn what_is_read_at_start_or_belongs_to_others_is_refused() {
    let world = World::new();
    let node = world.start(&[]);
    let refused = |kind: i8, name: &str, key: &str| {
        let (code, text) = alter(&world, &node, kind, name, &[(key, SET, Some("1"))]);
        assert_eq!(code, ErrorCode::InvalidRequest.code(), "{text}");
        text
    };
    assert_eq!(
        refused(BROKER, "1", "num.partitions"),
        "Cannot update these configs dynamically: [num.partitions]"
    );
    assert_eq!(
        refused(BROKER, "2", "message.max.bytes"),
        "Unexpected broker id, expected 1, but received 2"
    );
    assert_eq!(refused(99, "x", "y"), "Unknown resource type 99");
    assert_eq!(
        refused(GROUP, "", "y"),
        "Default group resources are not allowed."
    );
}

#[test]
fn what_is_configured_is_listed() {
    let world = World::new();
    let node = world.start(&[]);
    world.create(&node, "t", 1, &[]);
    set(&world, &node, GROUP, "g", "consumer.session.timeout.ms", "50000");
    let list = |kinds: &[i8]| {
        let request = ListConfigResourcesRequest {
            resource_types: kinds.to_vec(),
        };
        let answer: ListConfigResourcesResponse = world.send(&node, 1, &request).answer();
        let found = answer.config_resources.iter();
        let found: Vec<(String, i8)> = found
            .map(|r| (r.resource_name.to_string(), r.resource_type))
            .collect();
        (answer.error_code, found)
    };
    let all =
        [("t", TOPIC), ("1", BROKER), ("1", 8), ("g", GROUP)].map(|(name, kind)| (name.to_string(), kind));
    assert_eq!(list(&[]), (0, all.to_vec()));
    assert_eq!(list(&[GROUP]), (0, vec![("g".to_string(), GROUP)]));
    assert_eq!(list(&[99]), (ErrorCode::UnsupportedVersion.code(), vec![]));
}
