//! What goes into the coordinator and what it orders: requests and answers, typed and free of versions.

use crate::group::GroupState;
use crate::record::Record;
use ottla_types::{ErrorCode, Time, TopicPartition, Uuid};

/// Names a request; the caller's to choose, and to be answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names an append; they ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// The time of a step. Sessions run by the monotonic clock, so that a jump of the wall clock expires nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds of the monotonic clock.
    pub mono: u64,
    /// The wall clock, for timestamps in records and retention.
    pub wall: Time,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Input {
    /// The log has been replayed (see `Groups::replay`): begin to serve.
    Loaded,
    /// A request.
    Request(RequestId, Request),
    /// [`crate::Groups::deadline`] has passed.
    Tick,
    /// The records of an append are replicated. Appends are acknowledged in their order, as the high watermark moves.
    Written(WriteId),
    /// An append was refused: its records are not in the log and never will be. Where that is not sure, the partition is
    /// to be unloaded.
    Failed(WriteId, ErrorCode),
    /// Topics were deleted, by name and id; their offsets go, unless they were committed for another topic of the name.
    TopicsDeleted(Vec<(String, Uuid)>),
    /// This broker leads the partition no longer.
    Unload,
}

/// An order to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// The answer to a request.
    Reply(RequestId, Reply),
    /// Append these records to the partition as one batch, and say [`Input::Written`] or [`Input::Failed`].
    Append(WriteId, Vec<Record>),
}

/// A request to the coordinator of its group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// JoinGroup.
    Join(Box<Join>),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Identity),
    /// LeaveGroup.
    Leave(Leave),
    /// OffsetCommit.
    OffsetCommit(OffsetCommit),
    /// OffsetFetch, of one group.
    OffsetFetch(OffsetFetch),
    /// OffsetDelete: the group, and what to delete.
    OffsetDelete(String, Vec<TopicPartition>),
    /// DeleteGroups.
    DeleteGroups(Vec<String>),
    /// ListGroups.
    ListGroups(ListFilter),
    /// DescribeGroups.
    DescribeGroups(Vec<String>),
}

/// Who sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// `group.id`.
    pub group: String,
    /// Empty for a member that has no id yet.
    pub member: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance: Option<String>,
    /// -1 for none.
    pub generation: i32,
}

/// One of a member's protocols (assignors), with what it says for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// A consumer's subscription, opaque to all but the expiry of offsets.
    pub metadata: Vec<u8>,
}

/// JoinGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Join {
    /// Who; the generation is not looked at.
    pub who: Identity,
    /// From the request header.
    pub client_id: String,
    /// The peer's address, as Kafka writes it (`/127.0.0.1`).
    pub client_host: String,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`; version 0 has none and means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// A dynamic member without an id is told to come again with one (KIP-394: version 4 and later).
    pub requires_known_member_id: bool,
    /// The answer may say that the leader need not assign (KIP-814: version 9).
    pub supports_skip_assignment: bool,
    /// 128 random bits, for a new member's id.
    pub random: u128,
}

/// SyncGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sync {
    /// Who.
    pub who: Identity,
    /// What the member takes the protocol type for (KIP-559).
    pub protocol_type: Option<String>,
    /// What the member takes the protocol for (KIP-559).
    pub protocol_name: Option<String>,
    /// From the leader: each member's assignment.
    pub assignments: Vec<(String, Vec<u8>)>,
}

/// LeaveGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leave {
    /// The group.
    pub group: String,
    /// Member id (may be empty) and `group.instance.id` of each that leaves.
    pub members: Vec<(String, Option<String>)>,
}

/// OffsetCommit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetCommit {
    /// Who; a simple consumer has generation -1 and no member id.
    pub who: Identity,
    /// Version 9 and later hear GROUP_ID_NOT_FOUND, earlier ones ILLEGAL_GENERATION.
    pub knows_group_not_found: bool,
    /// `retention_time_ms` of versions 2 to 4.
    pub retention_ms: Option<u64>,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// An offset to commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: String,
    /// Its id, where the request or the broker knows it; zero otherwise.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
    /// The next offset to be consumed.
    pub offset: i64,
    /// Epoch of the last record consumed; -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own.
    pub metadata: String,
}

/// OffsetFetch, of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetFetch {
    /// The group.
    pub group: String,
    /// What to fetch, with the topic's id or zero; `None` for all that the group has committed. What was committed for
    /// another topic of the name is not there (KIP-848).
    pub partitions: Option<Vec<(TopicPartition, Uuid)>>,
    /// Say UNSTABLE_OFFSET_COMMIT where a transaction is open (KIP-447).
    pub require_stable: bool,
}

/// Which groups to list (KIP-518, KIP-848). Empty filters let everything pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListFilter {
    /// States by name, in any case.
    pub states: Vec<String>,
    /// Types by name, in any case.
    pub types: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reply {
    /// To [`Request::Join`].
    Join(Box<JoinReply>),
    /// To [`Request::Sync`].
    Sync(SyncReply),
    /// To [`Request::Heartbeat`].
    Heartbeat(ErrorCode),
    /// To [`Request::Leave`]: an error of the whole, then each member in the request's order.
    Leave(ErrorCode, Vec<(String, Option<String>, ErrorCode)>),
    /// To [`Request::OffsetCommit`]: each partition in the request's order.
    OffsetCommit(Vec<(TopicPartition, ErrorCode)>),
    /// To [`Request::OffsetFetch`]: an error of the whole, or each partition.
    OffsetFetch(Result<Vec<FetchedOffset>, ErrorCode>),
    /// To [`Request::OffsetDelete`]: an error of the whole, or each partition.
    OffsetDelete(Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode>),
    /// To [`Request::DeleteGroups`].
    DeleteGroups(Vec<(String, ErrorCode)>),
    /// To [`Request::ListGroups`].
    ListGroups(Result<Vec<ListedGroup>, ErrorCode>),
    /// To [`Request::DescribeGroups`].
    DescribeGroups(Vec<DescribedGroup>),
}

/// The answer to JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinReply {
    /// The error, or none.
    pub error: ErrorCode,
    /// The generation joined; -1 with an error.
    pub generation: i32,
    /// The group's protocol type (KIP-559).
    pub protocol_type: Option<String>,
    /// The protocol chosen.
    pub protocol_name: Option<String>,
    /// The leader's member id.
    pub leader: String,
    /// The leader has nothing to assign (KIP-814).
    pub skip_assignment: bool,
    /// The member's id.
    pub member: String,
    /// To the leader: each member's id, instance and metadata.
    pub members: Vec<(String, Option<String>, Vec<u8>)>,
}

impl JoinReply {
    /// A refusal.
    pub fn refused(member: impl Into<String>, error: ErrorCode) -> Reply {
        Reply::Join(Box::new(JoinReply {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member: member.into(),
            members: Vec::new(),
        }))
    }
}

/// The answer to SyncGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncReply {
    /// The error, or none.
    pub error: ErrorCode,
    /// The group's protocol type (KIP-559).
    pub protocol_type: Option<String>,
    /// The protocol chosen.
    pub protocol_name: Option<String>,
    /// The member's assignment.
    pub assignment: Vec<u8>,
}

impl SyncReply {
    /// A refusal.
    pub fn refused(error: ErrorCode) -> Reply {
        Reply::Sync(SyncReply {
            error,
            ..SyncReply::default()
        })
    }
}

/// A partition in the answer to OffsetFetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchedOffset {
    /// Which.
    pub partition: TopicPartition,
    /// None, or UNSTABLE_OFFSET_COMMIT.
    pub error: ErrorCode,
    /// -1 when nothing is committed.
    pub offset: i64,
    /// -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own.
    pub metadata: String,
}

/// A group in the answer to ListGroups. Its type is `Classic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListedGroup {
    /// Its id.
    pub group: String,
    /// Empty for a group of simple consumers.
    pub protocol_type: String,
    /// Its state.
    pub state: GroupState,
}

