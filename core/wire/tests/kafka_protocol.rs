//! Byte for byte with the crate `kafka-protocol`, generated independently from the schemas of Kafka 4.1.0.

mod peers;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use peers::{Peer, Skip};
use proptest::prelude::*;

const GROUPS: &[&str] = &[
    "messages",
    "header",
    "control_records",
    "consumer_protocol",
    "principal",
];

fn rewrite<M: Encodable + Decodable>(bytes: &[u8], version: i16) -> Result<Vec<u8>, String> {
    let mut input = Bytes::copy_from_slice(bytes);
    let value = M::decode(&mut input, version).map_err(|e| e.to_string())?;
    if !input.is_empty() {
        return Err(format!("{} bytes left", input.len()));
    }
    let mut output = BytesMut::new();
    value.encode(&mut output, version).map_err(|e| e.to_string())?;
    Ok(output.to_vec())
}

macro_rules! peer {
    ($name:ident) => {
        Peer {
            name: stringify!($name),
            versions: (
                <kafka_protocol::messages::$name as Message>::VERSIONS.min,
                <kafka_protocol::messages::$name as Message>::VERSIONS.max,
            ),
            rewrite: rewrite::<kafka_protocol::messages::$name>,
        }
    };
}

macro_rules! table {
    ($($name:ident)*) => { vec![$(peer!($name)),*] };
}

fn peers() -> Vec<Peer> {
    let mut peers = with_messages!(table);
    peers.extend(table! {
        RequestHeader ResponseHeader ConsumerProtocolAssignment ConsumerProtocolSubscription DefaultPrincipalData
        EndTxnMarker KRaftVersionRecord LeaderChangeMessage SnapshotFooterRecord SnapshotHeaderRecord VotersRecord
    });
    peers
}

const NEWER: &str = "a version of Kafka 4.2 or 4.3, which the crate does not know";
const UNSTABLE: &str = "unstable in Kafka 4.1: the crate codes the response, and its request refuses";
const SHADOWED: &str =
    "the crate's decoder takes the field `version` for the version of the structures that follow";
const STREAMS: &str = "the crate leaves the streams groups out";

const fn skip(name: &'static str, version: i16, reason: &'static str) -> Skip {
    Skip {
        name,
        versions: (version, version),
        reason,
    }
}

const SKIPS: &[Skip] = &[
    skip("AddRaftVoterRequest", 1, NEWER),
    skip("AddRaftVoterResponse", 1, NEWER),
    skip("BrokerHeartbeatRequest", 2, NEWER),
    skip("BrokerHeartbeatResponse", 2, NEWER),
    skip("DescribeLogDirsRequest", 5, NEWER),
    skip("DescribeLogDirsResponse", 5, NEWER),
    skip("DescribeShareGroupOffsetsRequest", 1, NEWER),
    skip("DescribeShareGroupOffsetsResponse", 1, NEWER),
    skip("ListOffsetsRequest", 11, NEWER),
    skip("ListOffsetsResponse", 11, NEWER),
    skip("ReadShareGroupStateSummaryRequest", 1, NEWER),
    skip("ReadShareGroupStateSummaryResponse", 1, NEWER),
    skip("ShareAcknowledgeRequest", 2, NEWER),
    skip("ShareAcknowledgeResponse", 2, NEWER),
    skip("ShareFetchRequest", 2, NEWER),
    skip("ShareFetchResponse", 2, NEWER),
    skip("WriteShareGroupStateRequest", 1, NEWER),
    skip("WriteShareGroupStateResponse", 1, NEWER),
    skip("WriteTxnMarkersRequest", 2, NEWER),
    skip("WriteTxnMarkersResponse", 2, NEWER),
    skip("OffsetCommitRequest", 10, UNSTABLE),
    skip("OffsetFetchRequest", 10, UNSTABLE),
    skip("StreamsGroupHeartbeatRequest", 0, STREAMS),
    skip("StreamsGroupHeartbeatResponse", 0, STREAMS),
    skip("StreamsGroupDescribeRequest", 0, STREAMS),
    skip("StreamsGroupDescribeResponse", 0, STREAMS),
    skip("LeaderChangeMessage", 0, SHADOWED),
    skip("LeaderChangeMessage", 1, SHADOWED),
    skip("VotersRecord", 0, SHADOWED),
    skip(
        "ControlRecordTypeSchema",
        0,
        "the crate has no codec for the type in a control record's key",
    ),
];

#[test]
fn every_message_is_compared_or_excused() {
    peers::table_is_exact(&peers(), SKIPS, GROUPS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn bytes_are_equal(number: u64) {
        let compared = peers::compare(&peers(), SKIPS, GROUPS, number).map_err(TestCaseError::fail)?;
        prop_assert!(compared > 300, "only {compared} compared");
    }
}
