//! What is known about the cluster: brokers, topics, leaders. Asked for when needed, again when an answer shows that it is out
//! of date or `metadata.max.age.ms` has passed, and never more often than `retry.backoff.ms` without a pause that doubles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_io::{Env, Mono, Rng};
use ottla_rpc::{CallError, ClientConnection};
use ottla_types::{ErrorCode, TopicPartition, Uuid};
use ottla_wire::messages::metadata_request::MetadataRequestTopic;
use ottla_wire::messages::metadata_response::MetadataResponseTopic;
use ottla_wire::messages::{MetadataRequest, MetadataResponse};
use ottla_wire::{Message, Reader, Request};

use crate::connections::{Address, Connections, Lane};
use crate::retry::{Attempts, Backoff};
use crate::{ClientConfig, Error, Result};

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `node.id`.
    pub id: i32,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerInfo {
    fn address(&self) -> Address {
        (self.host.clone(), self.port)
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 if unknown.
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them in sync.
    pub isr: Vec<i32>,
    /// Those of them that are offline.
    pub offline: Vec<i32>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero if the broker is too old to say.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionInfo>,
    fetched: Mono,
}

impl TopicInfo {
    pub(crate) fn new(
        name: Arc<str>,
        id: Uuid,
        internal: bool,
        partitions: Vec<PartitionInfo>,
        fetched: Mono,
    ) -> Self {
        TopicInfo {
            name,
            id,
            internal,
            partitions,
            fetched,
        }
    }

    /// One of its partitions.
    pub fn partition(&self, partition: i32) -> Option<&PartitionInfo> {
        let index = self
            .partitions
            .binary_search_by_key(&partition, |p| p.partition)
            .ok()?;
        self.partitions.get(index)
    }
}

/// What was known about the cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// `cluster.id`.
    pub cluster_id: Option<String>,
    /// Where requests for the controller go; with KRaft any broker forwards them.
    pub controller: Option<i32>,
    /// The brokers, by id.
    pub brokers: BTreeMap<i32, BrokerInfo>,
    /// The topics that were asked about, by name.
    pub topics: BTreeMap<Arc<str>, Arc<TopicInfo>>,
    ids: BTreeMap<Uuid, Arc<str>>,
    /// Rises with each answer that was taken in.
    pub(crate) generation: u64,
}

impl View {
    /// The name of the topic with this id.
    pub fn name_of(&self, id: Uuid) -> Option<&Arc<str>> {
        self.ids.get(&id)
    }

    /// The leader of a partition, and its epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let info = self.topics.get(topic)?.partition(partition)?;
        let leader = info.leader.filter(|id| self.brokers.contains_key(id))?;
        Some((leader, info.leader_epoch))
    }
}

/// To whom a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any broker.
    Any,
    /// The controller, or a broker that forwards to it.
    Controller,
    /// This broker.
    Node(i32),
}

/// A response's body, with what is needed to decode it.
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    pub(crate) version: i16,
    pub(crate) broker: String,
}

impl Answer {
    pub(crate) fn decode<'a, M: Message<'a>>(&'a self) -> Result<M> {
        M::decode(&mut Reader::new(&self.body), self.version).map_err(|e| Error::decode(&self.broker, e))
    }
}

struct Refreshing {
    not_before: Mono,
    failures: u32,
}

struct Inner {
    env: Env,
    config: ClientConfig,
    bootstrap: Vec<Address>,
    connections: Connections,
    backoff: Arc<Backoff>,
    view: Mutex<Arc<View>>,
    refreshing: tokio::sync::Mutex<Refreshing>,
    rng: Mutex<Rng>,
}

/// The cluster as one client knows it, and its connections. Clones share both.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

impl Cluster {
    /// A cluster that is asked for through `config.bootstrap_servers`. Connects when first used.
    pub fn new(env: &Env, config: ClientConfig) -> Result<Self> {
        Self::with_in_flight(env, config, 100)
    }

