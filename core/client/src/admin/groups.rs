//! Groups: list, describe, read and set their offsets, delete. Listing asks every broker, the rest each group's coordinator.

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use ottla_wire::messages::{describe_groups_response as described, list_groups_response as listed};

use super::topics::check;
use super::{Admin, Each};
use crate::connections::Lane;
use crate::group::coordinator::Coordinator;
use crate::group::offsets::{self, Committed, Committer, Offsets};
use crate::group::protocol::{Subscription, by_topic, decode_assignment};
use crate::metadata::{Answer, Target};
use crate::{Error, Result};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// `consumer` for consumers; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Its state in Kafka's words; empty if the broker is too old to say.
    pub state: String,
    /// `classic` or `consumer` (KIP-848); empty if the broker is too old to say.
    pub kind: String,
}

/// A group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// Its state in Kafka's words: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    pub state: String,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// How its partitions are shared out; empty without members.
    pub assignor: String,
    /// `host:port` of the coordinator.
    pub coordinator: String,
    /// Its members, by id.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Its address as the broker sees it.
    pub host: String,
    /// The topics it subscribes to, as far as they can be read.
    pub topics: Vec<String>,
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    fn coordinator(&self, group: &str) -> Coordinator {
        Coordinator::new(&self.cluster, group)
    }

    /// The groups of all brokers, by name; of these states and types only, if any are given (brokers since Kafka 2.6 and 3.8).
    pub async fn list_groups(&self, states: &[String], kinds: &[String]) -> Result<Vec<GroupListing>> {
        let mut attempts = self.cluster.attempts(self.cluster.api_deadline());
        loop {
            match self.list_groups_once(states, kinds).await {
                Ok(groups) => return Ok(groups),
                Err(error) => attempts.again("list groups", error).await?,
            }
        }
    }

    async fn list_groups_once(&self, states: &[String], kinds: &[String]) -> Result<Vec<GroupListing>> {
        self.cluster.refresh_brokers().await?;
        let mut groups = BTreeSet::new();
        for broker in self.cluster.view().brokers.keys() {
            let request = ListGroupsRequest {
                states_filter: states.iter().map(String::as_str).collect(),
                types_filter: kinds.iter().map(String::as_str).collect(),
            };
            let answer = self.cluster.request(Target::Node(*broker), &request).await?;
            let response: ListGroupsResponse<'_> = answer.decode()?;
            check(
                || format!("list the groups of broker {broker}"),
                response.error_code,
                None,
            )?;
            groups.extend(response.groups.iter().map(listing));
        }
        Ok(groups.into_iter().collect())
    }

    /// Groups with their members.
    pub async fn describe_groups(&self, groups: &[String]) -> Each<String, GroupDescription> {
        let mut results = Each::new();
        for group in groups {
            let described = self.describe_group(group).await;
            results.insert(group.clone(), described);
        }
        results
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let what = || format!("describe group `{group}`");
        let ask = |answer: &Answer| {
            let response: DescribeGroupsResponse<'_> = answer.decode()?;
            let found = response.groups.iter().find(|g| g.group_id == group);
            let found =
                found.ok_or_else(|| Error::broker(what(), ErrorCode::UnknownServerError.code(), None))?;
            check(what, found.error_code, found.error_message)?;
            if found.group_state == "Dead" {
                return Err(Error::broker(what(), ErrorCode::GroupIdNotFound.code(), None));
            }
            Ok(description(found, &answer.broker))
        };
        let request = |_| DescribeGroupsRequest {
            groups: vec![group],
            ..Default::default()
        };
        self.at_coordinator(group, what, request, ask).await
    }

    /// Asks a group's coordinator, again if the error may pass.
    async fn at_coordinator<'a, R: ottla_wire::Request<'a>, T>(
        &self,
        group: &str,
        what: impl Fn() -> String,
        request: impl Fn(i16) -> R,
        read: impl Fn(&Answer) -> Result<T>,
    ) -> Result<T> {
        let coordinator = self.coordinator(group);
        let timeout = self.cluster.config().request_timeout;
        let mut attempts = self.cluster.attempts(self.cluster.api_deadline());
        loop {
            let answer = coordinator.call(Lane::Control, i16::MAX, timeout, &request).await;
            match answer.and_then(|answer| read(&answer)) {
                Ok(result) => return Ok(result),
                Err(error) => {
                    error.code().iter().for_each(|code| coordinator.heard(*code));
                    if !error.passes() {
                        return Err(error);
                    }
                    attempts.again(&what(), error).await?;
                }
            }
        }
    }

    /// What a group has committed: of these partitions, or of all that it has offsets for.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Committed> {
        offsets::committed(&self.coordinator(group), partitions, self.cluster.api_deadline()).await
    }

    /// Sets offsets of a group without members, as if it had committed them.
    pub async fn set_group_offsets(&self, group: &str, offsets: &Offsets) -> Each<TopicPartition, ()> {
        let deadline = self.cluster.api_deadline();
        let coordinator = self.coordinator(group);
        match offsets::commit(&coordinator, &Committer::OUTSIDER, offsets, deadline).await {
            Ok(results) => results,
            Err(error) => {
                // To the coordinator an outsider is a member that it does not know.
                let error = match error.code() {
                    Some(ErrorCode::UnknownMemberId) => non_empty(group),
                    _ => error,
                };
                offsets.keys().map(|p| (p.clone(), Err(error.clone()))).collect()
            }
        }
        .into_iter()
        .map(|(partition, result)| match result {
            Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) => {
                (partition, Err(non_empty(group)))
            }
            result => (partition, result),
        })
        .collect()
    }

    /// Deletes groups that have no members, with their offsets.
    pub async fn delete_groups(&self, groups: &[String]) -> Each<String, ()> {
        let mut results = Each::new();
        for group in groups {
            let what = || format!("delete group `{group}`");
            let request = |_| DeleteGroupsRequest {
                groups_names: vec![group],
            };
            let read = |answer: &Answer| {
                let response: DeleteGroupsResponse<'_> = answer.decode()?;
                let code = response
                    .results
                    .first()
                    .map_or(ErrorCode::UnknownServerError.code(), |r| r.error_code);
                check(what, code, None)
            };
            let deleted = self.at_coordinator(group, what, request, read).await;
            results.insert(group.clone(), deleted);
        }
        results
    }

    /// Forgets offsets of a group, of topics that no member subscribes to.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Each<TopicPartition, ()>> {
        let what = || format!("delete offsets of group `{group}`");
        let topics = by_topic(partitions);
        let request = |_| OffsetDeleteRequest {
            group_id: group,
            topics: topics
                .iter()
                .map(|(name, partitions)| OffsetDeleteRequestTopic {
                    name,
                    partitions: partitions
                        .iter()
                        .map(|p| OffsetDeleteRequestPartition { partition_index: *p })
                        .collect(),
                })
                .collect(),
        };
        let read = |answer: &Answer| {
            let response: OffsetDeleteResponse<'_> = answer.decode()?;
            check(what, response.error_code, None)?;
            let each = response.topics.iter().flat_map(|t| {
                t.partitions.iter().map(|p| {
                    let partition = TopicPartition::new(t.name, p.partition_index);
                    let result = check(|| format!("{}, {partition}", what()), p.error_code, None);
                    (partition, result)
                })
            });
            Ok(each.collect::<BTreeMap<_, _>>())
        };
        self.at_coordinator(group, what, request, read).await
    }
}

