//! ListGroups (KIP-518, 848): the groups of every partition that this node coordinates.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::list_groups_request::ListGroupsRequest;
use ottla_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = ListGroupsRequest::decode(&mut request.body, request.version)?;
    let texts = |list: &[&str]| list.iter().map(|text| text.to_string()).collect();
    let filter = group::ListFilter {
        states: texts(&body.states_filter),
        types: texts(&body.types_filter),
    };
    let mut all = Vec::new();
    for coordinator in node.coordinators.all() {
        let asked = coordinator.ask(group::Request::ListGroups(filter.clone()));
        let group::Reply::ListGroups(reply) = asked.await? else {
            return Err(mismatch());
        };
        match reply {
            Ok(groups) => all.extend(groups),
            // A partition that was given up meanwhile has its groups elsewhere.
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => {
                return request.answer(&ListGroupsResponse {
                    error_code: error.code(),
                    ..Default::default()
                });
            }
        }
    }
    let groups = all.iter().map(|g| ListedGroup {
        group_id: &g.group,
        protocol_type: &g.protocol_type,
        group_state: g.state.name(),
        group_type: "Classic",
    });
    request.answer(&ListGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    })
}
