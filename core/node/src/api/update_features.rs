//! UpdateFeatures (KIP-584, 778): the levels at which the cluster runs.

use std::sync::Arc;

use ottla_metadata::controller::{ApiError, FeatureUpdate, UpgradeType, update_features};
use ottla_metadata::image::FeatureRange;
use ottla_rpc::Reply;
use ottla_types::ErrorCode;
use ottla_wire::messages::update_features_request::UpdateFeaturesRequest;
use ottla_wire::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};

use crate::Node;
use crate::dispatch::{Reject, Request};
use crate::errors::message;
use crate::features::SUPPORTED;
use crate::start::controller_config;

/// The feature whose level the quorum keeps.
const KRAFT_VERSION: &str = "kraft.version";

pub async fn handle(node: &Arc<Node>, mut request: Request<'_>) -> Result<Reply, Reject> {
    let body = UpdateFeaturesRequest::decode(&mut request.body, request.version)?;
    let upgrade = |allow_downgrade: bool, kind: i8| match request.version {
        0 if allow_downgrade => UpgradeType::SafeDowngrade,
        0 => UpgradeType::Upgrade,
        _ => UpgradeType::from_wire(kind),
    };
    let wanted: Vec<(String, i16, UpgradeType)> = body
        .feature_updates
        .iter()
        .map(|f| {
            (
                f.feature.to_string(),
                f.max_version_level,
                upgrade(f.allow_downgrade, f.upgrade_type),
            )
        })
        .collect();
    let done = update(node, wanted.clone(), body.validate_only).await;
    let (code, text) = match &done {
        Ok(()) => (ErrorCode::None, None),
        Err(error) => (error.code, Some(message(error))),
    };
    // Version 2 has one result for all; before, each has what all have.
    let results = wanted.iter().filter(|_| request.version < 2 && done.is_ok());
    let results = results.map(|(feature, ..)| UpdatableFeatureResult {
        feature,
        error_code: 0,
        error_message: None,
    });
    request.answer(&UpdateFeaturesResponse {
        error_code: code.code(),
        error_message: text.as_deref(),
        results: results.collect(),
        ..Default::default()
    })
}

async fn update(
    node: &Arc<Node>,
    mut wanted: Vec<(String, i16, UpgradeType)>,
    validate_only: bool,
) -> Result<(), ApiError> {
    let kraft_version = node.quorum().1.kraft_version;
    if let Some((_, level, _)) = wanted.iter().find(|(name, ..)| name == KRAFT_VERSION)
        && *level != kraft_version
    {
        let text = format!(
            "Invalid update version {level} for feature {KRAFT_VERSION}. It is {kraft_version} since this cluster was formatted, and \
             changing it is not served yet."
        );
        return Err(ApiError::new(ErrorCode::InvalidUpdateVersion, text));
    }
    wanted.retain(|(name, ..)| name != KRAFT_VERSION);
    let supported: Vec<FeatureRange> = SUPPORTED
        .iter()
        .map(|f| FeatureRange {
            name: f.name.into(),
            min: f.min,
            max: f.max,
        })
        .collect();
    let config = controller_config(&node.broker(), node.cluster_id());
    let change = node.controller.change(move |planner| {
        let updates: Vec<FeatureUpdate<'_>> = wanted
            .iter()
            .map(|(name, level, upgrade)| FeatureUpdate {
                name,
                level: *level,
                upgrade: *upgrade,
            })
            .collect();
        let mut records = update_features(planner.image, &config, &supported, &updates)?;
        if validate_only {
            records.truncate(0);
        }
        Ok((records, ()))
    });
    change.await
}
