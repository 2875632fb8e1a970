//! `<offset>.snapshot`: the producer table as of an offset. Version 1 (int16), CRC-32C of what follows (uint32), count
//! (int32), entries of 46 bytes (`ProducerStateManager`, Kafka's schema `ProducerSnapshot`).

use super::bytes_at;
use ottla_types::{Offset, ProducerEpoch, ProducerId};
use std::fmt;

/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 46;
/// Bytes before the first entry.
pub const HEADER_SIZE: usize = 10;
const VERSION: i16 = 1;

/// One producer. Order and content are those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its current epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the last record of its last batch; −1 when no batch is remembered.
    pub last_sequence: i32,
    /// Offset of the last record of its last batch; −1 when no batch is remembered.
    pub last_offset: Offset,
    /// Last minus first offset of its last batch.
    pub offset_delta: i32,
    /// Timestamp of its last batch or marker.
    pub timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker; −1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction; −1 for none.
    pub current_txn_first_offset: Offset,
}

/// A snapshot that cannot be read. It is deleted and the next older one used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorruptSnapshot {
    /// A version this release does not know.
    Version(i16),
    /// The checksum is not that of the content.
    Crc {
        /// In the file.
        stored: u32,
        /// Of the content.
        computed: u32,
    },
    /// The length does not match the count.
    Length(usize),
    /// A producer occurs twice.
    Producer(ProducerId),
    /// Two transactions begin at one offset, or one begins above the snapshot's.
    Transaction {
        /// Where.
        first_offset: Offset,
    },
}

impl fmt::Display for CorruptSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "producer snapshot of unknown version {version}"),
            Self::Crc { stored, computed } => {
                write!(
                    f,
                    "producer snapshot is corrupt: stored CRC {stored:#010x}, computed {computed:#010x}"
                )
            }
            Self::Producer(id) => write!(f, "producer snapshot names producer {id} twice"),
            Self::Transaction { first_offset } => {
                write!(
                    f,
                    "producer snapshot has an impossible transaction from offset {first_offset}"
                )
            }
            Self::Length(length) => write!(
                f,
                "producer snapshot of {length} bytes does not hold what it announces"
            ),
        }
    }
}

impl std::error::Error for CorruptSnapshot {}

/// The file's bytes.
pub fn encode(entries: impl ExactSizeIterator<Item = SnapshotEntry>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_SIZE + entries.len() * ENTRY_SIZE);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entries.len() as i32).to_be_bytes());
    for e in entries {
        out.extend_from_slice(&e.producer_id.to_be_bytes());
        out.extend_from_slice(&e.producer_epoch.to_be_bytes());
        out.extend_from_slice(&e.last_sequence.to_be_bytes());
        out.extend_from_slice(&e.last_offset.to_be_bytes());
        out.extend_from_slice(&e.offset_delta.to_be_bytes());
        out.extend_from_slice(&e.timestamp.to_be_bytes());
        out.extend_from_slice(&e.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&e.current_txn_first_offset.to_be_bytes());
    }
    let crc = crc32c::crc32c(&out[6..]);
    out[2..6].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The file's entries, in the file's order.
pub fn decode(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, CorruptSnapshot> {
    let length = || CorruptSnapshot::Length(bytes.len());
    let version = bytes_at(bytes, 0).map(i16::from_be_bytes).ok_or_else(length)?;
    if version != VERSION {
        return Err(CorruptSnapshot::Version(version));
    }
    let stored = bytes_at(bytes, 2).map(u32::from_be_bytes).ok_or_else(length)?;
    let computed = crc32c::crc32c(bytes.get(6..).unwrap_or_default());
    if stored != computed {
        return Err(CorruptSnapshot::Crc { stored, computed });
    }
    let count = bytes_at(bytes, 6).map(i32::from_be_bytes).ok_or_else(length)?;
    let body = bytes.get(HEADER_SIZE..).ok_or_else(length)?;
    let expected = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(ENTRY_SIZE));
    if expected != Some(body.len()) {
        return Err(length());
    }
    body.chunks_exact(ENTRY_SIZE)
        .map(|chunk| decode_entry(chunk).ok_or_else(length))
        .collect()
}

fn decode_entry(chunk: &[u8]) -> Option<SnapshotEntry> {
    Some(SnapshotEntry {
        producer_id: i64::from_be_bytes(bytes_at(chunk, 0)?),
        producer_epoch: i16::from_be_bytes(bytes_at(chunk, 8)?),
        last_sequence: i32::from_be_bytes(bytes_at(chunk, 10)?),
        last_offset: i64::from_be_bytes(bytes_at(chunk, 14)?),
        offset_delta: i32::from_be_bytes(bytes_at(chunk, 22)?),
        timestamp: i64::from_be_bytes(bytes_at(chunk, 26)?),
        coordinator_epoch: i32::from_be_bytes(bytes_at(chunk, 34)?),
        current_txn_first_offset: i64::from_be_bytes(bytes_at(chunk, 38)?),
    })
}
