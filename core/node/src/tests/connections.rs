//! Limits on connections as peers see them.

use std::time::Duration;

use ottla_types::Event;
use ottla_wire::messages::{ApiVersionsRequest, DescribeClusterRequest};

use crate::testing::{Wire, World, encode};

fn ask(world: &World, wire: &Wire) -> usize {
    let before = wire.answers();
    wire.request(&encode(0, &ApiVersionsRequest::default()));
    world.settle();
    wire.answers() - before
}

#[test]
fn over_max_connections_one_waits_until_another_ends() {
    let world = World::new();
    let _node = world.start(&[("max.connections", "2")]);
    let wires: Vec<Wire> = (0..4).map(|i| world.net.dial(9092, [10, 0, 0, i])).collect();
    let served: Vec<usize> = wires.iter().map(|wire| ask(&world, wire)).collect();
    assert_eq!(served, [1, 1, 0, 0]);
    assert!(wires.iter().all(|wire| !wire.closed()), "they wait, as in Kafka");
    wires[0].finish();
    world.settle();
    assert_eq!((wires[2].answers(), wires[3].answers()), (1, 0));
    wires[1].finish();
    world.settle();
    assert_eq!(wires[3].answers(), 1);
}

#[test]
fn over_the_limit_of_its_address_a_connection_is_closed() {
    let world = World::new();
    let limits = [
        ("max.connections.per.ip", "1"),
        ("max.connections.per.ip.overrides", "10.0.0.2:2"),
    ];
    let _node = world.start(&limits);
    let from: Vec<Wire> = [1, 1, 2, 2, 2, 3]
        .into_iter()
        .map(|ip| world.net.dial(9092, [10, 0, 0, ip]))
        .collect();
    world.settle();
    let closed: Vec<bool> = from.iter().map(Wire::closed).collect();
    assert_eq!(closed, [false, true, false, false, true, false]);
    from[0].finish();
    world.settle();
    let again = world.net.dial(9092, [10, 0, 0, 1]);
    world.settle();
    assert!(!again.closed());
    assert_eq!(ask(&world, &again), 1);
}

#[test]
fn all_listeners_share_the_limits() {
    let world = World::new();
    let listeners = "PLAINTEXT://n1:9092,OTHER://n1:9094,CONTROLLER://n1:9093";
    let _node = world.start(&[("listeners", listeners), ("max.connections.per.ip", "1")]);
    let one = world.net.dial(9092, [10, 0, 0, 1]);
    world.settle();
    let other = world.net.dial(9094, [10, 0, 0, 1]);
    world.settle();
    assert_eq!((one.closed(), other.closed()), (false, true));
}

#[test]
fn an_idle_connection_is_closed_and_makes_room() {
    let world = World::new();
    let _node = world.start(&[("connections.max.idle.ms", "5000"), ("max.connections", "1")]);
    let first = world.net.dial(9092, [10, 0, 0, 1]);
    assert_eq!(ask(&world, &first), 1);
    let second = world.net.dial(9092, [10, 0, 0, 1]);
    assert_eq!(ask(&world, &second), 0);
    world.advance(Duration::from_millis(4_999));
    assert!(!first.closed());
    world.advance(Duration::from_millis(1));
    assert!(first.closed());
    assert_eq!(second.answers(), 1);
}

#[test]
fn without_a_limit_an_idle_connection_stays() {
    let world = World::new();
    let _node = world.start(&[("connections.max.idle.ms", "-1")]);
    let wire = world.net.dial(9092, [10, 0, 0, 1]);
    world.advance(Duration::from_secs(24 * 3600));
    assert_eq!(ask(&world, &wire), 1);
}

/// Who was rejected, and why.
fn rejections(world: &World) -> Vec<(String, String, String)> {
    let told = world.events.all().into_iter().filter_map(|event| match event {
        Event::PeerRejected {
            peer,
            client_id,
            reason,
        } => Some((peer, client_id, reason)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_request_that_cannot_be_read_closes_the_connection_and_is_told_once() {
    let world = World::new();
    let _node = world.start(&[]);
    let wire = world.net.dial(9092, [10, 0, 0, 1]);
    let mut cut = encode(1, &DescribeClusterRequest::default());
    cut.truncate(cut.len() - 2);
    wire.request(&cut);
    wire.request(&cut);
    world.settle();
    assert!(wire.closed());
    let told = rejections(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("10.0.0.1:5", "tester"));
    assert!(!told[0].2.is_empty());
}

#[test]
fn a_request_over_the_limit_closes_the_connection_and_is_told() {
    let world = World::new();
    let _node = world.start(&[("socket.request.max.bytes", "100")]);
    let wire = world.net.dial(9092, [10, 0, 0, 1]);
    assert_eq!(ask(&world, &wire), 1);
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    world.settle();
    assert!(wire.closed());
    let told = rejections(&world);
    assert_eq!(told.len(), 1);
    assert!(told[0].2.contains("HTTP"), "{told:?}");
}
