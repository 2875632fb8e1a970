//! OffsetForLeaderEpoch (KIP-101, 320): where an epoch ended in our log, for a client that checks its own for truncation.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use ottla_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use crate::Node;
use crate::dispatch::{Reject, Request};

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = OffsetForLeaderEpochRequest::decode(&mut request.body, request.version)?;
    let topics = body.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic,
        partitions: topic
            .partitions
            .iter()
            .map(|wanted| answer(node, topic.topic, wanted))
            .collect(),
    });
    request.answer(&OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

fn answer(node: &Node, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let found = node.partition(topic, ottla_types::Uuid::ZERO, wanted.partition);
    let found = found.and_then(|partition| {
        partition
            .check_epoch(wanted.current_leader_epoch)
            .map(|()| partition)
    });
    match found {
        Ok(partition) => {
            let end = partition.reader().end_offset_for_epoch(wanted.leader_epoch);
            EpochEndOffset {
                partition: wanted.partition,
                leader_epoch: end.epoch,
                end_offset: end.end,
                ..Default::default()
            }
        }
        Err(code) => EpochEndOffset {
            partition: wanted.partition,
            error_code: code.code(),
            ..Default::default()
        },
    }
}
