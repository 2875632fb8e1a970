//! OffsetFetch (KIP-447, 709): of one group, from version 8 of several, from version 10 by topic id.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::{ErrorCode, TopicPartition, Uuid};
use ottla_wire::messages::offset_fetch_request::OffsetFetchRequest;
use ottla_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::group_parts::topic;
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on several groups may be asked for.
const GROUPS_SINCE: i16 = 8;
/// From here on topics go by their ids.
const TOPIC_IDS_SINCE: i16 = 10;
/// From here on a group's error has a field of its own, and no topics mean all.
const GROUP_ERROR_SINCE: i16 = 2;

/// What is asked of one group.
struct Asked<'a> {
    group: &'a str,
    /// Name, id, partitions; `None` for all.
    topics: Option<Vec<(&'a str, Uuid, &'a [i32])>>,
}

/// One topic's answer.
struct Topic {
    name: String,
    id: Uuid,
    partitions: Vec<Row>,
}

struct Row {
    partition: i32,
    error: ErrorCode,
    offset: i64,
    leader_epoch: i32,
    metadata: String,
}

impl Row {
    fn failed(partition: i32, error: ErrorCode) -> Self {
        Row {
            partition,
            error,
            offset: -1,
            leader_epoch: -1,
            metadata: String::new(),
        }
    }

    fn of(found: group::FetchedOffset) -> Self {
        Row {
            partition: found.partition.partition,
            error: found.error,
            offset: found.offset,
            leader_epoch: found.leader_epoch,
            metadata: found.metadata,
        }
    }
}

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let version = request.version;
    let body = OffsetFetchRequest::decode(&mut request.body, version)?;
    if version < GROUPS_SINCE {
        return one_group(node, &request, &body).await;
    }
    let mut answers = Vec::with_capacity(body.groups.len());
    for g in &body.groups {
        let topics = g.topics.as_ref().map(|topics| {
            let each = topics.iter();
            each.map(|t| (t.name, t.topic_id, t.partition_indexes.as_slice()))
                .collect()
        });
        let asked = Asked {
            group: g.group_id,
            topics,
        };
        answers.push((
            g.group_id,
            fetch(node, version, &asked, body.require_stable).await?,
        ));
    }
    let groups = answers.iter().map(|(group_id, answer)| match answer {
        Ok(topics) => OffsetFetchResponseGroup {
            group_id,
            topics: topics.iter().map(new_topic).collect(),
            ..Default::default()
        },
        Err(error) => OffsetFetchResponseGroup {
            group_id,
            error_code: error.code(),
            ..Default::default()
        },
    });
    request.answer(&OffsetFetchResponse {
        groups: groups.collect(),
        ..Default::default()
    })
}

async fn one_group(
    node: &Arc<Node>,
    request: &Request<'_>,
    body: &OffsetFetchRequest<'_>,
) -> Result<Reply, Reject> {
    let topics = body.topics.as_ref().map(|topics| {
        let each = topics.iter();
        each.map(|t| (t.name, Uuid::ZERO, t.partition_indexes.as_slice()))
            .collect()
    });
    let asked = Asked {
        group: body.group_id,
        topics,
    };
    let (error, topics) = match fetch(node, request.version, &asked, body.require_stable).await? {
        Ok(topics) => (ErrorCode::None, topics),
        // Before there was a field for it, the error stands at each partition.
        Err(error) if request.version < GROUP_ERROR_SINCE => {
            let failed = |(name, id, partitions): &(&str, Uuid, &[i32])| Topic {
                name: name.to_string(),
                id: *id,
                partitions: partitions.iter().map(|p| Row::failed(*p, error)).collect(),
            };
            (error, asked.topics.iter().flatten().map(failed).collect())
        }
        Err(error) => (error, Vec::new()),
    };
    request.answer(&OffsetFetchResponse {
        topics: topics.iter().map(old_topic).collect(),
        error_code: error.code(),
        ..Default::default()
    })
}

/// One group's offsets by topic, in the request's order, or an error of the whole.
async fn fetch(
    node: &Arc<Node>,
    version: i16,
    asked: &Asked<'_>,
    require_stable: bool,
) -> Result<Result<Vec<Topic>, ErrorCode>, Reject> {
    let by_id = version >= TOPIC_IDS_SINCE;
    let image = node.image();
    let named = asked.topics.as_ref().map(|topics| {
        let each = topics.iter();
        each.map(|(name, id, partitions)| (topic(&image, by_id, name, *id), *name, *id, *partitions))
            .collect::<Vec<_>>()
    });
    let partitions = named.as_ref().map(|topics| {
        let found = topics.iter().filter_map(|(named, _, _, partitions)| {
            let (name, id) = named.as_ref().ok()?;
            Some(
                partitions
                    .iter()
                    .map(|p| (TopicPartition::new(name.clone(), *p), *id)),
            )
        });
        found.flatten().collect()
    });
    let request = group::Request::OffsetFetch(group::OffsetFetch {
        group: asked.group.to_string(),
        partitions,
        require_stable,
    });
    let group::Reply::OffsetFetch(reply) = node.ask_group(asked.group, request).await? else {
        return Err(mismatch());
    };
    let found = match reply {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let mut found = found.into_iter();
    let Some(named) = named else {
        let mut topics = by_topic(found);
        if by_id {
            // A topic that is gone has no id to be named by.
            topics.retain_mut(|t| {
                t.id = image.topics().by_name(&t.name).map_or(Uuid::ZERO, |t| t.id);
                !t.id.is_zero()
            });
        }
        return Ok(Ok(topics));
    };
    let topics = named.into_iter().map(|(named, name, id, partitions)| Topic {
        name: name.to_string(),
        id,
        partitions: match named {
            Ok(_) => found.by_ref().take(partitions.len()).map(Row::of).collect(),
            Err(error) => partitions.iter().map(|p| Row::failed(*p, error)).collect(),
        },
    });
    Ok(Ok(topics.collect()))
}

fn by_topic(found: impl Iterator<Item = group::FetchedOffset>) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    for offset in found {
        let name = &offset.partition.topic;
        match topics.last_mut() {
            Some(topic) if topic.name == *name => topic.partitions.push(Row::of(offset)),
            _ => topics.push(Topic {
                name: name.clone(),
                id: Uuid::ZERO,
                partitions: vec![Row::of(offset)],
            }),
        }
    }
    topics
}

fn old_topic(topic: &Topic) -> OffsetFetchResponseTopic<'_> {
    let partitions = topic.partitions.iter().map(|row| OffsetFetchResponsePartition {
        partition_index: row.partition,
        committed_offset: row.offset,
        committed_leader_epoch: row.leader_epoch,
        metadata: Some(&row.metadata),
        error_code: row.error.code(),
    });
    OffsetFetchResponseTopic {
        name: &topic.name,
        partitions: partitions.collect(),
    }
}

fn new_topic(topic: &Topic) -> OffsetFetchResponseTopics<'_> {
    let partitions = topic.partitions.iter().map(|row| OffsetFetchResponsePartitions {
        partition_index: row.partition,
        committed_offset: row.offset,
        committed_leader_epoch: row.leader_epoch,
        metadata: Some(&row.metadata),
        error_code: row.error.code(),
    });
    OffsetFetchResponseTopics {
        name: &topic.name,
        topic_id: topic.id,
        partitions: partitions.collect(),
    }
}
