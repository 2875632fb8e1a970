//! IncrementalAlterConfigs (KIP-339) and AlterConfigs (KIP-133, deprecated): per resource all changes or none. What Kafka's broker
//! refuses before it asks the controller (Kafka class `ConfigAdminManager`) is refused here, the rest by the controller's rules.

use std::sync::Arc;

use ottla_metadata::controller::{
    ApiError, ConfigOp, ConfigResults, LegacyAlter, OpType, ResourceOps, alter_configs,
    incremental_alter_configs,
};
use ottla_metadata::image::ResourceKind;
use ottla_metadata::{ConfigResource, MetadataImage, Records};
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_types::config::{ConfigType, find_broker};
use ottla_wire::messages::alter_configs_request::AlterConfigsRequest;
use ottla_wire::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};
use ottla_wire::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;
use ottla_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse as IncrementalResponse, IncrementalAlterConfigsResponse,
};

use crate::Node;
use crate::configs::{Rules, configured};
use crate::dispatch::{Reject, Request};
use crate::errors::message;

/// One resource of a request, owned, as it goes to the controller's task.
struct Alter {
    resource: ConfigResource,
    ops: Vec<Op>,
}

/// A key, what to do, and the value.
type Op = (String, OpType, Option<String>);

/// A resource of a request: its kind, its name, and its changes if they can be understood.
type Asked<'a> = (i8, &'a str, Result<Vec<Op>, ApiError>);

/// What a resource is answered, in the request's order.
type Answers = Vec<(i8, String, Result<(), ApiError>)>;

pub async fn incremental(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = IncrementalAlterConfigsRequest::decode(&mut request.body, request.version)?;
    let items = body.resources.iter().map(|r| {
        let ops = r.configs.iter().map(|c| {
            let op = OpType::from_wire(c.config_operation).ok_or_else(|| {
                let text = format!("Unknown operation type {} of {}", c.config_operation, c.name);
                ApiError::new(ErrorCode::InvalidRequest, text)
            })?;
            Ok((c.name.to_string(), op, c.value.map(str::to_string)))
        });
        (r.resource_type, r.resource_name, ops.collect())
    });
    let answers = answer(node, items.collect(), true, body.validate_only).await;
    let texts = texts(&answers);
    let responses = answers
        .iter()
        .zip(&texts)
        .map(|((kind, name, result), text)| IncrementalResponse {
            error_code: code(result),
            error_message: text.as_deref(),
            resource_type: *kind,
            resource_name: name,
        });
    request.answer(&IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    })
}

pub async fn replace(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = AlterConfigsRequest::decode(&mut request.body, request.version)?;
    let items = body.resources.iter().map(|r| {
        let set = r
            .configs
            .iter()
            .map(|c| Ok((c.name.to_string(), OpType::Set, c.value.map(str::to_string))));
        (r.resource_type, r.resource_name, set.collect())
    });
    let answers = answer(node, items.collect(), false, body.validate_only).await;
    let texts = texts(&answers);
    let responses =
        answers
            .iter()
            .zip(&texts)
            .map(|((kind, name, result), text)| AlterConfigsResourceResponse {
                error_code: code(result),
                error_message: text.as_deref(),
                resource_type: *kind,
                resource_name: name,
            });
    request.answer(&AlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    })
}

fn code(result: &Result<(), ApiError>) -> i16 {
    result
        .as_ref()
        .err()
        .map_or(ErrorCode::None, |error| error.code)
        .code()
}

fn texts(answers: &Answers) -> Vec<Option<String>> {
    answers
        .iter()
        .map(|(.., result)| result.as_ref().err().map(message))
        .collect()
}

/// Sorts out what a broker refuses by itself, and has the controller do the rest.
async fn answer(node: &Arc<Node>, items: Vec<Asked<'_>>, incremental: bool, validate_only: bool) -> Answers {
    let mut answers: Answers = Vec::new();
    let (mut alters, mut places) = (Vec::new(), Vec::new());
    for (kind, name, ops) in items {
        let resource = ConfigResource {
            kind: ResourceKind::from_wire(kind),
            name: name.to_string(),
        };
        let alter = ops.and_then(|ops| {
            before_the_controller(node, &resource, &ops)?;
            Ok(Alter { resource, ops })
        });
        let refused = alter.map(|alter| {
            places.push(answers.len());
            alters.push(alter);
        });
        answers.push((kind, name.to_string(), refused));
    }
    let results = match change(node, alters, incremental, validate_only).await {
        Ok(results) => results.into_iter().map(|(_, result)| result).collect(),
        Err(error) => vec![Err(error); places.len()],
    };
    for (place, result) in places.into_iter().zip(results) {
        if let Some(answer) = answers.get_mut(place) {
            answer.2 = result;
        }
    }
    answers
}

