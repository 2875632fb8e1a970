//! OffsetCommit (KIP-211, 345, 848): by topic name, and from version 10 by topic id.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::offset_commit_request::OffsetCommitRequest;
use ottla_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::group_parts::{exists, topic};
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on topics go by their ids.
const TOPIC_IDS_SINCE: i16 = 10;
/// From here on an unknown group is told apart from an old generation.
const GROUP_NOT_FOUND_SINCE: i16 = 9;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let version = request.version;
    let body = OffsetCommitRequest::decode(&mut request.body, version)?;
    let image = node.image();
    // What each partition came to, in the request's order; `None` where the coordinator is to say.
    let mut known: Vec<Option<ErrorCode>> = Vec::new();
    let mut offsets = Vec::new();
    for t in &body.topics {
        let named = topic(&image, version >= TOPIC_IDS_SINCE, t.name, t.topic_id);
        for p in &t.partitions {
            let (name, id) = match &named {
                Ok((name, _)) if !exists(&image, name, p.partition_index) => {
                    known.push(Some(ErrorCode::UnknownTopicOrPartition));
                    continue;
                }
                Ok(named) => named,
                Err(error) => {
                    known.push(Some(*error));
                    continue;
                }
            };
            known.push(None);
            offsets.push(group::OffsetToCommit {
                topic: name.clone(),
                topic_id: *id,
                partition: p.partition_index,
                offset: p.committed_offset,
                leader_epoch: p.committed_leader_epoch,
                metadata: p.committed_metadata.unwrap_or_default().to_string(),
            });
        }
    }
    drop(image);
    let commit = group::OffsetCommit {
        who: group::Identity {
            group: body.group_id.to_string(),
            member: body.member_id.to_string(),
            instance: body.group_instance_id.map(str::to_string),
            generation: body.generation_id_or_member_epoch,
        },
        knows_group_not_found: version >= GROUP_NOT_FOUND_SINCE,
        retention_ms: u64::try_from(body.retention_time_ms).ok(),
        offsets,
    };
    let mut rows = Vec::new();
    if !commit.offsets.is_empty() {
        let asked = node.ask_group(body.group_id, group::Request::OffsetCommit(commit));
        let group::Reply::OffsetCommit(answered) = asked.await? else {
            return Err(mismatch());
        };
        rows = answered;
    }
    let mut rows = rows.into_iter().map(|(_, error)| error);
    let mut known = known.into_iter();
    let topics = body.topics.iter().map(|t| OffsetCommitResponseTopic {
        name: t.name,
        topic_id: t.topic_id,
        partitions: t
            .partitions
            .iter()
            .map(|p| {
                let error = known.next().flatten().or_else(|| rows.next());
                OffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.unwrap_or(ErrorCode::UnknownServerError).code(),
                }
            })
            .collect(),
    });
    request.answer(&OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}
