//! Connections from their acceptance to their end: listeners, limits (Kafka class `ConnectionQuotas`), and the one line in the
//! log that says why a connection was closed. What is done on a connection is `ottla_rpc`'s and `dispatch.rs`'.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ottla_io::{Clock, Listener, Mono, Stream, Task, timeout_at};
use ottla_rpc::{Budget, Closed, FrameError, Limits, OutputError, Peer, Stop};
use ottla_types::config::BrokerConfig;
use tokio::sync::Notify;

use crate::Node;
use crate::dispatch::{self, Dispatcher};

/// Requests of one connection that may be under way together.
const IN_FLIGHT: usize = 16;
/// Bytes of answers to one connection that may wait for the peer to read before no more of its requests are served.
const QUEUED: usize = 1 << 20;
/// How often the log says that connections are over a limit.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// A node's connections.
pub struct Connections {
    quotas: Arc<Quotas>,
    /// `queued.max.request.bytes`, for all listeners together.
    memory: Arc<Budget>,
    open: Mutex<Open>,
    stop: Stop,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// `None` until its task is known.
    tasks: BTreeMap<u64, Option<Task>>,
}

impl Connections {
    /// No connections, under these limits.
    pub fn new(config: &BrokerConfig) -> Self {
        let memory = usize::try_from(config.queued_max_request_bytes())
            .ok()
            .filter(|bytes| *bytes > 0);
        Connections {
            quotas: Arc::default(),
            memory: Budget::new(memory.unwrap_or(usize::MAX)),
            open: Mutex::default(),
            stop: Stop::default(),
        }
    }

    /// Whether they are to end.
    pub fn are_stopping(&self) -> bool {
        self.stop.is_said()
    }

    /// Lets each end when its requests under way are answered; those that have not until `deadline` are cut off. A client whose
    /// answer is lost sends again, and after a restart the log knows only the last batch of each producer.
    pub async fn drain(&self, clock: &dyn Clock, deadline: Mono) {
        loop {
            let freed = self.quotas.freed.notified();
            if self.count() == 0 || timeout_at(clock, deadline, freed).await.is_none() {
                break;
            }
        }
        self.cancel();
    }

