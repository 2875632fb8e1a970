//! [`ApiKey`]: Kafka 4.3.1's API keys, and what the schemas say about each: versions, flexibility, listeners.
//!
//! What a node announces to clients is a decision of its own, in `advertised`.

use crate::codec::DecodeErrorKind;

macro_rules! api_keys {
    ($($name:ident = $key:literal,)*) => {
        /// The number of a request type. Four of them have no versions any more (see [`ApiKey::versions`]).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("Key ", $key, ".")] $name = $key,)*
        }

        impl ApiKey {
            /// Every key, in order and without gaps.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];
        }
    };
}

api_keys! {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    LeaderAndIsr = 4,
    StopReplica = 5,
    UpdateMetadata = 6,
    ControlledShutdown = 7,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    TxnOffsetCommit = 28,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    AlterReplicaLogDirs = 34,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    CreateDelegationToken = 38,
    RenewDelegationToken = 39,
    ExpireDelegationToken = 40,
    DescribeDelegationToken = 41,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    AlterUserScramCredentials = 51,
    Vote = 52,
    BeginQuorumEpoch = 53,
    EndQuorumEpoch = 54,
    DescribeQuorum = 55,
    AlterPartition = 56,
    UpdateFeatures = 57,
    Envelope = 58,
    FetchSnapshot = 59,
    DescribeCluster = 60,
    DescribeProducers = 61,
    BrokerRegistration = 62,
    BrokerHeartbeat = 63,
    UnregisterBroker = 64,
    DescribeTransactions = 65,
    ListTransactions = 66,
    AllocateProducerIds = 67,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    ControllerRegistration = 70,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    AssignReplicasToDirs = 73,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
    ShareGroupHeartbeat = 76,
    ShareGroupDescribe = 77,
    ShareFetch = 78,
    ShareAcknowledge = 79,
    AddRaftVoter = 80,
    RemoveRaftVoter = 81,
    UpdateRaftVoter = 82,
    InitializeShareGroupState = 83,
    ReadShareGroupState = 84,
    WriteShareGroupState = 85,
    DeleteShareGroupState = 86,
    ReadShareGroupStateSummary = 87,
    StreamsGroupHeartbeat = 88,
    StreamsGroupDescribe = 89,
    DescribeShareGroupOffsets = 90,
    AlterShareGroupOffsets = 91,
    DeleteShareGroupOffsets = 92,
}

/// What the schemas of a request and its response say.
#[derive(Debug)]
pub(crate) struct ApiSchema {
    pub(crate) name: &'static str,
    pub(crate) versions: Option<(i16, i16)>,
    pub(crate) request_flexible_since: i16,
    pub(crate) response_flexible_since: i16,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
}

include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

impl ApiKey {
    /// Its number on the wire.
    pub const fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name for it, for example `ListOffsets`.
    pub fn name(self) -> &'static str {
        self.schema().name
    }

    /// The stable versions of Kafka 4.3.1's schema; `None` for an API that was removed (4 to 7).
    pub fn versions(self) -> Option<(i16, i16)> {
        self.schema().versions
    }

    /// Whether the schema has this version.
    pub fn has_version(self, version: i16) -> bool {
        self.versions()
            .is_some_and(|(low, high)| low <= version && version <= high)
    }

    /// Whether a client may send it to a broker's client listener.
    pub fn on_broker(self) -> bool {
        self.schema().broker
    }

    /// Whether it may be sent to a controller's listener.
    pub fn on_controller(self) -> bool {
        self.schema().controller
    }

    /// Whether a request of this version has compact lengths and tagged fields (KIP-482).
    pub fn request_is_flexible(self, version: i16) -> bool {
        version >= self.schema().request_flexible_since
    }

    /// Whether a response of this version has compact lengths and tagged fields (KIP-482).
    pub fn response_is_flexible(self, version: i16) -> bool {
        version >= self.schema().response_flexible_since
    }

    fn schema(self) -> &'static ApiSchema {
        &SCHEMAS[self as usize]
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = DecodeErrorKind;

    fn try_from(key: i16) -> Result<Self, DecodeErrorKind> {
        let found = usize::try_from(key).ok().and_then(|index| ApiKey::ALL.get(index));
        found.copied().ok_or(DecodeErrorKind::UnknownApiKey { key })
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_names_and_schemas_agree() {
        assert_eq!(ApiKey::ALL.len(), 93);
        assert_eq!(SCHEMAS.len(), 93);
        for (index, key) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(key.id() as usize, index);
            assert_eq!(format!("{key:?}"), key.name());
            assert_eq!(ApiKey::try_from(key.id()), Ok(*key));
        }
        for unknown in [-1, 93, i16::MIN, i16::MAX] {
            assert_eq!(
                ApiKey::try_from(unknown),
                Err(DecodeErrorKind::UnknownApiKey { key: unknown })
            );
        }
    }

    #[test]
    fn four_apis_are_gone() {
        let gone: Vec<i16> = ApiKey::ALL
            .iter()
            .filter(|k| k.versions().is_none())
            .map(|k| k.id())
            .collect();
        assert_eq!(gone, [4, 5, 6, 7]);
    }

    #[test]
    fn an_unstable_version_is_not_served() {
        assert_eq!(ApiKey::InitProducerId.versions(), Some((0, 5)));
    }
}
