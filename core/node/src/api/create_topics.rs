//! CreateTopics (KIP-4, 464, 525, 516), and the creation that Metadata asks for (auto.create.topics.enable).

use std::sync::Arc;

use ottla_metadata::controller::{ApiError, Assignment, CreatableTopic, CreatedTopic, create_topics};
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_types::config::{DescribedConfig, describe_topic};
use ottla_wire::messages::create_topics_request::CreateTopicsRequest;
use ottla_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};

use crate::Node;
use crate::configs::Rules;
use crate::dispatch::{Reject, Request};
use crate::errors::message;
use crate::start::controller_config;

/// A topic to create, owned, as it goes to the controller's task.
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions, or −1 for the default.
    pub num_partitions: i32,
    /// Replicas, or −1 for the default.
    pub replication_factor: i16,
    /// Brokers by partition, if the client chooses them.
    pub assignments: Vec<Assignment>,
    /// Configuration.
    pub configs: Vec<(String, Option<String>)>,
}

/// What each topic came to, by name.
pub type Results = Vec<(String, Result<CreatedTopic, ApiError>)>;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = CreateTopicsRequest::decode(&mut request.body, request.version)?;
    let topics: Vec<NewTopic> = body
        .topics
        .iter()
        .map(|t| NewTopic {
            name: t.name.to_string(),
            num_partitions: t.num_partitions,
            replication_factor: t.replication_factor,
            assignments: t
                .assignments
                .iter()
                .map(|a| Assignment {
                    partition: a.partition_index,
                    brokers: a.broker_ids.clone(),
                })
                .collect(),
            configs: t
                .configs
                .iter()
                .map(|c| (c.name.to_string(), c.value.map(str::to_string)))
                .collect(),
        })
        .collect();
    let names: Vec<String> = topics.iter().map(|t| t.name.clone()).collect();
    let results = create(node, topics, body.validate_only).await;
    let results = results.unwrap_or_else(|e| names.into_iter().map(|name| (name, Err(e.clone()))).collect());
    let broker = node.broker();
    let described: Vec<Vec<DescribedConfig>> = results
        .iter()
        .map(|(_, r)| {
            r.as_ref()
                .map(|created| describe_topic(&created.config, &broker))
                .unwrap_or_default()
        })
        .collect();
    let messages: Vec<String> = results
        .iter()
        .map(|(_, r)| r.as_ref().err().map(message).unwrap_or_default())
        .collect();
    let topics =
        results.iter().zip(&described).zip(&messages).map(
            |(((name, result), configs), message)| match result {
                Ok(created) => CreatableTopicResult {
                    name,
                    topic_id: created.topic_id,
                    num_partitions: created.num_partitions,
                    replication_factor: created.replication_factor,
                    configs: Some(configs.iter().map(config).collect()),
                    ..Default::default()
                },
                Err(error) => CreatableTopicResult {
                    name,
                    error_code: error.code.code(),
                    error_message: Some(message),
                    configs: Some(Vec::new()),
                    ..Default::default()
                },
            },
        );
    request.answer(&CreateTopicsResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

fn config(config: &DescribedConfig) -> CreatableTopicConfigs<'_> {
    CreatableTopicConfigs {
        name: &config.name,
        value: config.value.as_deref(),
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
    }
}

/// Creates topics through the controller.
pub async fn create(
    node: &Arc<Node>,
    topics: Vec<NewTopic>,
    validate_only: bool,
) -> Result<Results, ApiError> {
    let broker = node.broker();
    let config = controller_config(&broker, node.cluster_id());
    let change = node.controller.change(move |planner| {
        let topics: Vec<CreatableTopic<'_>> = topics.iter().map(creatable).collect();
        let (image, mut draw) = planner.parts();
        let (records, results) =
            create_topics(image, &config, &Rules(broker), &topics, validate_only, &mut draw)?;
        Ok((
            records,
            results
                .into_iter()
                .map(|(name, result)| (name.to_string(), result))
                .collect(),
        ))
    });
    change.await
}

fn creatable(topic: &NewTopic) -> CreatableTopic<'_> {
    CreatableTopic {
        name: &topic.name,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.clone(),
        configs: topic
            .configs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect(),
    }
}

/// Creates the topic `name` with the node's defaults; it may exist by now.
pub async fn auto_create(node: &Arc<Node>, name: &str) -> Result<(), ErrorCode> {
    let topic = match name {
        crate::groups::OFFSETS_TOPIC => crate::groups::offsets_topic(&node.broker()),
        _ => NewTopic {
            name: name.to_string(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        },
    };
    let results = create(node, vec![topic], false).await.map_err(|e| e.code)?;
    match results.into_iter().next() {
        Some((_, Err(error))) if error.code != ErrorCode::TopicAlreadyExists => Err(error.code),
        _ => Ok(()),
    }
}
