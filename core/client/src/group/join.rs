//! One attempt to get into a generation and to an assignment: JoinGroup, the assignor's work if this member leads, SyncGroup.
//! Runs as a task of its own, so that a member that is slow to poll does not hold the others up longer than it must.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::join_group_request::JoinGroupRequestProtocol;
use ottla_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use ottla_wire::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};

use super::assign::{Assignor, GroupMember, Members, TopicSizes};
use super::membership::{AfterJoin, Identity, Joined};
use super::protocol::{Subscription, decode_assignment, encode_assignment};
use super::shared::{Shared, ms};
use crate::connections::Lane;
use crate::{Error, Result};

/// The type of all groups of consumers.
const CONSUMER: &str = "consumer";

/// The coordinator may take this much longer than the rebalance timeout (as Kafka allows it).
const SLACK: Duration = Duration::from_secs(5);

/// What a member brings to a rebalance.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) attempt: u64,
    /// What it subscribes to.
    pub(super) topics: Vec<String>,
    /// What it has and keeps meanwhile.
    pub(super) owned: Vec<TopicPartition>,
    /// Its latest assignment, given up or not, and the generation of that.
    pub(super) last: (Vec<TopicPartition>, i32),
    /// Why it joins, for the broker's log (KIP-800).
    pub(super) reason: String,
}

/// Carries out one attempt and leaves its result in the membership.
pub(super) async fn join(shared: Arc<Shared>, joining: Joining) {
    let attempt = joining.attempt;
    let answer = loop {
        match join_once(&shared, &joining).await {
            (AfterJoin::Again, _) => {}
            (AfterJoin::Sync, Some(answer)) => break Some(answer),
            _ => break None,
        }
    };
    if let Some(entered) = answer {
        // Heartbeats begin.
        shared.wake.notify_one();
        let result = synchronise(&shared, &joining, entered).await;
        shared.state().sync_answered(attempt, result);
    }
    let mut state = shared.state();
    if state.phase == super::membership::Phase::Unjoined {
        state.failures = state.failures.max(1);
        state.join_not_before = shared
            .cluster
            .now()
            .after(shared.cluster.backoff().pause(state.failures));
    }
    drop(state);
    shared.changed.notify_one();
    shared.wake.notify_one();
}

/// A member's entry into a generation.
struct Entered {
    who: Identity,
    protocol: String,
    /// What the leader needs: everybody's subscription. `None` for the others, and for a leader whose group keeps the
    /// assignment it has (KIP-814).
    members: Option<Members>,
    leads: bool,
}

async fn join_once(shared: &Shared, joining: &Joining) -> (AfterJoin, Option<Entered>) {
    let attempt = joining.attempt;
    match request_join(shared, joining).await {
        Ok((code, error, entered)) => {
            shared.coordinator.heard(code);
            let mut state = shared.state();
            let after = state.join_answered(attempt, code, entered.who.clone(), error);
            (after, Some(entered))
        }
        Err(error) => {
            shared.state().join_failed(attempt, error);
            (AfterJoin::Over, None)
        }
    }
}

