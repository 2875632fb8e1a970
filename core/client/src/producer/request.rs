//! Produce requests around the batches, which are not copied, and what their answers say about each batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_io::Mono;
use ottla_rpc::{CallError, ClientConnection};
use ottla_types::{ErrorCode, TopicPartition, Uuid};
use ottla_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use ottla_wire::messages::{ProduceRequest, ProduceResponse};
use ottla_wire::{ApiKey, EncodeAround, Reader};

use super::config::Acks;
use super::record::Written;
use crate::{BrokerInfo, Cluster, Error, Result};

/// A batch's place in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: Arc<str>,
    pub(crate) id: Uuid,
    pub(crate) partition: i32,
}

/// What a broker said about one batch.
pub(crate) enum Verdict {
    Written(Written),
    /// An error, and the leader it names instead of itself.
    Failed(Error, Option<(i32, i32)>),
}

/// The answers, by topic and partition, and the brokers that they introduce.
pub(crate) struct Verdicts {
    pub(crate) by_place: BTreeMap<(Arc<str>, i32), Verdict>,
    pub(crate) brokers: Vec<BrokerInfo>,
}

/// Sends batches, ordered by topic, to one broker and reads its answer.
pub(crate) async fn produce(
    connection: &ClientConnection,
    acks: Acks,
    timeout_ms: i32,
    batches: &[(Place, Bytes)],
    deadline: Mono,
    cluster: &Cluster,
) -> std::result::Result<Verdicts, CallError> {
    let ids = batches.iter().all(|(place, _)| !place.id.is_zero());
    let version = connection.version_up_to::<ProduceRequest<'_>>(if ids { i16::MAX } else { 12 })?;
    let pieces = encode(acks, timeout_ms, batches, version)?;
    if acks == Acks::None {
        let written = || Verdict::Written(Written::SOMEWHERE);
        let sent = connection.call_unanswered(ApiKey::Produce, version, pieces, deadline);
        let sent = ottla_io::timeout_at(cluster.env().clock.as_ref(), deadline, sent).await;
        sent.unwrap_or(Err(CallError::Timeout { what: "Produce" }))?;
        let by_place = batches
            .iter()
            .map(|(place, _)| ((place.topic.clone(), place.partition), written()))
            .collect();
        return Ok(Verdicts {
            by_place,
            brokers: Vec::new(),
        });
    }
    let body = connection
        .call(ApiKey::Produce, version, pieces, deadline)
        .await?;
    let response = ProduceResponse::decode(&mut Reader::new(&body), version).map_err(CallError::Decode)?;
    Ok(verdicts(&response, batches))
}

fn encode(
    acks: Acks,
    timeout_ms: i32,
    batches: &[(Place, Bytes)],
    version: i16,
) -> std::result::Result<Vec<Bytes>, CallError> {
    let mut topics: Vec<TopicProduceData<'_>> = Vec::new();
    for (place, _) in batches {
        if topics.last().is_none_or(|t| *t.name != *place.topic) {
            topics.push(TopicProduceData {
                name: &place.topic,
                topic_id: place.id,
                ..Default::default()
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partition_data.push(PartitionProduceData {
                index: place.partition,
                ..Default::default()
            });
        }
    }
    let request = ProduceRequest {
        acks: acks.id(),
        timeout_ms,
        topic_data: topics,
        ..Default::default()
    };
    let lengths: Vec<usize> = batches.iter().map(|(_, bytes)| bytes.len()).collect();
    let mut around = Vec::new();
    let holes = request
        .encode_around(&mut around, version, &lengths)
        .map_err(CallError::Encode)?;
    let mut around = Bytes::from(around);
    let mut pieces = Vec::with_capacity(2 * batches.len() + 1);
    let mut done = 0;
    for (hole, (_, bytes)) in holes.into_iter().zip(batches) {
        pieces.push(around.split_to(hole - done));
        pieces.push(bytes.clone());
        done = hole;
    }
    pieces.push(around);
    Ok(pieces)
}

fn verdicts(response: &ProduceResponse<'_>, batches: &[(Place, Bytes)]) -> Verdicts {
    let mut by_place = BTreeMap::new();
    for topic in &response.responses {
        let named = |place: &Place| {
            *place.topic == *topic.name || (!topic.topic_id.is_zero() && place.id == topic.topic_id)
        };
        let Some(name) = batches
            .iter()
            .map(|(place, _)| place)
            .find(|p| named(p))
            .map(|p| p.topic.clone())
        else {
            continue;
        };
        for p in &topic.partition_responses {
            let verdict = match ErrorCode::from_code(p.error_code) {
                Some(ErrorCode::None) => Verdict::Written(Written {
                    base_offset: p.base_offset,
                    append_time: p.log_append_time_ms,
                }),
                // Written by an earlier attempt, so long ago that the broker does not know where.
                Some(ErrorCode::DuplicateSequenceNumber) => Verdict::Written(Written::SOMEWHERE),
                _ => {
                    let what = format!("produce to {}", TopicPartition::new(&*name, p.index));
                    let words = p
                        .record_errors
                        .iter()
                        .find_map(|e| e.batch_index_error_message)
                        .or(p.error_message);
                    let hint = Some((p.current_leader.leader_id, p.current_leader.leader_epoch))
                        .filter(|(id, _)| *id >= 0);
                    Verdict::Failed(Error::broker(what, p.error_code, words), hint)
                }
            };
            by_place.insert((name.clone(), p.index), verdict);
        }
    }
    let brokers = response.node_endpoints.iter().filter_map(|n| {
        let (host, rack) = (n.host.to_owned(), n.rack.map(str::to_owned));
        Some(BrokerInfo {
            id: n.node_id,
            host,
            port: u16::try_from(n.port).ok()?,
            rack,
        })
    });
    Verdicts {
        brokers: brokers.collect(),
        by_place,
    }
}

/// Whether a batch that got this error may be in the log nevertheless.
pub(crate) fn maybe_written(error: &Error) -> bool {
    match error {
        Error::Broker { code, .. } => matches!(
            code,
            ErrorCode::UnknownServerError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::RequestTimedOut
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::KafkaStorageError
                | ErrorCode::NetworkException
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
        ),
        Error::Call { error, .. } => !error.nothing_sent(),
        _ => true,
    }
}

/// Whether a batch was refused because of its sequence or epoch.
pub(crate) fn is_sequence_error(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::UnknownProducerId
                | ErrorCode::InvalidProducerEpoch
        )
    )
}

/// The identity that a broker gives to an idempotent producer.
pub(crate) async fn init_producer_id(cluster: &Cluster) -> Result<super::batch::Identity> {
    use crate::metadata::Target;
    use ottla_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
    };
    let answer = cluster.request(Target::Any, &request).await?;
    let response: InitProducerIdResponse = answer.decode()?;
    match response.error_code {
        0 => Ok(super::batch::Identity {
            id: response.producer_id,
            epoch: response.producer_epoch,
        }),
        code => Err(Error::broker(
            "get a producer id (enable.idempotence)",
            code,
            None,
        )),
    }
}