/// What Kafka's broker checks of a resource.
fn before_the_controller(node: &Node, resource: &ConfigResource, ops: &[Op]) -> Result<(), ApiError> {
    let refuse = |text: String| Err(ApiError::new(ErrorCode::InvalidRequest, text));
    match resource.kind {
        ResourceKind::Broker => {
            let own = node.node_id().0;
            match resource.name.parse::<i32>() {
                _ if resource.name.is_empty() => {}
                Ok(id) if id == own => {}
                Ok(id) => return refuse(format!("Unexpected broker id, expected {own}, but received {id}")),
                Err(_) => {
                    return refuse(format!(
                        "Node id must be an integer, but it is: {}",
                        resource.name
                    ));
                }
            }
            let lists = ops
                .iter()
                .filter(|(_, op, _)| matches!(op, OpType::Append | OpType::Subtract));
            for (name, op, _) in lists {
                let verb = if *op == OpType::Append {
                    "append"
                } else {
                    "subtract"
                };
                let text = match find_broker(name) {
                    None => format!("Unknown config name: {name}"),
                    Some(key) if key.kind != ConfigType::List => {
                        format!("Config value {verb} is not allowed for config key: {name}")
                    }
                    Some(_) => continue,
                };
                return Err(ApiError::new(ErrorCode::InvalidConfig, text));
            }
            Ok(())
        }
        ResourceKind::BrokerLogger => match resource.name.parse::<i32>() {
            Ok(id) if id == node.node_id().0 => refuse(
                "The log levels of this server are set by --log-level or OTTLA_LOG when it starts"
                    .to_string(),
            ),
            Ok(id) => refuse(format!(
                "Unexpected node id. Expected {}, but received {id}",
                node.node_id()
            )),
            Err(_) => refuse(format!(
                "Node id must be an integer, but it is: {}",
                resource.name
            )),
        },
        ResourceKind::Other(kind) => refuse(format!("Unknown resource type {kind}")),
        ResourceKind::Topic | ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
    }
}

async fn change(
    node: &Arc<Node>,
    alters: Vec<Alter>,
    incremental: bool,
    validate_only: bool,
) -> Result<ConfigResults, ApiError> {
    let broker = node.broker();
    let plan = node.controller.change(move |planner| {
        let image = planner.image;
        // The settings after every change before this one.
        let rules = Rules(Arc::new(configured(&broker, image)));
        match incremental {
            true => plan_incremental(image, &rules, &alters, validate_only),
            false => plan_replace(image, &rules, &alters, validate_only),
        }
    });
    plan.await
}

fn plan_incremental(
    image: &MetadataImage,
    rules: &Rules,
    alters: &[Alter],
    validate_only: bool,
) -> Result<(Records, ConfigResults), ApiError> {
    let resources: Vec<ResourceOps<'_>> = alters
        .iter()
        .map(|alter| ResourceOps {
            resource: alter.resource.clone(),
            ops: alter.ops.iter().map(borrowed).collect(),
        })
        .collect();
    incremental_alter_configs(image, rules, &resources, validate_only)
}

fn borrowed((key, op, value): &Op) -> ConfigOp<'_> {
    ConfigOp {
        key,
        op: *op,
        value: value.as_deref(),
    }
}

fn plan_replace(
    image: &MetadataImage,
    rules: &Rules,
    alters: &[Alter],
    validate_only: bool,
) -> Result<(Records, ConfigResults), ApiError> {
    let resources: Vec<LegacyAlter<'_>> = alters
        .iter()
        .map(|alter| LegacyAlter {
            resource: alter.resource.clone(),
            configs: alter
                .ops
                .iter()
                .map(|(key, _, value)| (key.as_str(), value.as_deref()))
                .collect(),
        })
        .collect();
    alter_configs(image, rules, &resources, validate_only)
}
