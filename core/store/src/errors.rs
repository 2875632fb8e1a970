//! What can go wrong, one type per operation. Each text tells the operator what to do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_types::{NodeId, Offset, TopicPartition, Violation};

/// A log directory is offline: Kafka's `KAFKA_STORAGE_ERROR`. Nothing is written to it any more until the node restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageError {
    /// The directory.
    pub dir: PathBuf,
    /// What took it offline.
    pub reason: Arc<str>,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "log directory {} is offline: {}. Repair or replace the disk and restart the node; its partitions recover from \
             their other replicas",
            self.dir.display(),
            self.reason
        )
    }
}

impl std::error::Error for StorageError {}

/// Why the log directories could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// `log.dirs` names none.
    NoDirectories,
    /// The same directory twice.
    Twice(PathBuf),
    /// Another process uses the directory.
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who holds the lock, as far as the file system tells.
        holder: String,
    },
    /// No `meta.properties`.
    NotFormatted(PathBuf),
    /// A `meta.properties` that can't be used.
    BadMetaProperties {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Two directories of different clusters.
    ClusterMismatch {
        /// The directory.
        dir: PathBuf,
        /// Its cluster.
        found: String,
        /// The cluster of the directories before it.
        expected: String,
    },
    /// A directory of another node.
    NodeMismatch {
        /// The directory.
        dir: PathBuf,
        /// Its node.
        found: NodeId,
        /// The node of the configuration.
        expected: NodeId,
    },
    /// Two directories with one id: one is a copy of the other.
    SameDirectoryId {
        /// The directory.
        dir: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// The disk refuses.
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |dir: &Path| dir.display().to_string();
        match self {
            OpenError::NoDirectories => write!(f, "no log directory is configured: set log.dirs"),
            OpenError::Twice(dir) => write!(f, "log.dirs names {} twice: remove one", show(dir)),
            OpenError::Locked { dir, holder } => {
                write!(
                    f,
                    "log directory {} is in use ({holder}): stop the other broker, or give this node its own log.dirs",
                    show(dir)
                )
            }
            OpenError::NotFormatted(dir) => write!(
                f,
                "no meta.properties in {}: format it with `ottla storage format --cluster-id <id> --config <file>`",
                show(dir)
            ),
            OpenError::BadMetaProperties { dir, reason } => write!(
                f,
                "{}/meta.properties can't be used: {reason}. Restore the file, or remove the directory's content and format it again",
                show(dir)
            ),
            OpenError::ClusterMismatch { dir, found, expected } => write!(
                f,
                "{} belongs to cluster {found}, the other log directories to {expected}: remove it from log.dirs",
                show(dir)
            ),
            OpenError::NodeMismatch { dir, found, expected } => write!(
                f,
                "{} belongs to node {found}, the configuration says node.id={expected}: correct node.id or log.dirs",
                show(dir)
            ),
            OpenError::SameDirectoryId { dir, other } => write!(
                f,
                "{} and {} have the same directory.id, so one is a copy of the other: remove the copy from log.dirs",
                show(dir),
                show(other)
            ),
            OpenError::Unusable { dir, reason } => write!(
                f,
                "log directory {} can't be used: {reason}. Repair the disk, or take the directory out of log.dirs: its partitions \
                 are then fetched from their other replicas",
                show(dir)
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a log directory could not be formatted.
#[derive(Debug)]
pub enum FormatError {
    /// It is formatted already.
    AlreadyFormatted(PathBuf),
    /// The disk refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::AlreadyFormatted(dir) => {
                write!(
                    f,
                    "{} is formatted already: use --ignore-formatted to leave such directories as they are",
                    dir.display()
                )
            }
            FormatError::Io(dir, error) => write!(f, "{} can't be formatted: {error}", dir.display()),
        }
    }
}

impl std::error::Error for FormatError {}

/// Why a log could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The directory is offline, perhaps since this load found damage below the recovery point.
    Storage(StorageError),
    /// There is no usable `partition.metadata`, so nobody knows whose log it is: put it aside with
    /// [`crate::LogManager::stray`].
    NoTopicId {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The disk is full. What was loaded so far is forgotten; the load may be tried again.
    DiskFull {
        /// The log directory.
        dir: PathBuf,
    },
    /// An invariant does not hold: stop the process.
    Violation(Violation),
    /// Two log directories hold the partition.
    InTwoDirectories {
        /// The partition.
        partition: TopicPartition,
        /// Where.
        dirs: [PathBuf; 2],
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Storage(error) => error.fmt(f),
            LoadError::Violation(violation) => violation.fmt(f),
            LoadError::DiskFull { dir } => full(f, dir),
            LoadError::NoTopicId { folder, reason } => {
                write!(
                    f,
                    "{}/partition.metadata can't be used ({reason}): the log belongs to no known topic",
                    folder.display()
                )
            }
            LoadError::InTwoDirectories {
                partition,
                dirs: [a, b],
            } => write!(
                f,
                "{partition} lies in {} and in {}: move the folder that is out of date out of its log directory",
                a.display(),
                b.display()
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// What a full disk is told with.
fn full(f: &mut fmt::Formatter<'_>, dir: &Path) -> fmt::Result {
    write!(
        f,
        "the disk of log directory {} is full: free space, or lower retention.bytes and retention.ms",
        dir.display()
    )
}

impl From<StorageError> for LoadError {
    fn from(error: StorageError) -> Self {
        LoadError::Storage(error)
    }
}

/// Why a log could not be created.
#[derive(Debug)]
pub enum CreateError {
    /// The chosen directory, or every one, is offline.
    Storage(StorageError),
    /// The disk is full. There is no log; its creation may be tried again.
    DiskFull {
        /// The log directory.
        dir: PathBuf,
    },
    /// The partition has a log already.
    Exists(PathBuf),
    /// No log directory has this id.
    UnknownDirectory(ottla_types::Uuid),
    /// An invariant does not hold: stop the process.
    Violation(Violation),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CreateError::Storage(error) => error.fmt(f),
            CreateError::DiskFull { dir } => full(f, dir),
            CreateError::Exists(folder) => write!(
                f,
                "{} exists already: load it, or delete it first",
                folder.display()
            ),
            CreateError::Violation(violation) => violation.fmt(f),
            CreateError::UnknownDirectory(id) => write!(f, "no log directory of this node has the id {id}"),
        }
    }
}

impl std::error::Error for CreateError {}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Storage(error) => LoadError::Storage(error),
            StoreError::DiskFull { dir } => LoadError::DiskFull { dir },
            StoreError::Violation(violation) => LoadError::Violation(violation),
            StoreError::OutOfRange { offset, low, high } => {
                let detail = format!("offset {offset} is not within {low} to {high}");
                LoadError::Violation(Violation::new("recovery asks for offsets that exist", detail))
            }
        }
    }
}

