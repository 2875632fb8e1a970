//! Metadata (KIP-4, 516, 526): brokers, topics, partitions and their leaders, as the published image has them.

use std::sync::Arc;

use ottla_metadata::MetadataImage;
use ottla_metadata::image::Topic;
use ottla_rpc::Reply;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::messages::metadata_request::MetadataRequest;
use ottla_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::create_topics::auto_create;
use crate::Node;
use crate::dispatch::{Reject, Request};

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = MetadataRequest::decode(&mut request.body, request.version)?;
    // Version 0 has no null: an empty list asks for all topics.
    let all =
        body.topics.is_none() || request.version == 0 && body.topics.as_ref().is_some_and(Vec::is_empty);
    let wanted = body.topics.unwrap_or_default();
    let mut refused = Vec::new();
    if !all && body.allow_auto_topic_creation && node.broker().auto_create_topics_enable() {
        for topic in &wanted {
            let Some(name) = topic.name.filter(|_| topic.topic_id.is_zero()) else {
                continue;
            };
            if node.image().topics().by_name(name).is_none()
                && let Err(code) = auto_create(node, name).await
            {
                refused.push((name, code));
            }
        }
    }
    let image = node.image();
    let topics = if all {
        image.topics().iter().map(|topic| describe(topic)).collect()
    } else {
        wanted
            .iter()
            .map(|wanted| {
                let found = match wanted.name.filter(|_| wanted.topic_id.is_zero()) {
                    Some(name) => image.topics().by_name(name),
                    None => image.topics().by_id(wanted.topic_id),
                };
                found.map_or_else(
                    || missing(wanted.name, wanted.topic_id, &refused),
                    |topic| describe(topic),
                )
            })
            .collect()
    };
    request.answer(&MetadataResponse {
        brokers: brokers(&image, &request.peer.listener),
        cluster_id: Some(node.cluster_id()),
        controller_id: node.node_id().0,
        topics,
        ..Default::default()
    })
}

/// The brokers that clients of a listener can reach.
fn brokers<'a>(image: &'a MetadataImage, listener: &str) -> Vec<MetadataResponseBroker<'a>> {
    let active = image.cluster().brokers().filter(|b| !b.fenced);
    let reachable = active.filter_map(|b| {
        let endpoint = b.endpoint(listener)?;
        Some(MetadataResponseBroker {
            node_id: b.id,
            host: &endpoint.host,
            port: endpoint.port.into(),
            rack: b.rack.as_deref(),
        })
    });
    reachable.collect()
}

fn describe(topic: &Topic) -> MetadataResponseTopic<'_> {
    let partitions = topic
        .partitions
        .iter()
        .map(|(index, p)| MetadataResponsePartition {
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
            offline_replicas: Vec::new(),
        });
    MetadataResponseTopic {
        name: Some(&topic.name),
        topic_id: topic.id,
        is_internal: crate::topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn missing<'a>(name: Option<&'a str>, id: Uuid, refused: &[(&str, ErrorCode)]) -> MetadataResponseTopic<'a> {
    let by_id = !id.is_zero();
    let code = match name {
        _ if by_id => ErrorCode::UnknownTopicId,
        Some(name) => match refused.iter().find(|(n, _)| *n == name) {
            Some((_, code)) => *code,
            None if ottla_metadata::controller::validate_topic_name(name).is_err() => {
                ErrorCode::InvalidTopicException
            }
            None => ErrorCode::UnknownTopicOrPartition,
        },
        None => ErrorCode::UnknownTopicId,
    };
    let name = if by_id { None } else { name };
    // Below version 12 the name may not be null.
    MetadataResponseTopic {
        error_code: code.code(),
        name: name.or(Some("")),
        topic_id: id,
        ..Default::default()
    }
}