fn non_empty(group: &str) -> Error {
    let what = format!("set offsets of group `{group}`");
    Error::broker(what, ErrorCode::NonEmptyGroup.code(), None)
}

fn listing(group: &listed::ListedGroup<'_>) -> GroupListing {
    GroupListing {
        group: group.group_id.to_owned(),
        protocol_type: group.protocol_type.to_owned(),
        state: group.group_state.to_owned(),
        kind: group.group_type.to_owned(),
    }
}

fn description(group: &described::DescribedGroup<'_>, coordinator: &str) -> GroupDescription {
    let members = group.members.iter().map(|m| MemberDescription {
        member_id: m.member_id.to_owned(),
        instance: m.group_instance_id.map(str::to_owned),
        client_id: m.client_id.to_owned(),
        host: m.client_host.trim_start_matches('/').to_owned(),
        topics: Subscription::decode(m.member_metadata).map_or_else(|_| Vec::new(), |s| s.topics),
        partitions: decode_assignment(m.member_assignment).unwrap_or_default(),
    });
    let mut members: Vec<_> = members.collect();
    members.sort();
    GroupDescription {
        group: group.group_id.to_owned(),
        state: group.group_state.to_owned(),
        protocol_type: group.protocol_type.to_owned(),
        assignor: group.protocol_data.to_owned(),
        coordinator: coordinator.to_owned(),
        members,
    }
}
