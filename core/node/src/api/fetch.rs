//! Fetch (KIP-74, 98, 227, 320, 516): records as file ranges, long polling woken by the partitions, incremental sessions.

use std::sync::Arc;
use std::time::Duration;

use ottla_io::timeout_at;
use ottla_rpc::{Part, Reply};
use ottla_store::Upto;
use ottla_types::ErrorCode;
use ottla_wire::messages::fetch_request::FetchRequest;

use super::fetch_parts::{self, FetchedPartition, FetchedTopic};
use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::errors;
use crate::partition::Partition;
use crate::sessions::{Context, FetchKey, FetchWant, SessionRequest, Told};
use crate::waiters::FetchWaiter;

/// How a fetch reads, whatever the partition.
struct Terms {
    upto: Upto,
    committed: bool,
    max_bytes: usize,
    min_bytes: usize,
    by_id: bool,
    node: i32,
}

/// What was read of one partition.
struct Fetched {
    key: FetchKey,
    partition: FetchedPartition,
}

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = FetchRequest::decode(&mut request.body, request.version)?;
    let replica = if request.version >= 15 {
        body.replica_state.replica_id
    } else {
        body.replica_id
    };
    if replica >= 0 {
        return Err(Reject("replica fetches are not served yet".into()));
    }
    let by_id = request.version >= 13;
    let broker = node.broker();
    let terms = Terms {
        upto: if body.isolation_level == 1 {
            Upto::LastStable
        } else {
            Upto::HighWatermark
        },
        committed: body.isolation_level == 1,
        max_bytes: positive(body.max_bytes).min(positive(broker.fetch_max_bytes())),
        min_bytes: positive(body.min_bytes),
        by_id,
        node: node.node_id().0,
    };
    let deadline = node
        .env
        .clock
        .now()
        .after(Duration::from_millis(positive(body.max_wait_ms) as u64));
    let context = match node
        .sessions
        .context(session_request(&body, by_id), node.env.clock.now())
    {
        Ok(context) => context,
        Err(code) => return fetch_parts::answer(&request, code.code(), 0, Vec::new()),
    };
    let wants = match &context {
        Context::Sessionless(wants) => wants.clone(),
        Context::Session { session, .. } => lock(session).wants(),
    };
    drop(body);
    let mut fetched = read_all(node, &wants, &terms).await;
    loop {
        let bytes: usize = fetched
            .iter()
            .map(|f| f.partition.records.as_ref().map_or(0, Part::len))
            .sum();
        let now = node.env.clock.now();
        let failed = fetched
            .iter()
            .any(|f| f.partition.error != 0 || f.partition.diverging.is_some());
        if bytes >= terms.min_bytes || failed || wants.is_empty() || now >= deadline {
            break;
        }
        let waiter = FetchWaiter::new(terms.min_bytes - bytes);
        let on = partitions(node, &wants, by_id);
        on.iter().for_each(|p| p.waiters.add(&waiter));
        // What came between the read and now would wake nobody: look once more before waiting.
        let again = read_all(node, &wants, &terms).await;
        let grown: usize = again
            .iter()
            .map(|f| f.partition.records.as_ref().map_or(0, Part::len))
            .sum();
        if grown <= bytes
            && timeout_at(node.env.clock.as_ref(), deadline, waiter.wait())
                .await
                .is_some()
        {
            fetched = read_all(node, &wants, &terms).await;
        } else {
            fetched = again;
        }
        on.iter().for_each(|p| p.waiters.remove(&waiter));
    }
    for f in &fetched {
        node.metrics
            .fetched(&f.key.topic, f.partition.records.as_ref().map_or(0, Part::len));
    }
    let (session, fetched) = select(&context, fetched);
    fetch_parts::answer(
        &request,
        0,
        session,
        group(&fetched_keys(&fetched), fetched, by_id),
    )
}

fn positive(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn session_request(body: &FetchRequest<'_>, by_id: bool) -> SessionRequest {
    let key = |name: &str, topic_id, partition| FetchKey {
        topic: if by_id { String::new() } else { name.to_string() },
        topic_id,
        partition,
    };
    let partitions = body.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |p| {
            let want = FetchWant {
                offset: p.fetch_offset,
                max_bytes: positive(p.partition_max_bytes),
                current_epoch: p.current_leader_epoch,
                last_epoch: p.last_fetched_epoch,
                log_start: p.log_start_offset,
            };
            (key(topic.topic, topic.topic_id, p.partition), want)
        })
    });
    let forgotten = body.forgotten_topics_data.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(move |p| key(topic.topic, topic.topic_id, *p))
    });
    SessionRequest {
        id: body.session_id,
        epoch: body.session_epoch,
        by_id,
        partitions: partitions.collect(),
        forgotten: forgotten.collect(),
    }
}

