//! What a log needs to know of a batch. The batch's bytes and its records stay with the caller.

use ottla_types::{Epoch, Offset, ProducerEpoch, ProducerId};
use ottla_wire::records::{BatchHeader, BatchSummary, EndTxnMarker, add_sequence};

/// One record batch, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchMeta {
    /// Offset of its first record. A leader's append replaces it (see [`BatchMeta::at`]).
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Size of the whole batch in bytes.
    pub size: u32,
    /// Its largest timestamp; −1 for none.
    pub max_timestamp: i64,
    /// Epoch of the leader that appended it; −1 when unknown.
    pub leader_epoch: Epoch,
    /// Producer id; −1 without idempotence.
    pub producer_id: ProducerId,
    /// Producer epoch; −1 without idempotence.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record; −1 for none.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: u32,
    /// Whether its records belong to a transaction.
    pub is_transactional: bool,
    /// Whether it holds control records.
    pub is_control: bool,
    /// The transaction marker, when it holds one.
    pub control: Option<EndTxn>,
}

/// A transaction marker (Kafka class `EndTransactionMarker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndTxn {
    /// Commit, or else abort.
    pub commit: bool,
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
}

/// Who appends, which decides what is checked (Kafka class `AppendOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A producer: everything is checked.
    Client,
    /// The group or transaction coordinator: no sequence numbers; epochs are checked.
    Coordinator {
        /// `transaction.version` of a marker: from 2 on its epoch must be above the producer's.
        transaction_version: u16,
    },
    /// The metadata quorum's leader.
    RaftLeader,
    /// A leader elsewhere has checked it.
    Replication,
}

impl BatchMeta {
    /// The batch of a header. `control` is the marker that the caller read from the body of a control batch.
    pub fn from_header(header: &BatchHeader, control: Option<EndTxn>) -> Self {
        BatchMeta {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            size: header.size_in_bytes() as u32,
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            record_count: u32::try_from(header.record_count).unwrap_or(0),
            is_transactional: header.attributes.is_transactional(),
            is_control: header.attributes.is_control(),
            control,
        }
    }

    /// A validated batch of `size` bytes on its way into a leader's log, which gives it offsets and an epoch.
    pub fn from_summary(summary: &BatchSummary, size: u32, control: Option<EndTxn>) -> Self {
        BatchMeta {
            base_offset: 0,
            last_offset: i64::from(summary.last_offset_delta),
            size,
            max_timestamp: summary.max_timestamp,
            leader_epoch: -1,
            producer_id: summary.producer_id,
            producer_epoch: summary.producer_epoch,
            base_sequence: summary.base_sequence,
            record_count: u32::try_from(summary.record_count).unwrap_or(0),
            is_transactional: summary.transactional,
            is_control: summary.control,
            control,
        }
    }

    /// The same batch as a leader appends it: at `base_offset`, in its epoch.
    #[must_use]
    pub fn at(self, base_offset: Offset, leader_epoch: Epoch) -> Self {
        BatchMeta {
            base_offset,
            last_offset: base_offset.saturating_add(self.last_offset_delta()),
            leader_epoch,
            ..self
        }
    }

    /// Last offset minus base offset.
    pub fn last_offset_delta(&self) -> i64 {
        self.last_offset.saturating_sub(self.base_offset)
    }

    /// The offset after it.
    pub fn next_offset(&self) -> Offset {
        self.last_offset.saturating_add(1)
    }

    /// Whether an idempotent producer (or a marker on behalf of one) wrote it.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record; −1 without a sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            -1
        } else {
            add_sequence(self.base_sequence, self.last_offset_delta() as i32)
        }
    }
}

impl From<EndTxnMarker> for EndTxn {
    fn from(marker: EndTxnMarker) -> Self {
        EndTxn {
            commit: marker.committed,
            coordinator_epoch: marker.coordinator_epoch,
        }
    }
}