/// A group in the answer to DescribeGroups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DescribedGroup {
    /// Its id.
    pub group: String,
    /// GROUP_ID_NOT_FOUND is said to version 6 and later alone (KIP-1043).
    pub error: ErrorCode,
    /// Its state; Dead when there is no such group.
    pub state: GroupState,
    /// Empty for a group of simple consumers.
    pub protocol_type: String,
    /// The protocol of a stable group.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in the answer to DescribeGroups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DescribedMember {
    /// Its id.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Its metadata for the group's protocol; empty unless the group is stable.
    pub metadata: Vec<u8>,
    /// Its assignment, in any state.
    pub assignment: Vec<u8>,
}

impl Request {
    /// The answer when nothing of it can be done.
    pub fn refused(&self, error: ErrorCode) -> Reply {
        match self {
            Request::Join(join) => JoinReply::refused(join.who.member.clone(), error),
            Request::Sync(_) => SyncReply::refused(error),
            Request::Heartbeat(_) => Reply::Heartbeat(error),
            Request::Leave(_) => Reply::Leave(error, Vec::new()),
            Request::OffsetCommit(commit) => {
                let at = |o: &OffsetToCommit| (TopicPartition::new(o.topic.clone(), o.partition), error);
                Reply::OffsetCommit(commit.offsets.iter().map(at).collect())
            }
            Request::OffsetFetch(_) => Reply::OffsetFetch(Err(error)),
            Request::OffsetDelete(..) => Reply::OffsetDelete(Err(error)),
            Request::DeleteGroups(groups) => {
                Reply::DeleteGroups(groups.iter().map(|g| (g.clone(), error)).collect())
            }
            Request::ListGroups(_) => Reply::ListGroups(Err(error)),
            Request::DescribeGroups(groups) => {
                let describe = |g: &String| DescribedGroup::without(g.clone(), error);
                Reply::DescribeGroups(groups.iter().map(describe).collect())
            }
        }
    }
}

impl DescribedGroup {
    /// A group of which nothing can be said.
    pub(crate) fn without(group: String, error: ErrorCode) -> Self {
        DescribedGroup {
            group,
            error,
            state: GroupState::Dead,
            protocol_type: String::new(),
            protocol: String::new(),
            members: Vec::new(),
        }
    }
}

impl Reply {
    /// What becomes of an answer whose records were not written.
    pub(crate) fn spoiled(self, error: ErrorCode) -> Reply {
        match self {
            Reply::Join(join) => JoinReply::refused(join.member, error),
            Reply::Sync(_) => SyncReply::refused(error),
            Reply::Heartbeat(_) => Reply::Heartbeat(error),
            Reply::Leave(..) => Reply::Leave(error, Vec::new()),
            Reply::OffsetCommit(rows) => {
                Reply::OffsetCommit(rows.into_iter().map(|(tp, _)| (tp, error)).collect())
            }
            Reply::OffsetFetch(_) => Reply::OffsetFetch(Err(error)),
            Reply::OffsetDelete(_) => Reply::OffsetDelete(Err(error)),
            Reply::DeleteGroups(rows) => {
                Reply::DeleteGroups(rows.into_iter().map(|(g, _)| (g, error)).collect())
            }
            Reply::ListGroups(_) => Reply::ListGroups(Err(error)),
            Reply::DescribeGroups(rows) => {
                let rows = rows.into_iter().map(|d| DescribedGroup::without(d.group, error));
                Reply::DescribeGroups(rows.collect())
            }
        }
    }
}
