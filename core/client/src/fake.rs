//! A broker for tests: a network whose connections answer requests by a script, on a clock that jumps to the next deadline when
//! nothing else can happen. Everything runs on the calling thread, in the same order each time.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, BytesMut};
use ottla_io::{
    BoxFuture, Clock, Entropy, Env, File, Listener, Mono, Net, NoObserver, Op, Outcome, Rng, Sleep, Stream,
    Task, TaskHandle, Tasks,
};
use ottla_types::Time;
use ottla_wire::header::{RequestHeader, read_request_header, response_header_version};
use ottla_wire::messages::api_versions_response::ApiVersion;
use ottla_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::messages::{ApiVersionsResponse, InitProducerIdResponse, MetadataRequest, MetadataResponse};
use ottla_wire::{ApiKey, Message, Reader, framing};

/// What a script makes of a request.
pub(crate) enum Reply {
    /// This frame, length prefix included.
    Frame(Vec<u8>),
    /// Nothing, for ever.
    Silence,
    /// The connection is closed.
    Close,
}

/// Answers one request.
pub(crate) type Script = Box<dyn FnMut(&RequestHeader<'_>, &mut Reader<'_>) -> Reply + Send>;

type Queue = Arc<Mutex<VecDeque<Arc<Running>>>>;

struct Running {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queue: Queue,
}

impl Wake for Running {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        queue.lock().unwrap().push_back(self);
    }
}

#[derive(Default)]
struct World {
    now: AtomicU64,
    timers: Mutex<BTreeMap<(u64, u64), Waker>>,
    next: AtomicU64,
    queue: Queue,
}

/// The environment of one test.
pub(crate) fn environment(script: Script) -> (Env, Driver) {
    let world = Arc::new(World::default());
    let env = Env {
        clock: Arc::new(FakeClock(world.clone())),
        net: Arc::new(FakeNet(Arc::new(Mutex::new(script)))),
        disk: ottla_io::mem::MemDisk::new().handle(),
        entropy: Arc::new(FakeEntropy),
        tasks: Arc::new(FakeTasks(world.clone())),
        observer: Arc::new(NoObserver),
    };
    (env, Driver(world))
}

/// Runs a test.
pub(crate) struct Driver(Arc<World>);

impl Driver {
    pub(crate) fn run<T: Send + 'static>(&self, test: impl Future<Output = T> + Send + 'static) -> T {
        let slot = Arc::new(Mutex::new(None));
        let filled = slot.clone();
        FakeTasks(self.0.clone()).spawn(
            "test",
            Box::pin(async move { *filled.lock().unwrap() = Some(test.await) }),
        );
        loop {
            let next = self.0.queue.lock().unwrap().pop_front();
            if let Some(task) = next {
                let waker = Waker::from(task.clone());
                let mut future = task.future.lock().unwrap();
                if let Some(running) = future.as_mut()
                    && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                {
                    *future = None;
                }
                drop(future);
                if let Some(result) = slot.lock().unwrap().take() {
                    return result;
                }
                continue;
            }
            let timer = self.0.timers.lock().unwrap().pop_first();
            let ((at, _), waker) = timer.expect("the test waits for something that never comes");
            self.0.now.fetch_max(at, Ordering::Relaxed);
            waker.wake();
        }
    }
}

struct FakeClock(Arc<World>);

impl Clock for FakeClock {
    fn now(&self) -> Mono {
        Mono(self.0.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Time {
        Time(1_700_000_000_000 + self.now().0 / 1_000_000)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        Box::pin(Timer {
            world: self.0.clone(),
            key: (at.0, id),
        })
    }
}

struct Timer {
    world: Arc<World>,
    key: (u64, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.now.load(Ordering::Relaxed) >= self.key.0 {
            return Poll::Ready(());
        }
        self.world
            .timers
            .lock()
            .unwrap()
            .insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.world.timers.lock().unwrap().remove(&self.key);
    }
}

struct FakeEntropy;

impl Entropy for FakeEntropy {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(1, purpose)
    }
}

struct FakeTasks(Arc<World>);

impl Tasks for FakeTasks {
    fn spawn(&self, _: &str, task: BoxFuture<'static, ()>) -> Task {
        let (ended, end) = tokio::sync::oneshot::channel();
        let future: BoxFuture<'static, ()> = Box::pin(async move {
            task.await;
            let _ = ended.send(());
        });
        let running = Arc::new(Running {
            future: Mutex::new(Some(future)),
            queue: self.0.queue.clone(),
        });
        self.0.queue.lock().unwrap().push_back(running.clone());
        Task::new(Handle { running, end })
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        work();
        Op::ready(())
    }

    fn parallelism(&self) -> usize {
        1
    }
}

struct Handle {
    running: Arc<Running>,
    end: tokio::sync::oneshot::Receiver<()>,
}

impl TaskHandle for Handle {
    fn cancel(&self) {
        if let Ok(mut future) = self.running.future.try_lock() {
            *future = None;
        }
    }

