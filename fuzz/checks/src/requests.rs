//! Messages from raw bytes: a request with its header as a server reads it, a response as a client does, any message or record by
//! itself. What can be read can be written, and what was written reads as the same.

use ottla_wire::ApiKey;
use ottla_wire::codec::Reader;
use ottla_wire::header::{
    ResponseHeader, read_request_header, request_header_version, response_header_version,
};
use ottla_wire::testgen::{CASES, Case};

use crate::input::Input;

/// The target. The first byte says what the rest is.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => request(input.rest()),
        1 => response(&mut input),
        _ => message(&mut input),
    }
}

/// A frame that came from a client: its header decides what it is.
pub fn request(frame: &[u8]) {
    let mut reader = Reader::new(frame);
    let Ok((api, header)) = read_request_header(&mut reader) else {
        return;
    };
    let version = header.request_api_version;
    let header_version = request_header_version(api, version);
    let mut written = Vec::new();
    header
        .encode(&mut written, header_version)
        .expect("a decoded header can be written");
    let again = read_request_header(&mut Reader::new(&written)).expect("a written header can be read");
    assert_eq!(again, (api, header), "a header changes by being written");
    if let Some(case) = case_of(api, "Request") {
        settles(case, version, frame.get(reader.offset()..).unwrap_or_default());
    }
}

/// A frame that came from a server, in answer to a request of a version that the client knows.
fn response(input: &mut Input) {
    let api = ApiKey::ALL[input.below(ApiKey::ALL.len())];
    let Some(case) = case_of(api, "Response") else {
        return;
    };
    let version = version_of(case, input);
    let frame = input.rest();
    let mut reader = Reader::new(frame);
    let header_version = response_header_version(api, version);
    if ResponseHeader::decode(&mut reader, header_version).is_ok() {
        settles(case, version, frame.get(reader.offset()..).unwrap_or_default());
    }
}

/// Any message or record.
fn message(input: &mut Input) {
    let case = &CASES[input.below(CASES.len())];
    let version = version_of(case, input);
    settles(case, version, input.rest());
}

fn version_of(case: &Case, input: &mut Input) -> i16 {
    let (low, high) = case.versions;
    low + input.below(usize::try_from(high - low + 1).unwrap_or(1)) as i16
}

/// The message of an API; `None` for those that have no versions any more.
pub fn case_of(api: ApiKey, kind: &str) -> Option<&'static Case> {
    let is_it =
        |case: &&Case| case.group == "messages" && case.key == Some(api.id()) && case.name.ends_with(kind);
    CASES.iter().find(is_it)
}

/// What can be read can be written, and what was written reads as the same.
pub fn settles(case: &Case, version: i16, bytes: &[u8]) {
    if let Ok((written, _)) = (case.rewrite)(bytes, version) {
        let again = (case.rewrite)(&written, version);
        let expected = Ok((written.clone(), written.len()));
        assert_eq!(again, expected, "{} version {version}", case.name);
    }
}
