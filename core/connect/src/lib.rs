//! Layer 5: Kafka Connect. Connectors bring records into topics and take them out; the worker runs their tasks, converts their data
//! and keeps their offsets. On `ottla_io::Env` and `ottla_client` alone, so that a trial can run a pipeline through crashes.
//!
//! - [`data`], [`json`], [`convert`]: values, and their bytes in topics; pure.
//! - [`config`], [`plugins`]: keys, files and class names; pure.
//! - [`connector`], [`source`], [`sink`], [`offsets`]: what connectors, tasks and offset storages are to the worker.
//! - [`file`]: Kafka's file connectors. `worker`: [`Worker`], and the life of a task.
//!
//! What is not here yet: workers in a group, REST, transforms, dead letter queues, exactly once; the traits have their place for
//! them (a task is started from its configuration alone, offsets are behind [`offsets::OffsetStore`], a worker is a set of tasks).

pub mod config;
pub mod connector;
pub mod convert;
pub mod data;
pub mod file;
pub mod json;
pub mod offsets;
pub mod plugins;
pub mod sink;
pub mod source;
mod standard;
mod worker;

pub use connector::{ConnectError, Connector, ConnectorKind, Result, Services, Task};
pub use standard::{NoStreams, StandardStreams};
pub use worker::{Status, TaskId, TaskStatus, Worker};
