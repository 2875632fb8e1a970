//! How connections come about: SYN, its answer, the answer to that, and everything that can fail on the way.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::conn::{Conn, End, Phase, Segment};
use super::kernel::{CLIENT, Event, FIRST_PORT, Kernel, MILLI, SECOND, SERVER, State};

impl Kernel {
    /// A new connection attempt; its answer is found in the client's end.
    pub(super) fn open(&self, host: usize, to: usize, port: u16) -> u64 {
        let state = &mut *self.state();
        let id = state.number();
        let from = &mut state.hosts[host];
        from.next_port = if from.next_port == u16::MAX {
            FIRST_PORT
        } else {
            from.next_port + 1
        };
        let mut end = End::new(host, SocketAddr::from((from.ip, from.next_port)));
        end.held = true;
        let target = SocketAddr::from((state.hosts[to].ip, port));
        let mut conn = Conn {
            ends: [Some(end), None],
            target: (to, target),
            listener: None,
            inflight: 0,
        };
        let now = self.now();
        self.later(&mut conn, id, now, Event::SendSyn(0));
        self.later(
            &mut conn,
            id,
            now + state.config.connect_timeout_ms * MILLI,
            Event::GiveUp,
        );
        state.conns.insert(id, conn);
        self.shared.count("net.connect");
        id
    }

    pub(super) fn send_syn(&self, state: &mut State, id: u64, conn: &mut Conn, attempt: u32) {
        let Some(client) = conn.end(CLIENT) else { return };
        if client.phase != Phase::Opening {
            return;
        }
        let way = (client.host, conn.target.0);
        self.post(state, id, conn, way, Event::Syn);
        self.later(
            conn,
            id,
            self.now() + (SECOND << attempt.min(3)),
            Event::SendSyn(attempt + 1),
        );
    }

    pub(super) fn on_syn(&self, state: &mut State, id: u64, conn: &mut Conn) {
        let (host, addr) = conn.target;
        let Some(client) = conn.end(CLIENT).map(|end| end.host) else {
            return;
        };
        if !Kernel::reachable(state, client, host) {
            self.shared.count("net.lost");
            return;
        }
        match conn.end(SERVER).map(|end| end.phase) {
            Some(Phase::Opening) => self.post(state, id, conn, (host, client), Event::SynAck),
            Some(_) => {}
            None => match state.hosts[host].listening.get(&addr.port()) {
                None => self.post(state, id, conn, (host, client), Event::Refused),
                Some(listening) if listening.queue.len() >= state.config.backlog => {
                    self.shared.count("net.backlog")
                }
                Some(listening) => {
                    conn.listener = Some(listening.number);
                    conn.ends[SERVER] = Some(End::new(host, addr));
                    self.post(state, id, conn, (host, client), Event::SynAck);
                }
            },
        }
    }

    pub(super) fn on_syn_ack(&self, state: &mut State, id: u64, conn: &mut Conn) {
        let Some(client) = conn.end(CLIENT) else { return };
        match client.phase {
            Phase::Opening => {
                client.phase = Phase::Open;
                client.wake();
                self.transmit(state, id, conn, CLIENT, Segment::Established);
            }
            Phase::Gone => {
                let way = (client.host, conn.target.0);
                self.post(state, id, conn, way, Event::Reset { to: SERVER });
            }
            Phase::Open | Phase::Closed => {}
        }
    }

    pub(super) fn end_opening(&self, conn: &mut Conn, kind: ErrorKind, counter: &'static str) {
        if let Some(client) = conn.end(CLIENT)
            && client.phase == Phase::Opening
        {
            self.shared.count(counter);
            client.fail(kind, false);
        }
    }
}
