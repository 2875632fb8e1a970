//! Kafka's file connectors: lines of a file into a topic, records of topics into a file.
//!
//! `lines`: bytes into lines, pure; `source`, `sink`: the tasks.

mod lines;
mod sink;
mod source;

use crate::config::{Check, ConfigDef, Default, Importance, Key, Props, Type};
use crate::connector::{Connector, ConnectorClass, ConnectorKind, Services, Task};

pub use lines::{Line, Lines};

const FILE: &str = "file";
const TOPIC: &str = "topic";
const BATCH_SIZE: &str = "batch.size";

/// The release of Apache Kafka whose file connectors these are like.
const VERSION: &str = "4.3.1";

/// `FileStreamSourceConnector`.
pub const FILE_SOURCE: ConnectorClass = ConnectorClass {
    class: "org.apache.kafka.connect.file.FileStreamSourceConnector",
    version: VERSION,
    kind: ConnectorKind::Source,
    config: source_config,
    start: |services, props| Ok(Box::new(FileSource::new(services, props))),
};

/// `FileStreamSinkConnector`.
pub const FILE_SINK: ConnectorClass = ConnectorClass {
    class: "org.apache.kafka.connect.file.FileStreamSinkConnector",
    version: VERSION,
    kind: ConnectorKind::Sink,
    config: sink_config,
    start: |services, props| Ok(Box::new(FileSink::new(services, props))),
};

fn key(name: &'static str, kind: Type, default: Default, check: Check, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        check,
        importance: Importance::High,
        doc,
    }
}

fn source_config() -> ConfigDef {
    ConfigDef::new(vec![
        key(
            FILE,
            Type::String,
            Default::Null,
            Check::Any,
            "The file to read; without it stdin.",
        ),
        key(
            TOPIC,
            Type::String,
            Default::Required,
            Check::NonEmpty,
            "The topic to write to.",
        ),
        key(
            BATCH_SIZE,
            Type::Int,
            Default::Value("2000"),
            Check::Any,
            "How many lines are taken at a time, at most.",
        ),
    ])
}

fn sink_config() -> ConfigDef {
    ConfigDef::new(vec![key(
        FILE,
        Type::String,
        Default::Null,
        Check::Any,
        "The file to append to; without it stdout.",
    )])
}

/// The file's path as it is configured; `None` if it is null or empty.
fn file_of(props: &Props) -> Option<String> {
    props
        .get(FILE)
        .map(|file| file.trim().to_owned())
        .filter(|file| !file.is_empty())
}

struct FileSource {
    services: Services,
    props: Props,
}

impl FileSource {
    fn new(services: &Services, props: &Props) -> Self {
        FileSource {
            services: services.clone(),
            props: props.clone(),
        }
    }
}

impl Connector for FileSource {
    /// One, whatever `tasks.max` says: a file has one reader.
    fn task_configs(&self, _: usize) -> Vec<Props> {
        vec![self.props.clone()]
    }

    fn task(&self) -> Task {
        Task::Source(Box::new(source::FileSourceTask::new(self.services.clone())))
    }

    fn supports_exactly_once(&self, props: &Props) -> bool {
        file_of(props).is_some()
    }
}

struct FileSink {
    services: Services,
    props: Props,
}

impl FileSink {
    fn new(services: &Services, props: &Props) -> Self {
        FileSink {
            services: services.clone(),
            props: props.clone(),
        }
    }
}

impl Connector for FileSink {
    fn task_configs(&self, max: usize) -> Vec<Props> {
        vec![self.props.clone(); max]
    }

    fn task(&self) -> Task {
        Task::Sink(Box::new(sink::FileSinkTask::new(self.services.clone())))
    }
}
