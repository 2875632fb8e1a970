//! JoinGroup (KIP-62, 345, 394, 559, 814).

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_wire::messages::join_group_request::JoinGroupRequest;
use ottla_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};

use super::group_parts::client_host;
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on a dynamic member is told its id before it joins (KIP-394).
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;
/// From here on protocol type and name may be null (KIP-559).
const NULL_PROTOCOL_SINCE: i16 = 7;
/// From here on a leader may be told to skip the assignment (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let version = request.version;
    let body = JoinGroupRequest::decode(&mut request.body, version)?;
    let protocols = body.protocols.iter().map(|p| group::Protocol {
        name: p.name.to_string(),
        metadata: p.metadata.to_vec(),
    });
    let join = group::Join {
        who: group::Identity {
            group: body.group_id.to_string(),
            member: body.member_id.to_string(),
            instance: body.group_instance_id.map(str::to_string),
            generation: -1,
        },
        client_id: request.client_id.unwrap_or_default().to_string(),
        client_host: client_host(&request.peer.addr),
        session_timeout_ms: body.session_timeout_ms,
        // Version 0 has none of its own.
        rebalance_timeout_ms: match version {
            0 => body.session_timeout_ms,
            _ => body.rebalance_timeout_ms,
        },
        protocol_type: body.protocol_type.to_string(),
        protocols: protocols.collect(),
        requires_known_member_id: version >= MEMBER_ID_REQUIRED_SINCE && body.group_instance_id.is_none(),
        supports_skip_assignment: version >= SKIP_ASSIGNMENT_SINCE,
        random: node.coordinators.random(),
    };
    let asked = node.ask_group(body.group_id, group::Request::Join(Box::new(join)));
    let group::Reply::Join(reply) = asked.await? else {
        return Err(mismatch());
    };
    let members = reply
        .members
        .iter()
        .map(|(id, instance, metadata)| JoinGroupResponseMember {
            member_id: id,
            group_instance_id: instance.as_deref(),
            metadata,
        });
    let name = reply.protocol_name.as_deref();
    request.answer(&JoinGroupResponse {
        error_code: reply.error.code(),
        generation_id: reply.generation,
        protocol_type: reply.protocol_type.as_deref(),
        protocol_name: match version {
            NULL_PROTOCOL_SINCE.. => name,
            _ => name.or(Some("")),
        },
        leader: &reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: &reply.member,
        members: members.collect(),
        ..Default::default()
    })
}
