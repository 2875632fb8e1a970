//! Layer 4: one process of the cluster. Routes requests, drives the machines, owns the partitions and the timers.
//!
//! - [`Node`] (`node.rs`): everything a running node holds, its start and its stop; `start.rs`: what comes before serving;
//!   `shutdown.rs`: what comes before a stop.
//! - `connections.rs`: listeners and the limits on connections.
//! - `dispatch.rs`, `api/`: from a frame to an answer, one file per API.
//! - `partition.rs`, `validate.rs`, `waiters.rs`: appends, acknowledgements, long polling; `sessions.rs`: fetch sessions.
//! - `groups/`: the coordinators of consumer groups, over `__consumer_offsets`.
//! - `controller.rs`, `kraft/`: metadata changes and the log they are committed to; `configs.rs`: settings that take hold.
//! - `http/`, `metrics/`, `health.rs`: `/metrics` and `/v1/ready`.
//!
//! The only source of state at start is the replay of `__cluster_metadata-0`.

mod api;
mod cleaner;
mod configs;
mod connections;
mod controller;
mod dispatch;
mod errors;
mod features;
mod format;
mod groups;
mod health;
mod http;
mod kraft;
mod log_config;
mod metrics;
mod node;
mod partition;
mod producer_ids;
mod sessions;
mod shutdown;
mod start;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topics;
mod validate;
mod waiters;

pub use api::{SERVED, announced, served};
pub use format::format;
pub use health::{Readiness, Reason};
pub use node::Node;
pub use start::{StartError, random_uuid};
