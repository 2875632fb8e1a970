//! Request and response headers: the generated structures, and which version of a header goes with which API version.
//!
//! A request's header is version 2 when its body is flexible, else 1 (version 0 went with ControlledShutdown). A response's
//! is version 1 when its body is flexible, else 0, with one exception: an ApiVersions response always has version 0, since
//! a client reads it before it knows what the broker speaks (KIP-511).

use crate::ApiKey;
use crate::codec::{DecodeError, Reader};

include!(concat!(env!("OUT_DIR"), "/header.rs"));

/// The header version of a request.
pub fn request_header_version(api: ApiKey, version: i16) -> i16 {
    if api.request_is_flexible(version) { 2 } else { 1 }
}

/// The header version of a response.
pub fn response_header_version(api: ApiKey, version: i16) -> i16 {
    i16::from(api != ApiKey::ApiVersions && api.response_is_flexible(version))
}

/// Reads the header of a request, whose first two fields decide its version.
///
/// The API version may be one that the API does not have: a server answers an ApiVersions request of a future version (in
/// version 0, with UNSUPPORTED_VERSION), and closes the connection for any other, with a message that can name the client.
/// An API key that does not exist is an error, since the header's version is then unknown too.
pub fn read_request_header<'a>(r: &mut Reader<'a>) -> Result<(ApiKey, RequestHeader<'a>), DecodeError> {
    let mut peek = r.clone();
    let key = peek.i16()?;
    let version = peek.i16()?;
    let api = ApiKey::try_from(key).map_err(|kind| r.error(kind))?;
    let header = RequestHeader::decode(r, request_header_version(api, version))?;
    Ok((api, header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::DecodeErrorKind;

    #[test]
    fn versions_follow_flexibility() {
        assert_eq!(request_header_version(ApiKey::Produce, 8), 1);
        assert_eq!(request_header_version(ApiKey::Produce, 9), 2);
        assert_eq!(response_header_version(ApiKey::Produce, 8), 0);
        assert_eq!(response_header_version(ApiKey::Produce, 9), 1);
        assert_eq!(request_header_version(ApiKey::SaslHandshake, 1), 1);
        assert_eq!(request_header_version(ApiKey::DescribeCluster, 0), 2);
    }

    #[test]
    fn an_api_versions_response_has_header_0_in_every_version() {
        for version in 0..=4 {
            assert_eq!(response_header_version(ApiKey::ApiVersions, version), 0);
        }
        assert_eq!(request_header_version(ApiKey::ApiVersions, 2), 1);
        assert_eq!(request_header_version(ApiKey::ApiVersions, 3), 2);
        assert_eq!(request_header_version(ApiKey::ApiVersions, 99), 2);
    }

    #[test]
    fn the_client_id_keeps_its_short_length_in_version_2() {
        let header = RequestHeader {
            request_api_key: 18,
            request_api_version: 4,
            correlation_id: 7,
            client_id: Some("me"),
        };
        let mut w = Vec::new();
        header.encode(&mut w, 2).unwrap();
        assert_eq!(w, [0, 18, 0, 4, 0, 0, 0, 7, 0, 2, b'm', b'e', 0]);
        let mut r = Reader::new(&w);
        assert_eq!(read_request_header(&mut r), Ok((ApiKey::ApiVersions, header)));
        r.finish().unwrap();
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let mut r = Reader::new(&[0, 93, 0, 0, 0, 0, 0, 1, 255, 255]);
        let error = read_request_header(&mut r).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::UnknownApiKey { key: 93 });
    }
}
