//! DeleteRecords (KIP-107): moves a partition's log start up.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use ottla_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use crate::Node;
use crate::dispatch::{Reject, Request};

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = DeleteRecordsRequest::decode(&mut request.body, request.version)?;
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let (low_watermark, code) = match delete(node, topic.name, wanted).await {
                Ok(start) => (start, ErrorCode::None),
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: wanted.partition_index,
                low_watermark,
                error_code: code.code(),
            });
        }
        topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    request.answer(&DeleteRecordsResponse {
        topics,
        ..Default::default()
    })
}

async fn delete(node: &Node, topic: &str, wanted: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    if crate::topics::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = node.partition(topic, ottla_types::Uuid::ZERO, wanted.partition_index)?;
    let result = partition.delete_records(wanted.offset).await;
    result
        .unwrap_or(Err(crate::partition::Refused::code(
            ErrorCode::NotLeaderOrFollower,
        )))
        .map_err(|refused| refused.code)
}
