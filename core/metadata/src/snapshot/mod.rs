//! Snapshots of the metadata as Kafka keeps them beside `__cluster_metadata`'s segments: their names and their bytes, pure
//! (Kafka classes `Snapshots`, `RecordsSnapshotWriter`, `RecordsSnapshotReader`). Which records an image is made of is
//! `image`'s; when a snapshot is written, and what may be deleted then, is the node's.

mod id;
mod read;
mod write;

pub use id::{FileName, SnapshotId, SnapshotState};
pub use read::{Snapshot, SnapshotError};
pub use write::{Head, write};

/// No batch of a snapshot is larger (Kafka class `KafkaRaftClient`, `MAX_BATCH_SIZE_BYTES`).
pub const MAX_BATCH_BYTES: usize = 8 << 20;
