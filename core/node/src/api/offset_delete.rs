//! OffsetDelete (KIP-496).

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::group_parts::exists;
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = OffsetDeleteRequest::decode(&mut request.body, request.version)?;
    let image = node.image();
    let all = || {
        let each = body.topics.iter();
        each.flat_map(|t| t.partitions.iter().map(|p| (t.name, p.partition_index)))
    };
    let known: Vec<bool> = all().map(|(name, index)| exists(&image, name, index)).collect();
    let wanted: Vec<TopicPartition> = all()
        .zip(&known)
        .filter(|(_, known)| **known)
        .map(|((name, index), _)| TopicPartition::new(name, index))
        .collect();
    let mut rows = Vec::new();
    if !wanted.is_empty() {
        let asked = group::Request::OffsetDelete(body.group_id.to_string(), wanted);
        let group::Reply::OffsetDelete(reply) = node.ask_group(body.group_id, asked).await? else {
            return Err(mismatch());
        };
        match reply {
            Ok(answered) => rows = answered,
            Err(error) => {
                return request.answer(&OffsetDeleteResponse {
                    error_code: error.code(),
                    ..Default::default()
                });
            }
        }
    }
    let (mut known, mut rows) = (known.into_iter(), rows.into_iter());
    let topics = body.topics.iter().map(|t| OffsetDeleteResponseTopic {
        name: t.name,
        partitions: t
            .partitions
            .iter()
            .map(|p| {
                let error = match known.next() {
                    Some(true) => rows
                        .next()
                        .map_or(ErrorCode::UnknownServerError, |(_, error)| error),
                    _ => ErrorCode::UnknownTopicOrPartition,
                };
                OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                }
            })
            .collect(),
    });
    request.answer(&OffsetDeleteResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}
