//! What the comparisons with independent implementations share: the list of messages, the rows of a peer's table, and the loop
//! that holds our bytes against the peer's.

use ottla_wire::testgen::{CASES, Case, Seed};

/// A peer's codec for one message: reads a whole value and writes it again.
pub struct Peer {
    /// The schema's name.
    pub name: &'static str,
    /// The versions its codec takes.
    pub versions: (i16, i16),
    /// Reads, writes.
    pub rewrite: fn(&[u8], i16) -> Result<Vec<u8>, String>,
}

/// A range of versions of one message that a peer is not asked about, and why.
pub struct Skip {
    /// The schema's name.
    pub name: &'static str,
    /// First and last version.
    pub versions: (i16, i16),
    /// What is wrong or missing at the peer.
    pub reason: &'static str,
}

/// Calls a macro with the names of all messages, but for those of the streams groups, which not every peer has.
#[macro_export]
macro_rules! with_messages {
    ($call:ident) => {
        $call! {
            ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest
            ListOffsetsResponse MetadataRequest MetadataResponse OffsetCommitRequest OffsetCommitResponse
            OffsetFetchRequest OffsetFetchResponse FindCoordinatorRequest FindCoordinatorResponse
            JoinGroupRequest JoinGroupResponse HeartbeatRequest HeartbeatResponse LeaveGroupRequest
            LeaveGroupResponse SyncGroupRequest SyncGroupResponse DescribeGroupsRequest
            DescribeGroupsResponse ListGroupsRequest ListGroupsResponse SaslHandshakeRequest
            SaslHandshakeResponse ApiVersionsRequest ApiVersionsResponse CreateTopicsRequest
            CreateTopicsResponse DeleteTopicsRequest DeleteTopicsResponse DeleteRecordsRequest
            DeleteRecordsResponse InitProducerIdRequest InitProducerIdResponse OffsetForLeaderEpochRequest
            OffsetForLeaderEpochResponse AddPartitionsToTxnRequest AddPartitionsToTxnResponse
            AddOffsetsToTxnRequest AddOffsetsToTxnResponse EndTxnRequest EndTxnResponse
            WriteTxnMarkersRequest WriteTxnMarkersResponse TxnOffsetCommitRequest TxnOffsetCommitResponse
            DescribeAclsRequest DescribeAclsResponse CreateAclsRequest CreateAclsResponse DeleteAclsRequest
            DeleteAclsResponse DescribeConfigsRequest DescribeConfigsResponse AlterConfigsRequest
            AlterConfigsResponse AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse
            DescribeLogDirsRequest DescribeLogDirsResponse SaslAuthenticateRequest SaslAuthenticateResponse
            CreatePartitionsRequest CreatePartitionsResponse CreateDelegationTokenRequest
            CreateDelegationTokenResponse RenewDelegationTokenRequest RenewDelegationTokenResponse
            ExpireDelegationTokenRequest ExpireDelegationTokenResponse DescribeDelegationTokenRequest
            DescribeDelegationTokenResponse DeleteGroupsRequest DeleteGroupsResponse ElectLeadersRequest
            ElectLeadersResponse IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
            AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse
            ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse OffsetDeleteRequest
            OffsetDeleteResponse DescribeClientQuotasRequest DescribeClientQuotasResponse
            AlterClientQuotasRequest AlterClientQuotasResponse DescribeUserScramCredentialsRequest
            DescribeUserScramCredentialsResponse AlterUserScramCredentialsRequest
            AlterUserScramCredentialsResponse VoteRequest VoteResponse BeginQuorumEpochRequest
            BeginQuorumEpochResponse EndQuorumEpochRequest EndQuorumEpochResponse DescribeQuorumRequest
            DescribeQuorumResponse AlterPartitionRequest AlterPartitionResponse UpdateFeaturesRequest
            UpdateFeaturesResponse EnvelopeRequest EnvelopeResponse FetchSnapshotRequest
            FetchSnapshotResponse DescribeClusterRequest DescribeClusterResponse DescribeProducersRequest
            DescribeProducersResponse BrokerRegistrationRequest BrokerRegistrationResponse
            BrokerHeartbeatRequest BrokerHeartbeatResponse UnregisterBrokerRequest UnregisterBrokerResponse
            DescribeTransactionsRequest DescribeTransactionsResponse ListTransactionsRequest
            ListTransactionsResponse AllocateProducerIdsRequest AllocateProducerIdsResponse
            ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse ConsumerGroupDescribeRequest
            ConsumerGroupDescribeResponse ControllerRegistrationRequest ControllerRegistrationResponse
            GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse PushTelemetryRequest
            PushTelemetryResponse AssignReplicasToDirsRequest AssignReplicasToDirsResponse
            ListConfigResourcesRequest ListConfigResourcesResponse DescribeTopicPartitionsRequest
            DescribeTopicPartitionsResponse ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse
            ShareGroupDescribeRequest ShareGroupDescribeResponse ShareFetchRequest ShareFetchResponse
            ShareAcknowledgeRequest ShareAcknowledgeResponse AddRaftVoterRequest AddRaftVoterResponse
            RemoveRaftVoterRequest RemoveRaftVoterResponse UpdateRaftVoterRequest UpdateRaftVoterResponse
            InitializeShareGroupStateRequest InitializeShareGroupStateResponse ReadShareGroupStateRequest
            ReadShareGroupStateResponse WriteShareGroupStateRequest WriteShareGroupStateResponse
            DeleteShareGroupStateRequest DeleteShareGroupStateResponse ReadShareGroupStateSummaryRequest
            ReadShareGroupStateSummaryResponse DescribeShareGroupOffsetsRequest
            DescribeShareGroupOffsetsResponse AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse
            DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse
        }
    };
}

