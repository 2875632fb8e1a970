//! Offsets by time (ListOffsets), asked of each partition's leader: what consumer and admin share.

use std::collections::BTreeMap;

use ottla_io::Mono;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::metadata::{Cluster, Target};
use crate::{Error, IsolationLevel, Result};

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start.
    Earliest,
    /// The high watermark; the last stable offset for `read_committed`.
    Latest,
    /// Of the record with the largest timestamp.
    MaxTimestamp,
    /// Of the first record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
    /// The start of what is on the broker's own disk.
    EarliestLocal,
    /// Any of the protocol's numbers.
    Raw(i64),
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::Timestamp(at) => at.max(0),
            OffsetSpec::Raw(number) => number,
        }
    }
}

/// A found offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The offset.
    pub offset: i64,
    /// The timestamp of its record, -1 if none was asked for.
    pub timestamp: i64,
    /// The leader epoch it was written in, -1 if unknown.
    pub leader_epoch: i32,
}

/// One result per partition; `None` where no record is that late.
pub(crate) type Found = BTreeMap<TopicPartition, Result<Option<OffsetAndTimestamp>>>;

/// Asks the leaders, again where an answer says that this may help, until the deadline.
pub(crate) async fn list_offsets(
    cluster: &Cluster,
    wanted: &[(TopicPartition, OffsetSpec)],
    isolation: IsolationLevel,
    deadline: Mono,
) -> Found {
    let mut found = Found::new();
    let mut missing: BTreeMap<TopicPartition, OffsetSpec> = wanted.iter().cloned().collect();
    let mut attempts = cluster.attempts(deadline);
    while !missing.is_empty() {
        let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, OffsetSpec, i32)>> = BTreeMap::new();
        for (partition, spec) in std::mem::take(&mut missing) {
            match cluster.leader(&partition, deadline).await {
                Ok((leader, epoch)) => by_leader
                    .entry(leader)
                    .or_default()
                    .push((partition, spec, epoch)),
                Err(error) => drop(found.insert(partition, Err(error))),
            }
        }
        let mut failed = None;
        for (leader, asked) in by_leader {
            for (partition, spec, result) in ask_leader(cluster, leader, asked, isolation).await {
                match result {
                    Err(error) if error.is_retriable() => {
                        missing.insert(partition, spec);
                        failed = Some(error);
                    }
                    result => drop(found.insert(partition, result)),
                }
            }
        }
        if let Some(error) = failed {
            if let Err(error) = attempts.again("list offsets", error).await {
                found.extend(
                    std::mem::take(&mut missing)
                        .into_keys()
                        .map(|p| (p, Err(error.clone()))),
                );
            }
            let topics: Vec<&str> = missing.keys().map(|p| p.topic.as_str()).collect();
            if !topics.is_empty() {
                let _ = cluster.refresh(cluster.view().generation, &topics, false).await;
            }
        }
    }
    found
}

type Asked = Vec<(TopicPartition, OffsetSpec, i32)>;
type Answered = Vec<(TopicPartition, OffsetSpec, Result<Option<OffsetAndTimestamp>>)>;

async fn ask_leader(cluster: &Cluster, leader: i32, asked: Asked, isolation: IsolationLevel) -> Answered {
    match request(cluster, leader, &asked, isolation).await {
        Ok(mut results) => asked
            .into_iter()
            .map(|(partition, spec, _)| {
                let missing = || {
                    Err(Error::broker(
                        format!("offset of {partition}"),
                        ErrorCode::UnknownServerError.code(),
                        None,
                    ))
                };
                let result = results.remove(&partition).unwrap_or_else(missing);
                (partition, spec, result)
            })
            .collect(),
        Err(error) => asked
            .into_iter()
            .map(|(partition, spec, _)| (partition, spec, Err(error.clone())))
            .collect(),
    }
}

async fn request(
    cluster: &Cluster,
    leader: i32,
    asked: &[(TopicPartition, OffsetSpec, i32)],
    isolation: IsolationLevel,
) -> Result<Found> {
    let mut topics: Vec<ListOffsetsTopic<'_>> = Vec::new();
    for (partition, spec, epoch) in asked {
        if topics.last().is_none_or(|t| t.name != partition.topic) {
            topics.push(ListOffsetsTopic {
                name: &partition.topic,
                ..Default::default()
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: *epoch,
                timestamp: spec.timestamp(),
            });
        }
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.id(),
        topics,
        timeout_ms: i32::try_from(cluster.config().request_timeout.as_millis()).unwrap_or(i32::MAX),
    };
    let answer = cluster.request(Target::Node(leader), &request).await?;
    let response: ListOffsetsResponse<'_> = answer.decode()?;
    let mut found = Found::new();
    for topic in &response.topics {
        for p in &topic.partitions {
            let partition = TopicPartition::new(topic.name, p.partition_index);
            let result = match p.error_code {
                0 if p.offset < 0 => Ok(None),
                0 => Ok(Some(OffsetAndTimestamp {
                    offset: p.offset,
                    timestamp: p.timestamp,
                    leader_epoch: p.leader_epoch,
                })),
                code => Err(Error::broker(format!("list offsets of {partition}"), code, None)),
            };
            found.insert(partition, result);
        }
    }
    Ok(found)
}
