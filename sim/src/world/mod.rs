//! A world: nodes with disks, clocks and addresses on one network. Here is what a world is and what any part of it can ask;
//! what can be done to it stands in `lives` (processes), `faults` (network, disks, clocks) and `run` (from seed to report).

mod faults;
mod lives;
mod run;
mod shared;

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_io::mem::MemDisk;
use ottla_io::{BoxFuture, Env, Rng};
use ottla_types::{Event, Violation};

use crate::clock::NodeClock;
use crate::disk::DiskNode;
use crate::disk::faults::DiskFaults;
use crate::executor::{Executor, Process};
use crate::locked;
use crate::net::kernel::Kernel;
use crate::tasks::message;
use crate::timers::Timers;

pub use run::{Options, Report, run};
pub(crate) use shared::Shared;

type Main = Arc<dyn Fn(Env) -> BoxFuture<'static, ()> + Send + Sync>;

/// A node of a world, by its number in the order of [`World::add_node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub usize);

struct Node {
    name: String,
    ip: Ipv4Addr,
    disk: Arc<DiskNode>,
    /// What the disk does when no fault of a plan is active.
    calm: DiskFaults,
    clock: Arc<NodeClock>,
    main: Option<Main>,
    running: Option<Running>,
    /// How often it was started or stopped.
    turns: u64,
    pauses: u32,
    /// It was crashed and nobody has started it again; a process that ended by itself is not.
    fallen: bool,
}

struct Running {
    process: Process,
    env: Env,
    alive: Arc<AtomicBool>,
}

struct Inner {
    shared: Arc<Shared>,
    executor: Executor,
    net: Arc<Kernel>,
    seed: u64,
    nodes: Mutex<Vec<Node>>,
    /// Raised by [`World::calm`]: later steps of a plan that was started before do nothing.
    calms: AtomicU64,
    losses: Mutex<Rng>,
}

/// A handle on the world; clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

impl World {
    fn new(executor: Executor, options: Options) -> Self {
        let timers = Timers::new(executor.clone());
        let shared = Shared::new(timers);
        let net = Kernel::new(shared.clone(), options.net, Rng::from_number(options.seed, "net"));
        let losses = Mutex::new(Rng::from_number(options.seed, "losses"));
        let (nodes, calms, seed) = (Mutex::default(), AtomicU64::new(0), options.seed);
        World(Arc::new(Inner {
            shared,
            executor,
            net,
            seed,
            nodes,
            calms,
            losses,
        }))
    }

    /// Adds a node that is down: the name is its host name, the address 10.0.0.N, the disk empty.
    pub fn add_node(&self, name: &str) -> Host {
        self.add_node_with(name, MemDisk::new())
    }

    /// The same with a disk that may hold something.
    pub fn add_node_with(&self, name: &str, disk: MemDisk) -> Host {
        let mut nodes = locked(&self.0.nodes);
        let ip = self.0.net.add_host(name);
        let number = nodes.len();
        let rng = Rng::from_number(self.0.seed, &format!("disk {number}"));
        nodes.push(Node {
            name: name.into(),
            ip,
            disk: DiskNode::new(self.0.shared.clone(), number, disk, rng),
            calm: DiskFaults::default(),
            clock: NodeClock::new(self.0.shared.timers.clone()),
            main: None,
            running: None,
            turns: 0,
            pauses: 0,
            fallen: false,
        });
        Host(number)
    }

    /// All nodes.
    pub fn hosts(&self) -> Vec<Host> {
        (0..locked(&self.0.nodes).len()).map(Host).collect()
    }

    /// The node with this name.
    pub fn host(&self, name: &str) -> Option<Host> {
        locked(&self.0.nodes)
            .iter()
            .position(|n| n.name == name)
            .map(Host)
    }

    /// A node's name, which is its host name too.
    pub fn name(&self, host: Host) -> String {
        self.node(host, |n| n.name.clone())
    }

    /// A node's address.
    pub fn ip(&self, host: Host) -> Ipv4Addr {
        self.node(host, |n| n.ip)
    }

    /// A node's disk: what is on it may be looked at, damaged, forked.
    pub fn disk(&self, host: Host) -> MemDisk {
        self.node(host, |n| n.disk.disk.clone())
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.shared.timers.now())
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, d: Duration) {
        self.0.shared.timers.sleep(d).await;
    }

    /// Runs `work` after `d`, outside of every node.
    pub fn after(&self, d: Duration, work: impl FnOnce() + Send + 'static) {
        let timers = &self.0.shared.timers;
        let at = timers.now().saturating_add(d.as_nanos() as u64);
        timers.run_at(at, self.guarded(work));
    }

    /// The same work, whose panic is a violation instead of the end of the world.
    fn guarded(&self, work: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
        let shared = self.0.shared.clone();
        move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                let text = format!("something scheduled: {}", message(&*panic));
                shared.violation(Violation::new("no-panic", text));
            }
        }
    }

    /// Randomness for a purpose of the scenario (`workload`, `client 3`), from the world's seed.
    pub fn rng(&self, purpose: &str) -> Rng {
        Rng::from_number(self.0.seed, &format!("scenario {purpose}"))
    }

    /// Calls `look` on each domain event of each living node, at the moment it is observed.
    pub fn on_event(&self, look: impl Fn(Host, Duration, &Event) + Send + Sync + 'static) {
        locked(&self.0.shared.observers).push(Arc::new(look));
    }

    /// Adds a line to the trace.
    pub fn note(&self, who: &str, what: &str) {
        self.0.shared.line(who, what);
    }

    /// Counts something (`sometimes` situations, evaluations of invariants).
    pub fn count(&self, what: &'static str) {
        self.0.shared.count(what);
    }

    /// Records that an invariant did not hold. The world runs on; the report fails.
    pub fn violation(&self, violation: Violation) {
        self.0.shared.violation(violation);
    }

    /// The violations so far.
    pub fn violations(&self) -> Vec<Violation> {
        locked(&self.0.shared.violations).clone()
    }

    /// A token that stays valid until [`World::calm`].
    pub(crate) fn calms(&self) -> u64 {
        self.0.calms.load(Ordering::Relaxed)
    }

    /// A token that stays valid until the node is started or stopped.
    pub(crate) fn turns(&self, host: Host) -> u64 {
        self.node(host, |n| n.turns)
    }

    fn names(&self, hosts: &[Host]) -> String {
        hosts.iter().map(|h| self.name(*h)).collect::<Vec<_>>().join(",")
    }

    fn node<T>(&self, host: Host, work: impl FnOnce(&mut Node) -> T) -> T {
        work(&mut locked(&self.0.nodes)[host.0])
    }

    /// Drops what the nodes hold, so that the world can be freed.
    async fn end(&self) {
        for host in self.hosts() {
            self.stop(host, false);
        }
        self.sleep(Duration::from_millis(1)).await;
        locked(&self.0.shared.observers).clear();
        self.0.net.close();
        self.0.shared.timers.close();
        let nodes = std::mem::take(&mut *locked(&self.0.nodes));
        drop(nodes);
    }
}