fn find(node: &Node, key: &FetchKey, by_id: bool) -> Result<Arc<Partition>, ErrorCode> {
    if by_id {
        node.topics
            .by_id(key.topic_id, key.partition)
            .ok_or(ErrorCode::UnknownTopicId)
    } else {
        node.topics
            .by_name(&key.topic, key.partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

fn partitions(node: &Node, wants: &[(FetchKey, FetchWant)], by_id: bool) -> Vec<Arc<Partition>> {
    wants
        .iter()
        .filter_map(|(key, _)| find(node, key, by_id).ok())
        .collect()
}

async fn read_all(node: &Node, wants: &[(FetchKey, FetchWant)], terms: &Terms) -> Vec<Fetched> {
    let mut left = terms.max_bytes;
    let mut first = true;
    let mut all = Vec::with_capacity(wants.len());
    for (key, want) in wants {
        let mut partition = read_one(node, key, want, terms, left, first).await;
        partition.index = key.partition;
        let read = partition.records.as_ref().map_or(0, Part::len);
        left = left.saturating_sub(read);
        first &= read == 0;
        all.push(Fetched {
            key: key.clone(),
            partition,
        });
    }
    all
}

fn failed(code: ErrorCode) -> FetchedPartition {
    FetchedPartition {
        index: 0,
        error: code.code(),
        high_watermark: -1,
        last_stable: -1,
        log_start: -1,
        diverging: None,
        current_leader: None,
        aborted: None,
        records: None,
    }
}

/// Reads one partition. The first batch of the whole answer comes however large it is, so that a consumer always gets on.
async fn read_one(
    node: &Node,
    key: &FetchKey,
    want: &FetchWant,
    terms: &Terms,
    left: usize,
    first: bool,
) -> FetchedPartition {
    let partition = match find(node, key, terms.by_id) {
        Ok(partition) => partition,
        Err(code) => return failed(code),
    };
    if let Err(code) = partition.check_epoch(want.current_epoch) {
        return FetchedPartition {
            current_leader: Some((terms.node, partition.epoch())),
            ..failed(code)
        };
    }
    let reader = partition.reader();
    if let Some(diverging) = diverges(&partition, want) {
        let offsets = reader.offsets();
        return FetchedPartition {
            error: 0,
            high_watermark: offsets.high_watermark,
            last_stable: offsets.last_stable,
            log_start: offsets.start,
            diverging: Some(diverging),
            ..failed(ErrorCode::None)
        };
    }
    match reader
        .read(want.offset, want.max_bytes.min(left), terms.upto, first)
        .await
    {
        Ok(slice) => FetchedPartition {
            error: 0,
            high_watermark: slice.offsets.high_watermark,
            last_stable: slice.offsets.last_stable,
            log_start: slice.offsets.start,
            aborted: terms.committed.then(|| {
                slice
                    .aborted
                    .iter()
                    .map(|a| (a.producer_id, a.first_offset))
                    .collect()
            }),
            records: slice.file.map(|file| Part::File {
                file,
                position: slice.position,
                len: slice.len,
            }),
            ..failed(ErrorCode::None)
        },
        Err(error) => {
            // An offset beyond the high watermark but within the log is nothing to complain about, and never read.
            let offsets = reader.offsets();
            FetchedPartition {
                log_start: offsets.start,
                high_watermark: offsets.high_watermark,
                ..failed(errors::read(&error))
            }
        }
    }
}

/// Where the client's log parts from ours: the epoch of its last record ended earlier here (KIP-595).
fn diverges(partition: &Partition, want: &FetchWant) -> Option<(i32, i64)> {
    if want.last_epoch < 0 {
        return None;
    }
    let end = partition.reader().end_offset_for_epoch(want.last_epoch);
    (end.epoch < want.last_epoch || end.end < want.offset).then_some((end.epoch, end.end))
}

/// Leaves out of an incremental answer what is no news.
fn select(context: &Context, fetched: Vec<Fetched>) -> (i32, Vec<Fetched>) {
    let Context::Session { session, full } = context else {
        return (0, fetched);
    };
    let mut session = lock(session);
    let mut kept = Vec::with_capacity(fetched.len());
    for f in fetched {
        let told = Told {
            high_watermark: f.partition.high_watermark,
            log_start: f.partition.log_start,
        };
        let has_records = f.partition.records.as_ref().is_some_and(|r| !r.is_empty());
        let special = f.partition.error != 0 || f.partition.diverging.is_some();
        if session.answer(&f.key, told, has_records, special) || *full {
            kept.push(f);
        }
    }
    (session.id(), kept)
}

fn fetched_keys(fetched: &[Fetched]) -> Vec<FetchKey> {
    fetched.iter().map(|f| f.key.clone()).collect()
}

/// Partitions of one topic that follow each other share its entry.
fn group<'a>(keys: &'a [FetchKey], fetched: Vec<Fetched>, by_id: bool) -> Vec<FetchedTopic<'a>> {
    let mut topics: Vec<FetchedTopic<'a>> = Vec::new();
    for (key, f) in keys.iter().zip(fetched) {
        let same = |t: &&mut FetchedTopic<'a>| {
            if by_id {
                t.id == key.topic_id
            } else {
                t.name == key.topic
            }
        };
        match topics.last_mut().filter(same) {
            Some(topic) => topic.partitions.push(f.partition),
            None => topics.push(FetchedTopic {
                name: &key.topic,
                id: key.topic_id,
                partitions: vec![f.partition],
            }),
        }
    }
    topics
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
