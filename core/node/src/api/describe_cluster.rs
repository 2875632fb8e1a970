//! DescribeCluster (KIP-700, 919): the cluster's id, controller and brokers.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_wire::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};

/// Endpoint types: brokers.
const BROKERS: i8 = 1;

pub fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DescribeClusterRequest::decode(&mut request.body, request.version)?;
    if body.endpoint_type != BROKERS {
        return request.answer(&DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType.code(),
            error_message: Some(
                "this listener describes brokers; ask the controller listener for controllers",
            ),
            ..Default::default()
        });
    }
    let image = node.image();
    let shown = image
        .cluster()
        .brokers()
        .filter(|b| !b.fenced || body.include_fenced_brokers);
    let brokers = shown.filter_map(|b| {
        let endpoint = b.endpoint(&request.peer.listener)?;
        Some(DescribeClusterBroker {
            broker_id: b.id,
            host: &endpoint.host,
            port: endpoint.port.into(),
            rack: b.rack.as_deref(),
            is_fenced: request.version >= 2 && b.fenced,
        })
    });
    request.answer(&DescribeClusterResponse {
        cluster_id: node.cluster_id(),
        controller_id: node.node_id().0,
        brokers: brokers.collect(),
        ..Default::default()
    })
}
