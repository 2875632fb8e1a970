//! One connection as its two kernels see it. What moves between the ends is in `kernel`; here is what an end is.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

/// Bytes that may be on their way or unread at the receiver.
pub(super) const WINDOW: usize = 64 * 1024;
/// The receiver opens the window again when this much of it was read.
pub(super) const WINDOW_STEP: usize = WINDOW / 4;

/// What travels. Segments of one direction are numbered and arrive in order; a reset is not one of them.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    /// The third part of the handshake.
    Established,
    Data(Bytes),
    /// The sender has finished.
    Fin,
    /// So many bytes were read.
    Window(usize),
}

impl Segment {
    /// Whether its sender waits for an answer to it.
    pub(super) fn needs_answer(&self) -> bool {
        matches!(self, Segment::Data(_) | Segment::Fin)
    }
}

/// How far an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A client's, before the answer to its SYN; a server's, before the client's answer to it.
    Opening,
    Open,
    /// The process has let go of it; the kernel still sends what is left.
    Closed,
    /// The kernel knows nothing of it any more: whatever arrives is answered with a reset.
    Gone,
}

/// One end of a connection, with the direction that leaves it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) addr: SocketAddr,
    pub(super) phase: Phase,
    /// The process has a handle on it.
    pub(super) held: bool,
    pub(super) error: Option<ErrorKind>,
    pub(super) inbox: VecDeque<Bytes>,
    pub(super) inbox_len: usize,
    /// Bytes read since the window was last opened.
    pub(super) unreported: usize,
    /// The peer has finished.
    pub(super) fin_in: bool,
    /// We have finished.
    pub(super) fin_out: bool,
    /// Bytes that may still be sent.
    pub(super) credit: usize,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,

    /// Number of the next segment that leaves.
    pub(super) next_out: u64,
    /// No segment arrives before this time.
    pub(super) last_arrival: u64,
    /// Segments that left and cannot get through, by number.
    pub(super) stalled: BTreeMap<u64, Segment>,
    /// Since when.
    pub(super) stalled_since: Option<u64>,
    /// Number of the next segment to take in.
    pub(super) next_in: u64,
    /// Segments that arrived ahead of their turn.
    pub(super) early: BTreeMap<u64, Segment>,
}

impl End {
    pub(super) fn new(host: usize, addr: SocketAddr) -> Self {
        End {
            host,
            addr,
            phase: Phase::Opening,
            held: false,
            error: None,
            inbox: VecDeque::new(),
            inbox_len: 0,
            unreported: 0,
            fin_in: false,
            fin_out: false,
            credit: WINDOW,
            reader: None,
            writer: None,
            next_out: 0,
            last_arrival: 0,
            stalled: BTreeMap::new(),
            stalled_since: None,
            next_in: 0,
            early: BTreeMap::new(),
        }
    }

    pub(super) fn is_owned(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Open)
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Moves `n` bytes of what has arrived to `buf`.
    pub(super) fn take(&mut self, buf: &mut BytesMut, n: usize) {
        let mut rest = n;
        while rest > 0
            && let Some(front) = self.inbox.front_mut()
        {
            let piece = front.split_to(rest.min(front.len()));
            buf.extend_from_slice(&piece);
            rest -= piece.len();
            if front.is_empty() {
                self.inbox.pop_front();
            }
        }
        self.inbox_len -= n - rest;
    }

    /// It ends with an error, which its process sees at its next call.
    pub(super) fn fail(&mut self, kind: ErrorKind, discard: bool) {
        if self.is_owned() {
            self.error = Some(kind);
            self.phase = Phase::Gone;
            if discard {
                self.inbox.clear();
                self.inbox_len = 0;
            }
            self.wake();
        }
        self.forget();
    }

    /// The kernel forgets it, and what it still wanted to send.
    pub(super) fn forget(&mut self) {
        self.phase = Phase::Gone;
        self.stalled.clear();
        self.stalled_since = None;
        self.early.clear();
    }
}

/// A connection: the client's end and the server's.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [Option<End>; 2],
    /// The host and address that the client wants.
    pub(super) target: (usize, SocketAddr),
    /// The number of the listener that took the SYN.
    pub(super) listener: Option<u64>,
    /// Events that are on their way to it.
    pub(super) inflight: usize,
}

impl Conn {
    pub(super) fn end(&mut self, side: usize) -> Option<&mut End> {
        self.ends[side].as_mut()
    }

    /// Whether nothing can happen to it any more.
    pub(super) fn is_over(&self) -> bool {
        self.inflight == 0
            && self
                .ends
                .iter()
                .flatten()
                .all(|e| !e.held && !e.is_owned() && e.stalled.is_empty())
    }
}
