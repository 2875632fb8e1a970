//! Heartbeat.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_wire::messages::heartbeat_request::HeartbeatRequest;
use ottla_wire::messages::heartbeat_response::HeartbeatResponse;

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = HeartbeatRequest::decode(&mut request.body, request.version)?;
    let who = group::Identity {
        group: body.group_id.to_string(),
        member: body.member_id.to_string(),
        instance: body.group_instance_id.map(str::to_string),
        generation: body.generation_id,
    };
    let asked = node.ask_group(body.group_id, group::Request::Heartbeat(who));
    let group::Reply::Heartbeat(error) = asked.await? else {
        return Err(mismatch());
    };
    request.answer(&HeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    })
}
