//! One small file per API: wire message in, machine input or look-up, wire message out.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_wire::ApiKey;
use ottla_wire::advertised::advertised;

use crate::Node;
use crate::dispatch::{Reject, Request};

mod alter_configs;
mod api_versions;
mod create_partitions;
pub mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_quorum;
mod describe_topic_partitions;
mod fetch;
mod fetch_parts;
mod find_coordinator;
mod group_parts;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
pub mod produce;
mod sync_group;
mod update_features;

/// The APIs that have a handler here. `APIS.md` has a row for each of Kafka's; a test compares.
pub const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetDelete,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::DescribeCluster,
    ApiKey::ListConfigResources,
    ApiKey::DescribeTopicPartitions,
];

/// The versions of `api` that are served; `None` if it is not.
pub fn served(api: ApiKey) -> Option<(i16, i16)> {
    SERVED.contains(&api).then(|| api.versions()).flatten()
}

/// The versions of `api` that are announced: as served, except that Produce is announced from 0, without which
/// older librdkafka drops compression (KAFKA-18659).
pub fn announced(api: ApiKey) -> Option<(i16, i16)> {
    SERVED.contains(&api).then(|| advertised(api)).flatten()
}

/// Serves everything but Produce, which needs its frame to itself.
pub async fn handle(node: &Arc<Node>, request: Request<'_>) -> Result<Reply, Reject> {
    match request.api {
        ApiKey::Fetch => fetch::handle(node, request).await,
        ApiKey::ListOffsets => list_offsets::handle(node, request).await,
        ApiKey::Metadata => metadata::handle(node, request).await,
        ApiKey::OffsetCommit => offset_commit::handle(node, request).await,
        ApiKey::OffsetFetch => offset_fetch::handle(node, request).await,
        ApiKey::JoinGroup => join_group::handle(node, request).await,
        ApiKey::Heartbeat => heartbeat::handle(node, request).await,
        ApiKey::LeaveGroup => leave_group::handle(node, request).await,
        ApiKey::SyncGroup => sync_group::handle(node, request).await,
        ApiKey::DescribeGroups => describe_groups::handle(node, request).await,
        ApiKey::ListGroups => list_groups::handle(node, request).await,
        ApiKey::DeleteGroups => delete_groups::handle(node, request).await,
        ApiKey::OffsetDelete => offset_delete::handle(node, request).await,
        ApiKey::FindCoordinator => find_coordinator::handle(node, request).await,
        ApiKey::ApiVersions => api_versions::handle(node, request),
        ApiKey::CreateTopics => create_topics::handle(node, request).await,
        ApiKey::DeleteTopics => delete_topics::handle(node, request).await,
        ApiKey::DeleteRecords => delete_records::handle(node, request).await,
        ApiKey::InitProducerId => init_producer_id::handle(node, request).await,
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(node, request),
        ApiKey::DescribeConfigs => describe_configs::handle(node, request),
        ApiKey::AlterConfigs => alter_configs::replace(node, request).await,
        ApiKey::IncrementalAlterConfigs => alter_configs::incremental(node, request).await,
        ApiKey::ListConfigResources => list_config_resources::handle(node, request),
        ApiKey::CreatePartitions => create_partitions::handle(node, request).await,
        ApiKey::DescribeCluster => describe_cluster::handle(node, request),
        ApiKey::DescribeQuorum => describe_quorum::handle(node, request),
        ApiKey::UpdateFeatures => update_features::handle(node, request).await,
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::handle(node, request),
        other => Err(Reject(format!("{other} is not served"))),
    }
}
