//! Fetch (KIP-74, 98, 227, 320, 516): records as file ranges, long polling woken by the partitions, incremental sessions.

use std::sync::Arc;
use std::time::Duration;

use ottla_io::timeout_at;
use ottla_metadata::MetadataImage;
use ottla_rpc::{Part, Reply};
use ottla_store::Upto;
use ottla_types::ErrorCode;
use ottla_wire::messages::fetch_request::FetchRequest;
use ottla_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};

use super::fetch_parts::{self, Fetched};
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
}

/// What one read of a partition gives.
type Read = (PartitionData<'static>, Option<Part>);

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
        Err(code) => return fetch_parts::answer(&request, code.code(), 0, Vec::new(), Vec::new()),
    };
    let wants = match &context {
        Context::Sessionless(wants) => wants.clone(),
        Context::Session { session, .. } => lock(session).wants(),
    };
    drop(body);
    let mut fetched = read_all(node, &wants, &terms).await;
    loop {
        let bytes: usize = fetched.iter().map(Fetched::len).sum();
        let now = node.env.clock.now();
        let failed = fetched.iter().any(|f| is_special(&f.data));
        let enough = bytes >= terms.min_bytes || failed || wants.is_empty();
        if enough || now >= deadline || node.connections.are_stopping() {
            break;
        }
        let waiter = FetchWaiter::new(terms.min_bytes - bytes);
        let on = partitions(node, &wants);
        on.iter().for_each(|p| p.waiters.add(&waiter));
        // What came between the read and now would wake nobody: look once more before waiting.
        let again = read_all(node, &wants, &terms).await;
        let grown: usize = again.iter().map(Fetched::len).sum();
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
        if let Some(from) = &f.from {
            from.metrics.fetched(f.len(), f.data.error_code);
        }
    }
    let (session, mut fetched) = select(&context, fetched);
    fetch_parts::copy_small(&mut fetched).await;
    let image = node.image();
    let endpoints = name_leaders(node, &image, &request, &mut fetched);
    fetch_parts::answer(&request, 0, session, fetched, endpoints)
}

/// A partition that is answered at once: an error, or a log that parts from the client's.
fn is_special(data: &PartitionData<'_>) -> bool {
    data.error_code != 0 || data.diverging_epoch != EpochEndOffset::default()
}

/// Tells a client that knows a wrong leader who leads, and where (KIP-951).
fn name_leaders<'a>(
    node: &Node,
    image: &'a MetadataImage,
    request: &Request<'_>,
    fetched: &mut [Fetched],
) -> Vec<NodeEndpoint<'a>> {
    let wrong = [
        ErrorCode::NotLeaderOrFollower.code(),
        ErrorCode::FencedLeaderEpoch.code(),
    ];
    let mut endpoints = Vec::new();
    for f in fetched
        .iter_mut()
        .filter(|f| request.version >= 16 && wrong.contains(&f.data.error_code))
    {
        let Ok(partition) = node.partition(&f.key.topic, f.key.topic_id, f.key.partition) else {
            continue;
        };
        let id = node.node_id().0;
        f.data.current_leader = LeaderIdAndEpoch {
            leader_id: id,
            leader_epoch: partition.epoch(),
        };
        let broker = image.cluster().brokers().find(|b| b.id == id);
        if endpoints.is_empty()
            && let Some((broker, endpoint)) =
                broker.and_then(|b| Some((b, b.endpoint(&request.peer.listener)?)))
        {
            endpoints.push(NodeEndpoint {
                node_id: id,
                host: &endpoint.host,
                port: endpoint.port.into(),
                rack: broker.rack.as_deref(),
            });
        }
    }
    endpoints
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

fn partitions(node: &Node, wants: &[(FetchKey, FetchWant)]) -> Vec<Arc<Partition>> {
    wants
        .iter()
        .filter_map(|(key, _)| node.partition(&key.topic, key.topic_id, key.partition).ok())
        .collect()
}

async fn read_all(node: &Node, wants: &[(FetchKey, FetchWant)], terms: &Terms) -> Vec<Fetched> {
    let mut left = terms.max_bytes;
    let mut first = true;
    let mut all = Vec::with_capacity(wants.len());
    for (key, want) in wants {
        let found = node.partition(&key.topic, key.topic_id, key.partition);
        let (mut data, records) = match &found {
            Ok(partition) => read_one(partition, want, terms, left, first).await,
            Err(code) => (failed(*code), None),
        };
        data.partition_index = key.partition;
        let fetched = Fetched {
            key: key.clone(),
            data,
            records,
            from: found.ok(),
        };
        left = left.saturating_sub(fetched.len());
        first &= fetched.len() == 0;
        all.push(fetched);
    }
    all
}

fn failed(code: ErrorCode) -> PartitionData<'static> {
    PartitionData {
        error_code: code.code(),
        high_watermark: -1,
        aborted_transactions: None,
        ..Default::default()
    }
}

/// Reads one partition. The first batch of the whole answer comes however large it is, so that a consumer always gets on.
async fn read_one(partition: &Partition, want: &FetchWant, terms: &Terms, left: usize, first: bool) -> Read {
    if let Err(code) = partition.check_epoch(want.current_epoch) {
        return (failed(code), None);
    }
    let reader = partition.reader();
    if let Some(diverging) = diverges(partition, want) {
        let offsets = reader.offsets();
        let data = PartitionData {
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable,
            log_start_offset: offsets.start,
            diverging_epoch: diverging,
            ..failed(ErrorCode::None)
        };
        return (data, None);
    }
    match reader
        .read(want.offset, want.max_bytes.min(left), terms.upto, first)
        .await
    {
        Ok(slice) => {
            let aborted = slice.aborted.iter().map(|a| AbortedTransaction {
                producer_id: a.producer_id,
                first_offset: a.first_offset,
            });
            let data = PartitionData {
                high_watermark: slice.offsets.high_watermark,
                last_stable_offset: slice.offsets.last_stable,
                log_start_offset: slice.offsets.start,
                aborted_transactions: terms.committed.then(|| aborted.collect()),
                ..failed(ErrorCode::None)
            };
            let records = slice.file.map(|file| Part::File {
                file,
                position: slice.position,
                len: slice.len,
            });
            (data, records)
        }
        Err(error) => {
            // An offset beyond the high watermark but within the log is nothing to complain about, and never read.
            let offsets = reader.offsets();
            let data = PartitionData {
                log_start_offset: offsets.start,
                high_watermark: offsets.high_watermark,
                ..failed(errors::read(&error))
            };
            (data, None)
        }
    }
}

/// Where the client's log parts from ours: the epoch of its last record ended earlier here (KIP-595).
fn diverges(partition: &Partition, want: &FetchWant) -> Option<EpochEndOffset> {
    if want.last_epoch < 0 {
        return None;
    }
    let end = partition.reader().end_offset_for_epoch(want.last_epoch);
    (end.epoch < want.last_epoch || end.end < want.offset).then_some(EpochEndOffset {
        epoch: end.epoch,
        end_offset: end.end,
    })
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
            high_watermark: f.data.high_watermark,
            log_start: f.data.log_start_offset,
        };
        if session.answer(&f.key, told, f.len() > 0, is_special(&f.data)) || *full {
            kept.push(f);
        }
    }
    (session.id(), kept)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
