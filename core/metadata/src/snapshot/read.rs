//! Reading a snapshot's bytes. They come from a disk, and may come from another Kafka's: whatever they hold, this ends with a
//! snapshot or with the reason why there is none, and takes memory in proportion to them.

use crate::quorum::Quorum;
use ottla_types::Violation;
use ottla_wire::DecodeError;
use ottla_wire::control_records::ControlRecord;
use ottla_wire::records::{BatchError, BatchRef, Batches, ControlType, Decompressor, RecordError};

/// A snapshot that was read whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The append time of the last record that it contains, in ms.
    pub last_contained_timestamp: i64,
    /// What the log said of the quorum there.
    pub quorum: Quorum,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

/// Why bytes are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// It does not begin with a header.
    NoHeader,
    /// It does not end with a footer: whoever wrote it did not come to the end.
    NoFooter,
    /// Something follows its footer, or a second header its first.
    Misplaced(ControlType),
    /// A batch is damaged.
    Batch(BatchError),
    /// A record is damaged.
    Record(RecordError),
    /// A control record can't be read.
    Control(DecodeError),
    /// What it says of the quorum is not known.
    Quorum(Violation),
    /// Its records are so much larger than its bytes that nobody can have meant it.
    TooLarge,
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::NoHeader => f.write_str("it has no header"),
            SnapshotError::NoFooter => f.write_str("it has no footer, so its end is missing"),
            SnapshotError::Misplaced(kind) => write!(f, "{kind:?} stands where it can't"),
            SnapshotError::Batch(error) => error.fmt(f),
            SnapshotError::Record(error) => error.fmt(f),
            SnapshotError::Control(error) => error.fmt(f),
            SnapshotError::Quorum(error) => error.fmt(f),
            SnapshotError::TooLarge => f.write_str("its records are compressed beyond what is taken"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Kafka compresses no snapshot. One that is compressed is read, but not one that blows up: no more bytes than this, or than this many
/// times its own.
const MOST: (usize, usize) = (64 << 20, 16);

#[derive(PartialEq)]
enum At {
    Begin,
    Within,
    End,
}

impl Snapshot {
    /// Reads a whole file, each batch's CRC too.
    pub fn read(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let mut snapshot = Snapshot::default();
        let (mut at, mut decompressor) = (At::Begin, Decompressor::default());
        for batch in Batches::new(bytes) {
            let batch = batch.map_err(|error| match (&at, error) {
                // A file that was cut is one that was not written to its end.
                (At::Begin, _) => SnapshotError::NoHeader,
                (_, BatchError::Truncated { .. }) => SnapshotError::NoFooter,
                (_, error) => SnapshotError::Batch(error),
            })?;
            batch.verify_crc().map_err(SnapshotError::Batch)?;
            snapshot.take(&batch, &mut at, &mut decompressor)?;
            if snapshot.bytes.len() > MOST.0.max(bytes.len().saturating_mul(MOST.1)) {
                return Err(SnapshotError::TooLarge);
            }
        }
        match at {
            At::Begin => Err(SnapshotError::NoHeader),
            At::Within => Err(SnapshotError::NoFooter),
            At::End => Ok(snapshot),
        }
    }

    /// The append time of the last record that a snapshot contains, from the begin of its file alone; `None` when there is no header.
    pub fn read_timestamp(begin: &[u8]) -> Option<i64> {
        let batch = BatchRef::first(begin).ok()?;
        batch.verify_crc().ok()?;
        let record = batch.records().next()?.ok()?;
        let kind = ControlType::from_key(record.key?)?;
        match ControlRecord::decode(kind, record.value?).ok()? {
            ControlRecord::SnapshotHeader(header) => Some(header.last_contained_log_timestamp),
            _ => None,
        }
    }

    fn take(
        &mut self,
        batch: &BatchRef<'_>,
        at: &mut At,
        decompressor: &mut Decompressor,
    ) -> Result<(), SnapshotError> {
        let control = batch.header().attributes.is_control();
        let mut records = batch.records_with(decompressor).map_err(SnapshotError::Record)?;
        while let Some(record) = records.next_record() {
            let record = record.map_err(SnapshotError::Record)?;
            let value = record.value.unwrap_or_default();
            if control {
                let kind = ControlType::from_key(record.key.unwrap_or_default());
                self.control(kind.unwrap_or(ControlType::Unknown(-1)), value, at)?;
            } else if *at == At::Within {
                self.bytes.extend_from_slice(value);
                self.ends.push(self.bytes.len());
            } else if *at == At::Begin {
                return Err(SnapshotError::NoHeader);
            } else {
                return Err(SnapshotError::Misplaced(ControlType::SnapshotFooter));
            }
        }
        Ok(())
    }

    fn control(&mut self, kind: ControlType, value: &[u8], at: &mut At) -> Result<(), SnapshotError> {
        match (kind, &at) {
            (ControlType::SnapshotHeader, At::Begin) => {
                let record = ControlRecord::decode(kind, value).map_err(SnapshotError::Control)?;
                if let ControlRecord::SnapshotHeader(header) = record {
                    self.last_contained_timestamp = header.last_contained_log_timestamp;
                }
                *at = At::Within;
            }
            (_, At::Begin) => return Err(SnapshotError::NoHeader),
            (ControlType::SnapshotHeader, _) | (_, At::End) => return Err(SnapshotError::Misplaced(kind)),
            (ControlType::SnapshotFooter, At::Within) => {
                ControlRecord::decode(kind, value).map_err(SnapshotError::Control)?;
                *at = At::End;
            }
            (_, At::Within) => self.quorum.replay(kind, value).map_err(SnapshotError::Quorum)?,
        }
        Ok(())
    }

    /// The image's records, in order.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends
            .iter()
            .zip(starts)
            .map(|(end, start)| &self.bytes[start..*end])
    }

    /// How many records of the image it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none, as the one that `kafka-storage format --standalone` leaves.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
