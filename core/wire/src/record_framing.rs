//! The few bytes in front of a record's body that say what it is.
//!
//! Metadata records (KIP-631, `AbstractApiMessageSerde`): a frame version, always 1, the record type and its version, as
//! varints. Coordinator records (`CoordinatorRecordSerde`): an int16 in front of the key, the record type, and an int16 in
//! front of the value, its version. The functions for each log are beside its records.

use crate::codec::{DecodeError, DecodeErrorKind, Reader, put_uvarint};

const FRAME_VERSION: u32 = 1;

/// Reads type and version of a metadata record.
pub(crate) fn read_metadata_frame(r: &mut Reader<'_>) -> Result<(i64, i16), DecodeError> {
    let frame = r.uvarint()?;
    if frame != FRAME_VERSION {
        return Err(r.error(DecodeErrorKind::UnsupportedFrameVersion { version: frame }));
    }
    let id = i64::from(r.uvarint()?);
    let version = r.uvarint()?;
    match i16::try_from(version) {
        Ok(version) => Ok((id, version)),
        Err(_) => Err(r.error(DecodeErrorKind::InvalidLength {
            field: "version",
            length: version.into(),
        })),
    }
}

/// Appends type and version of a metadata record.
pub(crate) fn put_metadata_frame(w: &mut Vec<u8>, id: i16, version: i16) {
    put_uvarint(w, FRAME_VERSION);
    put_uvarint(w, id as u32);
    put_uvarint(w, version as u32);
}

/// `decode_record` and `encode_record` for a log of metadata records.
macro_rules! metadata_framing {
    ($record:ident) => {
        /// Reads one record with its frame; bytes after it are an error, as they are for Kafka.
        pub fn decode_record(bytes: &[u8]) -> Result<$record<'_>, crate::codec::DecodeError> {
            decode_versioned_record(bytes).map(|(record, _)| record)
        }

        /// Reads one record with its frame, and says in which version it was written.
        pub fn decode_versioned_record(
            bytes: &[u8],
        ) -> Result<($record<'_>, i16), crate::codec::DecodeError> {
            let mut r = crate::codec::Reader::new(bytes);
            let (id, version) = crate::record_framing::read_metadata_frame(&mut r)?;
            let record = $record::decode(&mut r, id, version)?;
            r.finish()?;
            Ok((record, version))
        }

        /// Appends one record with its frame; appends nothing when that fails.
        pub fn encode_record(
            w: &mut Vec<u8>,
            record: &$record<'_>,
            version: i16,
        ) -> Result<(), crate::codec::EncodeError> {
            let start = w.len();
            crate::record_framing::put_metadata_frame(w, record.id(), version);
            let result = record.encode(w, version);
            if result.is_err() {
                w.truncate(start);
            }
            result
        }
    };
}

/// `decode_key` and its companions for a coordinator's log.
macro_rules! coordinator_framing {
    ($key:ident, $value:ident $(<$life:lifetime>)?) => {
        /// Reads the key of a record. An unknown type is [`crate::DecodeErrorKind::UnknownRecord`]: a newer coordinator wrote
        /// it, and Kafka skips it.
        pub fn decode_key(bytes: &[u8]) -> Result<$key<'_>, crate::codec::DecodeError> {
            let mut r = crate::codec::Reader::new(bytes);
            let id = r.i16()?;
            let key = $key::decode(&mut r, i64::from(id), 0)?;
            r.finish()?;
            Ok(key)
        }

        /// Reads the value of a record whose key has this type (`key.id()`).
        pub fn decode_value(id: i16, bytes: &[u8]) -> Result<$value<$($life)?>, crate::codec::DecodeError> {
            let mut r = crate::codec::Reader::new(bytes);
            let version = r.i16()?;
            let value = $value::decode(&mut r, i64::from(id), version)?;
            r.finish()?;
            Ok(value)
        }

        /// Appends the key of a record; appends nothing when that fails.
        pub fn encode_key(w: &mut Vec<u8>, key: &$key<'_>) -> Result<(), crate::codec::EncodeError> {
            prefixed(w, key.id(), |w| key.encode(w, 0))
        }

        /// Appends the value of a record in one of its versions; appends nothing when that fails.
        pub fn encode_value(
            w: &mut Vec<u8>,
            value: &$value<$($life)?>,
            version: i16,
        ) -> Result<(), crate::codec::EncodeError> {
            prefixed(w, version, |w| value.encode(w, version))
        }

        fn prefixed(
            w: &mut Vec<u8>,
            prefix: i16,
            body: impl FnOnce(&mut Vec<u8>) -> Result<(), crate::codec::EncodeError>,
        ) -> Result<(), crate::codec::EncodeError> {
            let start = w.len();
            crate::codec::put_i16(w, prefix);
            let result = body(w);
            if result.is_err() {
                w.truncate(start);
            }
            result
        }
    };
}