    pub(crate) fn with_in_flight(env: &Env, config: ClientConfig, max_in_flight: usize) -> Result<Self> {
        let bootstrap = config.servers()?;
        let rng = |purpose| env.entropy.stream(purpose);
        let reconnect = Backoff::new(
            config.reconnect_backoff,
            config.reconnect_backoff_max,
            rng("client reconnect"),
        );
        let retry = Backoff::new(
            config.retry_backoff,
            config.retry_backoff_max,
            rng("client retry"),
        );
        Ok(Cluster(Arc::new(Inner {
            env: env.clone(),
            bootstrap,
            connections: Connections::new(env, config.connection(max_in_flight), reconnect),
            backoff: Arc::new(retry),
            view: Mutex::default(),
            refreshing: tokio::sync::Mutex::new(Refreshing {
                not_before: Mono(0),
                failures: 0,
            }),
            rng: Mutex::new(rng("client broker choice")),
            config,
        })))
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its settings.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    pub(crate) fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn backoff(&self) -> &Arc<Backoff> {
        &self.0.backoff
    }

    pub(crate) fn now(&self) -> Mono {
        self.0.env.clock.now()
    }

    pub(crate) fn api_deadline(&self) -> Mono {
        self.now().after(self.0.config.api_timeout)
    }

    pub(crate) fn attempts(&self, deadline: Mono) -> Attempts {
        Attempts::new(&self.0.env.clock, &self.0.backoff, deadline)
    }

    pub(crate) fn is_old(&self, topic: &TopicInfo) -> bool {
        self.now().since(topic.fetched) >= self.0.config.metadata_max_age
    }

    /// Lets go of the connections.
    pub fn close(&self) {
        self.0.connections.clear();
    }

    fn pick(&self, count: usize) -> usize {
        self.0
            .rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .below(count as u64) as usize
    }

    /// A connection to a broker that is known by id.
    pub(crate) async fn node(&self, id: i32, lane: Lane) -> Result<(ClientConnection, String)> {
        let address = self.view().brokers.get(&id).map(BrokerInfo::address);
        let Some(address) = address else {
            return Err(Error::broker(
                format!("connect to broker {id}"),
                ErrorCode::LeaderNotAvailable.code(),
                None,
            ));
        };
        let name = format!("{id} at {}:{}", address.0, address.1);
        match self.0.connections.get(&address, lane).await {
            Ok(connection) => Ok((connection, name)),
            Err(error) => Err(Error::Call { broker: name, error }),
        }
    }

    /// A connection to any broker: a known one, else one of the bootstrap servers.
    async fn any(&self) -> Result<(ClientConnection, String)> {
        let view = self.view();
        let mut addresses: Vec<Address> = view.brokers.values().map(BrokerInfo::address).collect();
        let known = addresses.len();
        addresses.extend(
            self.0
                .bootstrap
                .iter()
                .filter(|b| !view.brokers.values().any(|k| k.address() == **b))
                .cloned(),
        );
        let first = self.pick(if known > 0 { known } else { addresses.len() });
        if known > 0 {
            addresses.get_mut(..known).unwrap_or_default().rotate_left(first);
        } else {
            addresses.rotate_left(first);
        }
        let mut last = CallError::Closed("there is no address".to_owned());
        for address in &addresses {
            match self.0.connections.get(address, Lane::Control).await {
                Ok(connection) => return Ok((connection, format!("{}:{}", address.0, address.1))),
                Err(error) => last = error,
            }
        }
        let tried: Vec<_> = addresses
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        Err(Error::NoBroker {
            tried: tried.join(", "),
            last,
        })
    }

    /// One attempt of one request, in the highest common version.
    pub(crate) async fn request<'a, R: Request<'a>>(&self, target: Target, request: &R) -> Result<Answer> {
        let (connection, broker) = match target {
            Target::Any => self.any().await?,
            Target::Node(id) => self.node(id, Lane::Control).await?,
            Target::Controller => match self.view().controller {
                Some(id) => self.node(id, Lane::Control).await?,
                None => self.any().await?,
            },
        };
        let call = async {
            let version = connection.version::<R>()?;
            Ok((connection.request(version, request).await?, version))
        };
        match call.await {
            Ok((body, version)) => Ok(Answer {
                body,
                version,
                broker,
            }),
            Err(error) => Err(Error::Call { broker, error }),
        }
    }

    /// What is known about a topic, asked for if nothing is or it is too old. `create` lets the broker create it.
    pub async fn topic(&self, name: &str, create: bool, deadline: Mono) -> Result<Arc<TopicInfo>> {
        let mut attempts = self.attempts(deadline);
        loop {
            let view = self.view();
            let known = view.topics.get(name);
            if let Some(known) = known.filter(|t| !self.is_old(t)) {
                return Ok(known.clone());
            }
            match self.refresh(view.generation, &[name], create).await {
                Ok(()) => {
                    if let Some(topic) = self.view().topics.get(name) {
                        return Ok(topic.clone());
                    }
                }
                // What is known serves as long as no broker can be asked.
                Err(error) => match known {
                    Some(known) if error.code().is_none() => return Ok(known.clone()),
                    _ => attempts.again(&format!("find topic `{name}`"), error).await?,
                },
            }
        }
    }

    /// The leader of a partition and its epoch; asks again until there is one.
    pub async fn leader(&self, partition: &TopicPartition, deadline: Mono) -> Result<(i32, i32)> {
        let mut attempts = self.attempts(deadline);
        loop {
            let topic = self.topic(&partition.topic, false, deadline).await?;
            let view = self.view();
            if let Some(found) = view.leader(&partition.topic, partition.partition) {
                return Ok(found);
            }
            let error = match topic.partition(partition.partition) {
                None => Error::NoPartition {
                    partition: partition.clone(),
                    count: topic.partitions.len(),
                },
                Some(_) => Error::NoLeader {
                    partition: partition.clone(),
                },
            };
            attempts
                .again(&format!("find the leader of {partition}"), error)
                .await?;
            let _ = self.refresh(view.generation, &[&partition.topic], false).await;
        }
    }

    /// Asks for some topics anew, unless somebody has since `seen` was the generation and they are known. One request at a
    /// time; the first topic that is in error decides the result.
    pub async fn refresh(&self, seen: u64, topics: &[&str], create: bool) -> Result<()> {
        let mut gate = self.0.refreshing.lock().await;
        let view = self.view();
        if view.generation != seen && topics.iter().all(|t| view.topics.contains_key(*t)) {
            return Ok(());
        }
        // Only questions that are asked again are slowed down; a topic nobody asked for before can't make a storm.
        if gate.failures > 0 || topics.iter().any(|t| view.topics.contains_key(*t)) {
            self.0.env.clock.sleep_until(gate.not_before).await;
        }
        let request = MetadataRequest {
            topics: Some(
                topics
                    .iter()
                    .map(|t| MetadataRequestTopic {
                        name: Some(t),
                        ..Default::default()
                    })
                    .collect(),
            ),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let result = self.ask(&request).await;
        gate.failures = if result.is_ok() {
            0
        } else {
            gate.failures.saturating_add(1)
        };
        gate.not_before = self.now().after(self.0.backoff.pause(gate.failures.max(1)));
        result
    }

    /// Asks for every topic.
    pub async fn refresh_all(&self) -> Result<()> {
        self.ask(&MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..Default::default()
        })
        .await
    }

    /// Asks for brokers and controller alone.
    pub(crate) async fn refresh_brokers(&self) -> Result<()> {
        self.ask(&MetadataRequest {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: false,
            ..Default::default()
        })
        .await
    }

    async fn ask(&self, request: &MetadataRequest<'_>) -> Result<()> {
        let answer = self.request(Target::Any, request).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        if response.error_code != 0 {
            return Err(Error::broker("ask for metadata", response.error_code, None));
        }
        self.take_in(&response, request.topics.is_none())
    }

    fn take_in(&self, response: &MetadataResponse<'_>, whole: bool) -> Result<()> {
        let now = self.now();
        let mut current = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&current);
        let mut result = Ok(());
        view.generation += 1;
        view.cluster_id = response.cluster_id.map(str::to_owned);
        view.controller = Some(response.controller_id).filter(|id| *id >= 0);
        view.brokers = response.brokers.iter().filter_map(broker_info).collect();
        let known = if whole {
            std::mem::take(&mut view.topics)
        } else {
            view.topics.clone()
        };
        for topic in &response.topics {
            let Some(name) = topic.name else { continue };
            match topic_info(topic, known.get(name), now) {
                Ok(info) => {
                    view.topics.insert(info.name.clone(), Arc::new(info));
                }
                Err(error) => {
                    if error.code() != Some(ErrorCode::LeaderNotAvailable) {
                        view.topics.remove(name);
                    }
                    result = result.and(Err(error));
                }
            }
        }
        view.ids = view
            .topics
            .values()
            .filter(|t| !t.id.is_zero())
            .map(|t| (t.id, t.name.clone()))
            .collect();
        *current = Arc::new(view);
        result
    }

