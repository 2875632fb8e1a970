//! Layer 2: cluster metadata, pure. [`MetadataImage`] is what the records of `__cluster_metadata` add up to;
//! [`controller`] turns a request and an image into the records that carry it out and the answer to each item.
//!
//! The image changes by [`MetadataImage::replay`] alone, so a broker that reads the log and the controller that wrote it
//! hold the same state. What is not here: consensus about the log (`core/quorum`), the file it lies in (`core/store`),
//! time, and what a broker does when an image changes (`core/node`).

pub mod controller;
pub mod image;
mod loader;
pub mod quorum;
pub mod records;
pub mod snapshot;

pub use image::{Changes, ConfigResource, MetadataDelta, MetadataImage, ResourceKind};
pub use loader::Loader;
pub use quorum::Quorum;
pub use records::Records;
pub use snapshot::{Snapshot, SnapshotId};

/// The oldest `metadata.version` that can be read: 3.3-IV3, as in Kafka 4.
pub const MIN_METADATA_VERSION: i16 = 7;
/// The newest `metadata.version` that is known: 4.3-IV0.
pub const MAX_METADATA_VERSION: i16 = 30;
