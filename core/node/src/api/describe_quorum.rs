//! DescribeQuorum (KIP-595, 836, 853): who leads the metadata's quorum, and how far its voters are. Here the one voter is this node.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::messages::DescribeQuorumRequest;
use ottla_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node as VoterNode, PartitionData, ReplicaState, TopicData,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::kraft::TOPIC;

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DescribeQuorumRequest::decode(&mut request.body, request.version)?;
    // As Kafka: one wrong partition, and none is described.
    let known = |t: &ottla_wire::messages::describe_quorum_request::TopicData<'_>| {
        t.topic_name == TOPIC && matches!(t.partitions.as_slice(), [only] if only.partition_index == 0)
    };
    if !matches!(body.topics.as_slice(), [only] if known(only)) {
        let refuse = |partition_index| PartitionData {
            partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
            ..Default::default()
        };
        let topics = body.topics.iter().map(|t| TopicData {
            topic_name: t.topic_name,
            partitions: t.partitions.iter().map(|p| refuse(p.partition_index)).collect(),
        });
        return request.answer(&DescribeQuorumResponse {
            topics: topics.collect(),
            ..Default::default()
        });
    }
    let (offsets, now) = (node.metadata_log().offsets(), node.env.clock.wall().as_millis());
    let (id, broker) = (node.node_id().0, node.broker());
    let (epoch, quorum) = node.quorum();
    let named = quorum.voters.iter().find(|voter| voter.id == id);
    let configured = broker.advertised_controller_listeners().iter();
    let listeners = match named {
        Some(voter) => voter
            .endpoints
            .iter()
            .map(|(name, host, port)| (name.as_str(), host.as_str(), *port))
            .collect(),
        None => configured
            .map(|l| (l.name.as_str(), l.host.as_str(), l.port))
            .collect::<Vec<_>>(),
    };
    let voter = ReplicaState {
        replica_id: id,
        replica_directory_id: named.map_or(Uuid::ZERO, |voter| voter.directory_id),
        log_end_offset: offsets.end,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
    };
    // Version 2 has the directory and the listeners; Kafka leaves them out before.
    let latest = request.version >= 2;
    let voter = ReplicaState {
        replica_directory_id: if latest {
            voter.replica_directory_id
        } else {
            Uuid::ZERO
        },
        ..voter
    };
    let listener = |(name, host, port)| Listener { name, host, port };
    let nodes = latest.then(|| VoterNode {
        node_id: id,
        listeners: listeners.into_iter().map(listener).collect(),
    });
    request.answer(&DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: TOPIC,
            partitions: vec![PartitionData {
                leader_id: id,
                leader_epoch: *epoch,
                high_watermark: offsets.high_watermark,
                current_voters: vec![voter],
                ..Default::default()
            }],
        }],
        nodes: nodes.into_iter().collect(),
        ..Default::default()
    })
}
