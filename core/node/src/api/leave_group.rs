//! LeaveGroup (KIP-345, 800): one member, and from version 3 several.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::leave_group_request::LeaveGroupRequest;
use ottla_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on a request names its members in a list.
const LIST_SINCE: i16 = 3;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = LeaveGroupRequest::decode(&mut request.body, request.version)?;
    let members = match request.version {
        LIST_SINCE.. => {
            let each = body.members.iter();
            each.map(|m| (m.member_id.to_string(), m.group_instance_id.map(str::to_string)))
                .collect()
        }
        _ => vec![(body.member_id.to_string(), None)],
    };
    let leave = group::Leave {
        group: body.group_id.to_string(),
        members,
    };
    let asked = node.ask_group(body.group_id, group::Request::Leave(leave));
    let group::Reply::Leave(error, rows) = asked.await? else {
        return Err(mismatch());
    };
    if request.version < LIST_SINCE {
        // The member's error is the answer's.
        let failed = rows.iter().map(|(_, _, error)| *error).find(|e| e.is_error());
        let error = match error {
            ErrorCode::None => failed.unwrap_or(ErrorCode::None),
            error => error,
        };
        return request.answer(&LeaveGroupResponse {
            error_code: error.code(),
            ..Default::default()
        });
    }
    let members = rows.iter().map(|(member, instance, error)| MemberResponse {
        member_id: member,
        group_instance_id: instance.as_deref(),
        error_code: error.code(),
    });
    request.answer(&LeaveGroupResponse {
        error_code: error.code(),
        members: members.collect(),
        ..Default::default()
    })
}