    fn join(self: Box<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            if self.end.await.is_ok() {
                Outcome::Done
            } else {
                Outcome::Cancelled
            }
        })
    }
}

struct FakeNet(Arc<Mutex<Script>>);

impl Net for FakeNet {
    fn listen(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Listener>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn connect(&self, _: &str, port: u16) -> Op<io::Result<Box<dyn Stream>>> {
        if port == 1 {
            return Op::ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        Op::ready(Ok(Box::new(FakeStream {
            script: self.0.clone(),
            ..FakeStream::default()
        })))
    }
}

struct FakeStream {
    script: Arc<Mutex<Script>>,
    received: BytesMut,
    answers: BytesMut,
    closed: bool,
    reader: Option<Waker>,
}

impl Default for FakeStream {
    fn default() -> Self {
        FakeStream {
            script: Arc::new(Mutex::new(Box::new(|_, _| Reply::Close))),
            received: BytesMut::new(),
            answers: BytesMut::new(),
            closed: false,
            reader: None,
        }
    }
}

impl Stream for FakeStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        // In small pieces, so that frames come cut.
        let count = self.answers.len().min(max).min(100);
        if count == 0 && !self.closed {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.extend_from_slice(&self.answers[..count]);
        self.answers.advance(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let count = bufs.iter().map(|b| b.len()).sum();
        bufs.iter().for_each(|b| self.received.extend_from_slice(b));
        while let Some((frame, rest)) = framing::split(&self.received, usize::MAX).unwrap() {
            let mut reader = Reader::new(frame);
            let (_, header) = read_request_header(&mut reader).unwrap();
            match (self.script.lock().unwrap())(&header, &mut reader) {
                Reply::Frame(answer) => self.answers.extend_from_slice(&answer),
                Reply::Silence => {}
                Reply::Close => self.closed = true,
            }
            let done = self.received.len() - rest.len();
            self.received.advance(done);
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(count))
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
        SocketAddr::from(([127, 0, 0, 1], 9092))
    }
}

/// A response to this request.
pub(crate) fn answer<'a, M: Message<'a>>(header: &RequestHeader<'_>, response: &M) -> Reply {
    let mut frame = Vec::new();
    framing::put_response(
        &mut frame,
        header.request_api_version,
        header.correlation_id,
        response,
    )
    .unwrap();
    Reply::Frame(frame)
}

/// Answers what every client asks first: versions (`ranges`), metadata (topic `t` with two partitions, led by the only
/// broker), a producer id. `None` for other requests.
pub(crate) fn basics(
    header: &RequestHeader<'_>,
    body: &mut Reader<'_>,
    ranges: &[(ApiKey, i16, i16)],
) -> Option<Reply> {
    let api = ApiKey::try_from(header.request_api_key).unwrap();
    match api {
        ApiKey::ApiVersions => Some(versions(header, ranges)),
        ApiKey::Metadata => Some(metadata(header, body)),
        ApiKey::InitProducerId => Some(answer(
            header,
            &InitProducerIdResponse {
                producer_id: 7,
                producer_epoch: 0,
                ..Default::default()
            },
        )),
        _ => None,
    }
}

fn versions(header: &RequestHeader<'_>, ranges: &[(ApiKey, i16, i16)]) -> Reply {
    let known = ranges
        .iter()
        .find(|r| r.0 == ApiKey::ApiVersions)
        .map_or(0, |r| r.2);
    let api_keys = ranges.iter().map(|(api, low, high)| ApiVersion {
        api_key: api.id(),
        min_version: *low,
        max_version: *high,
    });
    let mut response = ApiVersionsResponse {
        api_keys: api_keys.collect(),
        ..Default::default()
    };
    if header.request_api_version <= known {
        return answer(header, &response);
    }
    // An old broker answers in version 0 and says what it knows.
    response.error_code = 35;
    let mut frame = Vec::new();
    framing::put_response(&mut frame, 0, header.correlation_id, &response).unwrap();
    assert_eq!(response_header_version(ApiKey::ApiVersions, 4), 0);
    Reply::Frame(frame)
}

fn metadata(header: &RequestHeader<'_>, body: &mut Reader<'_>) -> Reply {
    let request = MetadataRequest::decode(body, header.request_api_version).unwrap();
    let partition = |index| MetadataResponsePartition {
        partition_index: index,
        leader_id: 1,
        leader_epoch: 5,
        ..Default::default()
    };
    let topics = request.topics.iter().flatten().map(|t| match t.name {
        Some("t") => MetadataResponseTopic {
            name: t.name,
            partitions: vec![partition(1), partition(0)],
            ..Default::default()
        },
        name => MetadataResponseTopic {
            name,
            error_code: 3,
            ..Default::default()
        },
    });
    let broker = MetadataResponseBroker {
        node_id: 1,
        host: "h",
        port: 9092,
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: vec![broker],
        controller_id: 1,
        topics: topics.collect(),
        ..Default::default()
    };
    answer(header, &response)
}
