//! A scripted peer, a service that does as the first byte of a request says, and a clock moved by hand. A connection is polled
//! only when it was woken, so that a forgotten wake-up shows as a test that gets no answer.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{Clock, File, Mono, Op, Sleep, Stream};
use ottla_rpc::{Budget, Closed, Limits, Part, Peer, Rejected, Reply, Service, Stop, serve};
use ottla_types::Time;
use ottla_wire::framing;
use tokio::sync::oneshot;

/// The peer's end of a connection.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    /// On its way to the server; then `zeros` more bytes, which cost no memory.
    incoming: VecDeque<u8>,
    zeros: usize,
    /// What one read gives at most; 0 for no limit.
    piece: usize,
    finished: bool,
    reset: bool,
    /// What the server sent.
    outgoing: Vec<u8>,
    /// How many more bytes the peer takes.
    window: usize,
    broken: bool,
    aborted: bool,
    dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    /// A peer that takes whatever it is sent.
    pub fn new() -> Self {
        let wire = Wire::default();
        wire.ends().window = usize::MAX;
        wire
    }

    /// A peer that takes only `window` bytes.
    pub fn slow(window: usize) -> Self {
        let wire = Wire::default();
        wire.ends().window = window;
        wire
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().expect("no test panics while it holds it")
    }

    fn change(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = self.ends();
        change(&mut ends);
        let wakers = [ends.reader.take(), ends.writer.take()];
        drop(ends);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        self.change(|ends| ends.incoming.extend(bytes));
    }

    /// Sends one frame with this content.
    pub fn request(&self, content: &[u8]) {
        self.send(&frame(content));
    }

    /// Sends zeros, which cost no memory on their way.
    pub fn zeros(&self, count: usize) {
        self.change(|ends| ends.zeros += count);
    }

    /// Has one read give at most this much.
    pub fn in_pieces_of(&self, piece: usize) {
        self.change(|ends| ends.piece = piece);
    }

    /// Sends no more, but goes on reading.
    pub fn finish(&self) {
        self.change(|ends| ends.finished = true);
    }

    /// Is gone at once: what comes next fails, in both directions.
    pub fn reset(&self) {
        self.change(|ends| ends.reset = true);
    }

    /// Has the server's writes fail while reads go on.
    pub fn break_writes(&self) {
        self.change(|ends| ends.broken = true);
    }

    /// Takes this many more bytes.
    pub fn open_window(&self, bytes: usize) {
        self.change(|ends| ends.window = ends.window.saturating_add(bytes));
    }

    /// The contents of the frames that have come whole.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        let mut ends = self.ends();
        let mut answers = Vec::new();
        let mut left = &ends.outgoing[..];
        while let Ok(Some((answer, rest))) = framing::split(left, usize::MAX) {
            answers.push(answer.to_vec());
            left = rest;
        }
        let done = ends.outgoing.len() - left.len();
        ends.outgoing.drain(..done);
        answers
    }

    /// Bytes the server has not read yet.
    pub fn unread(&self) -> usize {
        let ends = self.ends();
        ends.incoming.len() + ends.zeros
    }

    /// Whether the server asked for a reset.
    pub fn aborted(&self) -> bool {
        self.ends().aborted
    }

    /// Whether the server let go of its end.
    pub fn dropped(&self) -> bool {
        self.ends().dropped
    }
}

/// One frame with this content.
pub fn frame(content: &[u8]) -> Vec<u8> {
    let mut frame = (content.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(content);
    frame
}

struct ServerEnd(Wire);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.ends().dropped = true;
    }
}

impl ServerEnd {
    fn take(&self, cx: &mut Context<'_>, bufs: &[&[u8]]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.ends();
        if ends.reset || ends.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut taken = 0;
        for buf in bufs {
            let n = buf.len().min(ends.window);
            ends.outgoing.extend_from_slice(&buf[..n]);
            ends.window -= n;
            taken += n;
        }
        if taken == 0 {
            ends.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }
}

impl Stream for ServerEnd {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let mut ends = self.0.ends();
        if ends.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let max = if ends.piece == 0 { max } else { max.min(ends.piece) };
        let script = max.min(ends.incoming.len());
        buf.extend(ends.incoming.drain(..script));
        let zeros = (max - script).min(ends.zeros);
        buf.resize(buf.len() + zeros, 0);
        ends.zeros -= zeros;
        if script + zeros == 0 && !ends.finished {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(script + zeros))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bufs: Vec<&[u8]> = bufs.iter().map(|b| &b[..]).collect();
        self.take(cx, &bufs)
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let Ok((read, bytes)) = file.read_at(offset, BytesMut::new(), len).into_ready() else {
            panic!("a disk in memory answers at once")
        };
        match read? {
            0 => Poll::Ready(Ok(0)),
            _ => self.take(cx, &[&bytes]),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.0.ends().aborted = true;
    }

    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 999))
    }
}