    /// Takes no more requests.
    pub fn stop(&self) {
        self.stop.say();
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Ends all of them.
    pub fn cancel(&self) {
        let tasks = std::mem::take(&mut self.lock().tasks);
        tasks.values().flatten().for_each(Task::cancel);
    }

    fn begin(&self) -> u64 {
        let mut open = self.lock();
        open.next += 1;
        let id = open.next;
        open.tasks.insert(id, None);
        id
    }

    /// Keeps a connection's task, unless it has ended already.
    fn running(&self, id: u64, task: Task) {
        if let Some(slot) = self.lock().tasks.get_mut(&id) {
            *slot = Some(task);
        }
    }

    fn end(&self, id: u64) {
        self.lock().tasks.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// How many connections there are, in all and from each address.
#[derive(Default)]
struct Quotas {
    state: Mutex<Counts>,
    freed: Notify,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
    complaints: Complaints,
}

/// A connection's place. Dropping it makes room.
struct Place {
    quotas: Arc<Quotas>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.quotas.lock();
        counts.total -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
        drop(counts);
        self.quotas.freed.notify_waiters();
    }
}

/// An address has as many connections as it may have: this many.
#[derive(Debug, PartialEq, Eq)]
struct TooMany(usize);

impl Quotas {
    /// A place for a connection from `address`; `None` as long as `max.connections` are open.
    fn take(self: &Arc<Self>, address: IpAddr, config: &BrokerConfig) -> Option<Result<Place, TooMany>> {
        let most = |limit: i32| usize::try_from(limit).unwrap_or(0);
        let mut counts = self.lock();
        if counts.total >= most(config.max_connections()) {
            return None;
        }
        let limit = most(config.max_connections_from(&address.to_string()));
        let held = counts.by_address.get(&address).copied().unwrap_or(0);
        if held >= limit {
            return Some(Err(TooMany(limit)));
        }
        counts.total += 1;
        counts.by_address.insert(address, held + 1);
        Some(Ok(Place {
            quotas: self.clone(),
            address,
        }))
    }

    /// How many complaints were not said since the last one; `None` while it is too early for the next.
    fn complain(&self, now: Mono) -> Option<u64> {
        self.lock().complaints.say(now)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Keeps a peer from filling the log.
#[derive(Default)]
struct Complaints {
    last: Option<Mono>,
    unsaid: u64,
}

impl Complaints {
    fn say(&mut self, now: Mono) -> Option<u64> {
        if self.last.is_some_and(|last| now.since(last) < COMPLAINT_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Node {
    /// Accepts clients.
    pub(crate) fn listen(self: &Arc<Self>, listeners: Vec<(String, Box<dyn Listener>)>) {
        for (name, open) in listeners {
            self.listens(&name, open.local_addr());
            let accept = self.clone().accept(open, name.as_str().into());
            self.keep(self.env.tasks.spawn("listener", Box::pin(accept)));
        }
    }

    fn limits(&self) -> Limits {
        let broker = self.broker();
        // About a third of a century, in milliseconds, when there is no limit.
        let idle = u64::try_from(broker.connections_max_idle_ms()).unwrap_or(1 << 40);
        Limits {
            max_frame: usize::try_from(broker.socket_request_max_bytes()).unwrap_or(0),
            max_in_flight: IN_FLIGHT,
            max_queued: QUEUED,
            idle: Duration::from_millis(idle),
            memory: self.connections.memory.clone(),
        }
    }

    async fn accept(self: Arc<Self>, mut listener: Box<dyn Listener>, name: Arc<str>) {
        let limits = Arc::new(self.limits());
        loop {
            match std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
                Ok((stream, addr)) => {
                    if let Some(place) = self.place(addr).await {
                        self.begin(stream, addr, &name, &limits, place);
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to be closed instead of spinning.
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A place for a connection. As in Kafka, one over `max.connections` waits, and nobody behind it is accepted; one over its
    /// address' limit is closed.
    async fn place(&self, addr: SocketAddr) -> Option<Place> {
        let quotas = &self.connections.quotas;
        loop {
            let freed = quotas.freed.notified();
            let why = match quotas.take(addr.ip().to_canonical(), &self.broker()) {
                Some(Ok(place)) => return Some(place),
                Some(Err(TooMany(limit))) => Some(limit),
                None => None,
            };
            if let Some(unsaid) = quotas.complain(self.env.clock.now()) {
                match why {
                    Some(limit) => {
                        tracing::warn!(peer = %addr, limit, unsaid, "connection closed: max.connections.per.ip is reached");
                    }
                    None => {
                        tracing::warn!(peer = %addr, unsaid, "a connection waits: max.connections is reached");
                    }
                }
            }
            if why.is_some() {
                return None;
            }
            freed.await;
        }
    }

    fn begin(
        self: &Arc<Self>,
        stream: Box<dyn Stream>,
        addr: SocketAddr,
        listener: &Arc<str>,
        limits: &Arc<Limits>,
        place: Place,
    ) {
        let id = self.connections.begin();
        let peer = Peer {
            addr,
            listener: listener.clone(),
            id,
        };
        let (node, limits) = (self.clone(), limits.clone());
        let serve = async move {
            node.serve(stream, &peer, &limits).await;
            node.connections.end(id);
            drop(place);
        };
        let task = self.env.tasks.spawn("connection", Box::pin(serve));
        self.connections.running(id, task);
    }

    async fn serve(self: &Arc<Self>, stream: Box<dyn Stream>, peer: &Peer, limits: &Limits) {
        let service = Dispatcher(self.clone());
        let (stop, clock) = (&self.connections.stop, self.env.clock.as_ref());
        let closed = ottla_rpc::serve(stream, peer.clone(), &service, limits, stop, clock).await;
        match closed {
            Closed::ByPeer | Closed::Idle | Closed::Stopped => {}
            Closed::Frame(FrameError::Io(_)) | Closed::Output(OutputError::Io(_)) => {}
            Closed::Rejected(rejected) => {
                dispatch::reject(self, peer, &rejected.client_id, &rejected.reason);
            }
            Closed::Frame(error) => dispatch::reject(self, peer, "", &error.to_string()),
            Closed::Output(error) => dispatch::reject(self, peer, "", &error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &[(&str, &str)]) -> BrokerConfig {
        crate::testing::config(more)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn connections_over_the_brokers_limit_wait() {
        let (quotas, config) = (Arc::<Quotas>::default(), config(&[("max.connections", "2")]));
        let first = quotas.take(ip(1), &config);
        let second = quotas.take(ip(2), &config);
        assert!(matches!((&first, &second), (Some(Ok(_)), Some(Ok(_)))));
        assert!(quotas.take(ip(3), &config).is_none());
        drop(first);
        assert!(matches!(quotas.take(ip(3), &config), Some(Ok(_))));
    }

    #[test]
    fn an_address_over_its_limit_is_refused_and_the_others_are_not() {
        let limits = [
            ("max.connections.per.ip", "1"),
            ("max.connections.per.ip.overrides", "10.0.0.2:2,10.0.0.3:0"),
        ];
        let (quotas, config) = (Arc::<Quotas>::default(), config(&limits));
        let refused = |last| match quotas.take(ip(last), &config) {
            Some(Err(too_many)) => too_many.0,
            _ => panic!("10.0.0.{last} is let in"),
        };
        let place = quotas.take(ip(1), &config);
        assert_eq!((refused(1), refused(3)), (1, 0));
        let two: Vec<_> = (0..2).map(|_| quotas.take(ip(2), &config)).collect();
        assert!(two.iter().all(|place| matches!(place, Some(Ok(_)))));
        assert_eq!(refused(2), 2);
        drop(place);
        drop(two);
        let counts = quotas.lock();
        assert_eq!((counts.total, counts.by_address.len()), (0, 0));
    }

    #[test]
    fn the_log_is_told_once_a_second_and_how_often_it_was_not() {
        let mut complaints = Complaints::default();
        let second = 1_000_000_000;
        assert_eq!(complaints.say(Mono(5)), Some(0));
        assert_eq!(complaints.say(Mono(6)), None);
        assert_eq!(complaints.say(Mono(second)), None);
        assert_eq!(complaints.say(Mono(second + 5)), Some(2));
        assert_eq!(complaints.say(Mono(3 * second)), Some(0));
    }
}
