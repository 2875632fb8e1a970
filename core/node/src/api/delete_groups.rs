//! DeleteGroups (KIP-229): each group by its own coordinator.

use std::sync::Arc;

use ottla_group as group;
use ottla_rpc::Reply;
use ottla_wire::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::mismatch;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DeleteGroupsRequest::decode(&mut request.body, request.version)?;
    let mut rows = Vec::with_capacity(body.groups_names.len());
    for name in &body.groups_names {
        let asked = group::Request::DeleteGroups(vec![name.to_string()]);
        let group::Reply::DeleteGroups(reply) = node.ask_group(name, asked).await? else {
            return Err(mismatch());
        };
        rows.extend(reply);
    }
    let results = rows.iter().map(|(group_id, error)| DeletableGroupResult {
        group_id,
        error_code: error.code(),
    });
    request.answer(&DeleteGroupsResponse {
        results: results.collect(),
        ..Default::default()
    })
}
