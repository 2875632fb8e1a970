//! Replay refuses what no controller can have written, and keeps metadata transactions (KIP-868) out of sight.

mod common;

use common::{config, replay};
use ottla_metadata::controller::{DEFAULT_FEATURES, bootstrap_records, format_records};
use ottla_metadata::records::Records;
use ottla_metadata::{ConfigResource, Loader, MetadataDelta, MetadataImage};
use ottla_types::Uuid;
use ottla_wire::metadata_records::MetadataRecord as R;
use ottla_wire::metadata_records::*;

const ID: Uuid = Uuid::from_bytes([9; 16]);
const OTHER: Uuid = Uuid::from_bytes([8; 16]);

fn topic(name: &str, topic_id: Uuid) -> R<'_> {
    R::Topic(TopicRecord { name, topic_id })
}

fn partition(partition_id: i32) -> R<'static> {
    R::Partition(PartitionRecord {
        partition_id,
        topic_id: ID,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        ..Default::default()
    })
}

fn register(epoch: i64, incarnation: u8) -> R<'static> {
    R::RegisterBroker(RegisterBrokerRecord {
        broker_id: 1,
        broker_epoch: epoch,
        incarnation_id: Uuid::from_bytes([incarnation; 16]),
        ..Default::default()
    })
}

fn level(name: &str, feature_level: i16) -> R<'_> {
    R::FeatureLevel(FeatureLevelRecord { name, feature_level })
}

#[test]
fn impossible_records_are_violations() {
    let change = |partition_id, leader| {
        R::PartitionChange(PartitionChangeRecord {
            partition_id,
            topic_id: ID,
            leader,
            ..Default::default()
        })
    };
    let fence = |epoch, fenced| {
        let record = BrokerRegistrationChangeRecord {
            broker_id: 1,
            broker_epoch: epoch,
            fenced,
            ..Default::default()
        };
        R::BrokerRegistrationChange(record)
    };
    let ids = |next_producer_id| {
        R::ProducerIds(ProducerIdsRecord {
            next_producer_id,
            ..Default::default()
        })
    };
    let begin = || R::BeginTransaction(BeginTransactionRecord { name: None });
    let acl = || {
        R::AccessControlEntry(AccessControlEntryRecord {
            id: ID,
            ..Default::default()
        })
    };
    let cases = [
        (
            "metadata-topic-created-once",
            vec![topic("t", ID), topic("t", OTHER)],
        ),
        (
            "metadata-topic-created-once",
            vec![topic("t", ID), topic("u", ID)],
        ),
        ("metadata-topic-has-name-and-id", vec![topic("t", Uuid::ZERO)]),
        ("metadata-topic-has-name-and-id", vec![topic("", ID)]),
        ("metadata-topic-exists", vec![partition(0)]),
        (
            "metadata-topic-exists",
            vec![R::RemoveTopic(RemoveTopicRecord { topic_id: ID })],
        ),
        (
            "metadata-partition-created-once",
            vec![topic("t", ID), partition(0), partition(0)],
        ),
        (
            "metadata-partition-created-once",
            vec![topic("t", ID), partition(-1)],
        ),
        (
            "metadata-changed-partition-exists",
            vec![topic("t", ID), change(0, 1)],
        ),
        (
            "metadata-leader-in-isr",
            vec![topic("t", ID), partition(0), change(0, 2)],
        ),
        (
            "metadata-cleared-topic-exists",
            vec![R::ClearElr(ClearElrRecord { topic_name: "t" })],
        ),
        (
            "metadata-broker-epoch-grows",
            vec![register(5, 1), register(4, 2)],
        ),
        (
            "metadata-broker-epoch-grows",
            vec![register(5, 1), register(5, 2)],
        ),
        ("metadata-changed-broker-is-registered", vec![fence(5, 1)]),
        (
            "metadata-changed-broker-is-registered",
            vec![register(5, 1), fence(4, 1)],
        ),
        (
            "metadata-broker-change-is-known",
            vec![register(5, 1), fence(5, 2)],
        ),
        ("metadata-version-is-known", vec![level("metadata.version", 31)]),
        ("metadata-version-is-known", vec![level("metadata.version", 0)]),
        (
            "metadata-feature-level-is-not-negative",
            vec![level("group.version", -1)],
        ),
        ("metadata-producer-ids-grow", vec![ids(1000), ids(1000)]),
        ("metadata-transactions-nest-not", vec![begin(), begin()]),
        (
            "metadata-transactions-nest-not",
            vec![R::EndTransaction(EndTransactionRecord {})],
        ),
        ("metadata-acl-created-once", vec![acl(), acl()]),
        (
            "metadata-removed-acl-exists",
            vec![R::RemoveAccessControlEntry(RemoveAccessControlEntryRecord {
                id: ID,
            })],
        ),
        (
            "metadata-removed-credential-exists",
            vec![R::RemoveUserScramCredential(RemoveUserScramCredentialRecord {
                name: "a",
                mechanism: 1,
            })],
        ),
    ];
    for (invariant, records) in cases {
        let mut image = MetadataImage::default();
        let mut delta = MetadataDelta::default();
        let (last, first) = records.split_last().unwrap();
        for record in first {
            image.replay(record, 0, &mut delta).unwrap();
        }
        let violation = image.replay(last, 0, &mut delta).expect_err(invariant);
        assert_eq!(violation.invariant, invariant, "{violation}");
    }
}

