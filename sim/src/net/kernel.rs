//! The kernels of all hosts: the table of connections, the events that happen to them, and what hosts and links do to them.
//! TCP as far as programs can see it; sequence numbers and acknowledgements are not simulated. The events' work is in
//! `handshake`, `flow` and `ending`.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use ottla_io::Rng;

use super::conn::{Conn, Phase, Segment};
use super::link::{Links, NetConfig};
use crate::locked;
use crate::world::Shared;

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;
pub(super) const FIRST_PORT: u16 = 32_768;
pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MILLI: u64 = 1_000_000;

/// What happens to a connection at some time.
#[derive(Debug)]
pub(super) enum Event {
    /// The client's kernel sends a SYN for the n-th time.
    SendSyn(u32),
    Syn,
    SynAck,
    /// The answer to a SYN: nobody listens.
    Refused,
    GiveUp,
    Arrive {
        from: usize,
        number: u64,
        segment: Segment,
    },
    /// A reset reaches this side.
    Reset {
        to: usize,
    },
    /// Looks whether this side has been without an answer since then.
    Check {
        side: usize,
        since: u64,
    },
}

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) number: u64,
    pub(super) queue: VecDeque<u64>,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct HostState {
    name: String,
    pub(super) ip: Ipv4Addr,
    up: bool,
    pub(super) incarnation: u64,
    pub(super) listening: BTreeMap<u16, Listening>,
    pub(super) next_port: u16,
}

pub(super) struct State {
    pub(super) config: NetConfig,
    pub(super) hosts: Vec<HostState>,
    pub(super) links: Links,
    pub(super) conns: BTreeMap<u64, Conn>,
    next_id: u64,
    pub(super) rng: Rng,
}

impl State {
    /// A number that no connection and no listener has had.
    pub(super) fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// How much of `n` bytes one call does: mostly all, at least 1.
    pub(super) fn short(&mut self, n: usize) -> usize {
        if n > 1 && self.config.short > 0.0 && self.rng.chance(self.config.short) {
            self.rng.between(1, n as u64) as usize
        } else {
            n
        }
    }
}

/// The network of a world.
pub(crate) struct Kernel {
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    me: Weak<Kernel>,
}