pub(crate) use {coordinator_framing, metadata_framing};

#[cfg(test)]
mod tests {
    use crate::codec::{DecodeErrorKind, EncodeError};
    use crate::group_records::{self, GroupRecordKey, GroupRecordValue, OffsetCommitKey, OffsetCommitValue};
    use crate::metadata_records::{self, FeatureLevelRecord, MetadataRecord, NoOpRecord, PartitionRecord};

    #[test]
    fn a_metadata_record_begins_with_frame_type_and_version() {
        let record = MetadataRecord::FeatureLevel(FeatureLevelRecord {
            name: "metadata.version",
            feature_level: 30,
        });
        let mut w = Vec::new();
        metadata_records::encode_record(&mut w, &record, 0).unwrap();
        assert_eq!(w, *b"\x01\x0c\x00\x11metadata.version\x00\x1e\x00");
        assert_eq!(metadata_records::decode_versioned_record(&w), Ok((record, 0)));
    }

    #[test]
    fn damaged_metadata_frames_are_told_apart() {
        let kind = |bytes: &[u8]| metadata_records::decode_record(bytes).unwrap_err().kind;
        assert_eq!(
            kind(&[0, 20, 0, 0]),
            DecodeErrorKind::UnsupportedFrameVersion { version: 0 }
        );
        assert_eq!(kind(&[1, 99, 0, 0]), DecodeErrorKind::UnknownRecord { id: 99 });
        assert_eq!(
            kind(&[1, 20, 1, 0]),
            DecodeErrorKind::UnsupportedVersion {
                message: "NoOpRecord",
                version: 1
            }
        );
        assert_eq!(
            kind(&[1, 20, 0, 0, 7]),
            DecodeErrorKind::TrailingBytes { count: 1 }
        );
        assert_eq!(kind(&[1, 20]), DecodeErrorKind::Truncated { needed: 1, left: 0 });
        assert_eq!(kind(&[]), DecodeErrorKind::Truncated { needed: 1, left: 0 });
        assert_eq!(
            metadata_records::decode_record(&[1, 20, 0, 0]),
            Ok(MetadataRecord::NoOp(NoOpRecord::default()))
        );
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_nothing() {
        let record = MetadataRecord::Partition(PartitionRecord {
            directories: vec![ottla_types::Uuid::METADATA_TOPIC],
            ..Default::default()
        });
        let mut w = Vec::new();
        let error = metadata_records::encode_record(&mut w, &record, 0).unwrap_err();
        assert_eq!(
            error,
            EncodeError::FieldNotInVersion {
                field: "Directories",
                version: 0
            }
        );
        assert!(w.is_empty());
    }

    #[test]
    fn coordinator_keys_and_values_begin_with_type_and_version() {
        let key = GroupRecordKey::OffsetCommit(OffsetCommitKey {
            group: "g",
            topic: "t",
            partition: 3,
        });
        let mut w = Vec::new();
        group_records::encode_key(&mut w, &key).unwrap();
        assert_eq!(w, *b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03");
        assert_eq!(group_records::decode_key(&w), Ok(key.clone()));

        let value = GroupRecordValue::OffsetCommit(OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "m",
            commit_timestamp: 9,
            ..Default::default()
        });
        let mut w = Vec::new();
        group_records::encode_value(&mut w, &value, 3).unwrap();
        assert_eq!(
            w,
            *b"\x00\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\0\x01m\0\0\0\0\0\0\0\x09"
        );
        assert_eq!(group_records::decode_value(key.id(), &w), Ok(value));
    }

    #[test]
    fn unknown_coordinator_types_and_versions_are_told_apart() {
        let unknown = group_records::decode_key(&[0, 99]).unwrap_err().kind;
        assert_eq!(unknown, DecodeErrorKind::UnknownRecord { id: 99 });
        let newer = group_records::decode_value(1, &[0, 9]).unwrap_err().kind;
        assert_eq!(
            newer,
            DecodeErrorKind::UnsupportedVersion {
                message: "OffsetCommitValue",
                version: 9
            }
        );
    }
}
