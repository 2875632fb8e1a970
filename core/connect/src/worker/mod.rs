//! The worker: it makes connectors from configurations, runs their tasks and stops them. Which connectors there are is for its
//! caller to say: one process with files today, a group of workers with a topic one day.
//!
//! `control`: what a task is told and what it tells; `source`, `sink`: the life of a task of either kind; `reader`: how a sink's
//! records are read.

mod control;
mod converters;
mod reader;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_client::{Admin, ClientConfig, Producer};
use ottla_io::timeout_at;

use crate::config::{
    ConnectorConfig, ConnectorFile, InitialState, Props, WorkerConfig, clients, sink_topics,
};
use crate::connector::{Connector, ConnectorClass, ConnectorKind, Services, Task};
use crate::offsets::{OffsetReader, OffsetStore};
use crate::plugins;
use crate::source::SourceContext;
use control::{Control, Target};
use converters::Converters;

pub use control::{Status, TaskId, TaskStatus};

struct Running {
    connector: Box<dyn Connector>,
    tasks: Vec<RunningTask>,
}

struct RunningTask {
    control: Arc<Control>,
    task: ottla_io::Task,
}

/// Runs connectors.
pub struct Worker {
    services: Services,
    config: WorkerConfig,
    store: Arc<dyn OffsetStore>,
    connectors: BTreeMap<String, Running>,
}

impl Worker {
    /// A worker with these offsets. Looks the cluster up first, so that one that can't be reached is told at once; returns the
    /// cluster's id too.
    pub async fn start(
        services: Services,
        config: WorkerConfig,
        store: Arc<dyn OffsetStore>,
    ) -> Result<(Self, String), String> {
        if let Some(path) = &config.plugin_path {
            tracing::info!(
                plugin.path = path,
                "not needed: connectors and converters are built in, none is loaded"
            );
        }
        Converters::of(&config.props, &Props::new())?;
        let admin = Admin::new(&services.env, ClientConfig::new(&config.bootstrap_servers));
        let admin = admin.map_err(|e| e.to_string())?;
        let cluster = admin.describe_cluster().await.map_err(|e| {
            format!("Failed to connect to and describe Kafka cluster. Check worker's broker connection and security properties: {e}")
        })?;
        let worker = Worker {
            services,
            config,
            store,
            connectors: BTreeMap::new(),
        };
        Ok((worker, cluster.cluster_id))
    }

    /// Makes a connector and starts its tasks. What is wrong with its configuration is told in Kafka's words; how its tasks fare
    /// afterwards tells [`Worker::status`].
    pub fn start_connector(&mut self, file: &ConnectorFile) -> Result<(), String> {
        let (config, class) = validate(&file.config)?;
        let name = config.name.clone();
        if self.connectors.contains_key(&name) {
            return Err(format!(
                "Connector {name} already exists: give each connector a name of its own"
            ));
        }
        let connector = (class.start)(&self.services, &config.props).map_err(|e| e.to_string())?;
        tracing::info!(
            "Instantiated connector {name} with version {} of type class {}",
            class.version,
            class.class
        );
        let mut running = Running {
            connector,
            tasks: Vec::new(),
        };
        let target = match file.initial_state {
            InitialState::Running => Target::Running,
            InitialState::Paused => Target::Paused,
            InitialState::Stopped => {
                self.connectors.insert(name, running);
                return Ok(());
            }
        };
        for (number, props) in running
            .connector
            .task_configs(config.tasks_max)
            .into_iter()
            .enumerate()
        {
            let id = TaskId {
                connector: name.clone(),
                task: number,
            };
            let task = self.start_task(&config, &*running.connector, id, props, target)?;
            tracing::info!(
                "Instantiated task {name}-{number} with version {} of type {}",
                class.version,
                class.class
            );
            running.tasks.push(task);
        }
        self.connectors.insert(name, running);
        Ok(())
    }

