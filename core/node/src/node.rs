//! Everything a running node holds, how it takes up service, and how it ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use ottla_io::{Env, Mono, Task};
use ottla_metadata::{Changes, ConfigResource, MetadataImage, Quorum};
use ottla_store::{Directory, LoadError, LogManager, LogReader};
use ottla_types::config::{BrokerConfig, TopicConfig};
use ottla_types::event::BrokerState;
use ottla_types::{Epoch, Event, NodeId, TopicPartition, Uuid};
use tokio::sync::Notify;

use crate::cleaner::Cleaner;
use crate::connections::Connections;
use crate::controller::Controller;
use crate::groups::Coordinators;
use crate::health::Health;
use crate::http;
use crate::log_config::log_config;
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::producer_ids::ProducerIds;
use crate::sessions::Sessions;
use crate::start::{self, StartError};
use crate::topics::Topics;
use crate::validate::Scratch;

/// How long a clean stop waits for answers to leave; a produce that waits for a flush takes no longer on a sound disk.
const DRAIN: Duration = Duration::from_secs(2);

/// The shortest time between two complaints about one full disk.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A running node: broker and controller in one.
pub struct Node {
    pub(crate) env: Env,
    pub(crate) topics: Topics,
    pub(crate) sessions: Sessions,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) controller: Controller,
    pub(crate) coordinators: Coordinators,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) scratch: Scratch,
    pub(crate) cleaner: Cleaner,
    broker: Mutex<Arc<BrokerConfig>>,
    image: Mutex<Arc<MetadataImage>>,
    manager: LogManager,
    metadata_log: LogReader,
    /// Partitions that the disk had no room for, by topic id.
    unhosted: Mutex<BTreeSet<(Uuid, i32)>>,
    broker_epoch: i64,
    /// The epoch in which this node leads the metadata's quorum, and what the log says of that.
    quorum: (Epoch, Quorum),
    addresses: Mutex<Vec<(String, SocketAddr)>>,
    http: Mutex<Vec<(SocketAddr, Task)>>,
    tasks: Mutex<Vec<Task>>,
    pub(crate) connections: Connections,
    failed: OnceLock<String>,
    fail: Notify,
}

impl Node {
    /// Starts a node and returns when it serves.
    pub async fn start(env: Env, config: BrokerConfig) -> Result<Arc<Node>, StartError> {
        env.observe(|| Event::BrokerState(BrokerState::Starting));
        let opened = start::open(&env, &config).await?;
        let rng = env.entropy.stream("controller");
        let image = Arc::new(opened.loader.published().clone());
        let metadata_log = opened.log.reader();
        let quorum = (opened.log.epoch(), opened.log.quorum().clone());
        let listeners = opened.listeners;
        let (controller, duty) = Controller::new(&env, opened.log, opened.loader, rng);
        let slots = usize::try_from(config.max_incremental_fetch_session_cache_slots()).unwrap_or(0);
        let node = Arc::new(Node {
            topics: Topics::default(),
            sessions: Sessions::new(slots, env.entropy.stream("fetch-sessions")),
            producer_ids: ProducerIds::default(),
            coordinators: Coordinators::new(&env),
            controller,
            metrics: Metrics::new(),
            health: Health::new(),
            scratch: Scratch::default(),
            cleaner: Cleaner::default(),
            connections: Connections::new(&config),
            broker: Mutex::new(Arc::new(config)),
            image: Mutex::new(Arc::new(MetadataImage::default())),
            manager: opened.manager,
            metadata_log,
            unhosted: Mutex::default(),
            broker_epoch: opened.broker_epoch,
            quorum,
            addresses: Mutex::default(),
            http: Mutex::default(),
            tasks: Mutex::default(),
            failed: OnceLock::new(),
            fail: Notify::new(),
            env,
        });
        node.enter(BrokerState::Recovery);
        // Before the logs, which may take long: a probe is to hear that this node starts.
        let http = http::open(&node).await?;
        lock(&node.http).extend(http);
        node.set_aside_strays(&image).await;
        let changes = Changes::between(&MetadataImage::default(), &image);
        node.apply(image, &changes).await;
        // Not among the tasks that a stop cancels: it ends by itself when told to, and gives the metadata log back.
        let controller = Box::pin(duty.run(node.clone()));
        drop(node.env.tasks.spawn("controller", controller));
        node.listen(listeners);
        node.keep_house();
        node.enter(BrokerState::Running);
        Ok(node)
    }

