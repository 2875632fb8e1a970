//! A node's network: listeners and streams over the simulated kernels.
//!
//! What programs can meet here: a SYN without an answer, a refused one, latency, jitter and retransmissions, segments that tear
//! frames, a full window, half-close, half-open peers, resets, partitions in one or both directions.

mod conn;
mod ending;
mod flow;
mod handshake;
pub(crate) mod kernel;
pub mod link;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use ottla_io::{File, Listener, Net, Op, Stream};

use crate::disk::{SimFile, read_now};
use conn::{Conn, End, Phase, Segment, WINDOW, WINDOW_STEP};
use kernel::{Kernel, Listening, State};

fn dead() -> io::Error {
    io::Error::new(
        ErrorKind::BrokenPipe,
        "this handle belongs to an incarnation that has died",
    )
}

/// One incarnation of a process on a host.
#[derive(Clone)]
struct Owner {
    kernel: Arc<Kernel>,
    host: usize,
    incarnation: u64,
}

impl Owner {
    fn is_alive(&self, state: &State) -> bool {
        state.hosts[self.host].incarnation == self.incarnation
    }
}

/// [`Net`] of one incarnation.
pub(crate) struct SimNet {
    owner: Owner,
}

impl SimNet {
    pub(crate) fn new(kernel: Arc<Kernel>, host: usize, incarnation: u64) -> Self {
        SimNet {
            owner: Owner {
                kernel,
                host,
                incarnation,
            },
        }
    }

    fn bind(&self, host: &str, port: u16) -> io::Result<Box<dyn Listener>> {
        let owner = self.owner.clone();
        let wildcard = matches!(host, "" | "0.0.0.0" | "::");
        if !wildcard && owner.kernel.resolve(owner.host, host) != Some(owner.host) {
            let text = format!("{host}: not an address of this host");
            return Err(io::Error::new(ErrorKind::AddrNotAvailable, text));
        }
        let mut state = owner.kernel.state();
        if !owner.is_alive(&state) {
            return Err(dead());
        }
        let number = state.number();
        let own = &mut state.hosts[owner.host];
        let port = match port {
            0 => (20_000..30_000)
                .find(|p| !own.listening.contains_key(p))
                .ok_or(ErrorKind::AddrInUse)?,
            port => port,
        };
        if own.listening.contains_key(&port) {
            return Err(io::Error::new(
                ErrorKind::AddrInUse,
                format!("{host}:{port}: in use"),
            ));
        }
        own.listening.insert(
            port,
            Listening {
                number,
                queue: Default::default(),
                waker: None,
            },
        );
        let addr = SocketAddr::from((own.ip, port));
        drop(state);
        Ok(Box::new(SimListener { owner, number, addr }))
    }
}