    /// Takes over what a broker said about a new leader along with an error (KIP-951). Returns whether it was news.
    pub(crate) fn leader_hint(
        &self,
        partition: &TopicPartition,
        leader: i32,
        epoch: i32,
        brokers: &[BrokerInfo],
    ) -> bool {
        let mut current = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = current.topics.get(partition.topic.as_str()) else {
            return false;
        };
        let Some(known) = topic.partition(partition.partition) else {
            return false;
        };
        if leader < 0 || epoch <= known.leader_epoch {
            return false;
        }
        let mut topic = TopicInfo::clone(topic);
        let Ok(index) = topic
            .partitions
            .binary_search_by_key(&partition.partition, |p| p.partition)
        else {
            return false;
        };
        if let Some(info) = topic.partitions.get_mut(index) {
            (info.leader, info.leader_epoch) = (Some(leader), epoch);
        }
        let mut view = View::clone(&current);
        brokers
            .iter()
            .for_each(|b| drop(view.brokers.insert(b.id, b.clone())));
        let usable = view.brokers.contains_key(&leader);
        view.topics.insert(topic.name.clone(), Arc::new(topic));
        *current = Arc::new(view);
        usable
    }
}

fn broker_info(
    broker: &ottla_wire::messages::metadata_response::MetadataResponseBroker<'_>,
) -> Option<(i32, BrokerInfo)> {
    let info = BrokerInfo {
        id: broker.node_id,
        host: broker.host.to_owned(),
        port: u16::try_from(broker.port).ok()?,
        rack: broker.rack.map(str::to_owned),
    };
    Some((info.id, info))
}