    fn start_task(
        &self,
        config: &ConnectorConfig,
        connector: &dyn Connector,
        id: TaskId,
        props: Props,
        target: Target,
    ) -> Result<RunningTask, String> {
        let (worker, own) = (&self.config.props, &config.props);
        let converters = Converters::of(worker, own)?;
        let (servers, client) = (&self.config.bootstrap_servers, id.to_string());
        let control = Control::new(id, target);
        let env = &self.services.env;
        let life: ottla_io::BoxFuture<'static, ()> = match connector.task() {
            Task::Source(task) => {
                let settings = clients::producer(worker, own, servers, &client).map_err(|e| e.join("; "))?;
                let producer = Producer::new(env, settings).map_err(|e| e.to_string())?;
                let offsets = OffsetReader::new(self.store.clone(), &config.name);
                let life = source::SourceLife {
                    env: env.clone(),
                    config: self.config.clone(),
                    control: control.clone(),
                    converters,
                    producer,
                    store: self.store.clone(),
                    task,
                };
                Box::pin(life.run(SourceContext { offsets }, props))
            }
            Task::Sink(task) => {
                let topics = sink_topics(own)?;
                let settings = clients::consumer(worker, own, servers, &config.name, &client)
                    .map_err(|e| e.join("; "))?;
                let reader = reader::Reader::new(env, settings, topics).map_err(|e| e.to_string())?;
                let life = sink::SinkLife::new(
                    env.clone(),
                    self.config.clone(),
                    control.clone(),
                    converters,
                    reader,
                    task,
                );
                Box::pin(life.run(props))
            }
        };
        let task = env.tasks.spawn(&format!("connect {}", control.id()), life);
        Ok(RunningTask { control, task })
    }

    /// How each task fares.
    pub fn status(&self) -> Vec<TaskStatus> {
        let tasks = self.connectors.values().flat_map(|running| &running.tasks);
        tasks.map(|task| task.control.status()).collect()
    }

    /// Pauses or resumes a connector's tasks; false if there is no such connector.
    pub fn pause(&self, connector: &str, paused: bool) -> bool {
        let target = if paused { Target::Paused } else { Target::Running };
        let Some(running) = self.connectors.get(connector) else {
            return false;
        };
        running.tasks.iter().for_each(|task| task.control.set(target));
        true
    }

    /// Stops everything: tasks bring what they took where it belongs and commit it. What takes longer than
    /// `task.shutdown.graceful.timeout.ms` is cancelled, and done again after the next start.
    pub async fn stop(self) {
        let clock = self.services.env.clock.clone();
        let deadline = clock.now().after(self.config.shutdown_timeout);
        let tasks = || self.connectors.values().flat_map(|running| &running.tasks);
        tasks().for_each(|task| task.control.set(Target::Stopped));
        let mut connectors = Vec::new();
        for (_, running) in self.connectors {
            for task in running.tasks {
                let ended = timeout_at(&*clock, deadline, task.control.ended()).await;
                if ended.is_none() {
                    tracing::warn!(task = %task.control.id(), "it did not stop in time (task.shutdown.graceful.timeout.ms) and was cancelled; \
                        what it did not commit is done again after the next start");
                    task.task.cancel();
                }
                let _ = task.task.join().await;
            }
            connectors.push(running.connector);
        }
        connectors.iter().for_each(|connector| connector.stop());
    }
}

/// Checks a connector's configuration: everything that is wrong at once.
fn validate(props: &Props) -> Result<(ConnectorConfig, &'static ConnectorClass), String> {
    if !props.contains_key("connector.class") {
        return Err("the connector's configuration contains no connector type: set connector.class".into());
    }
    let config = ConnectorConfig::parse(props);
    let class = plugins::connector(props.get("connector.class").map_or("", |class| class.trim()))?;
    let mut errors: Vec<String> = config.as_ref().err().cloned().unwrap_or_default();
    errors.extend(class.validate(props).into_iter().flat_map(|value| value.errors));
    if class.kind == ConnectorKind::Sink {
        errors.extend(sink_topics(props).err());
    }
    if let Ok(config) = &config {
        for key in config.unsupported() {
            errors.push(format!(
                "{key} is not supported yet: leave it out, or run this connector in Kafka's own worker"
            ));
        }
    }
    match (config, errors.is_empty()) {
        (Ok(config), true) => Ok((config, class)),
        _ => Err(format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}",
            errors.len(),
            errors.join("\n")
        )),
    }
}