    fn enter(&self, state: BrokerState) {
        self.health.enter(state);
        self.env.observe(|| Event::BrokerState(state));
    }

    /// Stops cleanly: no more requests, every log flushed and closed, the clean-shutdown marker last.
    pub async fn stop(&self) {
        self.enter(BrokerState::ShuttingDown);
        // Listeners and housekeeping first, so that nothing new begins.
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.iter().for_each(Task::cancel);
        self.connections.stop();
        self.coordinators.stop();
        self.topics.all().iter().for_each(|p| p.waiters.wake_all());
        let deadline = self.env.clock.now().after(DRAIN);
        self.connections.drain(self.env.clock.as_ref(), deadline).await;
        self.leave().await;
        let mut writers = Vec::new();
        writers.extend(self.controller.stop().await);
        for partition in self.topics.all() {
            writers.extend(partition.close().await.ok());
        }
        self.cleaner.stop().await;
        if let Err(error) = self.manager.close(writers, self.broker_epoch).await {
            tracing::error!(%error, "the logs could not be closed cleanly; the next start will check them");
        }
        self.enter(BrokerState::NotRunning);
        // Last, so that a probe hears of the stop while logs are closed.
        lock(&self.http).drain(..).for_each(|(_, task)| task.cancel());
    }

    /// Returns, with the reason, when the node can't go on: an invariant broke, or the metadata log can't be written.
    pub async fn failed(&self) -> String {
        loop {
            let notified = self.fail.notified();
            if let Some(reason) = self.failed.get() {
                return reason.clone();
            }
            notified.await;
        }
    }

