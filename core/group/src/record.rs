//! Records of `__consumer_offsets` as Kafka 4.3 writes and reads them (Kafka class `GroupCoordinatorRecordHelpers`).

use crate::api::Protocol;
use crate::group::{Group, Member};
use crate::offsets::{CommittedOffset, OffsetKey};
use ottla_types::{Time, TopicPartition};
use ottla_wire::group_records::group_metadata_value::MemberMetadata;
use ottla_wire::group_records::{
    GroupMetadataKey, GroupMetadataValue, GroupRecordKey, GroupRecordValue, OffsetCommitKey,
    OffsetCommitValue, decode_key, decode_value, encode_key, encode_value,
};
use ottla_wire::{DecodeError, DecodeErrorKind, EncodeError};
use std::collections::BTreeMap;

/// A record to append; without a value, a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// The key, with its type in front.
    pub key: Vec<u8>,
    /// The value, with its version in front.
    pub value: Option<Vec<u8>>,
}

/// A record that cannot be replayed: the partition must not be served from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The key or the value is damaged, or of a version that is not known.
    Decode(DecodeError),
    /// The partition is being served; records are replayed before that.
    NotLoading,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Decode(error) => write!(
                f,
                "a record of __consumer_offsets cannot be read ({error}); restore the partition from another replica"
            ),
            LoadError::NotLoading => write!(
                f,
                "the partition is loaded already; unload it before it is replayed"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<DecodeError> for LoadError {
    fn from(error: DecodeError) -> Self {
        LoadError::Decode(error)
    }
}

const NOTHING: &[u8] = &[];

/// What a record says.
pub(crate) enum Replayed {
    Offset(OffsetKey, Option<CommittedOffset>),
    Group(String, Option<Box<Group>>),
    /// A record of another kind of group, or of a newer coordinator.
    Foreign,
}

fn record(
    key: GroupRecordKey<'_>,
    value: Option<(GroupRecordValue<'_>, i16)>,
) -> Result<Record, EncodeError> {
    let mut bytes = Vec::new();
    encode_key(&mut bytes, &key)?;
    let value = match value {
        None => None,
        Some((value, version)) => {
            let mut bytes = Vec::new();
            encode_value(&mut bytes, &value, version)?;
            Some(bytes)
        }
    };
    Ok(Record { key: bytes, value })
}

pub(crate) fn offset_record(
    key: &OffsetKey,
    offset: Option<&CommittedOffset>,
) -> Result<Record, EncodeError> {
    let wire_key = GroupRecordKey::OffsetCommit(OffsetCommitKey {
        group: &key.group,
        topic: &key.partition.topic,
        partition: key.partition.partition,
    });
    let value = offset.map(|o| {
        let value = OffsetCommitValue {
            offset: o.offset,
            leader_epoch: o.leader_epoch,
            metadata: &o.metadata,
            commit_timestamp: o.commit_timestamp,
            expire_timestamp: o.expire_timestamp.unwrap_or(-1),
            topic_id: o.topic_id,
        };
        // Version 1 alone has a time to expire at.
        let version = if o.expire_timestamp.is_some() { 1 } else { 4 };
        (GroupRecordValue::OffsetCommit(value), version)
    });
    record(wire_key, value)
}

pub(crate) fn group_tombstone(group: &str) -> Result<Record, EncodeError> {
    record(GroupRecordKey::GroupMetadata(GroupMetadataKey { group }), None)
}

/// The record of a group that has just come to be: nothing but its name.
pub(crate) fn new_group_record(group: &Group) -> Result<Record, EncodeError> {
    let value = GroupMetadataValue {
        protocol_type: "",
        generation: 0,
        protocol: None,
        leader: None,
        current_state_timestamp: group.state_since.map_or(-1, Time::as_millis),
        members: Vec::new(),
    };
    let key = GroupRecordKey::GroupMetadata(GroupMetadataKey { group: &group.id });
    record(key, Some((GroupRecordValue::GroupMetadata(value), 3)))
}

/// The record of a group and its members, with these assignments; who has none is assigned nothing.
pub(crate) fn group_record(
    group: &Group,
    assignment: &BTreeMap<String, Vec<u8>>,
) -> Result<Record, EncodeError> {
    let protocol = group.protocol_name.as_deref();
    let members = group.members.values().map(|member| MemberMetadata {
        member_id: &member.id,
        group_instance_id: member.instance.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: protocol.map_or(NOTHING, |name| member.metadata(name)),
        assignment: assignment.get(&member.id).map_or(NOTHING, Vec::as_slice),
    });
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.as_deref().unwrap_or(""),
        generation: group.generation,
        protocol,
        leader: group.leader.as_deref(),
        current_state_timestamp: group.state_since.map_or(-1, Time::as_millis),
        members: members.collect(),
    };
    let key = GroupRecordKey::GroupMetadata(GroupMetadataKey { group: &group.id });
    record(key, Some((GroupRecordValue::GroupMetadata(value), 3)))
}

/// Reads a record. What a newer coordinator wrote is passed over, as by Kafka.
pub(crate) fn read(key: &[u8], value: Option<&[u8]>) -> Result<Replayed, DecodeError> {
    let key = match decode_key(key) {
        Ok(key) => key,
        Err(error) if matches!(error.kind, DecodeErrorKind::UnknownRecord { .. }) => {
            return Ok(Replayed::Foreign);
        }
        Err(error) => return Err(error),
    };
    let value = match &key {
        GroupRecordKey::LegacyOffsetCommit(_)
        | GroupRecordKey::OffsetCommit(_)
        | GroupRecordKey::GroupMetadata(_) => value.map(|bytes| decode_value(key.id(), bytes)).transpose()?,
        _ => return Ok(Replayed::Foreign),
    };
    Ok(match (key, value) {
        (GroupRecordKey::OffsetCommit(key), value) => {
            let offset = match value {
                Some(GroupRecordValue::OffsetCommit(value)) => Some(offset_of(&value)),
                _ => None,
            };
            Replayed::Offset(offset_key(key.group, key.topic, key.partition), offset)
        }
        (GroupRecordKey::LegacyOffsetCommit(key), value) => {
            let offset = match value {
                Some(GroupRecordValue::LegacyOffsetCommit(value)) => Some(CommittedOffset {
                    offset: value.offset,
                    metadata: value.metadata.to_owned(),
                    commit_timestamp: value.commit_timestamp,
                    ..CommittedOffset::default()
                }),
                _ => None,
            };
            Replayed::Offset(offset_key(key.group, key.topic, key.partition), offset)
        }
        (GroupRecordKey::GroupMetadata(key), Some(GroupRecordValue::GroupMetadata(value))) => {
            Replayed::Group(key.group.to_owned(), Some(Box::new(group_of(key.group, &value))))
        }
        (GroupRecordKey::GroupMetadata(key), _) => Replayed::Group(key.group.to_owned(), None),
        _ => Replayed::Foreign,
    })
}

fn offset_key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey {
        group: group.to_owned(),
        partition: TopicPartition::new(topic, partition),
    }
}

