//! A node under test: a whole one on a disk in memory, a clock that moves only when a test moves it or nothing else can happen,
//! and tasks that run on the calling thread, in the same order each time.

mod net;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::BytesMut;
use ottla_io::mem::MemDisk;
use ottla_io::{
    BoxFuture, Clock, Entropy, Env, Mono, Observer, Op, Outcome, Rng, Sleep, Task, TaskHandle, Tasks,
};
use ottla_rpc::{Part, Peer, Rejected, Reply, Service};
use ottla_types::config::BrokerConfig;
use ottla_types::{Event, Time};
use ottla_wire::header::{ResponseHeader, response_header_version};
use ottla_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use ottla_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use ottla_wire::{Message, Reader, Request, framing};

use crate::Node;
use crate::dispatch::Dispatcher;
pub use net::{FakeNet, Wire};

/// A single node's configuration, with these keys on top.
pub fn config(more: &[(&str, &str)]) -> BrokerConfig {
    let basics = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.listener.names", "CONTROLLER"),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("listeners", "PLAINTEXT://n1:9092,CONTROLLER://n1:9093"),
        ("controller.quorum.voters", "1@n1:9093"),
        ("log.dirs", "/data"),
    ];
    let given: BTreeMap<String, String> = basics
        .iter()
        .chain(more)
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    match BrokerConfig::from_properties(&given) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{errors:?}"),
    }
}

type Queue = Arc<Mutex<VecDeque<Arc<Running>>>>;

struct Running {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queue: Queue,
}

impl Wake for Running {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        queue.lock().expect("no panics").push_back(self);
    }
}

#[derive(Default)]
struct Inner {
    now: AtomicU64,
    next: AtomicU64,
    timers: Mutex<BTreeMap<(u64, u64), Waker>>,
    queue: Queue,
    /// How often the node was started: no two incarnations draw the same numbers.
    lives: AtomicU64,
}

/// One node's surroundings.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
    /// The node's disk.
    pub disk: MemDisk,
    /// The node's network.
    pub net: FakeNet,
    /// What the node said happened.
    pub events: Arc<Events>,
}

/// Keeps the domain events.
#[derive(Default)]
pub struct Events(Mutex<Vec<Event>>);

impl Events {
    /// All so far.
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().expect("no panics").clone()
    }
}

impl Observer for Events {
    fn enabled(&self) -> bool {
        true
    }

    fn observe(&self, event: &Event) {
        self.0.lock().expect("no panics").push(event.clone());
    }
}

impl World {
    /// An empty disk, nobody on the net.
    pub fn new() -> Self {
        World {
            inner: Arc::default(),
            disk: MemDisk::new(),
            net: FakeNet::default(),
            events: Arc::default(),
        }
    }

    /// A world whose disk holds these files, as after the death of another world's node.
    pub fn with_files(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let world = World::new();
        world.inner.lives.store(1_000, Ordering::Relaxed);
        World {
            disk: MemDisk::import(files).expect("files and their folders"),
            ..world
        }
    }

    fn env(&self) -> Env {
        Env {
            clock: Arc::new(self.clone()),
            net: Arc::new(self.net.clone()),
            disk: self.disk.handle(),
            entropy: Arc::new(self.clone()),
            tasks: Arc::new(self.clone()),
            observer: self.events.clone(),
        }
    }

    /// Formats the disk if it is not, and starts a node on it.
    pub fn start(&self, more: &[(&str, &str)]) -> Arc<Node> {
        self.try_start(config(more))
            .unwrap_or_else(|error| panic!("the node does not start: {error}"))
    }

    /// The same, if it can be.
    pub fn try_start(&self, config: BrokerConfig) -> Result<Arc<Node>, String> {
        let env = self.env();
        self.inner.lives.fetch_add(1, Ordering::Relaxed);
        self.run(async move {
            let formatted = crate::format(&env, &config, "5L6g3nShT-eMCtK--X86sw").await;
            formatted.map_err(|e| e.to_string())?;
            Node::start(env, config).await.map_err(|e| e.to_string())
        })
    }

    /// Creates a topic and returns its id.
    pub fn create(
        &self,
        node: &Arc<Node>,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> ottla_types::Uuid {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name,
            value: Some(value),
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name,
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.collect(),
                ..Default::default()
            }],
            timeout_ms: 1_000,
            ..Default::default()
        };
        let answer: CreateTopicsResponse = self.send(node, 7, &request).answer();
        let topic = &answer.topics[0];
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        topic.topic_id
    }

    /// Runs everything until `test` is done; the clock jumps when nothing else can happen.
    pub fn run<T: Send + 'static>(&self, test: impl Future<Output = T> + Send + 'static) -> T {
        let slot = Arc::new(Mutex::new(None));
        let filled = slot.clone();
        self.spawn(
            "test",
            Box::pin(async move { *filled.lock().expect("no panics") = Some(test.await) }),
        );
        loop {
            self.settle();
            if let Some(result) = slot.lock().expect("no panics").take() {
                return result;
            }
            assert!(
                self.fire(u64::MAX),
                "the test waits for something that never comes"
            );
        }
    }

    /// Runs everything that can run now.
    pub fn settle(&self) {
        loop {
            let next = self.inner.queue.lock().expect("no panics").pop_front();
            let Some(task) = next else { return };
            let waker = Waker::from(task.clone());
            let mut future = task.future.lock().expect("no panics");
            if let Some(running) = future.as_mut()
                && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                *future = None;
            }
        }
    }

    /// Moves the clock, with all that happens on the way.
    pub fn advance(&self, by: Duration) {
        let until = self.now().after(by).0;
        self.settle();
        while self.fire(until) {
            self.settle();
        }
        self.inner.now.store(until, Ordering::Relaxed);
    }

    /// Fires the next timer that is due by `until`.
    fn fire(&self, until: u64) -> bool {
        let mut timers = self.inner.timers.lock().expect("no panics");
        let Some(entry) = timers.first_entry().filter(|entry| entry.key().0 <= until) else {
            return false;
        };
        self.inner.now.fetch_max(entry.key().0, Ordering::Relaxed);
        let waker = entry.remove();
        drop(timers);
        waker.wake();
        true
    }
}

