//! Starting a node: log directories, replay of the metadata log, registration, logs, and only then listeners.

use std::path::PathBuf;

use ottla_io::Env;
use ottla_metadata::controller::{
    self, ApiError, BrokerRegistrationRequest, ControllerConfig, ControllerRegistrationRequest,
};
use ottla_metadata::image::{Endpoint, FeatureRange};
use ottla_metadata::{Loader, Records};
use ottla_store::{AppendError, CreateError, LoadError, LogManager, StoreConfig, StoreError};
use ottla_types::config::{BrokerConfig, Listener};
use ottla_types::{NodeId, Uuid, Violation};

use crate::configs::configured;
use crate::features::SUPPORTED;
use crate::format;
use crate::kraft::{self, MetadataLog};

/// Why a node could not start, or had to stop.
#[derive(Debug)]
pub enum StartError {
    /// The log directories.
    Open(ottla_store::OpenError),
    /// Formatting a log directory.
    Format(ottla_store::FormatError),
    /// A log.
    Load(ottla_store::LoadError),
    /// A new log.
    Create(ottla_store::CreateError),
    /// The metadata log.
    MetadataLog(String),
    /// The disk has no room. Nothing was changed.
    DiskFull(StoreError),
    /// A listener could not be opened.
    Listen {
        /// Host and port.
        address: String,
        /// The configuration key that names it.
        key: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The controller refused this node.
    Refused(ApiError),
    /// The metadata in a log directory is of a kind that this release does not know. Nothing was changed.
    Refusal {
        /// The directory.
        dir: PathBuf,
        /// What is not known.
        reason: String,
    },
    /// The configuration asks for something that is not served yet.
    Unsupported(String),
    /// An invariant does not hold.
    Violation(Violation),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Open(error) => error.fmt(f),
            StartError::Format(error) => error.fmt(f),
            StartError::Load(error) => error.fmt(f),
            StartError::Create(error) => error.fmt(f),
            StartError::DiskFull(error) => error.fmt(f),
            StartError::MetadataLog(reason) => {
                write!(f, "the log of __cluster_metadata can't be used: {reason}")
            }
            StartError::Listen { address, key, error } => {
                write!(
                    f,
                    "{address} can't be listened on ({error}): stop what uses it, or change {key}"
                )
            }
            StartError::Refused(error) => write!(f, "the controller refused this node: {error}"),
            StartError::Refusal { dir, reason } => write!(
                f,
                "{} was left as it is: {reason}. Start it with the release that wrote it last; if that is a newer one, its \
                 `kafka-features downgrade` may take the cluster to a level that is known here",
                dir.display()
            ),
            StartError::Unsupported(what) => f.write_str(what),
            StartError::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

macro_rules! from {
    ($($error:ty => $variant:ident,)*) => {
        $(impl From<$error> for StartError {
            fn from(error: $error) -> Self {
                StartError::$variant(error)
            }
        })*
    };
}

from! {
    ottla_store::OpenError => Open,
    ottla_store::LoadError => Load,
    ottla_store::CreateError => Create,
    ApiError => Refused,
    Violation => Violation,
}

macro_rules! from_metadata {
    ($($error:ty,)*) => {
        $(impl From<$error> for StartError {
            fn from(error: $error) -> Self {
                StartError::MetadataLog(error.to_string())
            }
        })*
    };
}

from_metadata! {
    ottla_store::ReadError,
    ottla_store::StorageError,
    ottla_wire::records::BuildError,
    ottla_wire::records::BatchError,
    ottla_wire::records::RecordError,
    ottla_wire::EncodeError,
}

impl From<AppendError> for StartError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::DiskFull { dir } => StartError::DiskFull(StoreError::DiskFull { dir }),
            other => StartError::MetadataLog(other.to_string()),
        }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { .. } => StartError::DiskFull(error),
            other => StartError::MetadataLog(other.to_string()),
        }
    }
}

impl StartError {
    /// Whether only room on the disk is missing: what was tried may be tried again.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(
            self,
            StartError::DiskFull(_)
                | StartError::Load(LoadError::DiskFull { .. })
                | StartError::Create(CreateError::DiskFull { .. })
        )
    }
}

/// What is open before the node serves.
pub struct Opened {
    /// The log directories.
    pub manager: LogManager,
    /// The metadata log, led by this node.
    pub log: MetadataLog,
    /// Its records, replayed.
    pub loader: Loader,
    /// This incarnation's broker epoch.
    pub broker_epoch: i64,
    /// The listeners that clients use, by name: bound, because a port that the system chose has to be advertised.
    pub listeners: Vec<(String, Box<dyn ottla_io::Listener>)>,
}

/// Opens the directories, replays the metadata log, and registers this node as controller and broker.
pub async fn open(env: &Env, broker: &BrokerConfig) -> Result<Opened, StartError> {
    check(broker)?;
    let dirs: Vec<PathBuf> = broker.log_dirs().into_iter().map(PathBuf::from).collect();
    let config = StoreConfig {
        delete_delay_ms: u64::try_from(broker.log_segment_delete_delay_ms()).unwrap_or(0),
        ..StoreConfig::new(dirs, NodeId(broker.node_id()))
    };
    kraft::preflight(env, broker).await?;
    let manager = LogManager::open(env, config).await?;
    let (log, loader) = MetadataLog::open(env, &manager, broker).await?;
    // What was set while running holds from the start, where this node listens too.
    let broker = &configured(broker, loader.image());
    let mut opened = Opened {
        manager,
        log,
        loader,
        broker_epoch: -1,
        listeners: bind(env, broker).await?,
    };
    opened.register(env, broker).await?;
    Ok(opened)
}

