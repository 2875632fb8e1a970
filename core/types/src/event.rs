//! The typed domain events. Production turns them into tracing and metrics; the trial's checkers and trace validation read the
//! same stream. One vocabulary, no test hooks.

use crate::{Epoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// Something that happened in the domain, stated after the fact by the node that did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The node's state as Kafka's `BrokerState` names it.
    BrokerState(BrokerState),
    /// A log was loaded; `clean` says whether the clean-shutdown marker vouched for it.
    LogLoaded {
        /// The partition.
        partition: TopicPartition,
        /// First offset that may be read.
        start: Offset,
        /// The next offset to be given.
        end: Offset,
        /// Whether it was shut down cleanly.
        clean: bool,
    },
    /// Recovery cut a log at its first bad batch above the recovery point.
    LogCut {
        /// The partition.
        partition: TopicPartition,
        /// The log's end after the cut.
        end: Offset,
        /// Bytes removed.
        bytes: u64,
        /// What was wrong at the cut.
        reason: String,
    },
    /// A batch was written to the log (page cache, not platter).
    Appended {
        /// The partition.
        partition: TopicPartition,
        /// Offset of its first record.
        base: Offset,
        /// Offset of its last record.
        last: Offset,
        /// The leader epoch stamped on it.
        epoch: Epoch,
        /// Producer id, epoch and base sequence of an idempotent batch.
        producer: Option<(ProducerId, ProducerEpoch, i32)>,
    },
    /// A produce request's part for this partition was answered with success.
    Acknowledged {
        /// The partition.
        partition: TopicPartition,
        /// Offset of the first record.
        base: Offset,
        /// Offset of the last record.
        last: Offset,
    },
    /// The high watermark moved.
    HighWatermark {
        /// The partition.
        partition: TopicPartition,
        /// Its new value.
        offset: Offset,
    },
    /// Everything below `offset` is on the platter.
    Flushed {
        /// The partition.
        partition: TopicPartition,
        /// The new recovery point.
        offset: Offset,
    },
    /// The first readable offset moved up, by retention or DeleteRecords.
    LogStartMoved {
        /// The partition.
        partition: TopicPartition,
        /// The new log start.
        offset: Offset,
        /// Why.
        cause: StartMove,
    },
    /// A round of the log cleaner began, over what lies between these offsets.
    CleaningBegan {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that is dirty.
        from: Offset,
        /// What lies from here on is out of reach.
        to: Offset,
    },
    /// A cleaned segment took the place of those it was made from.
    SegmentCleaned {
        /// The partition.
        partition: TopicPartition,
        /// Its base offset.
        base: Offset,
        /// How many it replaces.
        replaced: usize,
    },
    /// A round of the log cleaner ended: the log is clean below `end`.
    Cleaned {
        /// The partition.
        partition: TopicPartition,
        /// The new checkpoint.
        end: Offset,
    },
    /// A round of the log cleaner ended before its time; the log is whole.
    CleaningFailed {
        /// The partition.
        partition: TopicPartition,
        /// Why.
        reason: String,
    },
    /// The log was truncated to `offset`.
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The log's end after it.
        offset: Offset,
    },
    /// This node leads the partition from now on.
    BecameLeader {
        /// The partition.
        partition: TopicPartition,
        /// In this leader epoch.
        epoch: Epoch,
    },
    /// The metadata image now stands at `offset` of the metadata log.
    MetadataApplied {
        /// Offset of the last record applied.
        offset: Offset,
    },
    /// A snapshot of the metadata is on the platter.
    SnapshotWritten {
        /// The offset behind the last record that it contains.
        offset: Offset,
        /// The epoch of that record.
        epoch: Epoch,
    },
    /// A start took the metadata from a snapshot, and from the log only what is behind it.
    SnapshotLoaded {
        /// The offset behind the last record that it contains.
        offset: Offset,
        /// The epoch of that record.
        epoch: Epoch,
    },
    /// A log directory was taken offline.
    LogDirOffline {
        /// Its path.
        dir: String,
        /// Why.
        reason: String,
    },
    /// A connection was closed for what the peer sent.
    PeerRejected {
        /// The peer's address.
        peer: String,
        /// Its client id, when it was readable.
        client_id: String,
        /// What was wrong.
        reason: String,
    },
}

/// Why a log's start moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StartMove {
    /// `retention.ms`.
    RetentionTime,
    /// `retention.bytes`.
    RetentionSize,
    /// DeleteRecords.
    DeleteRecords,
    /// A snapshot stands for what came before.
    Snapshot,
}

/// Kafka's `BrokerState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BrokerState {
    /// Not running.
    NotRunning = 0,
    /// Starting, before logs are loaded.
    Starting = 1,
    /// Loading and recovering logs.
    Recovery = 2,
    /// Serving.
    Running = 3,
    /// Stopping.
    ShuttingDown = 7,
}
