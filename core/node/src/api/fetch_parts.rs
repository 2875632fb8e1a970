//! A Fetch answer as parts: the generated encoder writes the bytes around the records, the records themselves stay file ranges,
//! which the stream sends without a copy. All bytes lie in one piece of memory, which the parts share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_rpc::{Part, Reply};
use ottla_wire::framing::put_response_around;
use ottla_wire::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, NodeEndpoint, PartitionData,
};

use crate::dispatch::{Reject, Request};
use crate::partition::Partition;
use crate::sessions::FetchKey;

/// Bytes of an answer without its partitions, topic names included, at the usual lengths.
const FRAME: usize = 128;
/// Bytes of a partition without its records, at the usual lengths.
const PARTITION: usize = 64;

/// Records of at most this many bytes are copied into the answer: a system call that sends them beside it, and the packets
/// of its own that it leads to, cost more. Above it a range of the file is sent without a copy.
const COPIED: usize = 16 << 10;

/// What was read of one partition.
pub struct Fetched {
    /// Which one.
    pub key: FetchKey,
    /// What is said about it; the records are not in here.
    pub data: PartitionData<'static>,
    /// The records, if there are any.
    pub records: Option<Part>,
    /// Where it was read, if this node has it.
    pub from: Option<Arc<Partition>>,
}

impl Fetched {
    /// Bytes of records.
    pub fn len(&self) -> usize {
        self.records.as_ref().map_or(0, Part::len)
    }
}

/// Reads what is small, so that the answer leaves in one piece. What can't be read stays a range: sending it says why.
pub async fn copy_small(fetched: &mut [Fetched]) {
    for f in fetched {
        let Some(Part::File { file, position, len }) = &f.records else {
            continue;
        };
        if *len <= COPIED {
            let (read, bytes) = file.read_at(*position, BytesMut::with_capacity(*len), *len).await;
            if read.is_ok_and(|n| n == *len) {
                f.records = Some(Part::Bytes(bytes.freeze()));
            }
        }
    }
}

/// The whole answer. `endpoints` says where the leaders are that it names.
pub fn answer(
    request: &Request<'_>,
    error: i16,
    session: i32,
    mut fetched: Vec<Fetched>,
    endpoints: Vec<NodeEndpoint<'_>>,
) -> Result<Reply, Reject> {
    let mut records = Vec::with_capacity(fetched.len());
    let response = FetchResponse {
        error_code: error,
        session_id: session,
        responses: by_topic(&mut fetched, &mut records, request.version >= 13),
        node_endpoints: endpoints,
        ..Default::default()
    };
    parts(request.version, request.correlation_id, &response, records)
}

/// Takes what was read apart: partitions of one topic that follow each other share its entry.
fn by_topic<'a>(
    fetched: &'a mut [Fetched],
    records: &mut Vec<Option<Part>>,
    by_id: bool,
) -> Vec<FetchableTopicResponse<'a>> {
    let mut topics: Vec<FetchableTopicResponse<'a>> = Vec::new();
    for Fetched {
        key,
        data,
        records: part,
        ..
    } in fetched
    {
        records.push(part.take());
        let data = std::mem::take(data);
        let same = |topic: &&mut FetchableTopicResponse<'a>| match by_id {
            true => topic.topic_id == key.topic_id,
            false => topic.topic == key.topic,
        };
        match topics.last_mut().filter(same) {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(FetchableTopicResponse {
                topic: &key.topic,
                topic_id: key.topic_id,
                partitions: vec![data],
            }),
        }
    }
    topics
}

