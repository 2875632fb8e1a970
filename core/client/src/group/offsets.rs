//! Committed offsets: written one commit after the other, so that an earlier one never comes after a later one, and read.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_io::Mono;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use tokio::sync::{mpsc, oneshot};

use super::coordinator::Coordinator;
use super::membership::Identity;
use super::protocol::by_topic;
use super::shared::Shared;
use crate::connections::Lane;
use crate::{Error, Result};

/// Version 10 names topics by their ids only.
const BY_NAME: i16 = 9;

/// An offset to commit, or a committed one: the offset of the next record to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 if unknown.
    pub leader_epoch: i32,
    /// The user's own words (at most the broker's `offset.metadata.max.bytes`).
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset without more.
    pub fn new(offset: i64) -> Self {
        OffsetAndMetadata {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        }
    }
}

/// What is committed, by partition; `None` where nothing is.
pub type Committed = BTreeMap<TopicPartition, Option<OffsetAndMetadata>>;

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// A commit that is under way. It is carried out whether this is awaited or not.
#[derive(Debug)]
pub struct Commit(pub(super) oneshot::Receiver<Result<()>>);

impl Commit {
    pub(super) fn done(result: Result<()>) -> Self {
        let (reply, end) = oneshot::channel();
        let _ = reply.send(result);
        Commit(end)
    }
}

impl Future for Commit {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(cx);
        result.map(|r| r.unwrap_or(Err(Error::Closed)))
    }
}

/// A commit in the queue.
pub(super) struct Queued {
    pub(super) offsets: Offsets,
    /// The member and generation that had the partitions when it was asked for: in another one it must fail.
    pub(super) who: Identity,
    pub(super) deadline: Mono,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// Commits in the order in which they were asked for, each tried until its deadline if its error passes.
pub(super) async fn run(shared: Arc<Shared>, mut queue: mpsc::UnboundedReceiver<Queued>) {
    while let Some(queued) = queue.recv().await {
        let who = Committer {
            member_id: &queued.who.member_id,
            generation: queued.who.generation,
            instance: shared.config.group_instance_id.as_deref(),
        };
        let result = commit_all(&shared.coordinator, &who, &queued.offsets, queued.deadline).await;
        if let Err(error) = &result {
            let code = error.code().unwrap_or(ErrorCode::UnknownServerError);
            shared.state().told(&queued.who, code, error.clone());
            shared.changed.notify_one();
            shared.wake.notify_one();
        }
        let _ = queued.reply.send(result);
    }
}

/// Who commits; a tool that is no member leaves it empty.
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) generation: i32,
    pub(crate) instance: Option<&'a str>,
}

impl Committer<'_> {
    /// Somebody outside, who may commit for a group without members.
    pub(crate) const OUTSIDER: Committer<'static> = Committer {
        member_id: "",
        generation: -1,
        instance: None,
    };
}

async fn commit_all(
    coordinator: &Coordinator,
    who: &Committer<'_>,
    offsets: &Offsets,
    deadline: Mono,
) -> Result<()> {
    commit(coordinator, who, offsets, deadline)
        .await?
        .into_values()
        .find(Result::is_err)
        .unwrap_or(Ok(()))
}

/// Commits, again where an answer says that this may help, until the deadline. One result per partition.
pub(crate) async fn commit(
    coordinator: &Coordinator,
    who: &Committer<'_>,
    offsets: &Offsets,
    deadline: Mono,
) -> Result<BTreeMap<TopicPartition, Result<()>>> {
    let mut attempts = coordinator.cluster.attempts(deadline);
    let mut left = offsets.clone();
    let mut done = BTreeMap::new();
    let what = format!("commit offsets of group `{}`", coordinator.group);
    while !left.is_empty() {
        let mut failed = None;
        match commit_once(coordinator, who, &left).await {
            Err(error) => failed = Some(error),
            Ok(results) => {
                for (partition, code) in results {
                    let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
                    coordinator.heard(code);
                    let error = || Error::broker(format!("{what}, {partition}"), code.code(), None);
                    if code.is_retriable() {
                        failed = Some(error());
                        continue;
                    }
                    left.remove(&partition);
                    let result = if code == ErrorCode::None {
                        Ok(())
                    } else {
                        Err(error())
                    };
                    done.insert(partition, result);
                }
                if failed.is_none() && !left.is_empty() {
                    return Err(Error::broker(what, ErrorCode::UnknownServerError.code(), None));
                }
            }
        }
        if let Some(error) = failed {
            attempts.again(&what, error).await?;
        }
    }
    Ok(done)
}