impl Clock for World {
    fn now(&self) -> Mono {
        Mono(self.inner.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Time {
        Time(1_700_000_000_000 + Clock::now(self).0 / 1_000_000)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        Box::pin(Timer {
            inner: self.inner.clone(),
            key: (at.0, id),
        })
    }
}

struct Timer {
    inner: Arc<Inner>,
    key: (u64, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.now.load(Ordering::Relaxed) >= self.key.0 {
            return Poll::Ready(());
        }
        let mut timers = self.inner.timers.lock().expect("no panics");
        timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.inner.timers.lock().expect("no panics").remove(&self.key);
    }
}

impl Entropy for World {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(self.inner.lives.load(Ordering::Relaxed), purpose)
    }
}

struct Handle(Arc<Running>);

impl TaskHandle for Handle {
    fn cancel(&self) {
        if let Ok(mut future) = self.0.future.try_lock() {
            *future = None;
        }
    }

    fn join(self: Box<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(std::future::ready(Outcome::Done))
    }
}

impl Tasks for World {
    fn spawn(&self, _: &str, task: BoxFuture<'static, ()>) -> Task {
        let running = Arc::new(Running {
            future: Mutex::new(Some(task)),
            queue: self.inner.queue.clone(),
        });
        running.clone().wake();
        Task::new(Handle(running))
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        work();
        Op::ready(())
    }

    fn parallelism(&self) -> usize {
        1
    }
}

/// A request under way.
pub struct Call(Arc<Mutex<Option<Reply>>>, i16);

/// A request's frame, without its length.
pub fn encode<'a, R: Request<'a>>(version: i16, request: &R) -> BytesMut {
    let mut frame = Vec::new();
    framing::put_request(&mut frame, version, 7, Some("tester"), request).expect("encodes");
    BytesMut::from(&frame[4..])
}

impl World {
    /// Sends a request and lets it run for as long as it can.
    pub fn send<'a, R: Request<'a>>(&self, node: &Arc<Node>, version: i16, request: &R) -> Call {
        self.send_frame(node, version, encode(version, request))
    }

    /// Sends a frame.
    pub fn send_frame(&self, node: &Arc<Node>, version: i16, frame: BytesMut) -> Call {
        let peer = Peer {
            addr: ([10, 0, 0, 9], 1).into(),
            listener: "PLAINTEXT".into(),
            id: 1,
        };
        let slot = Arc::new(Mutex::new(None));
        let (filled, node) = (slot.clone(), node.clone());
        self.spawn(
            "request",
            Box::pin(async move {
                let (reply, _) = Dispatcher(node).call(&peer, frame).await;
                *filled.lock().expect("no panics") = Some(reply);
            }),
        );
        self.settle();
        Call(slot, version)
    }
}

impl Call {
    /// Whether it is answered.
    pub fn is_done(&self) -> bool {
        self.0.lock().expect("no panics").is_some()
    }

    /// The answer as it leaves, without its length.
    pub fn bytes(&self) -> Vec<u8> {
        let reply = self.0.lock().expect("no panics").take();
        let parts = match reply.expect("the request is answered") {
            Reply::Bytes(bytes) => vec![Part::Bytes(bytes)],
            Reply::Parts(parts) => parts,
            Reply::Nothing => vec![],
            Reply::Close(rejected) => panic!("rejected: {rejected:?}"),
        };
        let mut all = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => all.extend_from_slice(&bytes),
                Part::File { file, position, len } => {
                    let read = file.read_at(position, BytesMut::new(), len).into_ready();
                    let Ok((Ok(_), bytes)) = read else {
                        panic!("a disk in memory reads at once")
                    };
                    all.extend_from_slice(&bytes);
                }
            }
        }
        assert!(all.is_empty() || all[..4] == (all.len() as i32 - 4).to_be_bytes());
        all.split_off(all.len().min(4))
    }

    /// Why the connection is to be closed.
    pub fn rejected(&self) -> Rejected {
        match self.0.lock().expect("no panics").take() {
            Some(Reply::Close(rejected)) => rejected,
            _ => panic!("the request was not rejected"),
        }
    }

    /// Hands the answer, decoded, to `look`.
    pub fn answer<'b, M: Message<'b>>(&self) -> M {
        let bytes: &'b [u8] = Box::leak(self.bytes().into_boxed_slice());
        let mut reader = Reader::new(bytes);
        let api = M::API_KEY.expect("an answer");
        let header = ResponseHeader::decode(&mut reader, response_header_version(api, self.1));
        assert_eq!(header.expect("a header").correlation_id, 7);
        let answer = M::decode(&mut reader, self.1).expect("decodes");
        reader.finish().expect("nothing is left");
        answer
    }
}