    /// The node can't go on. Nothing more is written.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the node stops");
        let _ = self.failed.set(reason);
        self.connections.cancel();
        self.fail.notify_waiters();
        self.fail.notify_one();
    }

    /// Stops the node when no log directory is left, as Kafka does: it could only refuse.
    pub(crate) fn check_directories(&self) {
        if self.manager.directories().iter().all(|dir| !dir.online) {
            self.fail("every log directory is offline".into());
        }
    }

    /// Where it listens: listener name and address.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        lock(&self.addresses).clone()
    }

    /// Where `/metrics` and `/v1/ready` are served.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        lock(&self.http).iter().map(|(address, _)| *address).collect()
    }

    /// Why the node can't go on, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Whether the metadata knows this incarnation of the broker, unfenced.
    pub(crate) fn is_registered(&self) -> bool {
        let image = self.image();
        let broker = image.cluster().broker(self.node_id().0);
        broker.is_some_and(|b| b.epoch == self.broker_epoch && !b.fenced)
    }

    pub(crate) fn directories(&self) -> Vec<Directory> {
        self.manager.directories()
    }

    pub(crate) fn metadata_log(&self) -> &LogReader {
        &self.metadata_log
    }

    pub(crate) fn quorum(&self) -> &(Epoch, Quorum) {
        &self.quorum
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        self.manager.cluster_id()
    }

    pub(crate) fn node_id(&self) -> NodeId {
        NodeId(self.broker().node_id())
    }

    pub(crate) fn broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    pub(crate) fn broker(&self) -> Arc<BrokerConfig> {
        lock(&self.broker).clone()
    }

    pub(crate) fn set_broker(&self, broker: BrokerConfig) {
        *lock(&self.broker) = Arc::new(broker);
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        lock(&self.image).clone()
    }

    /// A topic's effective configuration. A setting that a foreign log holds and we refuse is left out, and said.
    pub(crate) fn topic_config(&self, image: &MetadataImage, topic: &str) -> TopicConfig {
        let broker = self.broker();
        let set = image.configs().of(&ConfigResource::topic(topic));
        match TopicConfig::resolve(set, &broker) {
            Ok(config) => config,
            Err(error) => {
                tracing::warn!(topic, %error, "the topic's configuration is not usable; the broker's defaults apply");
                TopicConfig::resolve(&BTreeMap::new(), &broker)
                    .unwrap_or_else(|_| unreachable!("nothing is overridden"))
            }
        }
    }

    /// Brings this node's partitions to what a new image says, then shows the image. Topics that are gone stop being
    /// shown before their logs go.
    pub(crate) async fn apply(self: &Arc<Self>, image: Arc<MetadataImage>, changes: &Changes) {
        let all = self.reconfigure(&image, changes);
        for change in &changes.partitions {
            let Some(after) = &change.after else { continue };
            let hosted = after.replicas.contains(&self.node_id().0);
            if hosted && self.topics.by_id(change.topic_id, change.partition).is_none() {
                self.host(
                    &image,
                    &change.topic,
                    change.topic_id,
                    change.partition,
                    after.leader_epoch,
                )
                .await;
            }
        }
        self.configure_topics(&image, changes, all);
        let last = image.offset();
        *lock(&self.image) = image;
        self.env.observe(|| Event::MetadataApplied { offset: last });
        for topic in &changes.topics_deleted {
            for partition in self.topics.remove(topic.id) {
                self.coordinators.resign(&partition);
                self.delete(&partition).await;
            }
            self.metrics.remove_topic(topic.id);
        }
        let gone = changes.topics_deleted.iter().map(|t| (t.name.to_string(), t.id));
        self.coordinators.topics_deleted(&gone.collect::<Vec<_>>());
    }

    async fn host(self: &Arc<Self>, image: &MetadataImage, topic: &str, id: Uuid, index: i32, epoch: i32) {
        let name = TopicPartition::new(topic, index);
        let config = Arc::new(self.topic_config(image, topic));
        match self.open_log(&name, id, &config).await {
            Ok(writer) => {
                lock(&self.unhosted).remove(&(id, index));
                let partition = Partition::new(self, name, id, epoch, writer, config);
                self.cleaner.need(self, &partition);
                self.topics.insert(partition.clone());
                self.coordinators.lead(self, &partition);
            }
            Err(error) if error.is_disk_full() => {
                if lock(&self.unhosted).insert((id, index)) {
                    tracing::warn!(partition = %name, %error, "the partition is offline until there is room");
                }
            }
            // The partition has no leader here until its directory is mended; the others serve.
            Err(error) => tracing::error!(partition = %name, %error, "the partition is offline"),
        }
    }

    /// Tries again to host what the disk had no room for. Called by the controller's task, so that no change happens meanwhile.
    pub(crate) async fn host_again(self: &Arc<Self>) {
        let image = self.image();
        let unhosted = lock(&self.unhosted).clone();
        for (id, index) in unhosted {
            let topic = image.topics().by_id(id);
            match topic.and_then(|t| Some((t, t.partitions.get(&index)?))) {
                Some((topic, partition)) => {
                    self.host(&image, &topic.name, id, index, partition.leader_epoch)
                        .await;
                }
                None => drop(lock(&self.unhosted).remove(&(id, index))),
            }
        }
    }

    async fn open_log(
        &self,
        name: &TopicPartition,
        id: Uuid,
        config: &TopicConfig,
    ) -> Result<ottla_store::LogWriter, StartError> {
        let (log, now) = (log_config(config, &self.broker()), self.env.clock.wall());
        match self.manager.load(name, log.clone(), now).await? {
            Some((found, writer)) if found == id => {
                // What a crash left in the page cache only must not be read before it is as durable as what was acknowledged.
                if config.flush_messages == 1 {
                    writer.renew().await.map_err(LoadError::from)?;
                }
                return Ok(writer);
            }
            // A log of an older topic with this name.
            Some(_) => self.manager.stray(name).await?,
            None => {}
        }
        Ok(self.manager.create(name, id, log, now).await?)
    }

    async fn delete(&self, partition: &Arc<Partition>) {
        let Ok(writer) = partition.close().await else {
            return;
        };
        self.cleaner.leave(partition).await;
        if let Err(error) = self.manager.delete(writer).await {
            tracing::error!(partition = %partition.id, %error, "the log of a deleted topic could not be put aside");
        }
    }

    /// Folders whose topic the metadata does not know are put aside, as Kafka does, not deleted.
    async fn set_aside_strays(&self, image: &MetadataImage) {
        for name in self.manager.unloaded() {
            let known = image
                .topics()
                .by_name(&name.topic)
                .is_some_and(|t| t.partitions.get(&name.partition).is_some());
            if !known && name.topic != crate::kraft::TOPIC {
                tracing::warn!(partition = %name, "the metadata knows no such partition: its folder is renamed to -stray");
                if let Err(error) = self.manager.stray(&name).await {
                    tracing::error!(partition = %name, %error, "the folder could not be renamed");
                }
            }
        }
    }

    /// Retention and checkpoints, each at its own interval.
    fn keep_house(self: &Arc<Self>) {
        let broker = self.broker();
        let every = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(100));
        let retention = every(broker.log_retention_check_interval_ms());
        let delay = every(broker.log_initial_task_delay_ms()).min(retention);
        let checkpoint = every(broker.replica_high_watermark_checkpoint_interval_ms());
        self.keep(
            self.env
                .tasks
                .spawn("retention", Box::pin(self.clone().maintain(delay, retention))),
        );
        self.keep(
            self.env
                .tasks
                .spawn("checkpoints", Box::pin(self.clone().checkpoint(checkpoint))),
        );
        let look = crate::kraft::Policy::of(&broker).look_every();
        self.keep(
            self.env
                .tasks
                .spawn("metadata", Box::pin(self.clone().tidy_metadata(look))),
        );
    }

    async fn maintain(self: Arc<Self>, delay: Duration, every: Duration) {
        self.env.clock.sleep(delay).await;
        loop {
            for partition in self.topics.all() {
                let _ = partition.maintain().await;
            }
            self.manager.maintain(self.env.clock.wall()).await;
            self.env.clock.sleep(every).await;
        }
    }

    async fn tidy_metadata(self: Arc<Self>, every: Duration) {
        loop {
            self.env.clock.sleep(every).await;
            self.controller.tidy().await;
        }
    }

    async fn checkpoint(self: Arc<Self>, every: Duration) {
        let mut warned = BTreeMap::new();
        loop {
            self.env.clock.sleep(every).await;
            if !lock(&self.unhosted).is_empty() {
                self.controller.host().await;
            }
            if let Err(error) = self.manager.checkpoint().await {
                tracing::error!(%error, "checkpoints could not be written");
            }
            self.check_directories();
            self.warn_of_full_disks(&mut warned).await;
        }
    }

    /// Says once in a while which disks have no room.
    async fn warn_of_full_disks(&self, warned: &mut BTreeMap<Uuid, Mono>) {
        let now = self.env.clock.now();
        for dir in self.directories() {
            let Some(full) = dir.full else { continue };
            let before = warned.get(&dir.id);
            if before.is_some_and(|at| full.at <= *at || now.since(*at) < WARN_EVERY) {
                continue;
            }
            warned.insert(dir.id, now);
            let free_bytes = self.env.disk.free_space(&dir.path).await.ok();
            tracing::warn!(
                directory = %dir.path.display(), free_bytes, refused = full.what,
                "the disk is full: free space, or lower retention.bytes and retention.ms; the node tries again by itself"
            );
        }
    }

    /// Notes where a listener listens.
    pub(crate) fn listens(&self, name: &str, address: SocketAddr) {
        lock(&self.addresses).push((name.to_string(), address));
    }

    pub(crate) fn keep(&self, task: Task) {
        lock(&self.tasks).push(task);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