async fn bind(
    env: &Env,
    broker: &BrokerConfig,
) -> Result<Vec<(String, Box<dyn ottla_io::Listener>)>, StartError> {
    let controllers = broker.controller_listener_names();
    let mut bound = Vec::new();
    for listener in broker
        .listeners()
        .iter()
        .filter(|l| !controllers.contains(&l.name))
    {
        let open = env.net.listen(&listener.host, listener.port).await;
        let open = open.map_err(|error| StartError::Listen {
            address: format!("{}:{}", listener.host, listener.port),
            key: "listeners",
            error,
        })?;
        bound.push((listener.name.clone(), open));
    }
    Ok(bound)
}

fn check(broker: &BrokerConfig) -> Result<(), StartError> {
    let roles = broker.roles();
    if !(roles.broker && roles.controller) {
        let text = "process.roles must be broker,controller: nodes with one role are not served yet";
        return Err(StartError::Unsupported(text.into()));
    }
    if broker.quorum_voters().iter().any(|v| v.id != broker.node_id()) {
        let text =
            "controller.quorum.voters names other nodes: a quorum of more than one voter is not served yet";
        return Err(StartError::Unsupported(text.into()));
    }
    if broker.quorum_bootstrap_servers().len() > 1 {
        let text = "controller.quorum.bootstrap.servers names several controllers: a quorum of more than one voter is not served yet";
        return Err(StartError::Unsupported(text.into()));
    }
    if broker.log_dirs().first() != Some(&broker.metadata_log_dir()) {
        let text = "metadata.log.dir must be the first of log.dirs: another place is not served yet";
        return Err(StartError::Unsupported(text.into()));
    }
    Ok(())
}

impl Opened {
    async fn register(&mut self, env: &Env, broker: &BrokerConfig) -> Result<(), StartError> {
        let config = controller_config(broker, self.manager.cluster_id());
        if self.loader.image().is_empty() {
            let bootstrap = format::bootstrap(env, broker).await?;
            let bootstrap = bootstrap.iter().map(Vec::as_slice);
            let records = controller::bootstrap_records(&config, bootstrap)?;
            self.commit(&records).await?;
        }
        let incarnation = random_uuid(env, "incarnation");
        let features: Vec<FeatureRange> = SUPPORTED
            .iter()
            .map(|f| FeatureRange {
                name: f.name.into(),
                min: f.min,
                max: f.max,
            })
            .collect();
        let request = ControllerRegistrationRequest {
            controller_id: broker.node_id(),
            incarnation_id: incarnation,
            endpoints: endpoints(broker.advertised_controller_listeners()),
            features: features.clone(),
        };
        let records = controller::register_controller(self.loader.image(), &request)?;
        self.commit(&records).await?;
        let request = BrokerRegistrationRequest {
            cluster_id: config.cluster_id.clone(),
            broker_id: broker.node_id(),
            incarnation_id: incarnation,
            endpoints: self.advertised(broker),
            features,
            rack: broker.rack(),
            log_dirs: self.manager.directories().into_iter().map(|d| d.id).collect(),
            previous_broker_epoch: self.manager.previous_broker_epoch(),
        };
        let next = self.log.next_offset();
        let registered = controller::register_broker(self.loader.image(), &config, &request, next, false)?;
        self.commit(&registered.records).await?;
        self.broker_epoch = registered.epoch;
        let records =
            controller::unfence_broker(self.loader.image(), &config, broker.node_id(), registered.epoch)?;
        self.commit(&records).await?;
        self.loader.publish()?;
        Ok(())
    }

    /// Where clients find this node: as configured, with the port that was bound in the place of port 0 (Kafka class
    /// `ListenerInfo`).
    fn advertised(&self, broker: &BrokerConfig) -> Vec<Endpoint> {
        let mut endpoints = endpoints(broker.advertised_listeners());
        for endpoint in endpoints.iter_mut().filter(|e| e.port == 0) {
            if let Some((_, bound)) = self.listeners.iter().find(|(name, _)| *name == endpoint.name) {
                endpoint.port = bound.local_addr().port();
            }
        }
        endpoints
    }

    async fn commit(&mut self, records: &Records) -> Result<(), StartError> {
        if records.is_empty() {
            return Ok(());
        }
        let base = self.log.append(records).await?;
        for (value, offset) in records.iter().zip(base..) {
            self.loader.replay(value, offset)?;
        }
        Ok(())
    }
}

/// The controller's share of the configuration.
pub fn controller_config(broker: &BrokerConfig, cluster_id: &str) -> ControllerConfig {
    ControllerConfig {
        cluster_id: cluster_id.to_string(),
        num_partitions: broker.num_partitions(),
        default_replication_factor: i16::try_from(broker.default_replication_factor()).unwrap_or(i16::MAX),
        min_insync_replicas: broker.value("min.insync.replicas").as_i32().unwrap_or(1),
        unclean_leader_election_enable: broker
            .value("unclean.leader.election.enable")
            .as_bool()
            .unwrap_or(false),
    }
}

fn endpoints(listeners: &[Listener]) -> Vec<Endpoint> {
    let endpoint = |l: &Listener| Endpoint {
        name: l.name.clone(),
        host: advertised_host(&l.host),
        port: l.port,
        security_protocol: l.protocol.id(),
    };
    listeners.iter().map(endpoint).collect()
}

/// A listener on every address is advertised as this machine, as Kafka falls back to its host name.
fn advertised_host(host: &str) -> String {
    if host.is_empty() || host == "0.0.0.0" || host == "::" {
        "localhost".into()
    } else {
        host.into()
    }
}

/// A random UUID that Kafka accepts.
pub fn random_uuid(env: &Env, purpose: &str) -> Uuid {
    let mut rng = env.entropy.stream(purpose);
    loop {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        if let Some(id) = Uuid::from_random(bytes) {
            return id;
        }
    }
}
