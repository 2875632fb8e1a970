//! A server's side of one connection: requests are handed to the service as they arrive, several may be under way, and their
//! answers leave in the order of the requests. One task reads, serves and writes, so a connection stays on one worker.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use ottla_io::{Clock, Mono, Op, Sleep, Stream};

use crate::budget::{Budget, Permit, Ticket};
use crate::input::{FrameError, Input};
use crate::output::{Output, OutputError, Part, Rejected, Reply};
use crate::stop::Stop;

/// Bounds of a connection.
#[derive(Clone)]
pub struct Limits {
    /// `socket.request.max.bytes`.
    pub max_frame: usize,
    /// Requests under way at the same time; reading stops at this many.
    pub max_in_flight: usize,
    /// Bytes of answers waiting to leave; serving stops above this many (a slow reader).
    pub max_queued: usize,
    /// `connections.max.idle.ms`: a connection without traffic and without a waiting request is closed.
    pub idle: Duration,
    /// `queued.max.request.bytes`, shared by all connections.
    pub memory: Arc<Budget>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// The name of the listener it came in by.
    pub listener: Arc<str>,
    /// A number for this connection, unique within the process.
    pub id: u64,
}

/// What serves requests.
pub trait Service: Send + Sync {
    /// Serves one request (a frame without its length prefix). A ready result costs no wake-up. The frame's memory comes back
    /// with the reply when the service is done with it.
    fn call(&self, peer: &Peer, frame: BytesMut) -> Op<(Reply, Option<BytesMut>)>;

    /// As [`Service::call`], for a request behind which the frame `next` has arrived already: the service may leave work that it can do
    /// for both at once. The connection looks at the operation again, without being woken, before it waits for anything.
    fn call_ahead(&self, peer: &Peer, frame: BytesMut, next: &[u8]) -> Op<(Reply, Option<BytesMut>)> {
        let _ = next;
        self.call(peer, frame)
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Closed {
    /// The peer left between two requests.
    ByPeer,
    /// Nothing was heard for [`Limits::idle`].
    Idle,
    /// What the peer sent could not be taken, or its stream failed.
    Frame(FrameError),
    /// The answers could not be sent.
    Output(OutputError),
    /// The server stops.
    Stopped,
    /// The service asked for it.
    Rejected(Rejected),
}

struct Waiting {
    op: Op<(Reply, Option<BytesMut>)>,
    done: Option<Reply>,
    _permit: Permit,
}

struct Connection<'a> {
    stream: Box<dyn Stream>,
    peer: &'a Peer,
    service: &'a dyn Service,
    limits: &'a Limits,
    input: Input,
    output: Output,
    waiting: VecDeque<Waiting>,
    /// A frame that waits for request memory.
    held: Option<BytesMut>,
    /// Request memory for the frame that is arriving.
    reserved: Option<Permit>,
    ticket: Option<Ticket>,
    ended: Option<Closed>,
}

/// Serves a connection until it ends.
pub async fn serve(
    stream: Box<dyn Stream>,
    peer: Peer,
    service: &dyn Service,
    limits: &Limits,
    stop: &Stop,
    clock: &dyn Clock,
) -> Closed {
    let mut connection = Connection {
        stream,
        peer: &peer,
        service,
        limits,
        input: Input::new(limits.max_frame),
        output: Output::default(),
        waiting: VecDeque::new(),
        held: None,
        reserved: None,
        ticket: None,
        ended: None,
    };
    let mut idle = IdleTimer::new(clock, limits.idle);
    let mut stopped = std::pin::pin!(stop.wait());
    // One look makes this task hear of the stop; later ones would lock what all connections share.
    let _ = std::future::poll_fn(|cx| Poll::Ready(stopped.as_mut().poll(cx))).await;
    let closed = std::future::poll_fn(|cx| {
        if stop.is_said() && connection.ended.is_none() {
            connection.end(Closed::Stopped);
        }
        match connection.poll(cx) {
            (Poll::Ready(closed), _) => return Poll::Ready(closed),
            (Poll::Pending, true) => idle.touch(clock),
            (Poll::Pending, false) => {}
        }
        if idle.poll(cx, clock).is_ready() && connection.waiting.is_empty() {
            return Poll::Ready(Closed::Idle);
        }
        Poll::Pending
    })
    .await;
    // Otherwise the peer would take half an answer for the whole. A rejected peer gets a plain end: a reset could take away the
    // answers to its earlier requests.
    if matches!(closed, Closed::Output(OutputError::FileShrank)) {
        connection.stream.abort();
    }
    closed
}

impl Connection<'_> {
    /// Does what can be done now; says whether anything was.
    fn poll(&mut self, cx: &mut Context<'_>) -> (Poll<Closed>, bool) {
        let mut any = false;
        loop {
            let mut progress = self.poll_answers(cx);
            let before = self.output.queued();
            match self.output.poll_flush(cx, self.stream.as_mut()) {
                Poll::Ready(Err(e)) => return (Poll::Ready(Closed::Output(e)), any),
                Poll::Ready(Ok(())) if self.waiting.is_empty() => {
                    if let Some(closed) = self.ended.take() {
                        return (Poll::Ready(closed), any);
                    }
                }
                _ => {}
            }
            progress |= self.output.queued() != before;
            if self.ended.is_none() && self.accepts() {
                progress |= self.poll_requests(cx);
            }
            if !progress {
                return (Poll::Pending, any);
            }
            any = true;
        }
    }

