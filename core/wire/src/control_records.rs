//! Bodies of control records, generated from `defs/control_records.def`, and [`ControlRecord`], one of any type.
//!
//! The key of a control record and the batch around it are in `records`.

use crate::codec::{DecodeError, DecodeErrorKind, EncodeError, Reader, put_i16};
use crate::records::ControlType;

include!(concat!(env!("OUT_DIR"), "/control_records.rs"));

/// The body of a control record.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord<'a> {
    /// A producer's transaction was aborted.
    Abort(EndTxnMarker),
    /// A producer's transaction was committed.
    Commit(EndTxnMarker),
    /// A KRaft leader took over.
    LeaderChange(LeaderChangeMessage),
    /// Begins a snapshot.
    SnapshotHeader(SnapshotHeaderRecord),
    /// Ends a snapshot.
    SnapshotFooter(SnapshotFooterRecord),
    /// The `kraft.version` in force.
    KRaftVersion(KRaftVersionRecord),
    /// The voters of the quorum.
    Voters(VotersRecord<'a>),
}

impl<'a> ControlRecord<'a> {
    /// Reads the value of a control record whose key names `kind`. An unknown type is
    /// [`DecodeErrorKind::UnknownRecord`], to be skipped.
    pub fn decode(kind: ControlType, value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(value);
        // Every body begins with its version. A marker's stands in front of its schema; the others have it as a field.
        let version = Reader::new(value).i16()?;
        let record = match kind {
            ControlType::Abort | ControlType::Commit => {
                r.i16()?;
                // A marker of a later version has more fields behind those of this one; Kafka reads what it knows.
                let marker = EndTxnMarker::decode(&mut r, 0)?;
                return Ok(match kind {
                    ControlType::Abort => ControlRecord::Abort(marker),
                    _ => ControlRecord::Commit(marker),
                });
            }
            ControlType::LeaderChange => {
                ControlRecord::LeaderChange(LeaderChangeMessage::decode(&mut r, version)?)
            }
            ControlType::SnapshotHeader => {
                ControlRecord::SnapshotHeader(SnapshotHeaderRecord::decode(&mut r, version)?)
            }
            ControlType::SnapshotFooter => {
                ControlRecord::SnapshotFooter(SnapshotFooterRecord::decode(&mut r, version)?)
            }
            ControlType::KRaftVersion => {
                ControlRecord::KRaftVersion(KRaftVersionRecord::decode(&mut r, version)?)
            }
            ControlType::KRaftVoters => ControlRecord::Voters(VotersRecord::decode(&mut r, version)?),
            ControlType::Unknown(id) => {
                return Err(r.error(DecodeErrorKind::UnknownRecord { id: i64::from(id) }));
            }
        };
        r.finish()?;
        Ok(record)
    }

    /// Appends the value, in the version that its own field `version` names; appends nothing when that fails.
    pub fn encode(&self, w: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            ControlRecord::Abort(marker) | ControlRecord::Commit(marker) => {
                put_i16(w, 0);
                marker.encode(w, 0)
            }
            ControlRecord::LeaderChange(record) => record.encode(w, record.version),
            ControlRecord::SnapshotHeader(record) => record.encode(w, record.version),
            ControlRecord::SnapshotFooter(record) => record.encode(w, record.version),
            ControlRecord::KRaftVersion(record) => record.encode(w, record.version),
            ControlRecord::Voters(record) => record.encode(w, record.version),
        }
    }

    /// The type that the record's key names.
    pub fn kind(&self) -> ControlType {
        match self {
            ControlRecord::Abort(_) => ControlType::Abort,
            ControlRecord::Commit(_) => ControlType::Commit,
            ControlRecord::LeaderChange(_) => ControlType::LeaderChange,
            ControlRecord::SnapshotHeader(_) => ControlType::SnapshotHeader,
            ControlRecord::SnapshotFooter(_) => ControlType::SnapshotFooter,
            ControlRecord::KRaftVersion(_) => ControlType::KRaftVersion,
            ControlRecord::Voters(_) => ControlType::KRaftVoters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testgen::Seed;

    fn all(seed: &mut Seed) -> Vec<ControlRecord<'static>> {
        let voters = VotersRecord {
            version: 0,
            ..VotersRecord::arbitrary(seed, 0)
        };
        vec![
            ControlRecord::Abort(EndTxnMarker::arbitrary(seed, 0)),
            ControlRecord::Commit(EndTxnMarker::arbitrary(seed, 0)),
            ControlRecord::LeaderChange(LeaderChangeMessage {
                version: 0,
                ..LeaderChangeMessage::arbitrary(seed, 0)
            }),
            ControlRecord::LeaderChange(LeaderChangeMessage {
                version: 1,
                ..LeaderChangeMessage::arbitrary(seed, 1)
            }),
            ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
                version: 0,
                last_contained_log_timestamp: 5,
            }),
            ControlRecord::SnapshotFooter(SnapshotFooterRecord::default()),
            ControlRecord::KRaftVersion(KRaftVersionRecord {
                version: 0,
                k_raft_version: 1,
            }),
            ControlRecord::Voters(voters),
        ]
    }

    #[test]
    fn every_type_round_trips() {
        for number in 0..50 {
            for record in all(&mut Seed::new(number)) {
                let mut w = Vec::new();
                record.encode(&mut w).unwrap();
                assert_eq!(ControlRecord::decode(record.kind(), &w), Ok(record));
            }
        }
    }

    #[test]
    fn an_unknown_type_says_so() {
        let error = ControlRecord::decode(ControlType::Unknown(77), &[0, 0]).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::UnknownRecord { id: 77 });
    }
}
