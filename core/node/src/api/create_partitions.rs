//! CreatePartitions (KIP-195): more partitions for a topic.

use std::sync::Arc;

use ottla_metadata::controller::{ApiError, CreatePartitionsTopic, create_partitions};
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::create_partitions_request::CreatePartitionsRequest;
use ottla_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::errors::message;

/// A topic's name, its new number of partitions, and brokers for the new ones.
type Wanted = (String, i32, Option<Vec<Vec<i32>>>);

/// What each topic came to, by name.
type Results = Vec<(String, Result<(), ApiError>)>;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = CreatePartitionsRequest::decode(&mut request.body, request.version)?;
    let wanted: Vec<Wanted> = body
        .topics
        .iter()
        .map(|t| {
            let assignments = t
                .assignments
                .as_ref()
                .map(|all| all.iter().map(|a| a.broker_ids.clone()).collect());
            (t.name.to_string(), t.count, assignments)
        })
        .collect();
    let names: Vec<String> = wanted.iter().map(|(name, ..)| name.clone()).collect();
    let validate_only = body.validate_only;
    let change = node.controller.change(move |planner| {
        let topics: Vec<CreatePartitionsTopic<'_>> = wanted
            .iter()
            .map(|(name, count, assignments)| CreatePartitionsTopic {
                name,
                count: *count,
                assignments: assignments.clone(),
            })
            .collect();
        let (image, mut draw) = planner.parts();
        let (records, results) = create_partitions(image, &topics, validate_only, &mut draw)?;
        Ok((
            records,
            results
                .into_iter()
                .map(|(name, result)| (name.to_string(), result))
                .collect(),
        ))
    });
    let results: Result<Results, ApiError> = change.await;
    let results = results.unwrap_or_else(|e| names.into_iter().map(|name| (name, Err(e.clone()))).collect());
    let messages: Vec<Option<String>> = results
        .iter()
        .map(|(_, r)| r.as_ref().err().map(message))
        .collect();
    let results =
        results
            .iter()
            .zip(&messages)
            .map(|((name, result), message)| CreatePartitionsTopicResult {
                name,
                error_code: result.as_ref().err().map_or(ErrorCode::None, |e| e.code).code(),
                error_message: message.as_deref(),
            });
    request.answer(&CreatePartitionsResponse {
        results: results.collect(),
        ..Default::default()
    })
}