    fn accepts(&self) -> bool {
        self.waiting.len() < self.limits.max_in_flight && self.output.queued() <= self.limits.max_queued
    }

    /// Looks after requests under way and queues the answers whose turn has come.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        for waiting in self.waiting.iter_mut().filter(|w| w.done.is_none()) {
            if let Poll::Ready((reply, frame)) = std::pin::Pin::new(&mut waiting.op).poll(cx) {
                waiting.done = Some(reply);
                if let Some(frame) = frame {
                    self.input.recycle(frame);
                }
            }
        }
        let mut progress = false;
        while let Some(reply) = self.waiting.front_mut().and_then(|w| w.done.take()) {
            self.waiting.pop_front();
            self.answer(reply);
            progress = true;
        }
        progress
    }

    fn answer(&mut self, reply: Reply) {
        match reply {
            Reply::Bytes(bytes) => self.output.push(Part::Bytes(bytes)),
            Reply::Parts(parts) => parts.into_iter().for_each(|part| self.output.push(part)),
            Reply::Nothing => {}
            Reply::Close(rejected) => {
                // Answers to earlier requests still leave; later requests are not answered.
                self.waiting.clear();
                self.ended = Some(Closed::Rejected(rejected));
            }
        }
    }

    /// Serves the frames that have arrived and reads for more.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let need = loop {
            let next = match self.held.take() {
                Some(frame) => Ok(Ok(frame)),
                None => self.input.next_frame(),
            };
            match next {
                Ok(Ok(frame)) => match self.dispatch(cx, frame) {
                    true if self.accepts() && self.ended.is_none() => progress = true,
                    served => return progress | served,
                },
                Ok(Err(need)) => break need,
                Err(e) => return self.end(Closed::Frame(e)),
            }
        };
        // A frame's memory is taken when its size is known, before its body is read: what many frames have gathered could
        // otherwise use up the budget without one of them being whole.
        if let Some(size) = need.filter(|_| self.reserved.is_none()) {
            match self.limits.memory.poll_take(cx, size, &mut self.ticket) {
                Poll::Ready(permit) => self.reserved = Some(permit),
                Poll::Pending => return progress,
            }
        }
        match self.input.poll_fill(cx, self.stream.as_mut(), need) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(FrameError::End)) => self.end(Closed::ByPeer),
            Poll::Ready(Err(e)) => self.end(Closed::Frame(e)),
            Poll::Pending => progress,
        }
    }

    fn end(&mut self, closed: Closed) -> bool {
        self.ended = Some(closed);
        true
    }

    fn dispatch(&mut self, cx: &mut Context<'_>, frame: BytesMut) -> bool {
        let reserved = self.reserved.take().map(Poll::Ready);
        let permit =
            reserved.unwrap_or_else(|| self.limits.memory.poll_take(cx, frame.len(), &mut self.ticket));
        let Poll::Ready(permit) = permit else {
            self.held = Some(frame);
            return false;
        };
        let op = match self.input.peek() {
            Some(next) => self.service.call_ahead(self.peer, frame, next),
            None => self.service.call(self.peer, frame),
        };
        match op.into_ready() {
            Ok((reply, frame)) if self.waiting.is_empty() => {
                self.answer(reply);
                if let Some(frame) = frame {
                    self.input.recycle(frame);
                }
            }
            Ok((reply, _)) => {
                self.waiting.push_back(Waiting {
                    op: Op::pending(std::future::pending()),
                    done: Some(reply),
                    _permit: permit,
                });
            }
            Err(op) => self.waiting.push_back(Waiting {
                op,
                done: None,
                _permit: permit,
            }),
        }
        true
    }
}

/// Closes a connection that nobody uses. Touching it is cheap: the timer is armed again only when it fires.
struct IdleTimer {
    idle: Duration,
    last: Mono,
    sleep: Sleep,
}

impl IdleTimer {
    fn new(clock: &dyn Clock, idle: Duration) -> Self {
        let last = clock.now();
        IdleTimer {
            idle,
            last,
            sleep: clock.sleep_until(last.after(idle)),
        }
    }

    fn touch(&mut self, clock: &dyn Clock) {
        self.last = clock.now();
    }

    fn poll(&mut self, cx: &mut Context<'_>, clock: &dyn Clock) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let end = self.last.after(self.idle);
            if clock.now() >= end {
                // Armed again in case a request is still waiting.
                self.touch(clock);
                self.sleep = clock.sleep_until(self.last.after(self.idle));
                return Poll::Ready(());
            }
            self.sleep = clock.sleep_until(end);
        }
        Poll::Pending
    }
}