/// A topic out of an answer. Partitions keep what is known if the answer comes from a broker that is behind.
fn topic_info(
    topic: &MetadataResponseTopic<'_>,
    known: Option<&Arc<TopicInfo>>,
    now: Mono,
) -> Result<TopicInfo> {
    let name = topic.name.unwrap_or_default();
    if topic.error_code != 0 {
        return Err(Error::broker(format!("topic `{name}`"), topic.error_code, None));
    }
    let known = known.filter(|k| k.id == topic.topic_id);
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| {
            let newer = known
                .and_then(|k| k.partition(p.partition_index))
                .filter(|k| k.leader_epoch > p.leader_epoch);
            newer
                .filter(|_| p.leader_epoch >= 0)
                .cloned()
                .unwrap_or_else(|| PartitionInfo {
                    partition: p.partition_index,
                    leader: Some(p.leader_id).filter(|id| *id >= 0),
                    leader_epoch: p.leader_epoch,
                    replicas: p.replica_nodes.clone(),
                    isr: p.isr_nodes.clone(),
                    offline: p.offline_replicas.clone(),
                })
        })
        .collect();
    partitions.sort_by_key(|p| p.partition);
    partitions.dedup_by_key(|p| p.partition);
    let name = known.map_or_else(|| Arc::from(name), |k| k.name.clone());
    Ok(TopicInfo::new(
        name,
        topic.topic_id,
        topic.is_internal,
        partitions,
        now,
    ))
}