fn skipped(skips: &[Skip], name: &str, version: i16) -> bool {
    skips
        .iter()
        .any(|s| s.name == name && (s.versions.0..=s.versions.1).contains(&version))
}

/// Every version of ours is either known to the peer or in the table, and the table holds nothing else.
pub fn table_is_exact(peers: &[Peer], skips: &[Skip], groups: &[&str]) {
    let mut missing = Vec::new();
    for case in cases(groups) {
        for version in case.all_versions() {
            let known = peers
                .iter()
                .any(|p| p.name == case.name && (p.versions.0..=p.versions.1).contains(&version));
            if !known && !skipped(skips, case.name, version) {
                missing.push(format!("{} {version}", case.name));
            }
        }
    }
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "neither known to the peer nor excused"
    );
    for skip in skips {
        assert!(!skip.reason.is_empty());
        let case = cases(groups).find(|c| c.name == skip.name);
        let case = case.unwrap_or_else(|| panic!("{} is excused but does not exist", skip.name));
        assert!(
            case.versions.0 <= skip.versions.0 && skip.versions.1 <= case.versions.1,
            "{}",
            skip.name
        );
    }
}

/// Writes one random value of every message in every version, has the peer read and write it, and compares the bytes.
/// Returns how many were compared, or all that differ.
pub fn compare(peers: &[Peer], skips: &[Skip], groups: &[&str], number: u64) -> Result<usize, String> {
    let mut seed = Seed::new(number);
    let mut compared = 0;
    let mut differ = Vec::new();
    for case in cases(groups) {
        let Some(peer) = peers.iter().find(|p| p.name == case.name) else {
            continue;
        };
        for version in case.all_versions().filter(|v| !skipped(skips, case.name, *v)) {
            let ours = (case.round_trip)(&mut seed, version)?;
            let theirs = (peer.rewrite)(&ours, version);
            compared += 1;
            if theirs.as_ref() != Ok(&ours) {
                differ.push(format!(
                    "{} {version}, seed {number}:\nours {ours:02x?}\npeer {theirs:02x?}",
                    case.name
                ));
            }
        }
    }
    if differ.is_empty() {
        Ok(compared)
    } else {
        Err(differ.join("\n"))
    }
}

fn cases<'g>(groups: &'g [&'g str]) -> impl Iterator<Item = &'static Case> + 'g {
    CASES.iter().filter(|case| groups.contains(&case.group))
}
