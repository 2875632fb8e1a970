//! Metadata records as the values of a log's records: which version of each is written at which `metadata.version`, and
//! [`Records`], what the controller hands out. Fields and framing are in `ottla_wire::metadata_records`.

use ottla_wire::EncodeError;
use ottla_wire::metadata_records::{BrokerRegistrationChangeRecord, MetadataRecord, encode_record};

pub use ottla_wire::metadata_records::decode_record as decode;

/// No operation of a user may write more records than this (Kafka class `QuorumController`, `MAX_RECORDS_PER_USER_OP`).
pub const MAX_RECORDS_PER_USER_OP: usize = 10_000;

/// The `metadata.version` since which a registration can say that a broker is about to stop (3.4-IV0).
pub const CONTROLLED_SHUTDOWN_SINCE: i16 = 8;
/// The `metadata.version` since which a batch of records may be a transaction (3.6-IV1, KIP-868).
pub const TRANSACTIONS_SINCE: i16 = 13;
/// The `metadata.version` since which controllers register (3.7-IV0, KIP-919).
pub const CONTROLLERS_SINCE: i16 = 15;
/// The `metadata.version` since which the log directories of brokers and replicas are known (3.7-IV2, KIP-858).
pub const DIRECTORIES_SINCE: i16 = 17;
/// The `metadata.version` since which eligible leader replicas may be written (4.0-IV1, KIP-966).
pub const ELR_SINCE: i16 = 23;
/// The `metadata.version` since which directories may be cordoned (4.3-IV0, KIP-1066).
pub const CORDONING_SINCE: i16 = 30;

/// Appends `record` with its frame, in the version that `metadata_version` calls for.
pub fn encode(
    record: &MetadataRecord<'_>,
    metadata_version: i16,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_record(out, record, version_at(record, metadata_version))
}

/// The version of a record that a controller writes at a `metadata.version` (Kafka enum `MetadataVersion`).
fn version_at(record: &MetadataRecord<'_>, level: i16) -> i16 {
    match record {
        MetadataRecord::RegisterBroker(_) => match level {
            CORDONING_SINCE.. => 4,
            DIRECTORIES_SINCE.. => 3,
            CONTROLLED_SHUTDOWN_SINCE.. => 2,
            _ => 1,
        },
        MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => match level {
            ELR_SINCE.. => 2,
            DIRECTORIES_SINCE.. => 1,
            _ => 0,
        },
        MetadataRecord::BrokerRegistrationChange(change) => change_version(change),
        // Every other record of Kafka 4.3 has one version.
        _ => record.versions().1,
    }
}

/// Kafka writes this record in the lowest version that can hold it, whatever the `metadata.version`.
fn change_version(change: &BrokerRegistrationChangeRecord) -> i16 {
    if change.cordoned_log_dirs.is_some() {
        3
    } else if !change.log_dirs.is_empty() {
        2
    } else {
        i16::from(change.in_controlled_shutdown != 0)
    }
}

/// Why a record was not taken by [`Records::push`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushError {
    /// The operation is larger than [`MAX_RECORDS_PER_USER_OP`].
    TooMany,
    /// The record cannot be written.
    Encode(EncodeError),
}

/// Records to append to `__cluster_metadata` as one batch, encoded, in order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Records {
    metadata_version: i16,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
    limit: usize,
}

impl Records {
    /// No records yet; to be written at `metadata_version`, and no more than a user's operation may write.
    pub fn new(metadata_version: i16) -> Self {
        Records {
            metadata_version,
            bytes: Vec::new(),
            ends: Vec::new(),
            limit: MAX_RECORDS_PER_USER_OP,
        }
    }

    /// As [`Records::new`], for what the cluster itself does: a fenced broker may lead more partitions than that.
    pub fn unbounded(metadata_version: i16) -> Self {
        Records {
            limit: usize::MAX,
            ..Records::new(metadata_version)
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &MetadataRecord<'_>) -> Result<(), PushError> {
        if self.ends.len() >= self.limit {
            return Err(PushError::TooMany);
        }
        encode(record, self.metadata_version, &mut self.bytes).map_err(PushError::Encode)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: &Records) -> Result<(), PushError> {
        if self.ends.len().saturating_add(other.ends.len()) > self.limit {
            return Err(PushError::TooMany);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| start + end));
        Ok(())
    }

    /// Forgets the records after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.ends.len() {
            self.ends.truncate(len);
            self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The records' values, ready to stand in a record batch.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends
            .iter()
            .zip(starts)
            .map(|(end, start)| &self.bytes[start..*end])
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(decode)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::metadata_records::{ConfigRecord, NoOpRecord};

    fn config(value: &str) -> MetadataRecord<'_> {
        MetadataRecord::Config(ConfigRecord {
            resource_type: 4,
            resource_name: "",
            name: "min.insync.replicas",
            value: Some(value),
        })
    }

    #[test]
    fn the_frame_is_kafkas() {
        let mut records = Records::new(30);
        records.push(&config("1")).unwrap();
        // As a Kafka 4.3.1 controller wrote it at its first activation.
        let expected = b"\x01\x04\x00\x04\x01\x14min.insync.replicas\x02\x31\x00";
        assert_eq!(records.iter().collect::<Vec<_>>(), [&expected[..]]);
        assert_eq!(decode(expected).unwrap(), config("1"));
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for bytes in [
            &b""[..],
            b"\x00\x14\x00\x00",
            b"\x01\x63\x00\x00",
            b"\x01\x14\x09\x00",
            b"\x01\x14\x00\x00\x00",
        ] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(decode(b"\x01\x14\x00\x00").is_ok());
    }

    #[test]
    fn a_user_may_not_write_more_than_the_limit() {
        let mut records = Records::new(30);
        let no_op = MetadataRecord::NoOp(NoOpRecord {});
        for _ in 0..MAX_RECORDS_PER_USER_OP {
            records.push(&no_op).unwrap();
        }
        assert_eq!(records.push(&no_op), Err(PushError::TooMany));
        records.truncate(2);
        assert_eq!((records.len(), records.iter().map(<[u8]>::len).sum()), (2, 8));
        records.push(&config("7")).unwrap();
        assert_eq!(records.iter().last().map(decode), Some(Ok(config("7"))));
    }
}
