//! What peers can make a server hold: nothing by what they announce, and with `queued.max.request.bytes` no more than that.

use std::sync::Arc;
use std::time::Duration;

use super::support::{Connection, HandClock, Script, Wire, limits, run_all};
use ottla_rpc::{Budget, Closed, Limits};

/// What a connection may hold beside its requests: what one read takes, and what is small.
const OF_A_CONNECTION: u64 = 80 * 1024;

fn open(count: usize, limits: &Limits) -> (Vec<Wire>, Vec<Connection>, Arc<Script>, Arc<HandClock>) {
    let (service, clock) = (Arc::new(Script::default()), Arc::new(HandClock::default()));
    let wires: Vec<Wire> = (0..count).map(|_| Wire::new()).collect();
    let mut connections: Vec<Connection> = wires
        .iter()
        .map(|wire| Connection::new(wire, &service, limits, &clock))
        .collect();
    run_all(&mut connections);
    (wires, connections, service, clock)
}

#[test]
fn an_announced_size_alone_takes_no_memory() {
    let (wires, mut connections, ..) = open(1, &limits());
    wires[0].send(&(100u32 << 20).to_be_bytes());
    let held = allocation_counter::measure(|| run_all(&mut connections));
    assert!(held.bytes_max <= OF_A_CONNECTION, "{held:?}");
    wires[0].zeros(1 << 20);
    let held = allocation_counter::measure(|| run_all(&mut connections));
    assert!(
        held.bytes_max <= 4 << 20,
        "memory follows what has come: {held:?}"
    );
    assert_eq!(wires[0].unread(), 0);
}

#[test]
fn slow_peers_with_large_requests_stay_within_the_budget() {
    const BUDGET: usize = 2 << 20;
    const SIZE: usize = 600 << 10;
    let memory = Budget::new(BUDGET);
    let bounds = Limits {
        memory: memory.clone(),
        ..limits()
    };
    let (wires, mut connections, service, clock) = open(40, &bounds);
    let held = allocation_counter::measure(|| {
        for wire in &wires {
            wire.send(&(SIZE as u32).to_be_bytes());
        }
        // All of a request but its last piece: 23 MiB in all.
        for _ in 1..SIZE / 4096 {
            for wire in &wires {
                wire.zeros(4096);
            }
            run_all(&mut connections);
            assert!(memory.used() <= BUDGET);
        }
    });
    // A buffer at most doubles while it grows.
    let most = 2 * BUDGET as u64 + 40 * OF_A_CONNECTION;
    assert!(held.bytes_max <= most, "{} > {most}", held.bytes_max);
    assert_eq!(
        (service.calls(), memory.used()),
        (0, 3 * SIZE),
        "three of them fit"
    );
    // Those that fit are served and give their memory to the next.
    wires.iter().for_each(|wire| wire.zeros(4096));
    run_all(&mut connections);
    let answered: usize = wires.iter().map(|wire| wire.answers().len()).sum();
    assert_eq!((service.calls(), answered, memory.used()), (40, 40, 0));
    clock.advance(Duration::from_secs(600));
    run_all(&mut connections);
    assert!(connections.iter().all(|c| matches!(c.closed, Some(Closed::Idle))));
}

#[test]
fn a_peer_that_stalls_gives_its_memory_back_when_it_is_closed() {
    let memory = Budget::new(1 << 20);
    let bounds = Limits {
        memory: memory.clone(),
        ..limits()
    };
    let (wires, mut connections, service, clock) = open(2, &bounds);
    wires[0].send(&(1u32 << 20).to_be_bytes());
    run_all(&mut connections);
    wires[1].request(b"e");
    run_all(&mut connections);
    assert_eq!(
        (memory.used(), service.calls()),
        (1 << 20, 0),
        "all memory is the first one's"
    );
    clock.advance(Duration::from_secs(599));
    run_all(&mut connections);
    wires[0].reset();
    run_all(&mut connections);
    assert_eq!((memory.used(), wires[1].answers()), (0, vec![b"e".to_vec()]));
    // One that waits and goes does not keep the others from theirs.
    drop(connections);
    assert_eq!(memory.used(), 0);
}

#[test]
fn requests_under_way_count_until_they_are_answered() {
    let memory = Budget::new(1_000);
    let bounds = Limits {
        memory: memory.clone(),
        ..limits()
    };
    let (wires, mut connections, service, _clock) = open(2, &bounds);
    wires[0].request(&[b'w'; 900]);
    wires[1].request(&[b'w'; 200]);
    run_all(&mut connections);
    assert_eq!((service.calls(), memory.used()), (1, 900));
    service.release();
    run_all(&mut connections);
    assert_eq!((service.calls(), memory.used()), (2, 200));
    service.release();
    run_all(&mut connections);
    assert_eq!(memory.used(), 0);
}
