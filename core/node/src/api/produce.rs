//! Produce: each partition's batch is checked on the connection's worker, appended by the partition's owner, and answered when
//! what `acks` asks for has come true.
//!
//! The frame is cut into the batches without a copy, so a batch goes from the socket to the file in one piece of memory.

use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf, BytesMut};
use ottla_rpc::Reply;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::ApiKey;
use ottla_wire::messages::produce_request::ProduceRequest;
use ottla_wire::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::partition::{Appending, Produced, Refused};
use crate::validate;

/// A produce request taken apart: what it wants, and where in the frame its batches lie.
pub struct Head {
    version: i16,
    correlation_id: i32,
    body: Result<Body, Reject>,
}

struct Body {
    version: i16,
    acks: i16,
    transactional: bool,
    topics: Vec<TopicPart>,
}

struct TopicPart {
    name: String,
    id: Uuid,
    partitions: Vec<PartitionPart>,
}

struct PartitionPart {
    index: i32,
    batch: Range<usize>,
}

/// One partition's way through the request.
enum Progress {
    Refused(Refused),
    Waiting(Appending),
}

impl Head {
    /// Takes the request apart; nothing borrowed is left, so that the frame can be cut.
    pub fn of(request: &Request<'_>) -> Head {
        let body = Body::of(request);
        Head {
            version: request.version,
            correlation_id: request.correlation_id,
            body,
        }
    }
}

impl Body {
    fn of(request: &Request<'_>) -> Result<Body, Reject> {
        let mut reader = request.body.clone();
        let end = reader.offset() + reader.remaining();
        let frame = end - reader.remaining();
        let whole = reader.rest();
        let message = ProduceRequest::decode(&mut reader, request.version)?;
        let at = |records: &[u8]| {
            let start = frame + (records.as_ptr() as usize - whole.as_ptr() as usize);
            start..start + records.len()
        };
        let topics = message.topic_data.iter().map(|topic| TopicPart {
            name: topic.name.to_string(),
            id: topic.topic_id,
            partitions: topic
                .partition_data
                .iter()
                .map(|p| PartitionPart {
                    index: p.index,
                    batch: p.records.map_or(0..0, at),
                })
                .collect(),
        });
        Ok(Body {
            version: request.version,
            acks: message.acks,
            transactional: message.transactional_id.is_some(),
            topics: topics.collect(),
        })
    }
}

/// Serves a produce request. `frame` is what of it lies behind `at`, the end of its header; it comes back when nobody holds a
/// part of it any more. With `more` of them behind it, its batches wait for theirs, to be written together.
pub async fn handle(
    node: &Arc<Node>,
    head: Head,
    at: usize,
    frame: BytesMut,
    more: bool,
) -> (Result<Reply, Reject>, Option<BytesMut>) {
    let body = match head.body {
        Ok(body) => body,
        Err(reject) => return (Err(reject), None),
    };
    let mut cutter = Cutter { frame, at };
    let mut progress = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        for part in &topic.partitions {
            let batch = cutter.cut(&part.batch);
            progress.push(start(node, &body, topic, part, batch));
        }
    }
    if more {
        look_again().await;
    }
    for waiting in &mut progress {
        if let Progress::Waiting(appending) = waiting {
            appending.begin();
        }
    }
    let mut done = Vec::with_capacity(progress.len());
    for waiting in progress {
        done.push(match waiting {
            Progress::Refused(refused) => Err(refused),
            // A partition that is closed drops its queue: the node is stopping, or the topic was deleted.
            Progress::Waiting(appending) => appending
                .result
                .await
                .unwrap_or(Err(Refused::code(ErrorCode::NotLeaderOrFollower))),
        });
    }
    let failed = done.iter().any(Result::is_err);
    let reply = match body.acks {
        // Nobody waits for an answer; a closed connection is the only way to say that something was refused (as Kafka).
        0 if failed => Err(Reject("a produce request with acks=0 was refused".into())),
        0 => Ok(Reply::Nothing),
        _ => answer(&body, head.version, head.correlation_id, &done),
    };
    (reply, Some(cutter.frame))
}

/// Pending once. Who polls a request looks at it again by itself (`Service::call_ahead`).
async fn look_again() {
    let mut looked = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut looked, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

fn start(
    node: &Arc<Node>,
    body: &Body,
    topic: &TopicPart,
    part: &PartitionPart,
    batch: BytesMut,
) -> Progress {
    match accept(node, body, topic, part, batch) {
        Ok(result) => Progress::Waiting(result),
        Err(refused) => Progress::Refused(refused),
    }
}

fn accept(
    node: &Arc<Node>,
    body: &Body,
    topic: &TopicPart,
    part: &PartitionPart,
    mut batch: BytesMut,
) -> Result<Appending, Refused> {
    if !(-1..=1).contains(&body.acks) {
        return Err(Refused::code(ErrorCode::InvalidRequiredAcks));
    }
    let partition = node
        .partition(&topic.name, topic.id, part.index)
        .map_err(Refused::code)?;
    if partition.is_internal() {
        return Err(Refused::code(ErrorCode::InvalidTopicException));
    }
    partition.metrics.produce_asked();
    let config = partition.config();
    if body.acks == -1 && config.min_insync_replicas > 1 {
        // One replica is in sync: this one.
        return Err(Refused::code(ErrorCode::NotEnoughReplicas));
    }
    let meta = validate::produced(
        body.version,
        &mut batch,
        &config,
        node.env.clock.wall(),
        body.transactional,
        &node.scratch,
    )
    .inspect_err(|refused| partition.metrics.produce_failed(refused.code))?;
    Ok(partition.append(batch, meta))
}

/// Cuts batches out of the frame, front to back, without copying.
struct Cutter {
    frame: BytesMut,
    at: usize,
}

impl Cutter {
    fn cut(&mut self, range: &Range<usize>) -> BytesMut {
        if range.is_empty() {
            return BytesMut::new();
        }
        self.frame.advance(range.start - self.at);
        self.at = range.end;
        self.frame.split_to(range.len())
    }
}

fn answer(
    body: &Body,
    version: i16,
    correlation_id: i32,
    done: &[Result<Produced, Refused>],
) -> Result<Reply, Reject> {
    let mut results = done.iter();
    let responses = body.topics.iter().map(|topic| TopicProduceResponse {
        name: &topic.name,
        topic_id: topic.id,
        partition_responses: topic
            .partitions
            .iter()
            .zip(&mut results)
            .map(|(p, r)| partition_answer(p.index, r))
            .collect(),
    });
    let message = ProduceResponse {
        responses: responses.collect(),
        ..Default::default()
    };
    crate::dispatch::answer(ApiKey::Produce, version, correlation_id, &message)
}

fn partition_answer(index: i32, result: &Result<Produced, Refused>) -> PartitionProduceResponse<'_> {
    match result {
        Ok(produced) => PartitionProduceResponse {
            index,
            base_offset: produced.base_offset,
            log_append_time_ms: produced.log_append_time,
            log_start_offset: produced.log_start,
            ..Default::default()
        },
        Err(refused) => PartitionProduceResponse {
            index,
            error_code: refused.code.code(),
            base_offset: -1,
            error_message: refused.message.as_deref(),
            ..Default::default()
        },
    }
}
