//! DescribeConfigs (KIP-133, 226, 569): every key with its value, where it comes from, and what it would be otherwise.

use std::sync::Arc;

use ottla_metadata::image::{Config, ResourceKind};
use ottla_metadata::{ConfigResource, MetadataImage};
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_types::config::{
    DescribedConfig, describe_broker, describe_broker_defaults, describe_client_metrics, describe_group,
    describe_topic,
};
use ottla_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::partition::Refused;

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DescribeConfigsRequest::decode(&mut request.body, request.version)?;
    let described: Vec<Result<Vec<DescribedConfig>, Refused>> =
        body.resources.iter().map(|r| describe(node, r)).collect();
    let (synonyms, documentation) = (body.include_synonyms, body.include_documentation);
    let results = body
        .resources
        .iter()
        .zip(&described)
        .map(|(resource, described)| {
            let (code, message, configs) = match described {
                Ok(configs) => (
                    ErrorCode::None,
                    // Not null, as Kafka.
                    Some(""),
                    configs
                        .iter()
                        .map(|c| result(c, synonyms, documentation))
                        .collect(),
                ),
                Err(refused) => (
                    refused.code,
                    Some(refused.message.as_deref().unwrap_or_default()),
                    Vec::new(),
                ),
            };
            DescribeConfigsResult {
                error_code: code.code(),
                error_message: message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs,
            }
        });
    request.answer(&DescribeConfigsResponse {
        results: results.collect(),
        ..Default::default()
    })
}

fn describe(node: &Node, resource: &DescribeConfigsResource<'_>) -> Result<Vec<DescribedConfig>, Refused> {
    let (broker, name) = (node.broker(), resource.resource_name);
    let mut all = match ResourceKind::from_wire(resource.resource_type) {
        ResourceKind::Topic => {
            if let Err(reason) = ottla_metadata::controller::validate_topic_name(name) {
                return Err(Refused::because(ErrorCode::InvalidTopicException, reason));
            }
            let image = node.image();
            if image.topics().by_name(name).is_none() {
                return Err(Refused::code(ErrorCode::UnknownTopicOrPartition));
            }
            describe_topic(image.configs().of(&ConfigResource::topic(name)), &broker)
        }
        ResourceKind::Broker if name.is_empty() => describe_broker_defaults(&broker),
        ResourceKind::Broker => {
            own(node, name, " or empty string,")?;
            describe_broker(&broker)
        }
        ResourceKind::BrokerLogger if name.is_empty() => return refuse("Broker id must not be empty".into()),
        ResourceKind::BrokerLogger => {
            own(node, name, "")?;
            return refuse("The log levels of this server are not described yet".into());
        }
        ResourceKind::Group if name.is_empty() => return refuse("Group name must not be empty".into()),
        ResourceKind::Group => describe_group(set(&node.image(), ResourceKind::Group, name), &broker),
        ResourceKind::ClientMetrics if name.is_empty() => {
            return refuse("Client metrics subscription name must not be empty".into());
        }
        ResourceKind::ClientMetrics => {
            describe_client_metrics(set(&node.image(), ResourceKind::ClientMetrics, name))
        }
        ResourceKind::Other(kind) => return refuse(format!("Unknown resource type {kind}")),
    };
    if let Some(keys) = &resource.configuration_keys {
        all.retain(|config| keys.contains(&config.name.as_str()));
    }
    Ok(all)
}

fn refuse<T>(reason: String) -> Result<T, Refused> {
    Err(Refused::because(ErrorCode::InvalidRequest, reason))
}

/// What the metadata holds of a resource.
fn set<'a>(image: &'a MetadataImage, kind: ResourceKind, name: &str) -> &'a Config {
    let name = name.to_string();
    image.configs().of(&ConfigResource { kind, name })
}

/// Only this broker can say how it is configured (Kafka class `ConfigHelper`).
fn own(node: &Node, name: &str, or: &str) -> Result<(), Refused> {
    let id = node.node_id().0;
    match name.parse::<i32>() {
        Ok(asked) if asked == id => Ok(()),
        Ok(asked) => refuse(format!(
            "Unexpected broker id, expected {id}{or} but received {asked}"
        )),
        Err(_) => refuse(format!("Broker id must be an integer, but it is: {name}")),
    }
}

fn result(
    config: &DescribedConfig,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResourceResult<'_> {
    let synonym = |s: &'_ ottla_types::config::DescribedSynonym| s.source.code();
    DescribeConfigsResourceResult {
        name: &config.name,
        value: config.value.as_deref(),
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
        synonyms: if synonyms {
            config
                .synonyms
                .iter()
                .map(|s| DescribeConfigsSynonym {
                    name: &s.name,
                    value: s.value.as_deref(),
                    source: synonym(s),
                })
                .collect()
        } else {
            Vec::new()
        },
        config_type: config.type_code(),
        documentation: config.documentation.as_deref().filter(|_| documentation),
    }
}
