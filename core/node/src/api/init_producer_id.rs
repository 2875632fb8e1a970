//! InitProducerId (KIP-98, 360): an id for an idempotent producer. Transactional ids need a coordinator, which is not served yet.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_wire::messages::init_producer_id_response::InitProducerIdResponse;

use crate::Node;
use crate::dispatch::{Reject, Request};

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = InitProducerIdRequest::decode(&mut request.body, request.version)?;
    let refused = match body.transactional_id {
        Some("") => Some(ErrorCode::InvalidRequest),
        // As Kafka while no partition of __transaction_state has a leader: the client asks again.
        Some(_) => Some(ErrorCode::CoordinatorNotAvailable),
        None => None,
    };
    if let Some(code) = refused {
        return request.answer(&InitProducerIdResponse {
            error_code: code.code(),
            producer_epoch: -1,
            ..Default::default()
        });
    }
    // Without a transactional id Kafka ignores id and epoch of the request: each call gets a new id at epoch 0.
    let answer = match node.producer_ids.next(node).await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..Default::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.code.code(),
            producer_epoch: -1,
            ..Default::default()
        },
    };
    request.answer(&answer)
}
