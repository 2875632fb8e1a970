//! One Fetch request to one broker and its response. Which partitions are asked for is decided in `mod.rs`, what has changed
//! since the last request in `session.rs`.

use bytes::Bytes;
use ottla_rpc::CallError;
use ottla_wire::ApiKey;
use ottla_wire::messages::FetchRequest;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

use super::config::ConsumerConfig;
use super::session::Plan;
use crate::connections::Lane;
use crate::{Cluster, Error, Result};

/// A response as it came.
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    pub(crate) version: i16,
    pub(crate) broker: String,
}

/// Sends what was planned and waits for the response.
pub(crate) async fn fetch(
    cluster: Cluster,
    leader: i32,
    plan: Plan,
    config: ConsumerConfig,
) -> Result<Fetched> {
    let (connection, broker) = cluster.node(leader, Lane::Fetch).await?;
    let call = async {
        let ids = plan
            .asked
            .iter()
            .map(|(_, w)| w.id)
            .chain(plan.forgotten.iter().map(|(_, id)| *id))
            .all(|id| !id.is_zero());
        let version = connection.version_up_to::<FetchRequest<'_>>(if ids { i16::MAX } else { 12 })?;
        let mut body = Vec::new();
        request(&plan, &config)
            .encode(&mut body, version)
            .map_err(CallError::Encode)?;
        let deadline = cluster
            .now()
            .after(cluster.config().request_timeout)
            .after(config.fetch_max_wait);
        Ok((
            connection
                .call(ApiKey::Fetch, version, vec![body.into()], deadline)
                .await?,
            version,
        ))
    };
    match call.await {
        Ok((body, version)) => Ok(Fetched {
            body,
            version,
            broker,
        }),
        Err(error) => Err(Error::Call { broker, error }),
    }
}

fn request<'a>(plan: &'a Plan, config: &ConsumerConfig) -> FetchRequest<'a> {
    let mut topics: Vec<FetchTopic<'a>> = Vec::new();
    for ((name, partition), want) in &plan.asked {
        if topics.last().is_none_or(|t| *t.topic != **name) {
            topics.push(FetchTopic {
                topic: name,
                topic_id: want.id,
                ..Default::default()
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(FetchPartition {
                partition: *partition,
                current_leader_epoch: want.leader_epoch,
                fetch_offset: want.offset,
                partition_max_bytes: want.max_bytes,
                ..Default::default()
            });
        }
    }
    let mut forgotten: Vec<ForgottenTopic<'a>> = Vec::new();
    for ((name, partition), id) in &plan.forgotten {
        if forgotten
            .last()
            .is_none_or(|t| *t.topic != **name || t.topic_id != *id)
        {
            forgotten.push(ForgottenTopic {
                topic: name,
                topic_id: *id,
                ..Default::default()
            });
        }
        if let Some(topic) = forgotten.last_mut() {
            topic.partitions.push(*partition);
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(config.fetch_max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.id(),
        session_id: plan.session_id,
        session_epoch: plan.session_epoch,
        topics,
        forgotten_topics_data: forgotten,
        ..Default::default()
    }
}
