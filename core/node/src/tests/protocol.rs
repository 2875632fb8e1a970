//! Versions that are not served, headers of every age, and names that clients may not have.

use bytes::BytesMut;
use ottla_types::ErrorCode;
use ottla_wire::codec::{put_i16, put_i32};
use ottla_wire::header::RequestHeader;
use ottla_wire::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse};
use ottla_wire::{ApiKey, Message};

use crate::testing::{World, encode};

/// A request of `api` in `version`, with a header as such a client writes it and this body.
fn frame(api: i16, version: i16, header_version: i16, body: &[u8]) -> BytesMut {
    let header = RequestHeader {
        request_api_key: api,
        request_api_version: version,
        correlation_id: 7,
        client_id: Some("tester"),
    };
    let mut frame = Vec::new();
    header.encode(&mut frame, header_version).expect("encodes");
    frame.extend_from_slice(body);
    BytesMut::from(&frame[..])
}

#[test]
fn a_version_that_is_not_served_closes_the_connection() {
    let world = World::new();
    let node = world.start(&[]);
    for api in ApiKey::ALL.iter().filter(|api| **api != ApiKey::ApiVersions) {
        let versions = match crate::served(*api) {
            Some((low, high)) => vec![low - 1, high + 1, i16::MAX, i16::MIN],
            None => vec![0, 1],
        };
        for version in versions {
            let header_version = if api.request_is_flexible(version) { 2 } else { 1 };
            let call = world.send_frame(&node, version, frame(api.id(), version, header_version, &[]));
            let rejected = call.rejected();
            assert_eq!(rejected.client_id, "tester", "{api} {version}");
            assert!(
                rejected
                    .reason
                    .contains(&format!("{api} version {version} is not served")),
                "{rejected:?}"
            );
        }
    }
    let rejected = world.send_frame(&node, 0, frame(999, 0, 1, &[])).rejected();
    assert_eq!(rejected.reason, "unknown API key 999");
    assert_eq!(rejected.client_id, "tester");
}

#[test]
fn api_versions_in_an_unknown_version_is_answered_in_version_0() {
    let world = World::new();
    let node = world.start(&[]);
    let (low, high) = ApiVersionsRequest::VERSIONS;
    for version in [high + 1, i16::MAX, -1, i16::MIN] {
        let header_version = if version > 2 { 2 } else { 1 };
        // The body is whatever such a version has: it is not looked at.
        let body = [0xff; 20];
        let mut call = world.send_frame(&node, 0, frame(18, version, header_version, &body));
        let answer: ApiVersionsResponse = call.answer();
        assert_eq!(
            answer.error_code,
            ErrorCode::UnsupportedVersion.code(),
            "{version}"
        );
        let ranges: Vec<_> = answer
            .api_keys
            .iter()
            .map(|k| (k.api_key, k.min_version, k.max_version))
            .collect();
        assert_eq!(ranges, [(18, low, high)]);
        call = world.send(&node, high, &named("a", "1"));
        assert_eq!(call.answer::<ApiVersionsResponse>().error_code, 0);
    }
}

fn named<'a>(name: &'a str, version: &'a str) -> ApiVersionsRequest<'a> {
    ApiVersionsRequest {
        client_software_name: name,
        client_software_version: version,
    }
}

#[test]
fn names_of_client_software_are_checked_as_kafka_does() {
    // Kafka class ApiVersionsRequest: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
    let world = World::new();
    let node = world.start(&[]);
    let good = ["a", "apache-kafka-java", "librdkafka", "A.b-9", "4.3.1", "1--.2"];
    let bad = ["", "-a", "a-", ".a", "a.", "a b", "a_b", "a\n", "é", "-", "a/b"];
    for (names, code) in [
        (&good[..], ErrorCode::None),
        (&bad[..], ErrorCode::InvalidRequest),
    ] {
        for name in names {
            for request in [named(name, "1"), named("a", name)] {
                for version in 3..=ApiVersionsRequest::VERSIONS.1 {
                    let answer: ApiVersionsResponse = world.send(&node, version, &request).answer();
                    assert_eq!(answer.error_code, code.code(), "{name:?}, version {version}");
                }
            }
        }
    }
    // Older versions have no names.
    for version in 0..3 {
        let answer: ApiVersionsResponse = world
            .send(&node, version, &ApiVersionsRequest::default())
            .answer();
        assert_eq!(answer.error_code, 0);
    }
}

#[test]
fn headers_of_every_kind_are_read_or_rejected() {
    let world = World::new();
    let node = world.start(&[]);
    // No client id; tags that nobody knows.
    let mut flexible = Vec::new();
    put_i16(&mut flexible, 3);
    put_i16(&mut flexible, 12);
    put_i32(&mut flexible, 7);
    put_i16(&mut flexible, -1);
    flexible.extend([2, 0, 1, 0xaa, 9, 0]);
    let body = encode(12, &MetadataRequest::default());
    let header = frame(3, 12, 2, &[]).len();
    flexible.extend_from_slice(&body[header..]);
    let call = world.send_frame(&node, 12, BytesMut::from(&flexible[..]));
    assert_eq!(call.answer::<MetadataResponse>().controller_id, 1);
    // Cut at every byte, and a client id or a tag that says more than there is.
    for cut in 0..flexible.len() {
        let call = world.send_frame(&node, 12, BytesMut::from(&flexible[..cut]));
        assert!(!call.rejected().reason.is_empty(), "cut at {cut}");
    }
    for at in [8, 10, 12] {
        let mut hostile = flexible.clone();
        hostile[at] = 0x7f;
        let rejected = world
            .send_frame(&node, 12, BytesMut::from(&hostile[..]))
            .rejected();
        assert!(!rejected.reason.is_empty(), "byte {at}");
    }
}
