//! Segments on their way: latency and loss, closed links, order, windows.

use bytes::Bytes;

use super::conn::{Conn, Phase, Segment, WINDOW};
use super::kernel::{CLIENT, Event, Kernel, MILLI, SERVER, State};

impl Kernel {
    /// Sends the next segment of a direction.
    pub(super) fn transmit(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        side: usize,
        segment: Segment,
    ) {
        if matches!(segment, Segment::Data(_))
            && state.config.reset > 0.0
            && state.rng.chance(state.config.reset)
        {
            self.inject_reset(state, id, conn);
        }
        if let Some(end) = conn.end(side)
            && end.phase != Phase::Gone
        {
            let number = end.next_out;
            end.next_out += 1;
            self.put(state, id, conn, side, number, segment, 0);
        }
    }

    /// Puts a segment on its way, `wait` later than now; or aside, while there is no way.
    #[allow(clippy::too_many_arguments)] // a segment's address is all of these
    pub(super) fn put(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        side: usize,
        number: u64,
        segment: Segment,
        wait: u64,
    ) {
        let Some(to) = conn.end(1 - side).map(|end| end.host) else {
            return;
        };
        let Some(end) = conn.end(side) else { return };
        if !end.stalled.is_empty() || !Kernel::reachable(state, end.host, to) {
            self.stall(state, id, conn, side, number, segment);
            return;
        }
        let mut at = self.now() + wait + state.links.latency(&state.config, end.host, to, &mut state.rng);
        if end.host != to && state.config.loss > 0.0 && state.rng.chance(state.config.loss) {
            self.shared.count("net.retransmit");
            at += state.rng.between(state.config.rto_ms.0, state.config.rto_ms.1) * MILLI;
        }
        at = at.max(end.last_arrival + 1);
        end.last_arrival = at;
        self.later(
            conn,
            id,
            at,
            Event::Arrive {
                from: side,
                number,
                segment,
            },
        );
    }

    pub(super) fn stall(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        side: usize,
        number: u64,
        segment: Segment,
    ) {
        let now = self.now();
        let Some(end) = conn.end(side) else { return };
        if end.phase == Phase::Gone {
            return;
        }
        end.stalled.insert(number, segment);
        self.shared.count("net.stalled");
        if end.stalled_since.is_none() {
            end.stalled_since = Some(now);
            let limit = now + state.config.retransmit_timeout_ms * MILLI;
            self.later(conn, id, limit, Event::Check { side, since: now });
        }
    }

    /// Sends again what was waiting for a way that is there now.
    pub(super) fn flush(&self, state: &mut State) {
        for id in state.conns.keys().copied().collect::<Vec<_>>() {
            self.with(state, id, |state, conn| {
                for side in [CLIENT, SERVER] {
                    let Some(to) = conn.end(1 - side).map(|end| end.host) else {
                        continue;
                    };
                    let Some(end) = conn.end(side) else { continue };
                    if end.stalled.is_empty() || !Kernel::reachable(state, end.host, to) {
                        continue;
                    }
                    let stalled = std::mem::take(&mut end.stalled);
                    end.stalled_since = None;
                    let wait = state.rng.between(1, state.config.rto_ms.1) * MILLI;
                    for (number, segment) in stalled {
                        self.put(state, id, conn, side, number, segment, wait);
                    }
                }
            });
        }
    }

    pub(super) fn arrive(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        from: usize,
        number: u64,
        segment: Segment,
    ) {
        let (Some(sender), Some(receiver)) = (conn.ends[from].as_ref(), conn.ends[1 - from].as_ref()) else {
            return;
        };
        let way = (sender.host, receiver.host);
        if !Kernel::reachable(state, way.0, way.1) {
            self.stall(state, id, conn, from, number, segment);
            return;
        }
        let Some(receiver) = conn.end(1 - from) else {
            return;
        };
        if receiver.phase == Phase::Gone {
            if segment.needs_answer() {
                self.post(state, id, conn, (way.1, way.0), Event::Reset { to: from });
            }
            return;
        }
        receiver.early.insert(number, segment);
        while let Some(receiver) = conn.end(1 - from)
            && let Some(segment) = receiver.early.remove(&receiver.next_in)
        {
            receiver.next_in += 1;
            self.take_in(state, id, conn, 1 - from, segment);
        }
    }

    pub(super) fn take_in(&self, state: &mut State, id: u64, conn: &mut Conn, side: usize, segment: Segment) {
        let listener = conn.listener;
        let port = conn.target.1.port();
        let Some(end) = conn.end(side) else { return };
        match segment {
            Segment::Established => {
                let waiting = state.hosts[end.host]
                    .listening
                    .get_mut(&port)
                    .filter(|l| Some(l.number) == listener);
                match waiting {
                    Some(listening) => {
                        end.phase = Phase::Open;
                        listening.queue.push_back(id);
                        if let Some(waker) = listening.waker.take() {
                            waker.wake();
                        }
                    }
                    None => self.let_go(state, id, conn, side, true),
                }
            }
            Segment::Data(_) if end.phase == Phase::Closed => {
                // Nobody will read it: the peer must learn that.
                end.forget();
                let way = (end.host, conn.ends[1 - side].as_ref().map_or(0, |peer| peer.host));
                self.post(state, id, conn, way, Event::Reset { to: 1 - side });
            }
            Segment::Data(bytes) => {
                end.inbox_len += bytes.len();
                end.inbox.push_back(bytes);
                if let Some(reader) = end.reader.take() {
                    reader.wake();
                }
            }
            Segment::Fin => {
                end.fin_in = true;
                if let Some(reader) = end.reader.take() {
                    reader.wake();
                }
            }
            Segment::Window(bytes) => {
                end.credit = (end.credit + bytes).min(WINDOW);
                if let Some(writer) = end.writer.take() {
                    writer.wake();
                }
            }
        }
    }

    /// Cuts `bytes` into segments and sends them.
    pub(super) fn send_data(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        side: usize,
        mut bytes: Bytes,
    ) {
        let (low, high) = state.config.segment;
        if let Some(end) = conn.end(side) {
            end.credit -= bytes.len().min(end.credit);
        }
        while !bytes.is_empty() {
            let size = state.rng.between(low.max(1) as u64, high.max(low).max(1) as u64) as usize;
            let segment = bytes.split_to(size.min(bytes.len()));
            self.transmit(state, id, conn, side, Segment::Data(segment));
        }
    }
}
