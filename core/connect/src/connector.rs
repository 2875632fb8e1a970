//! What a connector is to the worker: its class, its configuration, how many tasks it wants and what each is told. Kafka:
//! `Connector`, `SourceConnector`, `SinkConnector`. The tasks themselves: [`crate::source`], [`crate::sink`].

use std::fmt;
use std::sync::Arc;

use ottla_io::Env;

use crate::config::{ConfigDef, ConfigValue, Props};
use crate::sink::SinkTask;
use crate::source::SourceTask;
use crate::standard::StandardStreams;

/// Why a connector or a task can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// It may succeed if the same is tried again after a pause (Kafka: `RetriableException`).
    Retriable(String),
    /// Somebody must do something (Kafka: `ConnectException`): what is wrong, and what to do.
    Fatal(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Retriable(text) | ConnectError::Fatal(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConnectError {}

/// The result of what a connector or a task was asked.
pub type Result<T> = std::result::Result<T, ConnectError>;

/// What connectors reach the world through.
#[derive(Clone)]
pub struct Services {
    /// Clock, files, tasks.
    pub env: Env,
    /// stdin and stdout.
    pub standard: Arc<dyn StandardStreams>,
}

/// A task of either kind.
pub enum Task {
    /// It brings records.
    Source(Box<dyn SourceTask>),
    /// It takes records.
    Sink(Box<dyn SinkTask>),
}

/// Whether a connector brings records or takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorKind {
    /// It brings records into topics.
    Source,
    /// It takes records out of topics.
    Sink,
}

/// A connector class.
pub struct ConnectorClass {
    /// Kafka's class name.
    pub class: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Source or sink.
    pub kind: ConnectorKind,
    /// The keys of its own.
    pub config: fn() -> ConfigDef,
    /// Makes a connector from a configuration that was found valid.
    pub start: fn(&Services, &Props) -> Result<Box<dyn Connector>>,
}

impl ConnectorClass {
    /// Each key of its own with its value and what is wrong with it.
    pub fn validate(&self, props: &Props) -> Vec<ConfigValue> {
        (self.config)().validate(props)
    }
}

/// A started connector.
pub trait Connector: Send + Sync {
    /// What each task is told, at most `max` of them (Kafka: `taskConfigs`).
    fn task_configs(&self, max: usize) -> Vec<Props>;
    /// A task that is not started yet; it can be asked for again when one has failed.
    fn task(&self) -> Task;
    /// Whether the source records each offset exactly once if the worker does (Kafka: `exactlyOnceSupport`).
    fn supports_exactly_once(&self, props: &Props) -> bool {
        let _ = props;
        false
    }
    /// Ends it. Its tasks have ended before.
    fn stop(&self) {}
}
