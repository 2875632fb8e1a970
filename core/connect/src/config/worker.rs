//! The worker's own keys (Kafka: `WorkerConfig`, `StandaloneConfig`).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Check, ConfigDef, Default, Importance, Key, Props, Type};

/// What a worker is told.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// `offset.storage.file.filename`.
    pub offset_file: PathBuf,
    /// `offset.flush.interval.ms`.
    pub flush_interval: Duration,
    /// `offset.flush.timeout.ms`.
    pub flush_timeout: Duration,
    /// `task.shutdown.graceful.timeout.ms`.
    pub shutdown_timeout: Duration,
    /// `plugin.path`, which nothing here needs.
    pub plugin_path: Option<String>,
    /// Everything as it was given: converters and clients find their own keys in it.
    pub props: Props,
}

/// A worker's file that is not usable: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProblem(pub Vec<String>);

impl fmt::Display for WorkerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for WorkerProblem {}

impl WorkerConfig {
    /// The definitions.
    pub fn def() -> ConfigDef {
        let key = |name, kind, default, check, importance, doc| Key {
            name,
            kind,
            default,
            check,
            importance,
            doc,
        };
        let millis = |name, default, doc| {
            key(
                name,
                Type::Long,
                Default::Value(default),
                Check::AtLeast(0),
                Importance::Medium,
                doc,
            )
        };
        ConfigDef::new(vec![
            key(
                "bootstrap.servers",
                Type::List,
                Default::Value("localhost:9092"),
                Check::NonEmpty,
                Importance::High,
                "Brokers of the cluster, as host:port.",
            ),
            key(
                "key.converter",
                Type::Class,
                Default::Required,
                Check::NonEmpty,
                Importance::High,
                "How keys become bytes; its own settings follow as key.converter.*.",
            ),
            key(
                "value.converter",
                Type::Class,
                Default::Required,
                Check::NonEmpty,
                Importance::High,
                "How values become bytes.",
            ),
            key(
                "header.converter",
                Type::Class,
                Default::Value("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
                Check::NonEmpty,
                Importance::Low,
                "How the values of headers become bytes.",
            ),
            key(
                "offset.storage.file.filename",
                Type::String,
                Default::Required,
                Check::NonEmpty,
                Importance::High,
                "Where the offsets of sources are kept.",
            ),
            millis(
                "offset.flush.interval.ms",
                "60000",
                "How often offsets are committed.",
            ),
            millis(
                "offset.flush.timeout.ms",
                "5000",
                "How long a commit may wait for records under way.",
            ),
            millis(
                "task.shutdown.graceful.timeout.ms",
                "5000",
                "How long all tasks together may take to stop.",
            ),
            key(
                "plugin.path",
                Type::String,
                Default::Null,
                Check::Any,
                Importance::Low,
                "Accepted for compatibility: the file connectors and converters are built in, and Java's can't be loaded.",
            ),
        ])
    }

    /// Reads them.
    pub fn parse(props: &Props) -> Result<Self, WorkerProblem> {
        let config = Self::def().parse(props).map_err(WorkerProblem)?;
        Ok(WorkerConfig {
            bootstrap_servers: config.text("bootstrap.servers").to_owned(),
            offset_file: config.text("offset.storage.file.filename").into(),
            flush_interval: config.millis("offset.flush.interval.ms"),
            flush_timeout: config.millis("offset.flush.timeout.ms"),
            shutdown_timeout: config.millis("task.shutdown.graceful.timeout.ms"),
            plugin_path: config.get("plugin.path").map(str::to_owned),
            props: props.clone(),
        })
    }
}
