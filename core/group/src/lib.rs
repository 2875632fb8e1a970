//! Layer 2: the group coordinator, pure. [`Groups`] is the state of one partition of `__consumer_offsets`: its classic
//! consumer groups (Kafka classes `GroupMetadataManager`, `ClassicGroup`) and their committed offsets (Kafka class
//! `OffsetMetadataManager`).
//!
//! [`Groups::step`] takes one [`Input`] and the time and orders [`Output`]s: answers, and records to append. What depends on
//! a record is answered when the record is replicated. The machine keeps its own timers; [`Groups::deadline`] says when to
//! call it again. What is not here: authorisation, which topics exist, versions on the wire, KIP-848 groups, and the log.

mod api;
mod config;
mod coordinator;
mod group;
mod offsets;
mod record;
mod timers;

pub use api::*;
pub use config::Config;
pub use coordinator::Groups;
pub use group::{Group, GroupState, Member};
pub use offsets::{CommittedOffset, OffsetKey};
pub use record::{LoadError, Record};
