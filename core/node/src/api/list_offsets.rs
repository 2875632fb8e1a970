//! ListOffsets (KIP-79, 734, 1005, 1023): offsets by timestamp, and the special ones.

use std::sync::Arc;

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use ottla_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::errors;
use crate::partition::Partition;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// What was found: timestamp, offset and its leader epoch; −1 where there is none.
type Found = (i64, i64, i32);

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = ListOffsetsRequest::decode(&mut request.body, request.version)?;
    let committed = body.isolation_level == 1;
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let index = wanted.partition_index;
            let answer = match lookup(node, topic.name, wanted, committed, request.version).await {
                Ok((timestamp, offset, leader_epoch)) => ListOffsetsPartitionResponse {
                    partition_index: index,
                    timestamp,
                    offset,
                    // The field came with version 4.
                    leader_epoch: if request.version >= 4 { leader_epoch } else { -1 },
                    ..Default::default()
                },
                Err(code) => ListOffsetsPartitionResponse {
                    partition_index: index,
                    error_code: code.code(),
                    ..Default::default()
                },
            };
            partitions.push(answer);
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    request.answer(&ListOffsetsResponse {
        topics,
        ..Default::default()
    })
}

async fn lookup(
    node: &Node,
    topic: &str,
    wanted: &ListOffsetsPartition,
    committed: bool,
    version: i16,
) -> Result<Found, ErrorCode> {
    // Special timestamps came with versions (Kafka class `ListOffsetsRequest.Builder`).
    let since = match wanted.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    };
    if version < since || wanted.timestamp < EARLIEST_PENDING_UPLOAD {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = node.partition(topic, ottla_types::Uuid::ZERO, wanted.partition_index)?;
    partition.check_epoch(wanted.current_leader_epoch)?;
    let offsets = partition.reader().offsets();
    let limit = if committed {
        offsets.last_stable
    } else {
        offsets.high_watermark
    };
    match wanted.timestamp {
        LATEST => Ok((-1, limit, partition.epoch())),
        EARLIEST | EARLIEST_LOCAL => Ok((-1, offsets.start, epoch_at(&partition, offsets.start))),
        // Nothing is tiered here, and nothing waits for it.
        LATEST_TIERED => Ok((-1, -1, -1)),
        EARLIEST_PENDING_UPLOAD => Ok((-1, -1, -1)),
        MAX_TIMESTAMP => {
            let found = partition
                .reader()
                .max_timestamp()
                .await
                .map_err(|e| errors::read(&e))?;
            Ok(found.map_or((-1, -1, -1), |f| {
                (f.timestamp, f.offset, epoch_at(&partition, f.offset))
            }))
        }
        timestamp => {
            let found = partition
                .reader()
                .offset_for_timestamp(timestamp)
                .await
                .map_err(|e| errors::read(&e))?;
            // Beyond what may be read nothing is shown, though it was found.
            let found = found.filter(|f| f.offset < limit);
            Ok(found.map_or((-1, -1, -1), |f| {
                (f.timestamp, f.offset, epoch_at(&partition, f.offset))
            }))
        }
    }
}

/// The leader epoch in which an offset was written.
fn epoch_at(partition: &Partition, offset: i64) -> i32 {
    partition.reader().epochs().epoch_for(offset).unwrap_or(-1)
}
