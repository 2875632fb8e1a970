//! FindCoordinator (KIP-699): of groups. Transactions and share groups are not served yet, and are answered as Kafka does while
//! the coordinator's internal topic has no leader: COORDINATOR_NOT_AVAILABLE, and clients ask again.

use std::sync::Arc;

use ottla_metadata::MetadataImage;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::create_topics::auto_create;
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::groups::OFFSETS_TOPIC;

/// From here on several coordinators may be asked for at once.
const KEYS_SINCE: i16 = 4;

/// What a coordinator is for.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// Where a coordinator is: node, host, port.
type Place<'a> = Result<(i32, &'a str, i32), ErrorCode>;

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = FindCoordinatorRequest::decode(&mut request.body, request.version)?;
    if body.key_type == GROUP && node.image().topics().by_name(OFFSETS_TOPIC).is_none() {
        // Kafka has it made and lets the client ask again; here the first answer is right.
        if let Err(error) = auto_create(node, OFFSETS_TOPIC).await {
            tracing::warn!(%error, topic = OFFSETS_TOPIC, "cannot be created; see offsets.topic.replication.factor");
        }
    }
    let image = node.image();
    let listener = &request.peer.listener;
    let find = |key: &str| match body.key_type {
        GROUP => of_group(node, &image, key, listener),
        TRANSACTION => Err(ErrorCode::CoordinatorNotAvailable),
        SHARE if request.version >= 6 => Err(ErrorCode::CoordinatorNotAvailable),
        _ => Err(ErrorCode::InvalidRequest),
    };
    if request.version < KEYS_SINCE {
        let found = find(body.key);
        let error = found.err().unwrap_or(ErrorCode::None);
        let (node_id, host, port) = found.unwrap_or((-1, "", -1));
        return request.answer(&FindCoordinatorResponse {
            error_code: error.code(),
            error_message: Some(error.message()),
            node_id,
            host,
            port,
            ..Default::default()
        });
    }
    let coordinators = body.coordinator_keys.iter().map(|key| {
        let found = find(key);
        let error = found.err().unwrap_or(ErrorCode::None);
        let (node_id, host, port) = found.unwrap_or((-1, "", -1));
        Coordinator {
            key,
            node_id,
            host,
            port,
            error_code: error.code(),
            error_message: Some(error.message()),
        }
    });
    request.answer(&FindCoordinatorResponse {
        coordinators: coordinators.collect(),
        ..Default::default()
    })
}

/// The leader of the group's partition, as clients of a listener reach it.
fn of_group<'a>(node: &Node, image: &'a MetadataImage, group: &str, listener: &str) -> Place<'a> {
    let none = ErrorCode::CoordinatorNotAvailable;
    let topic = image.topics().by_name(OFFSETS_TOPIC).ok_or(none)?;
    let partition = topic
        .partitions
        .get(&node.partition_of_group(group))
        .ok_or(none)?;
    let broker = image.cluster().broker(partition.leader).filter(|b| !b.fenced);
    let endpoint = broker.and_then(|b| b.endpoint(listener)).ok_or(none)?;
    Ok((partition.leader, &endpoint.host, endpoint.port.into()))
}
