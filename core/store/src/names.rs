//! The names of the files of a log directory (Kafka class `LogManager`). A partition folder's and its segments' are in
//! `ottla_log::format::file_name`.

/// Who the directory belongs to (KIP-631, KIP-858).
pub const META_PROPERTIES: &str = "meta.properties";
/// The lock that keeps a second broker out.
pub const LOCK: &str = ".lock";
/// Written last in a clean stop, removed first in a start (KIP-966).
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Offsets below which each log is on the platter.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// First readable offsets, where they are not a segment's first.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Offsets below which compacted logs are clean.
pub const CLEANED: &str = "cleaner-offset-checkpoint";
/// Bootstrap metadata that `storage format` leaves for the first controller.
pub const BOOTSTRAP: &str = "bootstrap.checkpoint";
/// The topic id of a partition folder.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Where each leader epoch began.
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
