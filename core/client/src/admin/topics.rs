//! Topics: create, delete, list, describe, and more partitions.

use std::collections::BTreeMap;

use ottla_io::BoxFuture;
use ottla_rpc::CallError;
use ottla_types::ErrorCode;
use ottla_wire::messages::create_partitions_request::CreatePartitionsTopic;
use ottla_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use ottla_wire::messages::delete_topics_request::DeleteTopicState;
use ottla_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use ottla_wire::messages::metadata_request::MetadataRequestTopic;
use ottla_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse,
};

use super::{Admin, CreatedTopic, Each, NewTopic, PartitionDescription, TopicDescription, TopicListing};
use crate::metadata::Target;
use crate::{Error, Result};

/// A result out of an error code and the broker's words.
pub(super) fn check(what: impl FnOnce() -> String, code: i16, message: Option<&str>) -> Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(Error::broker(what(), code, message))
    }
}

impl Admin {
    /// Creates topics; with `validate_only` says only whether they could be.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Each<String, CreatedTopic> {
        let wanted: BTreeMap<String, NewTopic> = topics.iter().map(|t| (t.name.clone(), t.clone())).collect();
        let once = |left| -> BoxFuture<'_, _> {
            Box::pin(async move { self.create_once(&left, validate_only).await })
        };
        self.each("create topics", wanted, once).await
    }

    async fn create_once(
        &self,
        left: &BTreeMap<String, NewTopic>,
        validate_only: bool,
    ) -> Result<Each<String, CreatedTopic>> {
        let topics = left.values().map(|topic| CreatableTopic {
            name: &topic.name,
            num_partitions: if topic.assignments.is_empty() {
                topic.partitions.unwrap_or(-1)
            } else {
                -1
            },
            replication_factor: if topic.assignments.is_empty() {
                topic.replication_factor.unwrap_or(-1)
            } else {
                -1
            },
            assignments: topic
                .assignments
                .iter()
                .map(|(partition, brokers)| CreatableReplicaAssignment {
                    partition_index: *partition,
                    broker_ids: brokers.clone(),
                })
                .collect(),
            configs: topic
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name,
                    value: Some(value),
                })
                .collect(),
        });
        let request = CreateTopicsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let answer = self.cluster.request(Target::Controller, &request).await?;
        let response: CreateTopicsResponse<'_> = answer.decode()?;
        let results = response.topics.iter().map(|t| {
            let created = CreatedTopic {
                id: t.topic_id,
                partitions: t.num_partitions,
                replication_factor: t.replication_factor,
            };
            let checked = check(
                || format!("create topic `{}`", t.name),
                t.error_code,
                t.error_message,
            );
            (t.name.to_owned(), checked.map(|()| created))
        });
        Ok(results.collect())
    }

    /// Deletes topics with all their records.
    pub async fn delete_topics(&self, names: &[String]) -> Each<String, ()> {
        let wanted: BTreeMap<String, ()> = names.iter().map(|n| (n.clone(), ())).collect();
        let once = |left| -> BoxFuture<'_, _> { Box::pin(async move { self.delete_once(&left).await }) };
        self.each("delete topics", wanted, once).await
    }

    async fn delete_once(&self, left: &BTreeMap<String, ()>) -> Result<Each<String, ()>> {
        // Both forms: which one goes out depends on the version.
        let request = DeleteTopicsRequest {
            topics: left
                .keys()
                .map(|name| DeleteTopicState {
                    name: Some(name),
                    ..Default::default()
                })
                .collect(),
            topic_names: left.keys().map(String::as_str).collect(),
            timeout_ms: self.timeout_ms(),
        };
        let by_name = DeleteTopicsRequest {
            topics: Vec::new(),
            ..request.clone()
        };
        let answer = match self.cluster.request(Target::Controller, &request).await {
            Err(Error::Call {
                error: CallError::Encode(_),
                ..
            }) => self.cluster.request(Target::Controller, &by_name).await?,
            answer => answer?,
        };
        let response: DeleteTopicsResponse<'_> = answer.decode()?;
        let results = response.responses.iter().filter_map(|t| {
            let name = t.name?;
            let checked = check(|| format!("delete topic `{name}`"), t.error_code, t.error_message);
            // A topic that is not there will not come by waiting.
            Some((name.to_owned(), checked))
        });
        Ok(results.collect())
    }

    /// Gives topics more partitions: `counts` is how many each has then.
    pub async fn create_partitions(
        &self,
        counts: &BTreeMap<String, i32>,
        validate_only: bool,
    ) -> Each<String, ()> {
        let once = |left| -> BoxFuture<'_, _> {
            Box::pin(async move { self.create_partitions_once(&left, validate_only).await })
        };
        self.each("add partitions", counts.clone(), once).await
    }

    async fn create_partitions_once(
        &self,
        left: &BTreeMap<String, i32>,
        validate_only: bool,
    ) -> Result<Each<String, ()>> {
        let topics = left.iter().map(|(name, count)| CreatePartitionsTopic {
            name,
            count: *count,
            assignments: None,
        });
        let request = CreatePartitionsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let answer = self.cluster.request(Target::Controller, &request).await?;
        let response: CreatePartitionsResponse<'_> = answer.decode()?;
        let results = response.results.iter().map(|t| {
            let what = || format!("add partitions to topic `{}`", t.name);
            (t.name.to_owned(), check(what, t.error_code, t.error_message))
        });
        Ok(results.collect())
    }

    /// All topics; Kafka's own only if `internal`.
    pub async fn list_topics(&self, internal: bool) -> Result<Vec<TopicListing>> {
        let mut attempts = self.cluster.attempts(self.cluster.api_deadline());
        loop {
            match self.list_once(internal).await {
                Ok(topics) => return Ok(topics),
                Err(error) => attempts.again("list topics", error).await?,
            }
        }
    }

    async fn list_once(&self, internal: bool) -> Result<Vec<TopicListing>> {
        let request = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = self.cluster.request(Target::Any, &request).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        check(|| "list topics".to_owned(), response.error_code, None)?;
        let topics = response.topics.iter().filter(|t| internal || !t.is_internal);
        let mut topics: Vec<_> = topics
            .filter_map(|t| {
                Some(TopicListing {
                    name: t.name?.to_owned(),
                    id: t.topic_id,
                    internal: t.is_internal,
                })
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Topics in full, by DescribeTopicPartitions, or Metadata where a broker does not serve that.
    pub async fn describe_topics(&self, names: &[String]) -> Each<String, TopicDescription> {
        let wanted: BTreeMap<String, ()> = names.iter().map(|n| (n.clone(), ())).collect();
        let once = |left| -> BoxFuture<'_, _> {
            Box::pin(async move {
                match self.describe_once(&left).await {
                    Err(Error::Call {
                        error: CallError::Unsupported { .. },
                        ..
                    }) => self.describe_by_metadata(&left).await,
                    results => results,
                }
            })
        };
        self.each("describe topics", wanted, once).await
    }

    async fn describe_once(&self, left: &BTreeMap<String, ()>) -> Result<Each<String, TopicDescription>> {
        let mut found: Each<String, TopicDescription> = Each::new();
        let mut cursor: Option<(String, i32)> = None;
        loop {
            let from = cursor.as_ref().map_or("", |(name, _)| name);
            let request = DescribeTopicPartitionsRequest {
                topics: left
                    .keys()
                    .filter(|n| n.as_str() >= from)
                    .map(|name| TopicRequest { name })
                    .collect(),
                cursor: cursor.as_ref().map(|(name, partition)| Cursor {
                    topic_name: name,
                    partition_index: *partition,
                }),
                ..Default::default()
            };
            let answer = self.cluster.request(Target::Any, &request).await?;
            let response: DescribeTopicPartitionsResponse<'_> = answer.decode()?;
            for topic in &response.topics {
                let name = topic.name.unwrap_or_default().to_owned();
                if let Err(error) = unpassing(&name, topic.error_code) {
                    found.insert(name, Err(error));
                    continue;
                }
                let partitions = topic.partitions.iter().map(|p| PartitionDescription {
                    partition: p.partition_index,
                    leader: Some(p.leader_id).filter(|id| *id >= 0),
                    leader_epoch: p.leader_epoch,
                    replicas: p.replica_nodes.clone(),
                    isr: p.isr_nodes.clone(),
                    eligible: p.eligible_leader_replicas.clone(),
                    last_known_eligible: p.last_known_elr.clone(),
                    offline: p.offline_replicas.clone(),
                });
                let empty = || TopicDescription {
                    name: name.clone(),
                    id: topic.topic_id,
                    internal: topic.is_internal,
                    partitions: Vec::new(),
                };
                let place = found.entry(name.clone()).or_insert_with(|| Ok(empty()));
                if let Ok(description) = place {
                    description.partitions.extend(partitions);
                }
            }
            let next = response
                .next_cursor
                .as_ref()
                .map(|c| (c.topic_name.to_owned(), c.partition_index));
            // A cursor that does not move would never end.
            match next {
                Some(next) if cursor.as_ref().is_none_or(|c| *c < next) => cursor = Some(next),
                _ => return Ok(found),
            }
        }
    }

    async fn describe_by_metadata(
        &self,
        left: &BTreeMap<String, ()>,
    ) -> Result<Each<String, TopicDescription>> {
        let request = MetadataRequest {
            topics: Some(
                left.keys()
                    .map(|n| MetadataRequestTopic {
                        name: Some(n),
                        ..Default::default()
                    })
                    .collect(),
            ),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = self.cluster.request(Target::Any, &request).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        let results = response.topics.iter().map(|t| {
            let name = t.name.unwrap_or_default().to_owned();
            let description = unpassing(&name, t.error_code).map(|()| {
                let mut partitions: Vec<_> = t.partitions.iter().map(by_metadata).collect();
                partitions.sort_by_key(|p| p.partition);
                TopicDescription {
                    name: name.clone(),
                    id: t.topic_id,
                    internal: t.is_internal,
                    partitions,
                }
            });
            (name, description)
        });
        Ok(results.collect())
    }
}

fn by_metadata(
    p: &ottla_wire::messages::metadata_response::MetadataResponsePartition,
) -> PartitionDescription {
    PartitionDescription {
        partition: p.partition_index,
        leader: Some(p.leader_id).filter(|id| *id >= 0),
        leader_epoch: p.leader_epoch,
        replicas: p.replica_nodes.clone(),
        isr: p.isr_nodes.clone(),
        eligible: None,
        last_known_eligible: None,
        offline: p.offline_replicas.clone(),
    }
}

fn unpassing(name: &str, code: i16) -> Result<()> {
    check(|| format!("describe topic `{name}`"), code, None)
}

impl Error {
    /// Whether an administrator's request should be tried again for it. Unlike a producer it does not wait for a topic to
    /// appear.
    pub(super) fn passes(&self) -> bool {
        let absent = matches!(
            self.code(),
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
        );
        self.is_retriable() && !absent
    }
}