/// Encodes `response` around `records`, one entry for each of its partitions in order.
fn parts(
    version: i16,
    correlation_id: i32,
    response: &FetchResponse<'_>,
    records: Vec<Option<Part>>,
) -> Result<Reply, Reject> {
    let lengths: Vec<usize> = records
        .iter()
        .map(|part| part.as_ref().map_or(0, Part::len))
        .collect();
    let mut bytes = Vec::with_capacity(FRAME + PARTITION * records.len());
    let places = put_response_around(&mut bytes, version, correlation_id, response, &lengths)?;
    let bytes = Bytes::from(bytes);
    let with_records = lengths.iter().filter(|length| **length > 0).count();
    if with_records == 0 {
        return Ok(Reply::Bytes(bytes));
    }
    let mut parts = Vec::with_capacity(2 * with_records + 1);
    let mut from = 0;
    for (place, part) in places.into_iter().zip(records) {
        let Some(part) = part.filter(|part| !part.is_empty()) else {
            continue;
        };
        parts.push(Part::Bytes(bytes.slice(from..place)));
        parts.push(part);
        from = place;
    }
    if from < bytes.len() {
        parts.push(Part::Bytes(bytes.slice(from..)));
    }
    Ok(Reply::Parts(parts))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use ottla_io::OpenOptions;
    use ottla_io::mem::MemDisk;
    use ottla_wire::Message;
    use ottla_wire::framing::put_response;
    use ottla_wire::messages::fetch_response::{EpochEndOffset, LeaderIdAndEpoch};
    use ottla_wire::testgen::Seed;
    use proptest::prelude::*;

    use super::*;

    /// The bytes that leave, the records standing for a file's.
    fn sent(reply: Reply) -> Vec<u8> {
        let parts = match reply {
            Reply::Bytes(bytes) => vec![Part::Bytes(bytes)],
            Reply::Parts(parts) => parts,
            Reply::Nothing | Reply::Close(_) => panic!("a fetch is answered"),
        };
        let mut all = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => all.extend_from_slice(&bytes),
                Part::File { .. } => panic!("no files here"),
            }
        }
        all
    }

    fn whole(response: &FetchResponse<'_>, version: i16) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_response(&mut bytes, version, 7, response).expect("encodes");
        bytes
    }

    proptest! {
        /// Any answer (errors, sessions, aborted transactions, diverging epochs, leaders with their endpoints, preferred
        /// replicas, snapshots) in any version leaves as the generated encoder writes it whole.
        #[test]
        fn parts_are_the_generated_encoders_bytes(seed: u64, lengths in prop::collection::vec(0..300usize, 16)) {
            let (low, high) = FetchResponse::VERSIONS;
            let memory: Vec<Vec<u8>> = lengths.iter().map(|n| vec![*n as u8; *n]).collect();
            for version in low..=high {
                let mut response = FetchResponse::arbitrary(&mut Seed::new(seed), version);
                let mut records = Vec::new();
                let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                for (partition, bytes) in partitions.zip(memory.iter().cycle()) {
                    partition.records = Some(bytes);
                    records.push((!bytes.is_empty()).then(|| Part::Bytes(Bytes::copy_from_slice(bytes))));
                }
                let reply = parts(version, 7, &response, records).map_err(|e| e.0).expect("encodes");
                prop_assert_eq!(sent(reply), whole(&response, version), "version {}", version);
            }
        }
    }

    fn fetched(topic: &str, partition: i32, records: usize) -> Fetched {
        Fetched {
            key: FetchKey {
                topic: topic.into(),
                topic_id: ottla_types::Uuid::ZERO,
                partition,
            },
            data: PartitionData {
                partition_index: partition,
                high_watermark: 9,
                ..Default::default()
            },
            records: (records > 0).then(|| Part::Bytes(vec![7; records].into())),
            from: None,
        }
    }

    /// A file of `COPIED` + 1 bytes, of which the answer takes `len` from `position`.
    fn from_file(position: u64, len: usize) -> Fetched {
        let content = vec![7; COPIED + 1];
        let disk = MemDisk::import(&[("/log".to_string(), content)].into()).expect("a valid path");
        let opened = disk
            .handle()
            .open("/log".as_ref(), OpenOptions::Read)
            .into_ready();
        let file = opened.ok().expect("at once").expect("is there");
        let records = Part::File { file, position, len };
        Fetched {
            records: Some(records),
            ..fetched("a", 0, 0)
        }
    }

    #[test]
    fn small_records_are_copied_and_what_cannot_be_is_left_to_the_stream() {
        let mut all = vec![
            from_file(1, COPIED),
            from_file(0, COPIED + 1),
            from_file(10, COPIED),
        ];
        let mut copying = Box::pin(copy_small(&mut all));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(copying.as_mut().poll(&mut cx).is_ready());
        drop(copying);
        let lengths: Vec<usize> = all.iter().map(Fetched::len).collect();
        assert_eq!(lengths, [COPIED, COPIED + 1, COPIED]);
        let copied: Vec<bool> = all
            .iter()
            .map(|f| matches!(&f.records, Some(Part::Bytes(bytes)) if bytes.iter().all(|b| *b == 7)))
            .collect();
        assert_eq!(copied, [true, false, false]);
    }

    #[test]
    fn partitions_of_one_topic_share_an_entry() {
        let mut all = vec![
            fetched("a", 0, 3),
            fetched("a", 4, 0),
            fetched("b", 1, 2),
            fetched("a", 2, 1),
        ];
        let mut records = Vec::new();
        let topics = by_topic(&mut all, &mut records, false);
        let seen: Vec<(&str, Vec<i32>)> = topics
            .iter()
            .map(|t| (t.topic, t.partitions.iter().map(|p| p.partition_index).collect()))
            .collect();
        assert_eq!(seen, [("a", vec![0, 4]), ("b", vec![1]), ("a", vec![2])]);
        let lengths: Vec<usize> = records.iter().map(|r| r.as_ref().map_or(0, Part::len)).collect();
        assert_eq!(lengths, [3, 0, 2, 1]);
    }

    #[test]
    fn an_answer_with_everything_fits_what_older_versions_have() {
        // What a version cannot say must not be asked of it: the encoder refuses instead of dropping it.
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse {
                partitions: vec![PartitionData {
                    current_leader: LeaderIdAndEpoch {
                        leader_id: 1,
                        leader_epoch: 2,
                    },
                    diverging_epoch: EpochEndOffset {
                        epoch: 1,
                        end_offset: 2,
                    },
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        assert!(parts(11, 7, &response, vec![None]).is_err());
        assert!(parts(12, 7, &response, vec![None]).is_ok());
    }

    /// Allocations of an answer whose `partitions` partitions all have records, their parts made before.
    fn allocations(partitions: usize) -> u64 {
        let mut all: Vec<Fetched> = (0..partitions).map(|p| fetched("topic", p as i32, 1)).collect();
        let counted = allocation_counter::measure(|| {
            let mut records = Vec::with_capacity(all.len());
            let response = FetchResponse {
                responses: by_topic(&mut all, &mut records, false),
                ..Default::default()
            };
            assert!(parts(12, 7, &response, records).is_ok());
        });
        counted.count_total
    }

    #[test]
    fn an_answer_costs_a_handful_of_allocations() {
        assert!(allocations(1) <= 8, "{}", allocations(1));
        // A hundred partitions: the list of a topic's partitions grows, nothing else does.
        assert!(allocations(100) <= allocations(1) + 6, "{}", allocations(100));
    }
}
