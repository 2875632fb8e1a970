//! Byte for byte with the crate `kafka-wire`, generated independently from the schemas of Kafka's trunk after 4.3.

mod peers;

use kafka_wire::KafkaMessage;
use kafka_wire_core::{ApiVersion, Bytes, BytesMut, DecodeLimits, KafkaDecode, KafkaEncode};
use peers::{Peer, Skip};
use proptest::prelude::*;

const GROUPS: &[&str] = &["messages", "header"];

fn rewrite<M: KafkaEncode + KafkaDecode>(bytes: &[u8], version: i16) -> Result<Vec<u8>, String> {
    let version = ApiVersion::new(version);
    let input = Bytes::copy_from_slice(bytes);
    let value =
        M::decode_from_bytes(input, version, DecodeLimits::default()).map_err(|e| format!("{e:?}"))?;
    let mut output = BytesMut::new();
    value
        .encode_into(&mut output, version)
        .map_err(|e| format!("{e:?}"))?;
    Ok(output.to_vec())
}

macro_rules! table {
    ($($name:ident)*) => {
        vec![$(Peer {
            name: stringify!($name),
            versions: (
                <kafka_wire::$name as KafkaMessage>::SUPPORTED_VERSIONS.min().value(),
                <kafka_wire::$name as KafkaMessage>::SUPPORTED_VERSIONS.max().value(),
            ),
            rewrite: rewrite::<kafka_wire::$name>,
        }),*]
    };
}

fn peers() -> Vec<Peer> {
    let mut peers = with_messages!(table);
    peers.extend(table! {
        StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse
        StreamsGroupDescribeRequest StreamsGroupDescribeResponse
        RequestHeader ResponseHeader
    });
    peers
}

const SKIPS: &[Skip] = &[];

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
