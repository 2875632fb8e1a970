//! FindCoordinator (KIP-699). Groups and transactions are not served yet, so it answers as Kafka does while the coordinator's
//! internal topic has no leader: COORDINATOR_NOT_AVAILABLE, and clients ask again.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};

pub async fn handle(_: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = FindCoordinatorRequest::decode(&mut request.body, request.version)?;
    // Group, transaction, and from version 6 share.
    let known = matches!(body.key_type, 0 | 1) || body.key_type == 2 && request.version >= 6;
    let code = if known {
        ErrorCode::CoordinatorNotAvailable
    } else {
        ErrorCode::InvalidRequest
    };
    if request.version < 4 {
        return request.answer(&FindCoordinatorResponse {
            error_code: code.code(),
            error_message: Some(code.message()),
            node_id: -1,
            port: -1,
            ..Default::default()
        });
    }
    let coordinators = body.coordinator_keys.iter().map(|key| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(code.message()),
        ..Default::default()
    });
    request.answer(&FindCoordinatorResponse {
        coordinators: coordinators.collect(),
        ..Default::default()
    })
}
