//! The first records of a cluster (Kafka classes `BootstrapMetadata`, `Formatter`, `ActivationRecordsGenerator`).

use super::{ControllerConfig, MIN_ISR};
use crate::image::ELR_VERSION;
use crate::records::{PushError, Records};
use crate::{MAX_METADATA_VERSION, image::METADATA_VERSION};
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

/// What the first active controller appends to an empty log, as one batch: the levels from `bootstrap.checkpoint`, and with
/// ELR the `min.insync.replicas` of the whole cluster, which ELR must not let drift apart between brokers.
pub fn bootstrap_records(config: &ControllerConfig, features: &[(&str, i16)]) -> Result<Records, PushError> {
    let mut records = Records::new(level(features));
    records.push(&MetadataRecord::BeginTransaction(BeginTransactionRecord {
        name: Some("Bootstrap records"),
    }))?;
    push_features(&mut records, features)?;
    if features
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
    records.push(&MetadataRecord::EndTransaction(EndTransactionRecord {}))?;
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
