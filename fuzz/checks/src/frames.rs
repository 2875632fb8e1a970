//! A connection's input and pipelining: the bytes of a client in chunks of any size, a peer that takes answers as it likes, requests
//! that are answered at once or later. The server must see exactly the frames that were sent, answer all of them in order, and end
//! for the right reason.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{File, Op, Stream};
use ottla_rpc::{Budget, Closed, FrameError, Limits, Peer, Rejected, Reply, Service, Stop, serve};

use crate::env::Still;
use crate::input::Input;

/// `socket.request.max.bytes` here.
const MAX_FRAME: usize = 3000;
/// The first byte of a frame that the service rejects.
const REJECTED: u8 = 0xee;
/// The first byte of a frame that gets no answer.
const SILENT: u8 = 0xaa;

/// What the peer does at each poll: how many bytes it sends or takes; 0 makes the server wait.
#[derive(Default)]
struct Script {
    input: VecDeque<u8>,
    reads: VecDeque<usize>,
    writes: VecDeque<usize>,
    sent: Vec<u8>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }
}

impl Stream for Scripted {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        assert!(max > 0, "a read of nothing");
        self.with(|script| match script.reads.pop_front() {
            Some(0) => Poll::Pending,
            asked => {
                let count = asked.unwrap_or(usize::MAX).min(max).min(script.input.len());
                buf.extend(script.input.drain(..count));
                Poll::Ready(Ok(count))
            }
        })
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.with(|script| match script.writes.pop_front() {
            Some(0) => Poll::Pending,
            asked => {
                let all = bufs.iter().flat_map(|b| b.iter().copied());
                let before = script.sent.len();
                script.sent.extend(all.take(asked.unwrap_or(usize::MAX)));
                Poll::Ready(Ok(script.sent.len() - before))
            }
        })
    }

    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _: &dyn File,
        _: u64,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}

    fn peer_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 1).into()
    }
}

/// Answers a frame with itself, at once or after as many polls as its second byte says.
#[derive(Default)]
struct Echo(Mutex<Vec<Vec<u8>>>);

impl Service for Echo {
    fn call(&self, _: &Peer, frame: BytesMut) -> Op<(Reply, Option<BytesMut>)> {
        self.0.lock().expect("one thread").push(frame.to_vec());
        let reply = match frame.first() {
            Some(&REJECTED) => Reply::Close(Rejected {
                client_id: String::new(),
                reason: "rejected".into(),
            }),
            Some(&SILENT) => Reply::Nothing,
            _ => Reply::Bytes(Bytes::copy_from_slice(&frame)),
        };
        let waits = frame.get(1).map_or(0, |b| b % 4);
        if waits == 0 {
            return Op::ready((reply, Some(frame)));
        }
        Op::pending(async move {
            for _ in 0..waits {
                once_more().await;
            }
            (reply, None)
        })
    }
}

/// Waits for one poll.
async fn once_more() {
    let mut waited = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// How a connection should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    ByPeer,
    Cut,
    Size,
    Rejected,
}

/// What should come of the bytes: the frames, the answers, the end.
struct Expected<'a> {
    frames: Vec<&'a [u8]>,
    answers: Vec<u8>,
    end: End,
}

fn expected(mut bytes: &[u8]) -> Expected<'_> {
    let (mut frames, mut answers) = (Vec::new(), Vec::new());
    let end = loop {
        let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
            break if bytes.is_empty() { End::ByPeer } else { End::Cut };
        };
        let Some(size) = usize::try_from(i32::from_be_bytes(*prefix))
            .ok()
            .filter(|n| *n <= MAX_FRAME)
        else {
            break End::Size;
        };
        let Some((frame, rest)) = rest.split_at_checked(size) else {
            break End::Cut;
        };
        frames.push(frame);
        bytes = rest;
        match frame.first() {
            Some(&REJECTED) => break End::Rejected,
            Some(&SILENT) => {}
            _ => answers.extend_from_slice(frame),
        }
    };
    Expected { frames, answers, end }
}

/// The target: limits, the peer's doings, then the bytes it sends.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = Limits {
        max_frame: MAX_FRAME,
        max_in_flight: 1 + input.below(5),
        max_queued: input.below(100),
        idle: Duration::from_secs(600),
        memory: Budget::new(if input.one_in(2) {
            usize::MAX
        } else {
            1 + input.below(200)
        }),
    };
    let stream = Scripted::default();
    let (reads, writes) = (input.below(40), input.below(40));
    let doings = |count: usize, input: &mut Input| (0..count).map(|_| input.below(70)).collect();
    let (reads, writes) = (doings(reads, &mut input), doings(writes, &mut input));
    let sent = input.rest();
    stream.with(|script| {
        (script.reads, script.writes) = (reads, writes);
        script.input = sent.iter().copied().collect();
    });
    let echo = Echo::default();
    let closed = drive(&stream, &echo, &limits, sent.len());
    let expected = expected(sent);
    check_end(&closed, expected.end);
    assert_eq!(limits.memory.used(), 0, "request memory is given back");
    let seen = echo.0.into_inner().expect("one thread");
    let answers = stream.with(|script| std::mem::take(&mut script.sent));
    if expected.end == End::Rejected {
        // What came behind the rejected frame may have been begun; it is never answered.
        assert!(seen.len() >= expected.frames.len());
    } else {
        assert_eq!(seen.len(), expected.frames.len(), "frames");
    }
    assert!(
        seen.iter().zip(&expected.frames).all(|(a, b)| a == b),
        "a frame is not what was sent"
    );
    assert_eq!(answers, expected.answers, "answers");
}

/// Polls the connection until it ends. Everything that makes it wait is over after a bounded number of polls.
fn drive(stream: &Scripted, echo: &Echo, limits: &Limits, bytes: usize) -> Closed {
    let peer = Peer {
        addr: stream.peer_addr(),
        listener: "PLAINTEXT".into(),
        id: 1,
    };
    let stop = Stop::default();
    let mut serving = pin!(serve(Box::new(stream.clone()), peer, echo, limits, &stop, &Still));
    for _ in 0..1000 + 4 * bytes {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(closed) = serving.as_mut().poll(&mut context) {
            return closed;
        }
    }
    panic!("the connection waits for something that never comes");
}

fn check_end(closed: &Closed, expected: End) {
    let end = match closed {
        Closed::ByPeer => End::ByPeer,
        Closed::Frame(FrameError::Cut { .. }) => End::Cut,
        Closed::Frame(FrameError::Size(_)) => End::Size,
        Closed::Rejected(_) => End::Rejected,
        other => panic!("it ended by {other:?}"),
    };
    assert_eq!(end, expected);
}
