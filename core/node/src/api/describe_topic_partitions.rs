//! DescribeTopicPartitions (KIP-966): topics and their partitions, in pages.

use std::sync::Arc;

use ottla_metadata::image::Topic;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use ottla_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use crate::Node;
use crate::dispatch::{Reject, Request};

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DescribeTopicPartitionsRequest::decode(&mut request.body, request.version)?;
    let image = node.image();
    let most = node
        .broker()
        .max_request_partition_size_limit()
        .min(body.response_partition_limit)
        .max(1);
    let mut left = usize::try_from(most).unwrap_or(1);
    let mut names: Vec<&str> = match body.topics.is_empty() {
        true => image.topics().iter().map(|t| &*t.name).collect(),
        false => body.topics.iter().map(|t| t.name).collect(),
    };
    names.sort_unstable();
    names.dedup();
    let (from, first) = body
        .cursor
        .as_ref()
        .map_or(("", 0), |c| (c.topic_name, c.partition_index));
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in names.into_iter().filter(|name| *name >= from) {
        if left == 0 {
            next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: 0,
            });
            break;
        }
        let Some(topic) = image.topics().by_name(name) else {
            topics.push(missing(name));
            continue;
        };
        let begin = if name == from { first } else { 0 };
        let described = describe(topic, begin, left);
        let after = begin + described.partitions.len() as i32;
        left -= described.partitions.len();
        topics.push(described);
        if usize::try_from(after).unwrap_or(0) < topic.partitions.size() {
            next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: after,
            });
            break;
        }
    }
    request.answer(&DescribeTopicPartitionsResponse {
        topics,
        next_cursor,
        ..Default::default()
    })
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic<'_> {
    let invalid = ottla_metadata::controller::validate_topic_name(name).is_err();
    let code = if invalid {
        ErrorCode::InvalidTopicException
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name),
        ..Default::default()
    }
}

fn describe(topic: &Topic, begin: i32, most: usize) -> DescribeTopicPartitionsResponseTopic<'_> {
    let partitions = topic
        .partitions
        .iter()
        .filter(|(index, _)| **index >= begin)
        .take(most);
    let partitions = partitions.map(|(index, p)| DescribeTopicPartitionsResponsePartition {
        error_code: if p.leader < 0 {
            ErrorCode::LeaderNotAvailable.code()
        } else {
            0
        },
        partition_index: *index,
        leader_id: p.leader,
        leader_epoch: p.leader_epoch,
        replica_nodes: p.replicas.clone(),
        isr_nodes: p.isr.clone(),
        eligible_leader_replicas: Some(p.elr.clone()),
        last_known_elr: Some(p.last_known_elr.clone()),
        offline_replicas: Vec::new(),
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: crate::topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}
