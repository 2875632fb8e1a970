//! What is known about the cluster: brokers, topics, leaders. Asked for when needed, again when an answer shows that it is out
//! of date or `metadata.max.age.ms` has passed, and never more often than `retry.backoff.ms` without a pause that doubles.
//!
//! - `view`: the values; `refresh`: asking for them. Here: who is asked, and one attempt of any request.

mod refresh;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla_io::{Env, Mono, Rng};
use ottla_rpc::{CallError, ClientConnection};
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::{Message, Reader, Request};

pub use view::{BrokerInfo, PartitionInfo, TopicInfo, View};

use crate::connections::{Address, Connections, Lane};
use crate::retry::{Attempts, Backoff};
use crate::{ClientConfig, Error, Result};

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
    /// One attempt at an address, or at any broker: `build` makes the request for the highest version that both sides have
    /// and that is not above `cap`. Requests that may wait there for long have a lane of their own.
    pub(crate) async fn request_at<'a, R: Request<'a>>(
        &self,
        address: Option<&Address>,
        lane: Lane,
        cap: i16,
        timeout: Duration,
        build: impl FnOnce(i16) -> R,
    ) -> Result<Answer> {
        let (connection, broker) = match address {
            None => self.any().await?,
            Some(address) => {
                let broker = format!("{}:{}", address.0, address.1);
                match self.0.connections.get(address, lane).await {
                    Ok(connection) => (connection, broker),
                    Err(error) => return Err(Error::Call { broker, error }),
                }
            }
        };
        let call = async {
            let version = connection.version_up_to::<R>(cap)?;
            let api = R::API_KEY.ok_or_else(|| CallError::Closed("it is no request".to_owned()))?;
            let mut body = Vec::new();
            build(version)
                .encode(&mut body, version)
                .map_err(CallError::Encode)?;
            let deadline = self.now().after(timeout);
            Ok((
                connection.call(api, version, vec![body.into()], deadline).await?,
                version,
            ))
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
}
