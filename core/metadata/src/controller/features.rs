//! Changing the levels at which a cluster runs (UpdateFeatures, KIP-584, 778; Kafka class `FeatureControlManager`). The level of
//! `kraft.version` stands in control records and is the quorum's.

use super::{ApiError, ControllerConfig, MIN_ISR};
use crate::image::{
    ConfigResource, ELR_VERSION, FeatureRange, METADATA_VERSION, MetadataImage, ResourceKind,
};
use crate::records::{ELR_SINCE, Records};
use crate::{MAX_METADATA_VERSION, MIN_METADATA_VERSION};
use ottla_types::ErrorCode;
use ottla_wire::metadata_records::{ConfigRecord, FeatureLevelRecord, MetadataRecord};

/// The levels of `metadata.version` that changed what records say: below one of them its records can't be written any more.
const CHANGED: [i16; 8] = [8, 11, 13, 14, 15, 17, 23, 30];

/// Which way a level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    /// Up.
    Upgrade,
    /// Down, if nothing is lost.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
    /// A way that nobody knows.
    Unknown,
}

impl UpgradeType {
    /// From its number in requests.
    pub fn from_wire(value: i8) -> Self {
        match value {
            1 => UpgradeType::Upgrade,
            2 => UpgradeType::SafeDowngrade,
            3 => UpgradeType::UnsafeDowngrade,
            _ => UpgradeType::Unknown,
        }
    }
}

/// A level to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureUpdate<'a> {
    /// The feature.
    pub name: &'a str,
    /// Its level from then on; 0 turns it off.
    pub level: i16,
    /// Which way it may go.
    pub upgrade: UpgradeType,
}

/// Sets levels: all, or none of them when one can't be. `supported` is what this controller can work at.
pub fn update_features(
    image: &MetadataImage,
    config: &ControllerConfig,
    supported: &[FeatureRange],
    updates: &[FeatureUpdate<'_>],
) -> Result<Records, ApiError> {
    let mut records = Records::new(image.metadata_version());
    for update in updates {
        let checked = check(image, supported, updates, update);
        checked.map_err(|error| {
            let told = error.message.unwrap_or_default();
            let message = format!(
                "The update failed for all features since the following feature had an error: {told}"
            );
            ApiError::new(error.code, message)
        })?;
        let (name, feature_level) = (update.name, update.level);
        if feature_level == current(image, name) && name != METADATA_VERSION {
            continue;
        }
        records.push(&MetadataRecord::FeatureLevel(FeatureLevelRecord {
            name,
            feature_level,
        }))?;
        if name == ELR_VERSION && feature_level > 0 {
            one_min_isr(image, config, &mut records)?;
        }
    }
    Ok(records)
}

fn current(image: &MetadataImage, name: &str) -> i16 {
    if name == METADATA_VERSION {
        image.metadata_version()
    } else {
        image.feature(name)
    }
}

fn check(
    image: &MetadataImage,
    supported: &[FeatureRange],
    updates: &[FeatureUpdate<'_>],
    update: &FeatureUpdate<'_>,
) -> Result<(), ApiError> {
    let (name, level) = (update.name, update.level);
    let invalid = |why: String| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message))
    };
    if update.upgrade == UpgradeType::Unknown {
        return invalid("The controller does not support the given upgrade type.".into());
    }
    if level < 0 {
        return invalid("A feature version cannot be less than 0.".into());
    }
    if let Some(why) = not_supported(image, supported, name, level) {
        return invalid(why);
    }
    let before = current(image, name);
    if level < before && update.upgrade == UpgradeType::Upgrade {
        let why = "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.";
        return invalid(why.into());
    }
    if level > before && update.upgrade != UpgradeType::Upgrade {
        return invalid("Can't downgrade to a newer version.".into());
    }
    if name == METADATA_VERSION {
        return metadata_version(before, level, update.upgrade);
    }
    let set = updates.iter().find(|other| other.name == METADATA_VERSION);
    let runs_at = set.map_or(image.metadata_version(), |other| other.level);
    if name == ELR_VERSION && level > 0 && runs_at < ELR_SINCE {
        return invalid(format!(
            "It could not be set to {level} because it depends on {METADATA_VERSION} level {ELR_SINCE}"
        ));
    }
    Ok(())
}

fn metadata_version(before: i16, level: i16, upgrade: UpgradeType) -> Result<(), ApiError> {
    let invalid = |why: &str| {
        let message = format!("Invalid metadata.version {level}. {why}");
        Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message))
    };
    if !(MIN_METADATA_VERSION..=MAX_METADATA_VERSION).contains(&level) {
        return invalid("Unknown metadata.version.");
    }
    let loses = CHANGED
        .iter()
        .any(|changed| (level + 1..=before).contains(changed));
    match upgrade {
        UpgradeType::UnsafeDowngrade if loses => {
            invalid("Unsafe metadata downgrade is not supported in this version.")
        }
        _ if loses => invalid(
            "Refusing to perform the requested downgrade because it might delete metadata information.",
        ),
        _ => Ok(()),
    }
}

/// Why a level is beyond this controller or a registered node.
fn not_supported(
    image: &MetadataImage,
    supported: &[FeatureRange],
    name: &str,
    level: i16,
) -> Option<String> {
    let range = |features: &[FeatureRange]| {
        let found = features.iter().find(|feature| feature.name == name);
        found.map_or((0, 0), |feature| (feature.min, feature.max))
    };
    let beyond = |who: String, (min, max): (i16, i16)| match (min..=max).contains(&level) {
        true => None,
        false if (min, max) == (0, 0) => Some(format!("{who} does not support this feature.")),
        false => Some(format!("{who} only supports versions {min}-{max}")),
    };
    let local = beyond("Local controller".to_string(), range(supported));
    let brokers = image.cluster().brokers();
    let mut brokers = brokers.filter_map(|b| beyond(format!("broker {}", b.id), range(&b.features)));
    local.or_else(|| brokers.next())
}

/// With ELR all brokers go by one `min.insync.replicas`: that of the cluster stands in the log, and no broker has its own.
fn one_min_isr(
    image: &MetadataImage,
    config: &ControllerConfig,
    records: &mut Records,
) -> Result<(), ApiError> {
    let cluster = ConfigResource::default_broker();
    if image.configs().get(&cluster, MIN_ISR).is_none() {
        push(records, "", Some(&config.min_insync_replicas.to_string()))?;
    }
    for (resource, set) in image.configs().iter() {
        if resource.kind == ResourceKind::Broker && !resource.name.is_empty() && set.contains_key(MIN_ISR) {
            push(records, &resource.name, None)?;
        }
    }
    Ok(())
}

fn push(records: &mut Records, broker: &str, value: Option<&str>) -> Result<(), ApiError> {
    records.push(&MetadataRecord::Config(ConfigRecord {
        resource_type: ResourceKind::Broker.to_wire(),
        resource_name: broker,
        name: MIN_ISR,
        value,
    }))?;
    Ok(())
}
