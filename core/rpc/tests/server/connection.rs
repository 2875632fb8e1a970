//! One connection against a scripted peer: order, pipelining, slow readers, ends of every kind, idle time.

use std::sync::Arc;
use std::time::Duration;

use super::support::{Connection, HandClock, Script, Wire, frame, limits};
use bytes::Bytes;
use ottla_io::{OpenOptions, mem::MemDisk};
use ottla_rpc::{Closed, FrameError, Limits, OutputError, Rejected};
use proptest::prelude::*;

struct Served {
    service: Arc<Script>,
    clock: Arc<HandClock>,
    connection: Connection,
}

fn serve(wire: &Wire, limits: &Limits) -> Served {
    serve_with(wire, limits, Script::default())
}

fn serve_with(wire: &Wire, limits: &Limits, script: Script) -> Served {
    let (service, clock) = (Arc::new(script), Arc::new(HandClock::default()));
    let connection = Connection::new(wire, &service, limits, &clock);
    let mut served = Served {
        service,
        clock,
        connection,
    };
    served.connection.run();
    served
}

impl Served {
    fn closed(&mut self) -> Option<&Closed> {
        self.connection.run();
        self.connection.closed.as_ref()
    }
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    [b"w1", b"e2", b"w3", b"n4", b"e5"]
        .iter()
        .for_each(|r| wire.request(*r));
    served.connection.run();
    assert_eq!(served.service.calls(), 5);
    assert!(wire.answers().is_empty(), "the first is not answered yet");
    served.service.release();
    served.connection.run();
    assert_eq!(wire.answers(), [b"w1", b"e2", b"w3", b"e5"]);
}

#[test]
fn a_stop_answers_what_was_taken_and_takes_no_more() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    [b"e1", b"w2"].iter().for_each(|r| wire.request(*r));
    served.connection.run();
    served.connection.stop.say();
    assert!(served.closed().is_none(), "one request is under way");
    wire.request(b"e3");
    served.connection.run();
    assert_eq!(served.service.calls(), 2);
    served.service.release();
    assert!(matches!(served.closed(), Some(Closed::Stopped)));
    assert_eq!(wire.answers(), [b"e1", b"w2"]);
    // One that nobody uses hears of it too, and one that begins afterwards.
    let idle = Wire::new();
    let mut served = serve(&idle, &limits());
    served.connection.stop.say();
    assert!(matches!(served.closed(), Some(Closed::Stopped)));
}

#[test]
fn requests_under_way_are_bounded() {
    let wire = Wire::new();
    let bounds = Limits {
        max_in_flight: 3,
        ..limits()
    };
    let mut served = serve(&wire, &bounds);
    let request = [b'w'; 1_000];
    for _ in 0..2_000 {
        wire.request(&request);
    }
    served.connection.run();
    assert_eq!(served.service.calls(), 3);
    // What is beyond one read stays where it is.
    assert!(wire.unread() > 1_900_000, "{}", wire.unread());
    let mut answered = 0;
    while answered < 2_000 {
        served.service.release();
        served.connection.run();
        answered += wire.answers().len();
        assert!(served.service.calls() <= answered + 3);
    }
}

#[test]
fn a_peer_that_does_not_read_is_not_served_on() {
    let wire = Wire::slow(0);
    let bounds = Limits {
        max_queued: 100_000,
        ..limits()
    };
    let mut served = serve(&wire, &bounds);
    let request = [&b"e"[..], &[7; 9_999]].concat();
    for _ in 0..300 {
        wire.request(&request);
    }
    served.connection.run();
    assert_eq!(served.service.calls(), 10, "100,000 bytes of answers wait");
    assert!(wire.unread() > 2_000_000);
    // It reads after all, a little at a time, and gets everything.
    let mut answers = 0;
    for _ in 0..3_100 {
        wire.open_window(1_000);
        served.connection.run();
        answers += wire.answers().len();
        assert!(served.service.calls() <= answers + 11);
    }
    assert_eq!(answers, 300);
}

#[test]
fn an_idle_connection_is_closed() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    served.clock.advance(Duration::from_secs(599));
    wire.request(b"e");
    assert!(served.closed().is_none());
    served.clock.advance(Duration::from_secs(599));
    assert!(served.closed().is_none(), "the request began the time anew");
    served.clock.advance(Duration::from_secs(1));
    assert!(matches!(served.closed(), Some(Closed::Idle)));
    assert!(wire.dropped());
}

#[test]
fn a_request_under_way_keeps_a_connection() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    wire.request(b"w");
    served.connection.run();
    for _ in 0..5 {
        served.clock.advance(Duration::from_secs(600));
        assert!(served.closed().is_none());
    }
    served.service.release();
    assert!(served.closed().is_none());
    assert_eq!(wire.answers(), [b"w"]);
    served.clock.advance(Duration::from_secs(600));
    assert!(matches!(served.closed(), Some(Closed::Idle)));
}

#[test]
fn a_peer_that_neither_reads_nor_sends_is_idle() {
    let wire = Wire::slow(3);
    let mut served = serve(&wire, &limits());
    wire.request(b"e");
    assert!(served.closed().is_none());
    served.clock.advance(Duration::from_secs(600));
    assert!(matches!(served.closed(), Some(Closed::Idle)));
}

#[test]
fn a_peer_that_has_finished_sending_gets_its_answers() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    wire.request(b"w1");
    wire.request(b"e2");
    wire.finish();
    assert!(served.closed().is_none());
    served.service.release();
    assert!(matches!(served.closed(), Some(Closed::ByPeer)));
    assert_eq!(wire.answers(), [b"w1", b"e2"]);
    assert!(!wire.aborted());
}

