//! Layer 3: carries a log's effects out on `ottla_io::Disk`. Kafka's data directory, byte for byte: segments, indexes, snapshots,
//! checkpoints, `meta.properties`, the clean-shutdown marker.
//!
//! - [`LogManager`]: all log directories of a node; `format`, `open`, `log_dir`: one directory; `folder`, `tidy`, `load`, `peek`: from a folder to a log.
//! - [`LogWriter`] (`writer`, `effects`, `upkeep`, `renew`, `closing`): the one writer of a log. [`LogReader`] (`reader`, `times`): its many readers.
//! - [`Cleaning`] (`clean`, `chunks`, `throttle`): a round of the log cleaner, beside the writer; `swap` puts what comes out in its place.
//! - [`check`], [`repair`]: a log directory that was refused, while no node uses it.
//! - `segment`, `index_file`, `handle`, `scan`, `replay`: files. What is in them is decided by `ottla_log`.

mod adopt;
mod checkpoint;
mod chunks;
mod clean;
mod closing;
mod effects;
mod epoch_file;
mod errors;
mod files;
mod folder;
mod format;
mod group;
mod handle;
mod index_file;
mod load;
mod log_dir;
mod manager;
mod meta_properties;
mod names;
mod open;
mod peek;
mod reader;
mod renew;
mod repair;
mod replay;
mod scan;
mod segment;
mod shared;
mod swap;
#[cfg(test)]
mod tests;
mod throttle;
mod tidy;
mod times;
mod upkeep;
mod writer;

pub use clean::{CleanTerms, CleanedGroup, Cleaning, CleaningError};
pub use errors::{
    AppendError, CreateError, FormatError, LoadError, OpenError, ReadError, StorageError, StoreError,
};
pub use format::{Format, format_dir};
pub use group::Batch;
pub use log_dir::FullDisk;
pub use manager::{Directory, LogManager, StoreConfig};
pub use reader::{LogReader, Slice, Upto};
pub use repair::{DirectoryReport, PartitionReport, RepairError, check, repair};
pub use shared::Offsets;
pub use throttle::Throttle;
pub use times::TimestampOffset;
pub use writer::{Append, LogWriter, LossReport};
