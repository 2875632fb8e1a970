//! How connections end: let go, reset, or without an answer for too long.

use std::io::ErrorKind;

use super::conn::{Conn, Phase, Segment, WINDOW};
use super::kernel::{CLIENT, Event, Kernel, MILLI, SERVER, State};

impl Kernel {
    /// A process lets go of an end: its kernel finishes, or resets if something was unread or `abort` is wanted.
    pub(super) fn let_go(&self, state: &mut State, id: u64, conn: &mut Conn, side: usize, abort: bool) {
        let peer = conn.end(1 - side).map(|end| end.host);
        let Some(end) = conn.end(side) else { return };
        end.held = false;
        end.reader = None;
        end.writer = None;
        let unread = end.inbox_len > 0;
        end.inbox.clear();
        end.inbox_len = 0;
        match end.phase {
            Phase::Gone | Phase::Closed => {}
            Phase::Opening if side == CLIENT => end.forget(),
            Phase::Open if !unread && !abort => {
                let finish = !std::mem::replace(&mut end.fin_out, true);
                end.phase = Phase::Closed;
                if finish {
                    self.transmit(state, id, conn, side, Segment::Fin);
                }
            }
            Phase::Open | Phase::Opening => {
                let (host, after) = (end.host, end.last_arrival);
                end.forget();
                if let Some(peer) = peer.filter(|peer| Kernel::reachable(state, host, *peer)) {
                    // Behind what was sent before, as it would be on one wire.
                    let at = self.now() + state.links.latency(&state.config, host, peer, &mut state.rng);
                    self.later(conn, id, at.max(after + 1), Event::Reset { to: 1 - side });
                }
            }
        }
    }

    pub(super) fn inject_reset(&self, state: &mut State, id: u64, conn: &mut Conn) {
        self.shared.count("net.reset_injected");
        let hosts = [CLIENT, SERVER].map(|side| conn.end(side).map_or(0, |end| end.host));
        for to in [CLIENT, SERVER] {
            self.post(state, id, conn, (hosts[1 - to], hosts[to]), Event::Reset { to });
        }
    }

    pub(super) fn on_reset(&self, state: &mut State, conn: &mut Conn, to: usize) {
        let hosts = [CLIENT, SERVER].map(|side| conn.end(side).map_or(0, |end| end.host));
        if !Kernel::reachable(state, hosts[1 - to], hosts[to]) {
            self.shared.count("net.lost");
            return;
        }
        let discard = state.config.reset_discards && state.rng.chance(0.5);
        if let Some(end) = conn.end(to) {
            if end.is_owned() {
                self.shared.count("net.reset");
            }
            end.fail(ErrorKind::ConnectionReset, discard);
        }
    }

    /// Fails the ends that have waited for an answer since then; looks again later if there is none.
    pub(super) fn check(&self, state: &mut State, id: u64, conn: &mut Conn, side: usize, since: u64) {
        if conn.end(side).is_none_or(|end| end.stalled_since != Some(since)) {
            return;
        }
        for each in [CLIENT, SERVER] {
            if let Some(end) = conn.end(each) {
                let waits = if each == side {
                    end.stalled.values().any(Segment::needs_answer)
                } else {
                    end.credit < WINDOW
                };
                if waits {
                    self.shared.count("net.timed_out");
                    end.fail(ErrorKind::TimedOut, false);
                }
            }
        }
        if conn.end(side).is_some_and(|end| end.stalled_since == Some(since)) {
            let limit = self.now() + state.config.retransmit_timeout_ms * MILLI;
            self.later(conn, id, limit, Event::Check { side, since });
        }
    }
}