impl Net for SimNet {
    fn listen(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Listener>>> {
        Op::ready(self.bind(host, port))
    }

    fn connect(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Stream>>> {
        let owner = self.owner.clone();
        let Some(to) = owner.kernel.resolve(owner.host, host) else {
            let text = format!("{host}: no such host");
            return Op::ready(Err(io::Error::new(ErrorKind::NotFound, text)));
        };
        if !owner.is_alive(&owner.kernel.state()) {
            return Op::ready(Err(dead()));
        }
        let peer = SocketAddr::from((owner.kernel.state().hosts[to].ip, port));
        let id = owner.kernel.open(owner.host, to, port);
        let mut stream = SimStream {
            owner,
            id,
            side: 0,
            peer,
            abort: false,
        };
        let target = format!("{host}:{port}");
        Op::pending(async move {
            let result = poll_fn(|cx| stream.poll_open(cx)).await;
            result.map_err(|e| io::Error::new(e.kind(), format!("{target}: {e}")))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

struct SimListener {
    owner: Owner,
    number: u64,
    addr: SocketAddr,
}

impl Listener for SimListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let owner = self.owner.clone();
        let mut state = owner.kernel.state();
        if !owner.is_alive(&state) {
            return Poll::Ready(Err(dead()));
        }
        loop {
            let Some(listening) = state.hosts[owner.host].listening.get_mut(&self.addr.port()) else {
                return Poll::Ready(Err(dead()));
            };
            let Some(id) = listening.queue.pop_front() else {
                listening.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // One that was reset while it waited is not worth a mention.
            let peer = owner.kernel.with(&mut state, id, |_, conn| {
                let end = conn.end(1).filter(|end| end.phase == Phase::Open)?;
                end.held = true;
                conn.end(0).map(|client| client.addr)
            });
            if let Some(Some(peer)) = peer {
                drop(state);
                let stream = SimStream {
                    owner,
                    id,
                    side: 1,
                    peer,
                    abort: false,
                };
                return Poll::Ready(Ok((Box::new(stream), peer)));
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let kernel = self.owner.kernel.clone();
        let mut state = kernel.state();
        let port = self.addr.port();
        let own = &mut state.hosts[self.owner.host];
        if own.listening.get(&port).is_none_or(|l| l.number != self.number) {
            return;
        }
        let waiting = own.listening.remove(&port).map(|l| l.queue).unwrap_or_default();
        for id in waiting {
            kernel.with(&mut state, id, |state, conn| {
                kernel.let_go(state, id, conn, 1, true)
            });
        }
    }
}

/// One end of a connection.
struct SimStream {
    owner: Owner,
    id: u64,
    side: usize,
    peer: SocketAddr,
    abort: bool,
}

impl SimStream {
    /// Runs `work` with this end's connection.
    fn with<T>(
        &self,
        work: impl FnOnce(&Kernel, &mut State, &mut Conn) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let kernel = self.owner.kernel.clone();
        let mut state = kernel.state();
        if !self.owner.is_alive(&state) {
            return Poll::Ready(Err(dead()));
        }
        let result = kernel.with(&mut state, self.id, |state, conn| work(&kernel, state, conn));
        result.unwrap_or_else(|| Poll::Ready(Err(ErrorKind::ConnectionReset.into())))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|_, _, conn| match conn.end(0) {
            Some(End {
                phase: Phase::Open, ..
            }) => Poll::Ready(Ok(())),
            Some(End {
                error: Some(kind), ..
            }) => Poll::Ready(Err((*kind).into())),
            Some(end) => {
                end.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        })
    }

    /// How many of `wanted` bytes may be sent now.
    fn poll_room(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let side = self.side;
        self.with(|kernel, state, conn| {
            let Some(end) = conn.end(side) else {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            };
            if let Some(kind) = end.error {
                return Poll::Ready(Err(kind.into()));
            }
            if end.fin_out || end.phase != Phase::Open {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            if end.credit == 0 && wanted > 0 {
                kernel.shared.count("net.window_full");
                end.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let room = wanted.min(end.credit);
            Poll::Ready(Ok(state.short(room)))
        })
    }

    fn send(&self, bytes: Bytes) -> Poll<io::Result<usize>> {
        let side = self.side;
        let sent = bytes.len();
        self.with(|kernel, state, conn| {
            kernel.send_data(state, self.id, conn, side, bytes);
            Poll::Ready(Ok(sent))
        })
    }
}

impl Stream for SimStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let (id, side) = (self.id, self.side);
        self.with(|kernel, state, conn| {
            let Some(end) = conn.end(side) else {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            };
            if end.inbox_len == 0 {
                return match end.error {
                    Some(kind) => Poll::Ready(Err(kind.into())),
                    None if end.fin_in => Poll::Ready(Ok(0)),
                    None => {
                        end.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                };
            }
            let n = state.short(max.min(end.inbox_len));
            end.take(buf, n);
            end.unreported += n;
            if end.unreported >= WINDOW_STEP && !end.fin_in && end.phase == Phase::Open {
                let opened = std::mem::take(&mut end.unreported).min(WINDOW);
                kernel.transmit(state, id, conn, side, Segment::Window(opened));
            }
            Poll::Ready(Ok(n))
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|b| b.len()).sum();
        let room = std::task::ready!(self.poll_room(cx, wanted))?;
        let mut bytes = BytesMut::with_capacity(room);
        for buf in bufs {
            bytes.extend_from_slice(&buf[..buf.len().min(room - bytes.len())]);
        }
        self.send(bytes.freeze())
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let room = std::task::ready!(self.poll_room(cx, len))?;
        let bytes = match file.handle().downcast_ref::<SimFile>() {
            Some(file) => file.read_now(offset, room)?,
            None => read_now(file, offset, room)?,
        };
        self.send(bytes)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (id, side) = (self.id, self.side);
        self.with(|kernel, state, conn| {
            let Some(end) = conn.end(side) else {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            };
            if let Some(kind) = end.error {
                return Poll::Ready(Err(kind.into()));
            }
            if !std::mem::replace(&mut end.fin_out, true) {
                kernel.transmit(state, id, conn, side, Segment::Fin);
            }
            Poll::Ready(Ok(()))
        })
    }

    fn abort(&mut self) {
        self.abort = true;
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let kernel = self.owner.kernel.clone();
        let mut state = kernel.state();
        // When an incarnation ends, the kernel has already closed what it had.
        if self.owner.is_alive(&state) {
            kernel.with(&mut state, self.id, |state, conn| {
                kernel.let_go(state, self.id, conn, self.side, self.abort)
            });
        }
    }
}
