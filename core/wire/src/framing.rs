//! Frames: four bytes of length, then a header and a body. Splitting what arrives, and building what leaves.
//!
//! What is not here: sockets, correlation, back-pressure (`ottla-rpc`).

use std::fmt;

use crate::ApiKey;
use crate::codec::{EncodeError, put_i32};
use crate::header::{RequestHeader, ResponseHeader, request_header_version, response_header_version};
use crate::message::{EncodeAround, Message, Request};

/// The bytes of the length in front of a frame.
pub const PREFIX: usize = 4;

/// A length prefix that no frame can have. The connection cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A negative length.
    Negative {
        /// The length as read.
        length: i32,
    },
    /// A length over the limit (`socket.request.max.bytes` on a server).
    TooLarge {
        /// The length as read.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, what) = match self {
            FrameError::Negative { length } => {
                (*length as u32, format!("the frame length {length} is negative"))
            }
            FrameError::TooLarge { length, limit } => (
                *length as u32,
                format!("a frame of {length} bytes is over the limit of {limit}"),
            ),
        };
        f.write_str(&what)?;
        match foreign(prefix.to_be_bytes()) {
            Some(protocol) => write!(f, " (this looks like {protocol}, not like Kafka's protocol)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FrameError {}

/// Other protocols that knock at a Kafka port by mistake, by their first four bytes.
fn foreign(prefix: [u8; PREFIX]) -> Option<&'static str> {
    match &prefix {
        [0x16, 3, ..] => Some("TLS on a plaintext port"),
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"PRI " | b"OPTI" | b"HTTP" => Some("HTTP"),
        b"SSH-" => Some("SSH"),
        _ => None,
    }
}

/// The length of the frame that follows this prefix.
pub fn frame_length(prefix: [u8; PREFIX], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Err(_) => Err(FrameError::Negative { length }),
        Ok(length) if length > limit => Err(FrameError::TooLarge { length, limit }),
        Ok(length) => Ok(length),
    }
}

/// A frame without its prefix, and what follows it.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// Splits the first frame off `input`. `None` when it is not complete yet.
pub fn split(input: &[u8], limit: usize) -> Result<Option<Split<'_>>, FrameError> {
    let Some((prefix, rest)) = input.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    Ok(rest.split_at_checked(frame_length(*prefix, limit)?))
}

/// Appends one frame whose content `content` writes; appends nothing when that fails.
pub fn put_frame(
    w: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    put_frame_with(w, 0, content)
}

/// Appends one frame to which `elsewhere` bytes belong that are not in `w`.
fn put_frame_with<T>(
    w: &mut Vec<u8>,
    elsewhere: usize,
    content: impl FnOnce(&mut Vec<u8>) -> Result<T, EncodeError>,
) -> Result<T, EncodeError> {
    let start = w.len();
    put_i32(w, 0);
    let written = content(w).and_then(|value| {
        let length = (w.len() - start - PREFIX).saturating_add(elsewhere);
        let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong {
            field: "frame",
            length,
        })?;
        Ok((value, prefix))
    });
    match written {
        Ok((value, prefix)) => {
            w[start..start + PREFIX].copy_from_slice(&prefix.to_be_bytes());
            Ok(value)
        }
        Err(error) => {
            w.truncate(start);
            Err(error)
        }
    }
}