async fn commit_once(
    coordinator: &Coordinator,
    who: &Committer<'_>,
    offsets: &Offsets,
) -> Result<Vec<(TopicPartition, i16)>> {
    let mut topics: Vec<OffsetCommitRequestTopic<'_>> = Vec::new();
    for (partition, at) in offsets {
        if topics.last().is_none_or(|t| t.name != partition.topic) {
            topics.push(OffsetCommitRequestTopic {
                name: &partition.topic,
                ..Default::default()
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: at.offset,
                committed_leader_epoch: at.leader_epoch,
                committed_metadata: Some(&at.metadata),
            });
        }
    }
    let request = |_| OffsetCommitRequest {
        group_id: &coordinator.group,
        generation_id_or_member_epoch: who.generation,
        member_id: who.member_id,
        group_instance_id: who.instance,
        topics,
        ..Default::default()
    };
    let timeout = coordinator.cluster.config().request_timeout;
    let answer = coordinator.call(Lane::Control, BY_NAME, timeout, request).await?;
    let response: OffsetCommitResponse<'_> = answer.decode()?;
    let each = response.topics.iter().flat_map(|t| {
        let partitions = t.partitions.iter();
        partitions.map(|p| (TopicPartition::new(t.name, p.partition_index), p.error_code))
    });
    Ok(each.collect())
}

/// What is committed, of these partitions or of all; `None` where nothing is. Offsets of transactions that are not decided are
/// waited for.
pub(crate) async fn committed(
    coordinator: &Coordinator,
    partitions: Option<&[TopicPartition]>,
    deadline: Mono,
) -> Result<Committed> {
    let mut attempts = coordinator.cluster.attempts(deadline);
    loop {
        match committed_once(coordinator, partitions).await {
            Ok(found) => return Ok(found),
            Err(error) => {
                error.code().iter().for_each(|code| coordinator.heard(*code));
                let what = format!("read the committed offsets of group `{}`", coordinator.group);
                attempts.again(&what, error).await?;
            }
        }
    }
}

async fn committed_once(
    coordinator: &Coordinator,
    partitions: Option<&[TopicPartition]>,
) -> Result<Committed> {
    let group = coordinator.group.as_ref();
    let topics = partitions.map(by_topic);
    let request = |version| {
        let old = topics.as_ref().map(|topics| {
            let each = topics.iter();
            each.map(|(name, indexes)| OffsetFetchRequestTopic {
                name,
                partition_indexes: indexes.clone(),
            })
            .collect()
        });
        let new = topics.as_ref().map(|topics| {
            let each = topics.iter();
            each.map(|(name, indexes)| OffsetFetchRequestTopics {
                name,
                partition_indexes: indexes.clone(),
                ..Default::default()
            })
            .collect()
        });
        let mut request = OffsetFetchRequest {
            require_stable: version >= 7,
            ..Default::default()
        };
        if version < 8 {
            (request.group_id, request.topics) = (group, old);
        } else {
            request.groups = vec![OffsetFetchRequestGroup {
                group_id: group,
                topics: new,
                ..Default::default()
            }];
        }
        request
    };
    let timeout = coordinator.cluster.config().request_timeout;
    let answer = coordinator.call(Lane::Control, BY_NAME, timeout, request).await?;
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    found(group, &response)
}

fn found(group: &str, response: &OffsetFetchResponse<'_>) -> Result<Committed> {
    let what = || format!("read the committed offsets of group `{group}`");
    let mut found = Committed::new();
    let mut take = |topic: &str, partition, offset, leader_epoch, metadata: Option<&str>, code| {
        if code != 0 {
            return Err(Error::broker(
                format!("{}, {topic}-{partition}", what()),
                code,
                None,
            ));
        }
        let at = OffsetAndMetadata {
            offset,
            leader_epoch,
            metadata: metadata.unwrap_or_default().to_owned(),
        };
        found.insert(TopicPartition::new(topic, partition), (offset >= 0).then_some(at));
        Ok(())
    };
    let code = response
        .groups
        .first()
        .map_or(response.error_code, |g| g.error_code);
    if code != 0 {
        return Err(Error::broker(what(), code, None));
    }
    for topic in &response.topics {
        for p in &topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            take(
                topic.name,
                p.partition_index,
                offset,
                epoch,
                p.metadata,
                p.error_code,
            )?;
        }
    }
    for topic in response.groups.iter().take(1).flat_map(|g| &g.topics) {
        for p in &topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            take(
                topic.name,
                p.partition_index,
                offset,
                epoch,
                p.metadata,
                p.error_code,
            )?;
        }
    }
    Ok(found)
}
