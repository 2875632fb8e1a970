//! ListConfigResources (KIP-714, 1142): what can be described, by kind.

use std::sync::Arc;

use ottla_metadata::image::ResourceKind;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::list_config_resources_request::ListConfigResourcesRequest;
use ottla_wire::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};

/// The kinds that Kafka lists.
const KINDS: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Broker,
    ResourceKind::BrokerLogger,
    ResourceKind::ClientMetrics,
    ResourceKind::Group,
];

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = ListConfigResourcesRequest::decode(&mut request.body, request.version)?;
    // Version 0 knows client metrics subscriptions alone.
    let asked: Vec<ResourceKind> = match request.version {
        0 => vec![ResourceKind::ClientMetrics],
        _ if body.resource_types.is_empty() => KINDS.to_vec(),
        _ => body
            .resource_types
            .iter()
            .map(|t| ResourceKind::from_wire(*t))
            .collect(),
    };
    let unknown = asked.iter().any(|kind| !KINDS.contains(kind));
    let image = node.image();
    let mut found: Vec<(String, ResourceKind)> = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| !unknown && asked.contains(kind)) {
        let names: Vec<String> = match kind {
            ResourceKind::Topic => image.topics().iter().map(|t| t.name.to_string()).collect(),
            ResourceKind::Broker | ResourceKind::BrokerLogger => {
                image.cluster().brokers().map(|b| b.id.to_string()).collect()
            }
            // Only those that are configured: of others nobody knows.
            kind => {
                let set = image.configs().iter().filter(|(r, _)| r.kind == kind);
                set.map(|(r, _)| r.name.clone()).collect()
            }
        };
        found.extend(names.into_iter().map(|name| (name, kind)));
    }
    let resources = found.iter().map(|(name, kind)| ConfigResource {
        resource_name: name,
        resource_type: kind.to_wire(),
    });
    let code = match unknown {
        true => ErrorCode::UnsupportedVersion,
        false => ErrorCode::None,
    };
    request.answer(&ListConfigResourcesResponse {
        error_code: code.code(),
        config_resources: resources.collect(),
        ..Default::default()
    })
}