/// Appends a request with its header as one frame.
pub fn put_request<'a, R: Request<'a>>(
    w: &mut Vec<u8>,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<(), EncodeError> {
    let unsupported = EncodeError::UnsupportedVersion {
        message: R::NAME,
        version,
    };
    let api = R::API_KEY.ok_or(unsupported)?;
    let header = RequestHeader {
        request_api_key: api.id(),
        request_api_version: version,
        correlation_id,
        client_id,
    };
    put_frame(w, |w| {
        header.encode(w, request_header_version(api, version))?;
        request.encode(w, version)
    })
}

/// Appends a response with its header as one frame.
pub fn put_response<'a, M: Message<'a>>(
    w: &mut Vec<u8>,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<(), EncodeError> {
    let unsupported = EncodeError::UnsupportedVersion {
        message: M::NAME,
        version,
    };
    let api = M::API_KEY.ok_or(unsupported)?;
    put_frame(w, |w| {
        put_response_header(w, api, version, correlation_id)?;
        response.encode(w, version)
    })
}

/// Appends a response with its header as one frame, around its records (see [`EncodeAround`]): the frame's length counts
/// them, and the returned places say where in `w` they are to be sent.
pub fn put_response_around<'a, M: EncodeAround<'a>>(
    w: &mut Vec<u8>,
    version: i16,
    correlation_id: i32,
    response: &M,
    lengths: &[usize],
) -> Result<Vec<usize>, EncodeError> {
    let unsupported = EncodeError::UnsupportedVersion {
        message: M::NAME,
        version,
    };
    let api = M::API_KEY.ok_or(unsupported)?;
    let elsewhere = lengths
        .iter()
        .fold(0usize, |sum, length| sum.saturating_add(*length));
    put_frame_with(w, elsewhere, |w| {
        put_response_header(w, api, version, correlation_id)?;
        response.encode_around(w, version, lengths)
    })
}

/// Appends the header of a response, for callers that write the body themselves.
pub fn put_response_header(
    w: &mut Vec<u8>,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<(), EncodeError> {
    ResponseHeader { correlation_id }.encode(w, response_header_version(api, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use crate::header::read_request_header;
    use crate::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, FetchResponse, HeartbeatRequest};
    use crate::testgen::Seed;

    #[test]
    fn frames_are_split_off_one_by_one() {
        let mut w = Vec::new();
        put_request(&mut w, 0, 1, Some("c"), &ApiVersionsRequest::default()).unwrap();
        put_response(&mut w, 4, 2, &ApiVersionsResponse::default()).unwrap();
        let (first, rest) = split(&w, 100).unwrap().unwrap();
        let (api, header) = read_request_header(&mut Reader::new(first)).unwrap();
        assert_eq!(
            (api, header.correlation_id, header.client_id),
            (ApiKey::ApiVersions, 1, Some("c"))
        );
        let (second, rest) = split(rest, 100).unwrap().unwrap();
        assert_eq!(second, [0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert!(rest.is_empty());
        for cut in 0..second.len() + PREFIX {
            let start = w.len() - second.len() - PREFIX;
            assert_eq!(split(&w[start..start + cut], 100), Ok(None));
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_kept() {
        assert_eq!(
            split(&[0, 0, 0, 101, 0], 100),
            Err(FrameError::TooLarge {
                length: 101,
                limit: 100
            })
        );
        assert_eq!(split(&[0xff; 5], 100), Err(FrameError::Negative { length: -1 }));
        assert_eq!(split(&[0, 0, 0, 0], 100), Ok(Some((&[][..], &[][..]))));
    }

    #[test]
    fn an_error_says_what_probably_knocked() {
        let error = frame_length(*b"GET ", 100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a frame of 1195725856 bytes is over the limit of 100 (this looks like HTTP, not like Kafka's protocol)"
        );
        assert!(
            frame_length([0x16, 3, 1, 2], 100)
                .unwrap_err()
                .to_string()
                .contains("TLS")
        );
    }

    /// Writes `response` around its records, puts them in, and compares with the response written whole.
    fn compare_around(mut response: FetchResponse<'_>, version: i16) {
        let mut records = Vec::new();
        for partition in response
            .responses
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            records.push(*partition.records.get_or_insert_default());
        }
        let lengths: Vec<usize> = records.iter().map(|r| r.len()).collect();
        let mut around = vec![1, 2, 3];
        let places = put_response_around(&mut around, version, 5, &response, &lengths).unwrap();
        for (place, records) in places.iter().zip(&records).rev() {
            around.splice(place..place, records.iter().copied());
        }
        let mut whole = vec![1, 2, 3];
        put_response(&mut whole, version, 5, &response).unwrap();
        assert_eq!(around, whole, "version {version}");
    }

    #[test]
    fn a_response_around_its_records_is_the_same_response() {
        let (low, high) = FetchResponse::VERSIONS;
        for number in 0..200 {
            for version in low..=high {
                compare_around(FetchResponse::arbitrary(&mut Seed::new(number), version), version);
            }
        }
    }

    #[test]
    fn lengths_of_records_must_match_their_places() {
        let partition = PartitionData {
            records: Some(b"ignored"),
            ..Default::default()
        };
        let topic = FetchableTopicResponse {
            partitions: vec![partition.clone(), partition],
            ..Default::default()
        };
        let response = FetchResponse {
            responses: vec![topic],
            ..Default::default()
        };
        for lengths in [&[][..], &[1], &[1, 2, 3]] {
            let mut w = vec![9];
            let error = put_response_around(&mut w, 12, 1, &response, lengths).unwrap_err();
            assert_eq!(error, EncodeError::RecordLengths { given: lengths.len() });
            assert_eq!(w, [9]);
        }
        let huge = put_response_around(&mut Vec::new(), 12, 1, &response, &[1 << 30, 1 << 30]).unwrap_err();
        assert!(matches!(huge, EncodeError::TooLong { field: "frame", .. }));
    }

    #[test]
    fn a_request_that_cannot_be_written_leaves_nothing() {
        let mut w = vec![9];
        let request = HeartbeatRequest {
            group_instance_id: Some("i"),
            ..Default::default()
        };
        let error = put_request(&mut w, 0, 1, None, &request).unwrap_err();
        assert_eq!(
            error,
            EncodeError::FieldNotInVersion {
                field: "GroupInstanceId",
                version: 0
            }
        );
        assert_eq!(w, [9]);
    }
}