#[test]
fn a_missing_partition_is_found_when_the_image_is_checked() {
    let mut image = MetadataImage::default();
    for record in [topic("t", ID), partition(1)] {
        image.replay(&record, 0, &mut MetadataDelta::default()).unwrap();
    }
    assert_eq!(
        image.verify().unwrap_err().invariant,
        "metadata-partitions-without-gap"
    );
    image
        .replay(&partition(0), 0, &mut MetadataDelta::default())
        .unwrap();
    assert_eq!(image.verify(), Ok(()));
}

fn values(records: &[R<'_>]) -> Records {
    let mut all = Records::new(30);
    records.iter().for_each(|record| all.push(record).unwrap());
    all
}

#[test]
fn a_transaction_is_shown_when_it_ends_and_never_when_it_aborts() {
    let begin = || R::BeginTransaction(BeginTransactionRecord { name: Some("work") });
    let mut loader = Loader::new();
    let ends = [
        begin(),
        topic("t", ID),
        partition(0),
        R::EndTransaction(EndTransactionRecord {}),
    ];
    let aborts = [
        begin(),
        R::RemoveTopic(RemoveTopicRecord { topic_id: ID }),
        R::AbortTransaction(AbortTransactionRecord { reason: None }),
    ];
    let log = values(&[&ends[..], &aborts[..]].concat());
    let mut shown = Vec::new();
    for (offset, value) in (0..).zip(log.iter()) {
        loader.replay(value, offset).unwrap();
        if let Some(changes) = loader.publish().unwrap() {
            shown.push((
                offset,
                changes.topics_created.len(),
                changes.topics_deleted.len(),
                changes.partitions.len(),
            ));
        }
        assert!(!loader.published().in_transaction());
    }
    assert_eq!(shown, [(3, 1, 0, 1), (6, 0, 0, 0)]);
    assert!(loader.published().topics().by_name("t").is_some());
}

#[test]
fn offsets_only_grow() {
    let mut loader = Loader::new();
    let log = values(&[topic("t", ID), topic("u", OTHER)]);
    let all: Vec<&[u8]> = log.iter().collect();
    loader.replay(all[0], 7).unwrap();
    assert_eq!(
        loader.replay(all[1], 7).unwrap_err().invariant,
        "metadata-offsets-grow"
    );
    assert_eq!(
        loader.replay(b"\x01\x63\x00\x00", 8).unwrap_err().invariant,
        "metadata-record-is-readable"
    );
}

#[test]
fn a_snapshot_takes_away_what_it_does_not_hold() {
    let mut loader = Loader::new();
    for (offset, value) in (0..).zip(values(&[topic("t", ID), partition(0), topic("u", OTHER)]).iter()) {
        loader.replay(value, offset).unwrap();
    }
    loader.publish().unwrap();
    loader
        .load_snapshot(values(&[topic("u", OTHER)]).iter(), 20)
        .unwrap();
    let changes = loader.publish().unwrap().unwrap();
    let deleted: Vec<&str> = changes.topics_deleted.iter().map(|topic| &*topic.name).collect();
    assert_eq!(
        (deleted, changes.topics_created.len(), changes.partitions.len()),
        (vec!["t"], 0, 1)
    );
    assert_eq!(loader.published().offset(), 20);
}

#[test]
fn a_fresh_cluster_has_the_levels_of_its_format() {
    let mut formatted = MetadataImage::default();
    replay(&mut formatted, &format_records(&DEFAULT_FEATURES).unwrap());
    let mut booted = MetadataImage::default();
    assert!(booted.is_empty());
    replay(
        &mut booted,
        &bootstrap_records(&config(), format_records(&DEFAULT_FEATURES).unwrap().iter()).unwrap(),
    );
    assert_eq!(formatted.features(), booted.features());
    assert_eq!(booted.metadata_version(), 30);
    assert_eq!(
        booted
            .configs()
            .get(&ConfigResource::default_broker(), "min.insync.replicas"),
        Some("1")
    );
    assert!(!booted.is_empty() && !booted.in_transaction());
    let without_elr =
        bootstrap_records(&config(), format_records(&DEFAULT_FEATURES[..1]).unwrap().iter()).unwrap();
    assert_eq!(without_elr.len(), 3);
}
