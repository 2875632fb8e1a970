//! DescribeGroups (KIP-345, 430, 1043): classic groups and their members.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_wire::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

/// From here on an unknown group is an error; before, it is a dead one.
const NOT_FOUND_SINCE: i16 = 6;
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS: without an authorizer all that a group knows (KIP-430).
const EVERY_OPERATION: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DescribeGroupsRequest::decode(&mut request.body, request.version)?;
    let mut rows = Vec::with_capacity(body.groups.len());
    for name in &body.groups {
        let asked = group::Request::DescribeGroups(vec![name.to_string()]);
        let group::Reply::DescribeGroups(reply) = node.ask_group(name, asked).await? else {
            return Err(mismatch());
        };
        rows.extend(reply);
    }
    let messages: Vec<Option<String>> = rows.iter().map(|row| message(row, request.version)).collect();
    let groups = rows.iter().zip(&messages).map(|(row, message)| {
        let unknown = row.error == ErrorCode::GroupIdNotFound && request.version < NOT_FOUND_SINCE;
        let error = if unknown { ErrorCode::None } else { row.error };
        DescribedGroup {
            error_code: error.code(),
            error_message: message.as_deref(),
            group_id: &row.group,
            group_state: match row.error {
                ErrorCode::None | ErrorCode::GroupIdNotFound => row.state.name(),
                _ => "",
            },
            protocol_type: &row.protocol_type,
            protocol_data: &row.protocol,
            members: row.members.iter().map(member).collect(),
            authorized_operations: match body.include_authorized_operations && !error.is_error() {
                true => EVERY_OPERATION,
                false => i32::MIN,
            },
        }
    });
    request.answer(&DescribeGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    })
}

fn message(row: &group::DescribedGroup, version: i16) -> Option<String> {
    let unknown = row.error == ErrorCode::GroupIdNotFound && version >= NOT_FOUND_SINCE;
    unknown.then(|| format!("Group {} not found.", row.group))
}

fn member(m: &group::DescribedMember) -> DescribedGroupMember<'_> {
    DescribedGroupMember {
        member_id: &m.member,
        group_instance_id: m.instance.as_deref(),
        client_id: &m.client_id,
        client_host: &m.client_host,
        member_metadata: &m.metadata,
        member_assignment: &m.assignment,
    }
}