#[test]
fn a_frame_cut_short_ends_the_connection_behind_the_answers() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    wire.request(b"w1");
    wire.send(&frame(b"cut")[..5]);
    wire.finish();
    assert!(served.closed().is_none());
    served.service.release();
    let closed = served.closed();
    assert!(
        matches!(closed, Some(Closed::Frame(FrameError::Cut { have: 5 }))),
        "{closed:?}"
    );
    assert_eq!(wire.answers(), [b"w1"]);
}

#[test]
fn a_rejected_request_ends_the_connection_behind_the_answers_before_it() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    [b"w1", b"x2", b"e3", b"w4"].iter().for_each(|r| wire.request(*r));
    assert!(served.closed().is_none());
    served.service.release();
    let expected = Rejected {
        client_id: "c".into(),
        reason: "no such request".into(),
    };
    assert!(matches!(served.closed(), Some(Closed::Rejected(rejected)) if *rejected == expected));
    assert_eq!(wire.answers(), [b"w1"]);
    assert!(!wire.aborted(), "a reset could take the first answer away");
    assert!(wire.dropped());
}

#[test]
fn sizes_that_no_request_has_are_refused() {
    let bounds = Limits {
        max_frame: 1_000,
        ..limits()
    };
    for (prefix, text) in [
        (
            1_001u32.to_be_bytes(),
            "a frame of 1001 bytes is over the limit of 1000",
        ),
        ([0xff; 4], "the frame length -1 is negative"),
        (*b"GET ", "looks like HTTP"),
        ([0x16, 3, 1, 0], "looks like TLS"),
    ] {
        let wire = Wire::new();
        let mut served = serve(&wire, &bounds);
        wire.send(&prefix);
        let Some(Closed::Frame(error)) = served.closed() else {
            panic!("{prefix:?} is taken for a request")
        };
        let said = error.to_string();
        assert!(
            said.contains(text) && said.contains("socket.request.max.bytes"),
            "{said}"
        );
    }
    let wire = Wire::new();
    let mut served = serve(&wire, &bounds);
    wire.request(&[b'e'; 1_000]);
    wire.request(b"");
    assert!(served.closed().is_none());
    assert_eq!(wire.answers(), [vec![b'e'; 1_000], vec![]]);
}

#[test]
fn a_peer_that_vanishes_ends_the_connection() {
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    wire.reset();
    assert!(matches!(served.closed(), Some(Closed::Frame(FrameError::Io(_)))));
    let wire = Wire::new();
    let mut served = serve(&wire, &limits());
    wire.break_writes();
    wire.request(b"e");
    assert!(matches!(
        served.closed(),
        Some(Closed::Output(OutputError::Io(_)))
    ));
}

fn with_file(content: &[u8], len: usize) -> Script {
    let disk = MemDisk::new().handle();
    let Ok(Ok(file)) = disk.open("f".as_ref(), OpenOptions::CreateNew).into_ready() else {
        panic!("a disk in memory opens at once")
    };
    let bytes = Bytes::copy_from_slice(content);
    assert!(file.write_at(0, vec![bytes]).into_ready().is_ok());
    Script {
        file: Some((file, len)),
        ..Script::default()
    }
}

#[test]
fn a_file_range_is_sent_among_bytes() {
    let wire = Wire::slow(0);
    let mut served = serve_with(&wire, &limits(), with_file(b"content", 7));
    [b"e1", b"f2", b"e3"].iter().for_each(|r| wire.request(*r));
    // A byte at a time, so that a range is left and taken up again.
    for _ in 0..40 {
        wire.open_window(1);
        assert!(served.closed().is_none());
    }
    assert_eq!(wire.answers(), [&b"e1"[..], b"content", b"e3"]);
}

#[test]
fn a_file_found_shorter_resets_the_connection() {
    let wire = Wire::new();
    let mut served = serve_with(&wire, &limits(), with_file(b"cont", 7));
    wire.request(b"f");
    assert!(matches!(
        served.closed(),
        Some(Closed::Output(OutputError::FileShrank))
    ));
    assert!(
        wire.aborted(),
        "the peer must not take half an answer for the whole"
    );
}

proptest! {
    /// However requests are cut on their way, however little the peer takes at a time and whatever the bounds: every request
    /// is answered once, in order.
    #[test]
    fn every_request_is_answered_once_and_in_order(
        requests in prop::collection::vec((prop::bool::ANY, 0..40_000usize), 1..20),
        piece in 1..70_000usize,
        window in 1..50_000usize,
        max_in_flight in 1..5usize,
        max_queued in 0..60_000usize,
        memory in prop::option::of(40_001..80_000usize),
    ) {
        let wire = Wire::slow(0);
        wire.in_pieces_of(piece);
        let memory = ottla_rpc::Budget::new(memory.unwrap_or(usize::MAX));
        let bounds = Limits { max_in_flight, max_queued, memory: memory.clone(), ..limits() };
        let mut served = serve(&wire, &bounds);
        let requests: Vec<Vec<u8>> = requests
            .iter()
            .enumerate()
            .map(|(i, (waits, size))| {
                let mut content = vec![i as u8; *size + 1];
                content[0] = if *waits { b'w' } else { b'e' };
                content
            })
            .collect();
        requests.iter().for_each(|r| wire.request(r));
        let mut answers = Vec::new();
        let total: usize = requests.iter().map(|r| r.len() + 4).sum();
        for _ in 0..2 * (total / window + requests.len()) + 10 {
            wire.open_window(window);
            served.service.release();
            prop_assert!(served.closed().is_none());
            answers.extend(wire.answers());
        }
        prop_assert_eq!(answers, requests);
        prop_assert_eq!(memory.used(), 0);
    }
}