fn offset_of(value: &OffsetCommitValue<'_>) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.to_owned(),
        commit_timestamp: value.commit_timestamp,
        expire_timestamp: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
        topic_id: value.topic_id,
    }
}

fn group_of(id: &str, value: &GroupMetadataValue<'_>) -> Group {
    let mut group = Group::new(id, None);
    group.generation = value.generation;
    group.protocol_type = (!value.protocol_type.is_empty()).then(|| value.protocol_type.to_owned());
    group.protocol_name = value.protocol.map(str::to_owned);
    group.leader = value.leader.map(str::to_owned);
    group.state_since = u64::try_from(value.current_state_timestamp).ok().map(Time);
    group.recorded = true;
    for m in &value.members {
        let protocol = Protocol {
            name: value.protocol.unwrap_or_default().to_owned(),
            metadata: m.subscription.to_owned(),
        };
        group.put_loaded(Member {
            id: m.member_id.to_owned(),
            instance: m.group_instance_id.map(str::to_owned),
            client_id: m.client_id.to_owned(),
            client_host: m.client_host.to_owned(),
            // Older records have none.
            rebalance_timeout_ms: match m.rebalance_timeout {
                -1 => m.session_timeout,
                timeout => timeout,
            },
            session_timeout_ms: m.session_timeout,
            protocols: vec![protocol],
            assignment: m.assignment.to_owned(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        });
    }
    group.finish_loading();
    group
}
