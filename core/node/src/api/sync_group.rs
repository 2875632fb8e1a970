//! SyncGroup (KIP-345, 559).

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::sync_group_request::SyncGroupRequest;
use ottla_wire::messages::sync_group_response::SyncGroupResponse;

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on a member says which protocol it means (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = SyncGroupRequest::decode(&mut request.body, request.version)?;
    if request.version >= PROTOCOL_SINCE && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        return request.answer(&SyncGroupResponse {
            error_code: ErrorCode::InconsistentGroupProtocol.code(),
            ..Default::default()
        });
    }
    let assignments = body.assignments.iter();
    let sync = group::Sync {
        who: group::Identity {
            group: body.group_id.to_string(),
            member: body.member_id.to_string(),
            instance: body.group_instance_id.map(str::to_string),
            generation: body.generation_id,
        },
        protocol_type: body.protocol_type.map(str::to_string),
        protocol_name: body.protocol_name.map(str::to_string),
        assignments: assignments
            .map(|a| (a.member_id.to_string(), a.assignment.to_vec()))
            .collect(),
    };
    let group::Reply::Sync(reply) = node.ask_group(body.group_id, group::Request::Sync(sync)).await? else {
        return Err(mismatch());
    };
    request.answer(&SyncGroupResponse {
        error_code: reply.error.code(),
        protocol_type: reply.protocol_type.as_deref(),
        protocol_name: reply.protocol_name.as_deref(),
        assignment: &reply.assignment,
        ..Default::default()
    })
}
