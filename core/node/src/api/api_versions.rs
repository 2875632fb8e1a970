//! ApiVersions (KIP-35, KIP-511, KIP-584): what is served, and the cluster's finalized features.

use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::api_versions_request::ApiVersionsRequest;
use ottla_wire::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_wire::{ApiKey, Message};

use crate::Node;
use crate::api;
use crate::dispatch::{Reject, Request};
use crate::features::SUPPORTED;

pub fn handle(node: &Node, mut request: Request<'_>) -> Result<Reply, Reject> {
    let (low, high) = ApiVersionsRequest::VERSIONS;
    if request.version < low || request.version > high {
        // A client newer than we are: the oldest answer, with the range it may use, and never a closed connection.
        request.version = 0;
        return request.answer(&ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: vec![ApiVersion {
                api_key: ApiKey::ApiVersions.id(),
                min_version: low,
                max_version: high,
            }],
            ..Default::default()
        });
    }
    let body = ApiVersionsRequest::decode(&mut request.body, request.version)?;
    let (name, version) = (body.client_software_name, body.client_software_version);
    let valid = request.version < 3 || is_name(name) && is_name(version);
    if !valid {
        return request.answer(&ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..Default::default()
        });
    }
    let image = node.image();
    let kraft_version = &node.quorum().1.kraft_version;
    let api_keys = ApiKey::ALL.iter().filter_map(|key| {
        let (min_version, max_version) = api::announced(*key)?;
        Some(ApiVersion {
            api_key: key.id(),
            min_version,
            max_version,
        })
    });
    request.answer(&ApiVersionsResponse {
        api_keys: api_keys.collect(),
        supported_features: supported(request.version),
        finalized_features_epoch: image.offset(),
        finalized_features: image
            .features()
            .iter()
            .map(|(name, level)| (name.as_str(), level))
            // Of all levels this one alone stands in control records.
            .chain((*kraft_version > 0).then_some(("kraft.version", kraft_version)))
            .map(|(name, level)| FinalizedFeatureKey {
                name,
                max_version_level: *level,
                min_version_level: *level,
            })
            .collect(),
        ..Default::default()
    })
}

/// What a client's software may be called, and its version: letters, digits, and within them dashes and dots (KIP-511).
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.bytes().all(inner) && ends.iter().all(|b| b.is_some_and(|b| b.is_ascii_alphanumeric()))
}

/// Below version 4 a feature whose range begins at 0 must not be shown: older clients refuse it (KAFKA-17011).
fn supported(version: i16) -> Vec<SupportedFeatureKey<'static>> {
    let shown = SUPPORTED.iter().filter(|f| version >= 4 || f.min > 0);
    shown
        .map(|f| SupportedFeatureKey {
            name: f.name,
            min_version: f.min,
            max_version: f.max,
        })
        .collect()
}
