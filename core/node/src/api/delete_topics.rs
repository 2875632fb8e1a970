//! DeleteTopics (KIP-4, 516): by name, and from version 6 by id.

use std::sync::Arc;

use ottla_metadata::controller::{ApiError, TopicSelector, delete_topics};
use ottla_rpc::Reply;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::errors::message;

/// A topic as the request names it: by name, or by an id that is not zero.
#[derive(Clone)]
struct Named {
    name: Option<String>,
    id: Uuid,
}

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DeleteTopicsRequest::decode(&mut request.body, request.version)?;
    let named: Vec<Named> = if request.version >= 6 {
        body.topics
            .iter()
            .map(|t| Named {
                name: t.name.map(str::to_string),
                id: t.topic_id,
            })
            .collect()
    } else {
        body.topic_names
            .iter()
            .map(|name| Named {
                name: Some(name.to_string()),
                id: Uuid::ZERO,
            })
            .collect()
    };
    // Names of topics that are asked for by id belong into the answer; afterwards nobody knows them.
    let image = node.image();
    let name_of = |id: Uuid| image.topics().by_id(id).map(|t| t.name.to_string());
    let shown: Vec<Option<String>> = named
        .iter()
        .map(|n| n.name.clone().or_else(|| name_of(n.id)))
        .collect();
    let results = delete(node, named.clone())
        .await
        .unwrap_or_else(|e| named.iter().map(|_| Err(e.clone())).collect());
    let messages: Vec<String> = results
        .iter()
        .map(|r| r.as_ref().err().map(message).unwrap_or_default())
        .collect();
    let responses = named.iter().zip(&shown).zip(results.iter().zip(&messages)).map(
        |((named, name), (result, message))| {
            let id = result.as_ref().copied().unwrap_or(named.id);
            let (code, message) = match result {
                Ok(_) => (ErrorCode::None, None),
                Err(error) => (error.code, Some(message.as_str())),
            };
            DeletableTopicResult {
                name: name.as_deref(),
                topic_id: id,
                error_code: code.code(),
                error_message: message,
            }
        },
    );
    request.answer(&DeleteTopicsResponse {
        responses: responses.collect(),
        ..Default::default()
    })
}

async fn delete(node: &Arc<Node>, named: Vec<Named>) -> Result<Vec<Result<Uuid, ApiError>>, ApiError> {
    if !node.broker().delete_topic_enable() {
        return Err(ApiError::new(
            ErrorCode::TopicDeletionDisabled,
            "delete.topic.enable is false on this cluster",
        ));
    }
    let change = node.controller.change(move |planner| {
        let selectors: Vec<TopicSelector<'_>> = named
            .iter()
            .map(|n| match &n.name {
                Some(name) => TopicSelector::Name(name),
                None => TopicSelector::Id(n.id),
            })
            .collect();
        let (records, results) = delete_topics(planner.image, &selectors)?;
        Ok((records, results.into_iter().map(|(_, result)| result).collect()))
    });
    change.await
}
