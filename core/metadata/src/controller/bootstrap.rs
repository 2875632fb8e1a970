//! The first records of a cluster (Kafka classes `BootstrapMetadata`, `Formatter`, `ActivationRecordsGenerator`).

use super::{ApiError, ControllerConfig, MIN_ISR};
use crate::image::ELR_VERSION;
use crate::records::{PushError, Records, TRANSACTIONS_SINCE, decode};
use crate::{MAX_METADATA_VERSION, image::METADATA_VERSION};
use ottla_types::ErrorCode;
use ottla_wire::metadata_records::{
    BeginTransactionRecord, ConfigRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord,
};

/// The features of a cluster formatted by Kafka 4.3 without further wishes, in the order in which it writes them.
pub const DEFAULT_FEATURES: [(&str, i16); 6] = [
    (METADATA_VERSION, MAX_METADATA_VERSION),
    (ELR_VERSION, 1),
    ("group.version", 1),
    ("share.version", 1),
    ("streams.version", 1),
    ("transaction.version", 2),
];

/// What `storage format` leaves in `bootstrap.checkpoint`: the feature levels to begin with.
pub fn format_records(features: &[(&str, i16)]) -> Result<Records, PushError> {
    let mut records = Records::new(level(features));
    push_features(&mut records, features)?;
    Ok(records)
}

/// What the first active controller appends to an empty log, as one batch: what `bootstrap.checkpoint` says, and with
/// ELR the `min.insync.replicas` of the whole cluster, which ELR must not let drift apart between brokers. `bootstrap` holds
/// encoded records, such as those of [`format_records`].
pub fn bootstrap_records<'a>(
    config: &ControllerConfig,
    bootstrap: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Records, ApiError> {
    let decoded: Vec<MetadataRecord<'_>> = bootstrap
        .into_iter()
        .map(|value| {
            decode(value).map_err(|e| {
                ApiError::new(
                    ErrorCode::UnknownServerError,
                    format!("bootstrap.checkpoint: {e:?}"),
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let levels: Vec<(&str, i16)> = decoded
        .iter()
        .filter_map(|record| match record {
            MetadataRecord::FeatureLevel(r) => Some((r.name, r.feature_level)),
            _ => None,
        })
        .collect();
    let level = level(&levels);
    let mut records = Records::new(level);
    if level >= TRANSACTIONS_SINCE {
        records.push(&MetadataRecord::BeginTransaction(BeginTransactionRecord {
            name: Some("Bootstrap records"),
        }))?;
    }
    for record in &decoded {
        records.push(record)?;
    }
    if levels
        .iter()
        .any(|(name, level)| *name == ELR_VERSION && *level > 0)
    {
        records.push(&MetadataRecord::Config(ConfigRecord {
            resource_type: 4,
            resource_name: "",
            name: MIN_ISR,
            value: Some(&config.min_insync_replicas.to_string()),
        }))?;
    }
    if level >= TRANSACTIONS_SINCE {
        records.push(&MetadataRecord::EndTransaction(EndTransactionRecord {}))?;
    }
    Ok(records)
}

fn push_features(records: &mut Records, features: &[(&str, i16)]) -> Result<(), PushError> {
    for (name, feature_level) in features {
        let feature_level = *feature_level;
        records.push(&MetadataRecord::FeatureLevel(FeatureLevelRecord {
            name,
            feature_level,
        }))?;
    }
    Ok(())
}

fn level(features: &[(&str, i16)]) -> i16 {
    features
        .iter()
        .find(|(name, _)| *name == METADATA_VERSION)
        .map_or(MAX_METADATA_VERSION, |(_, level)| *level)
}