impl From<StorageError> for CreateError {
    fn from(error: StorageError) -> Self {
        CreateError::Storage(error)
    }
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Storage(error) => CreateError::Storage(error),
            StoreError::DiskFull { dir } => CreateError::DiskFull { dir },
            StoreError::Violation(violation) => CreateError::Violation(violation),
            StoreError::OutOfRange { offset, low, high } => {
                let detail = format!("offset {offset} is not within {low} to {high}");
                CreateError::Violation(Violation::new("a new log is created within its offsets", detail))
            }
        }
    }
}

/// Why a read got nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The offset is below the log start or above the log end.
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first offset there is.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// What lies at the offset is no record batch: CORRUPT_MESSAGE.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// What was found.
        reason: String,
    },
    /// The directory is offline.
    Storage(StorageError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::OutOfRange { offset, start, end } => {
                write!(
                    f,
                    "offset {offset} is outside of the log, which holds {start} to {end}"
                )
            }
            ReadError::Corrupt { partition, reason } => write!(
                f,
                "the log of {partition} is damaged ({reason}): move the partition's folder away and restart the node, so that the \
                 log is fetched from the other replicas"
            ),
            ReadError::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        ReadError::Storage(error)
    }
}

/// Why a writer could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The directory is offline.
    Storage(StorageError),
    /// The disk is full. The log is as it was; the operation may be tried again.
    DiskFull {
        /// The log directory.
        dir: PathBuf,
    },
    /// OFFSET_OUT_OF_RANGE.
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The lowest possible.
        low: Offset,
        /// The highest possible.
        high: Offset,
    },
    /// An invariant does not hold: stop the process.
    Violation(Violation),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Storage(error) => error.fmt(f),
            StoreError::DiskFull { dir } => full(f, dir),
            StoreError::OutOfRange { offset, low, high } => {
                write!(f, "offset {offset} is not within {low} to {high}")
            }
            StoreError::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        StoreError::Storage(error)
    }
}

impl From<Violation> for StoreError {
    fn from(violation: Violation) -> Self {
        StoreError::Violation(violation)
    }
}

impl From<ottla_log::LogError> for StoreError {
    fn from(error: ottla_log::LogError) -> Self {
        match error {
            ottla_log::LogError::OffsetOutOfRange { offset, low, high } => {
                StoreError::OutOfRange { offset, low, high }
            }
            ottla_log::LogError::Violation(violation) => StoreError::Violation(violation),
            ottla_log::LogError::Append(error) => StoreError::Violation(Violation::new(
                "only an append is refused as an append",
                error.to_string(),
            )),
        }
    }
}

/// Why a batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// The log refused it; nothing has changed.
    Refused(ottla_log::AppendError),
    /// The bytes are no batch, or not the one that was announced; nothing has changed.
    Invalid(String),
    /// The disk is full. The log is as it was; the producer may try again.
    DiskFull {
        /// The log directory.
        dir: PathBuf,
    },
    /// The directory is offline.
    Storage(StorageError),
    /// An invariant does not hold: stop the process.
    Violation(Violation),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Refused(error) => error.fmt(f),
            AppendError::Invalid(reason) => f.write_str(reason),
            AppendError::DiskFull { dir } => full(f, dir),
            AppendError::Storage(error) => error.fmt(f),
            AppendError::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<ottla_log::AppendError> for AppendError {
    fn from(error: ottla_log::AppendError) -> Self {
        match error {
            ottla_log::AppendError::Violation(violation) => AppendError::Violation(violation),
            other => AppendError::Refused(other),
        }
    }
}

impl From<StorageError> for AppendError {
    fn from(error: StorageError) -> Self {
        AppendError::Storage(error)
    }
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Storage(error) => AppendError::Storage(error),
            StoreError::DiskFull { dir } => AppendError::DiskFull { dir },
            StoreError::Violation(violation) => AppendError::Violation(violation),
            StoreError::OutOfRange { offset, low, high } => {
                let detail = format!("offset {offset} is not within {low} to {high}");
                AppendError::Violation(Violation::new("a failed append can be taken back", detail))
            }
        }
    }
}
