//! A network of scripted peers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ottla_io::{File, Listener, Net, Op, Stream};
use ottla_wire::framing;

#[derive(Default)]
struct Port {
    arrived: VecDeque<(Wire, SocketAddr)>,
    waiting: Option<Waker>,
}

/// All ports of a node.
#[derive(Clone, Default)]
pub struct FakeNet(Arc<Mutex<BTreeMap<u16, Port>>>);

impl FakeNet {
    /// A peer with this address connects to `port`.
    pub fn dial(&self, port: u16, from: impl Into<IpAddr>) -> Wire {
        let wire = Wire::default();
        let mut ports = self.0.lock().expect("no panics");
        let port = ports.get_mut(&port).expect("somebody listens");
        port.arrived
            .push_back((wire.clone(), SocketAddr::new(from.into(), 5)));
        let waiting = port.waiting.take();
        drop(ports);
        waiting.into_iter().for_each(Waker::wake);
        wire
    }
}

impl Net for FakeNet {
    fn listen(&self, _: &str, port: u16) -> Op<io::Result<Box<dyn Listener>>> {
        self.0.lock().expect("no panics").insert(port, Port::default());
        Op::ready(Ok(Box::new(FakeListener(self.clone(), port))))
    }

    fn connect(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Stream>>> {
        Op::ready(Err(io::ErrorKind::ConnectionRefused.into()))
    }
}

struct FakeListener(FakeNet, u16);

impl Listener for FakeListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let mut ports = self.0.0.lock().expect("no panics");
        let port = ports.entry(self.1).or_default();
        match port.arrived.pop_front() {
            Some((wire, from)) => Poll::Ready(Ok((Box::new(End(wire, from)), from))),
            None => {
                port.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.1))
    }
}

/// A peer's end of a connection.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    incoming: VecDeque<u8>,
    finished: bool,
    outgoing: Vec<u8>,
    closed: bool,
    reader: Option<Waker>,
}

impl Wire {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().expect("no panics")
    }

    fn change(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = self.ends();
        change(&mut ends);
        let reader = ends.reader.take();
        drop(ends);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        self.change(|ends| ends.incoming.extend(bytes));
    }

    /// Sends one frame with this content.
    pub fn request(&self, content: &[u8]) {
        self.send(&(content.len() as u32).to_be_bytes());
        self.send(content);
    }

    /// Leaves.
    pub fn finish(&self) {
        self.change(|ends| ends.finished = true);
    }

    /// Whether the node closed it.
    pub fn closed(&self) -> bool {
        self.ends().closed
    }

    /// How many answers have come.
    pub fn answers(&self) -> usize {
        let ends = self.ends();
        let (mut left, mut count) = (&ends.outgoing[..], 0);
        while let Ok(Some((_, rest))) = framing::split(left, usize::MAX) {
            (left, count) = (rest, count + 1);
        }
        count
    }
}

struct End(Wire, SocketAddr);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ends().closed = true;
    }
}

impl Stream for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let mut ends = self.0.ends();
        let count = max.min(ends.incoming.len());
        buf.extend(ends.incoming.drain(..count));
        if count == 0 && !ends.finished {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.ends();
        bufs.iter().for_each(|buf| ends.outgoing.extend_from_slice(buf));
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
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
        self.1
    }
}