/// Answers a request by its first byte: `e` with itself, `w` with itself once [`Script::release`] is called, `n` with nothing,
/// `x` by closing, `f` with the file.
#[derive(Default)]
pub struct Script {
    /// How many requests came.
    pub calls: AtomicUsize,
    /// Who waits for [`Script::release`].
    pub waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    /// What `f` answers with, behind whatever length.
    pub file: Option<(Arc<dyn File>, usize)>,
}

impl Script {
    /// How many requests came.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Answers the requests that wait, the last one first.
    pub fn release(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("no panics"));
        for one in waiting.into_iter().rev() {
            let _ = one.send(());
        }
    }
}

impl Service for Script {
    fn call(&self, _: &Peer, request: BytesMut) -> Op<(Reply, Option<BytesMut>)> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let echo = Reply::Bytes(Bytes::from(frame(&request)));
        match request.first() {
            Some(b'n') => Op::ready((Reply::Nothing, Some(request))),
            Some(b'x') => {
                let rejected = Rejected {
                    client_id: "c".into(),
                    reason: "no such request".into(),
                };
                Op::ready((Reply::Close(rejected), Some(request)))
            }
            Some(b'w') => {
                let (sender, released) = oneshot::channel();
                self.waiting.lock().expect("no panics").push_back(sender);
                Op::pending(async move {
                    let _ = released.await;
                    (echo, Some(request))
                })
            }
            Some(b'f') => {
                let (file, len) = self.file.clone().expect("the test has a file");
                let head = Bytes::from((len as u32).to_be_bytes().to_vec());
                let range = Part::File {
                    file,
                    position: 0,
                    len,
                };
                Op::ready((Reply::Parts(vec![Part::Bytes(head), range]), Some(request)))
            }
            _ => Op::ready((echo, Some(request))),
        }
    }
}

/// A clock moved by hand.
#[derive(Default)]
pub struct HandClock {
    now: AtomicU64,
    sleepers: Mutex<Vec<Waker>>,
}

impl HandClock {
    /// Moves it.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        let sleepers = std::mem::take(&mut *self.sleepers.lock().expect("no panics"));
        sleepers.into_iter().for_each(Waker::wake);
    }
}

/// The clock as a connection sees it.
struct Seen(Arc<HandClock>);

impl Clock for Seen {
    fn now(&self) -> Mono {
        Mono(self.0.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Time {
        Time(0)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let clock = self.0.clone();
        Box::pin(std::future::poll_fn(move |cx| {
            if clock.now.load(Ordering::Relaxed) >= at.0 {
                return Poll::Ready(());
            }
            clock.sleepers.lock().expect("no panics").push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection being served.
pub struct Connection {
    future: Option<Pin<Box<dyn Future<Output = Closed>>>>,
    woken: Arc<Flag>,
    /// Its server's word that it stops.
    pub stop: Arc<Stop>,
    /// How it ended.
    pub closed: Option<Closed>,
}

impl Connection {
    /// Begins to serve `wire`.
    pub fn new(wire: &Wire, service: &Arc<Script>, limits: &Limits, clock: &Arc<HandClock>) -> Self {
        let peer = Peer {
            addr: SocketAddr::from(([10, 0, 0, 1], 999)),
            listener: "L".into(),
            id: 1,
        };
        let (stream, service) = (Box::new(ServerEnd(wire.clone())), service.clone());
        let (limits, clock) = (limits.clone(), Seen(clock.clone()));
        let stop = Arc::new(Stop::default());
        let heard = stop.clone();
        let future = async move { serve(stream, peer, service.as_ref(), &limits, &heard, &clock).await };
        Connection {
            stop,
            future: Some(Box::pin(future)),
            woken: Arc::new(Flag(AtomicBool::new(true))),
            closed: None,
        }
    }

    /// Lets it go on for as long as something wakes it. Whether anything did.
    pub fn run(&mut self) -> bool {
        let mut any = false;
        while let Some(future) = &mut self.future
            && self.woken.0.swap(false, Ordering::Relaxed)
        {
            any = true;
            let waker = Waker::from(self.woken.clone());
            if let Poll::Ready(closed) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.closed = Some(closed);
                self.future = None;
            }
        }
        any
    }
}

/// Lets all connections go on until nothing happens any more.
pub fn run_all(connections: &mut [Connection]) {
    loop {
        let ran = connections
            .iter_mut()
            .filter_map(|c| c.run().then_some(()))
            .count();
        if ran == 0 {
            return;
        }
    }
}

/// Bounds that no test runs into by accident.
pub fn limits() -> Limits {
    Limits {
        max_frame: 100 << 20,
        max_in_flight: 16,
        max_queued: 1 << 20,
        idle: Duration::from_secs(600),
        memory: Budget::new(usize::MAX),
    }
}
