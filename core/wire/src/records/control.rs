//! Control records: the key that names their type, and the end-transaction marker (`ControlRecordType`,
//! `EndTransactionMarker`). The values of the quorum's control records (leader change, snapshot header and
//! footer, KRaft version, voters) are generated messages; here they are bytes.

use super::builder::{BatchBuilder, BatchOptions, BuildError};
use super::codec::Compressor;

/// Type of a control record, the second i16 of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// A KRaft leader took over.
    LeaderChange,
    /// Begins a snapshot.
    SnapshotHeader,
    /// Ends a snapshot.
    SnapshotFooter,
    /// The `kraft.version` in force.
    KRaftVersion,
    /// The voters of the quorum.
    KRaftVoters,
    /// A type this version doesn't know, to be skipped.
    Unknown(i16),
}

impl ControlType {
    /// The type's number.
    pub fn id(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KRaftVersion => 5,
            ControlType::KRaftVoters => 6,
            ControlType::Unknown(id) => id,
        }
    }

    /// The type with that number.
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            id => ControlType::Unknown(id),
        }
    }

    /// Reads the type out of a control record's key (version, type); `None` when it is too short or its
    /// version negative.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match *key {
            [a, b, c, d, ..] if i16::from_be_bytes([a, b]) >= 0 => {
                Some(Self::from_id(i16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// The key of a control record of this type, version 0.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// The end of a transaction in one partition, as its coordinator has it written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Commit or abort.
    pub committed: bool,
    /// Epoch of the transaction coordinator.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads a marker from a control record; `None` when the record is something else or damaged.
    pub fn from_record(key: &[u8], value: &[u8]) -> Option<Self> {
        let committed = match ControlType::from_key(key)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return None,
        };
        match *value {
            [a, b, c, d, e, f, ..] if i16::from_be_bytes([a, b]) >= 0 => Some(EndTxnMarker {
                committed,
                coordinator_epoch: i32::from_be_bytes([c, d, e, f]),
            }),
            _ => None,
        }
    }

    /// The marker's batch, for the leader to append.
    pub fn to_batch(
        self,
        timestamp: i64,
        producer_id: i64,
        producer_epoch: i16,
        base_offset: i64,
        leader_epoch: i32,
    ) -> Result<Vec<u8>, BuildError> {
        let kind = if self.committed {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        let options = BatchOptions {
            base_offset,
            leader_epoch,
            producer_id,
            producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        control_batch(timestamp, &[(kind, &[0, 0, a, b, c, d])], &options)
    }
}

/// A batch of control records of any type. `options.control` is set whatever it says.
pub fn control_batch(
    timestamp: i64,
    records: &[(ControlType, &[u8])],
    options: &BatchOptions,
) -> Result<Vec<u8>, BuildError> {
    let mut builder = BatchBuilder::new();
    for (kind, value) in records {
        builder.append(timestamp, Some(&kind.key()), Some(value), &[])?;
    }
    builder.finish(
        &BatchOptions {
            control: true,
            ..*options
        },
        &mut Compressor::new(),
    )
}
