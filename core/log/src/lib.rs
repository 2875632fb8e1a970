//! One log, pure: what Kafka's `UnifiedLog`, `LogSegment`, `LeaderEpochFileCache` and `ProducerStateManager` decide, without
//! a file, a clock, a random number or a task. `ottla-store` carries out on a disk what [`Log`] orders as [`Effect`]s.
//!
//! - [`mod@format`]: the bytes of Kafka's index, transaction index and producer snapshot files, and their names.
//! - [`epochs`], [`producers`], [`segments`]: the three tables a log consists of.
//! - [`Log`]: the machine over them: appends, high watermark, retention, truncation.
//! - [`clean`]: compaction, from what is due for it to the bytes of a cleaned segment.
//! - [`recovery`]: from a segment's bytes to what is kept, what is rebuilt, and where it is cut.
//! - [`repair`]: what is sound of a log that recovery refuses, and the steps that leave only that.
//!
//! Batches themselves (`ottla_wire::records`) are validated and patched by the caller; a log sees their [`BatchMeta`].

mod append;
mod batch;
pub mod clean;
mod config;
pub mod epochs;
pub mod format;
mod log;
pub mod producers;
pub mod recovery;
pub mod repair;
pub mod segments;

pub use append::{AppendError, AppendInfo, Appended};
pub use batch::{BatchMeta, EndTxn, Origin};
pub use config::LogConfig;
pub use epochs::{EpochCache, EpochEnd, EpochEntry};
pub use log::{Effect, Input, Log, LogError, Outcome, Recovered, StartCause, Truncation};
pub use producers::{ProducerEntry, ProducerError, Producers, Verification};
pub use segments::{RollReason, SegmentState, Segments};