async fn request_join(shared: &Shared, joining: &Joining) -> Result<(ErrorCode, Error, Entered)> {
    let config = &shared.config;
    let (who, before) = {
        let state = shared.state();
        (state.who.clone(), state.who.generation)
    };
    let metadata = config
        .assignors
        .iter()
        .map(|assignor| {
            let subscription = Subscription {
                topics: joining.topics.clone(),
                user_data: assignor.user_data(&joining.last.0, joining.last.1),
                owned: joining.owned.clone(),
                generation: before,
                rack: config.rack.clone(),
            };
            Ok((assignor.name(), subscription.encode().map_err(unwritable)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let request = |version| JoinGroupRequest {
        group_id: &config.group_id,
        session_timeout_ms: ms(config.session_timeout),
        rebalance_timeout_ms: ms(config.max_poll_interval),
        member_id: &who.member_id,
        group_instance_id: config.group_instance_id.as_deref(),
        protocol_type: CONSUMER,
        protocols: metadata
            .iter()
            .map(|(name, metadata)| JoinGroupRequestProtocol { name, metadata })
            .collect(),
        reason: (version >= 8).then_some(joining.reason.as_str()),
    };
    let timeout = config
        .consumer
        .client
        .request_timeout
        .max(config.max_poll_interval + SLACK);
    let answer = shared
        .coordinator
        .call(Lane::Join, i16::MAX, timeout, request)
        .await?;
    let response: JoinGroupResponse<'_> = answer.decode()?;
    let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
    let error = Error::broker(
        format!("join group `{}`", config.group_id),
        response.error_code,
        None,
    );
    if code == ErrorCode::None && response.protocol_type.is_some_and(|t| t != CONSUMER) {
        return Err(Error::broker(
            format!("join group `{}`, which is not one of consumers", config.group_id),
            ErrorCode::InconsistentGroupProtocol.code(),
            None,
        ));
    }
    let leads = response.leader == response.member_id;
    let entered = Entered {
        who: Identity {
            member_id: response.member_id.to_owned(),
            generation: response.generation_id,
        },
        protocol: response.protocol_name.unwrap_or_default().to_owned(),
        members: leads.then(|| members(&response)),
        leads: leads && !response.skip_assignment,
    };
    Ok((code, error, entered))
}

/// What everybody said. Who said nothing that can be read wants nothing.
fn members(response: &JoinGroupResponse<'_>) -> Members {
    let members = response.members.iter().map(|m| {
        let member = GroupMember {
            instance: m.group_instance_id.map(str::to_owned),
            subscription: Subscription::decode(m.metadata).unwrap_or_default(),
        };
        (m.member_id.to_owned(), member)
    });
    members.collect()
}

fn unwritable(error: ottla_wire::EncodeError) -> Error {
    Error::Call {
        broker: "none".to_owned(),
        error: ottla_rpc::CallError::Encode(error),
    }
}

async fn synchronise(shared: &Shared, joining: &Joining, entered: Entered) -> Result<Joined> {
    let config = &shared.config;
    let group_topics = match &entered.members {
        Some(members) => Some(topic_sizes(shared, members).await),
        None => None,
    };
    let mut assignments: Vec<(String, Vec<u8>)> = Vec::new();
    if let (true, Some(members), Some(topics)) = (entered.leads, &entered.members, &group_topics) {
        let chosen = config.assignors.iter().find(|a| a.name() == entered.protocol);
        let assignor: &Arc<dyn Assignor> = chosen.ok_or_else(|| {
            Error::broker(
                format!("lead group `{}` by `{}`", config.group_id, entered.protocol),
                ErrorCode::InconsistentGroupProtocol.code(),
                None,
            )
        })?;
        for (id, partitions) in assignor.assign(topics, members) {
            assignments.push((id, encode_assignment(&partitions).map_err(unwritable)?));
        }
    }
    let request = |_| SyncGroupRequest {
        group_id: &config.group_id,
        generation_id: entered.who.generation,
        member_id: &entered.who.member_id,
        group_instance_id: config.group_instance_id.as_deref(),
        protocol_type: Some(CONSUMER),
        protocol_name: Some(&entered.protocol),
        assignments: assignments
            .iter()
            .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                member_id,
                assignment,
            })
            .collect(),
    };
    let timeout = config
        .consumer
        .client
        .request_timeout
        .max(config.max_poll_interval + SLACK);
    let answer = shared
        .coordinator
        .call(Lane::Join, i16::MAX, timeout, request)
        .await?;
    let response: SyncGroupResponse<'_> = answer.decode()?;
    let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
    shared.coordinator.heard(code);
    if code != ErrorCode::None {
        let what = format!("get an assignment in group `{}`", config.group_id);
        return Err(Error::broker(what, response.error_code, None));
    }
    let partitions = decode_assignment(response.assignment).map_err(|e| Error::decode(&answer.broker, e))?;
    Ok(Joined {
        generation: entered.who.generation,
        partitions,
        topics: joining.topics.clone(),
        group_topics,
    })
}

/// How many partitions the topics of the whole group have, asked for anew.
async fn topic_sizes(shared: &Shared, members: &Members) -> TopicSizes {
    let topics: BTreeSet<&str> = members
        .values()
        .flat_map(|m| m.subscription.topics.iter().map(String::as_str))
        .collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    if !topics.is_empty() {
        let seen = shared.cluster.view().generation;
        // One that is not there yet is no reason to keep the others waiting.
        let _ = shared.cluster.refresh(seen, &topics, false).await;
    }
    sizes(shared, topics.into_iter())
}

/// How many partitions these topics have, as far as is known.
pub(super) fn sizes<'a>(shared: &Shared, topics: impl Iterator<Item = &'a str>) -> TopicSizes {
    let view = shared.cluster.view();
    let known = topics.filter_map(|topic| {
        let count = view.topics.get(topic)?.partitions.len();
        Some((topic.to_owned(), i32::try_from(count).unwrap_or(i32::MAX)))
    });
    known.collect::<BTreeMap<_, _>>()
}
