//! UpdateFeatures: which levels may follow which, and what else changes with them.

mod common;

use common::{config, replay};
use ottla_metadata::controller::{
    DEFAULT_FEATURES, FeatureUpdate, UpgradeType, bootstrap_records, format_records, update_features,
};
use ottla_metadata::image::FeatureRange;
use ottla_metadata::{ConfigResource, MetadataImage};
use ottla_types::ErrorCode;

fn at(features: &[(&str, i16)]) -> MetadataImage {
    let mut image = MetadataImage::default();
    let format = format_records(features).unwrap();
    replay(&mut image, &bootstrap_records(&config(), format.iter()).unwrap());
    image
}

fn supported() -> Vec<FeatureRange> {
    let range = |name: &str, min, max| FeatureRange {
        name: name.into(),
        min,
        max,
    };
    vec![
        range("metadata.version", 7, 30),
        range("group.version", 0, 1),
        range("eligible.leader.replicas.version", 0, 1),
    ]
}

fn update(
    image: &MetadataImage,
    name: &str,
    level: i16,
    upgrade: UpgradeType,
) -> Result<MetadataImage, String> {
    let update = FeatureUpdate { name, level, upgrade };
    let records = update_features(image, &config(), &supported(), &[update]).map_err(|e| {
        assert_eq!(e.code, ErrorCode::InvalidUpdateVersion);
        e.message.unwrap()
    })?;
    let mut next = image.clone();
    replay(&mut next, &records);
    Ok(next)
}

#[test]
fn levels_go_up_and_down_as_kafka_lets_them() {
    use UpgradeType::{SafeDowngrade, Unknown, UnsafeDowngrade, Upgrade};
    let image = at(&DEFAULT_FEATURES);
    for (name, level, upgrade, says) in [
        (
            "group.version",
            2,
            Upgrade,
            "Local controller only supports versions 0-1",
        ),
        (
            "new.version",
            1,
            Upgrade,
            "Local controller does not support this feature.",
        ),
        ("group.version", -1, Upgrade, "cannot be less than 0"),
        ("group.version", 0, Upgrade, "without setting the upgrade type"),
        (
            "group.version",
            0,
            Unknown,
            "does not support the given upgrade type",
        ),
        (
            "metadata.version",
            29,
            SafeDowngrade,
            "might delete metadata information",
        ),
        (
            "metadata.version",
            29,
            UnsafeDowngrade,
            "Unsafe metadata downgrade is not supported",
        ),
        (
            "metadata.version",
            6,
            SafeDowngrade,
            "only supports versions 7-30",
        ),
    ] {
        let refused = update(&image, name, level, upgrade).unwrap_err();
        assert!(refused.contains(says), "{refused}");
        assert!(
            refused.starts_with("The update failed for all features"),
            "{refused}"
        );
    }
    let down = update(&image, "group.version", 0, SafeDowngrade).unwrap();
    assert_eq!(down.feature("group.version"), 0);
    assert!(update(&down, "group.version", 0, Upgrade).is_ok());
    let up = update(&down, "group.version", 1, SafeDowngrade).unwrap_err();
    assert!(up.contains("Can't downgrade to a newer version"), "{up}");

    let old = at(&[("metadata.version", 21)]);
    let newer = update(&old, "metadata.version", 30, Upgrade).unwrap();
    assert_eq!(newer.metadata_version(), 30);
    // From 4.2 to 4.0-IV3 no record changed.
    let four_two = at(&[("metadata.version", 29)]);
    let back = update(&four_two, "metadata.version", 25, SafeDowngrade).unwrap();
    assert_eq!(back.metadata_version(), 25);
}

#[test]
fn eligible_leaders_need_their_records_and_one_min_isr() {
    let elr = "eligible.leader.replicas.version";
    let old = at(&[("metadata.version", 21)]);
    let refused = update(&old, elr, 1, UpgradeType::Upgrade).unwrap_err();
    assert!(
        refused.contains("depends on metadata.version level 23"),
        "{refused}"
    );
    let cluster = ConfigResource::default_broker();
    let without = at(&[("metadata.version", 25)]);
    assert_eq!(without.configs().get(&cluster, "min.insync.replicas"), None);
    let with = update(&without, elr, 1, UpgradeType::Upgrade).unwrap();
    assert_eq!(with.configs().get(&cluster, "min.insync.replicas"), Some("1"));
}