impl Kernel {
    pub(crate) fn new(shared: Arc<Shared>, config: NetConfig, rng: Rng) -> Arc<Self> {
        let (hosts, links, conns) = Default::default();
        let state = Mutex::new(State {
            config,
            hosts,
            links,
            conns,
            next_id: 0,
            rng,
        });
        Arc::new_cyclic(|me| Kernel {
            shared,
            state,
            me: me.clone(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.timers.now()
    }

    /// Adds a host: 10.0.0.1, 10.0.0.2 ...
    pub(crate) fn add_host(&self, name: &str) -> Ipv4Addr {
        let mut state = self.state();
        let number = state.hosts.len() as u32 + 1;
        let ip = Ipv4Addr::from(0x0a00_0000 + number);
        let (listening, next_port) = (BTreeMap::new(), FIRST_PORT);
        state.hosts.push(HostState {
            name: name.into(),
            ip,
            up: true,
            incarnation: 0,
            listening,
            next_port,
        });
        ip
    }

    pub(crate) fn configure(&self, change: impl FnOnce(&mut NetConfig)) {
        change(&mut self.state().config);
    }

    /// The host that `name` means on host `own`.
    pub(super) fn resolve(&self, own: usize, name: &str) -> Option<usize> {
        let state = self.state();
        let matches = |h: &HostState| h.name == name || name.parse() == Ok(h.ip);
        match name {
            "localhost" | "127.0.0.1" => Some(own),
            _ => state.hosts.iter().position(matches),
        }
    }

    /// A process starts on a host: its machine is up, and handles of earlier processes are dead.
    pub(crate) fn start(&self, host: usize) -> u64 {
        let mut state = self.state();
        state.hosts[host].up = true;
        state.hosts[host].incarnation += 1;
        let incarnation = state.hosts[host].incarnation;
        self.flush(&mut state);
        incarnation
    }

    /// The process of a host ends. If the machine lives, its kernel closes what was open; if not, nobody hears of it.
    pub(crate) fn stop(&self, host: usize, power: bool) {
        let mut state = self.state();
        state.hosts[host].incarnation += 1;
        state.hosts[host].up = !power;
        state.hosts[host].listening.clear();
        for id in state.conns.keys().copied().collect::<Vec<_>>() {
            self.with(&mut state, id, |state, conn| {
                for side in [CLIENT, SERVER] {
                    match conn.end(side) {
                        Some(end) if end.host == host && power => {
                            end.held = false;
                            end.forget();
                        }
                        Some(end) if end.host == host && end.is_owned() => {
                            self.let_go(state, id, conn, side, false)
                        }
                        _ => {}
                    }
                }
            });
        }
    }

    pub(crate) fn block(&self, from: usize, to: usize) {
        self.state().links.block(from, to);
    }

    pub(crate) fn unblock(&self, from: usize, to: usize) {
        let mut state = self.state();
        state.links.unblock(from, to);
        self.flush(&mut state);
    }

    pub(crate) fn unblock_all(&self) {
        let mut state = self.state();
        state.links.open_all();
        self.flush(&mut state);
    }

    pub(crate) fn slow_down(&self, from: usize, to: usize, us: u64) {
        self.state().links.set_extra(from, to, us);
    }

    /// Resets the connections between two hosts; says how many.
    pub(crate) fn reset_between(&self, a: usize, b: usize) -> u64 {
        let mut state = self.state();
        let mut count = 0;
        for id in state.conns.keys().copied().collect::<Vec<_>>() {
            self.with(&mut state, id, |state, conn| {
                let open = conn
                    .ends
                    .iter()
                    .flatten()
                    .filter(|e| e.phase == Phase::Open)
                    .count()
                    == 2;
                let hosts: Vec<usize> = conn.ends.iter().flatten().map(|e| e.host).collect();
                if open && (hosts == [a, b] || hosts == [b, a]) {
                    count += 1;
                    self.inject_reset(state, id, conn);
                }
            });
        }
        count
    }

    /// Drops all connections with the wakers that they hold.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut state = self.state();
            let listening: Vec<_> = state
                .hosts
                .iter_mut()
                .map(|h| std::mem::take(&mut h.listening))
                .collect();
            (std::mem::take(&mut state.conns), listening)
        };
        drop(dropped);
    }

    /// Runs `work` on a connection, which is out of the table meanwhile, and forgets it if it is over.
    pub(super) fn with<T>(
        &self,
        state: &mut State,
        id: u64,
        work: impl FnOnce(&mut State, &mut Conn) -> T,
    ) -> Option<T> {
        let mut conn = state.conns.remove(&id)?;
        let value = work(state, &mut conn);
        if !conn.is_over() {
            state.conns.insert(id, conn);
        }
        Some(value)
    }

    pub(super) fn later(&self, conn: &mut Conn, id: u64, at: u64, event: Event) {
        conn.inflight += 1;
        let me = self.me.clone();
        self.shared.timers.run_at(at, move || {
            if let Some(kernel) = me.upgrade() {
                let mut state = kernel.state();
                kernel.with(&mut state, id, |state, conn| {
                    conn.inflight -= 1;
                    kernel.on(state, id, conn, event);
                });
            }
        });
    }

    pub(super) fn reachable(state: &State, from: usize, to: usize) -> bool {
        state.links.is_open(from, to) && state.hosts[to].up
    }

    /// Sends an event that is lost if there is no way now, and does not wait its turn behind data.
    pub(super) fn post(
        &self,
        state: &mut State,
        id: u64,
        conn: &mut Conn,
        way: (usize, usize),
        event: Event,
    ) {
        if Kernel::reachable(state, way.0, way.1) {
            let latency = state.links.latency(&state.config, way.0, way.1, &mut state.rng);
            self.later(conn, id, self.now() + latency, event);
        } else {
            self.shared.count("net.lost");
        }
    }

    fn on(&self, state: &mut State, id: u64, conn: &mut Conn, event: Event) {
        let number = match &event {
            Event::Arrive { from, number, .. } => number << 1 | *from as u64,
            _ => u64::MAX,
        };
        self.shared
            .trace
            .step(self.now(), [id, number, conn.inflight as u64]);
        match event {
            Event::SendSyn(attempt) => self.send_syn(state, id, conn, attempt),
            Event::Syn => self.on_syn(state, id, conn),
            Event::SynAck => self.on_syn_ack(state, id, conn),
            Event::Refused => self.end_opening(conn, ErrorKind::ConnectionRefused, "net.refused"),
            Event::GiveUp => {
                self.end_opening(conn, ErrorKind::TimedOut, "net.connect_timeout");
                if conn.end(CLIENT).is_none_or(|end| end.phase == Phase::Gone)
                    && let Some(server) = conn.end(SERVER).filter(|end| end.phase == Phase::Opening)
                {
                    server.forget();
                }
            }
            Event::Arrive {
                from,
                number,
                segment,
            } => self.arrive(state, id, conn, from, number, segment),
            Event::Reset { to } => self.on_reset(state, conn, to),
            Event::Check { side, since } => self.check(state, id, conn, side, since),
        }
    }
}
