//! `RECORDS.md` against the code: it names every record type with its number, and says truly which of them do something.

mod common;

use ottla_metadata::image::NO_LEADER;
use ottla_metadata::{MetadataDelta, MetadataImage};
use ottla_types::Uuid;
use ottla_wire::metadata_records::*;

const ID: Uuid = Uuid::from_bytes([9; 16]);

/// A cluster with one of everything, so that each record below finds what it is about.
fn image() -> MetadataImage {
    let mut image = MetadataImage::default();
    let partition = PartitionRecord {
        partition_id: 0,
        topic_id: ID,
        replicas: vec![1, 2],
        isr: vec![],
        leader: NO_LEADER,
        leader_epoch: 0,
        partition_epoch: 0,
        eligible_leader_replicas: Some(vec![1]),
        ..Default::default()
    };
    for record in [
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: 1,
            broker_epoch: 5,
            ..broker()
        }),
        MetadataRecord::Topic(TopicRecord {
            name: "t",
            topic_id: ID,
        }),
        MetadataRecord::Partition(partition),
        MetadataRecord::DelegationToken(token("old")),
        MetadataRecord::UserScramCredential(scram("old")),
        MetadataRecord::AccessControlEntry(acl(ID)),
    ] {
        image.replay(&record, 0, &mut MetadataDelta::default()).unwrap();
    }
    image
}

fn broker() -> RegisterBrokerRecord<'static> {
    RegisterBrokerRecord {
        fenced: true,
        ..Default::default()
    }
}

fn token(token_id: &str) -> DelegationTokenRecord<'_> {
    DelegationTokenRecord {
        token_id,
        ..Default::default()
    }
}

fn scram(name: &str) -> UserScramCredentialRecord<'_> {
    UserScramCredentialRecord {
        name,
        mechanism: 1,
        ..Default::default()
    }
}

fn acl(id: Uuid) -> AccessControlEntryRecord<'static> {
    AccessControlEntryRecord {
        id,
        ..Default::default()
    }
}

/// One record of each type, by number.
fn one_of_each() -> Vec<MetadataRecord<'static>> {
    use MetadataRecord as R;
    let new = Uuid::from_bytes([8; 16]);
    let new_partition = PartitionRecord {
        partition_id: 1,
        topic_id: ID,
        replicas: vec![1],
        leader_epoch: 0,
        partition_epoch: 0,
        ..Default::default()
    };
    vec![
        R::RegisterBroker(RegisterBrokerRecord {
            broker_id: 2,
            ..broker()
        }),
        R::UnregisterBroker(UnregisterBrokerRecord {
            broker_id: 1,
            broker_epoch: 5,
        }),
        R::Topic(TopicRecord {
            name: "u",
            topic_id: new,
        }),
        R::Partition(new_partition),
        R::Config(ConfigRecord {
            resource_type: 2,
            resource_name: "t",
            name: "k",
            value: Some("v"),
        }),
        R::PartitionChange(PartitionChangeRecord {
            partition_id: 0,
            topic_id: ID,
            ..Default::default()
        }),
        R::FenceBroker(FenceBrokerRecord { id: 1, epoch: 5 }),
        R::UnfenceBroker(UnfenceBrokerRecord { id: 1, epoch: 5 }),
        R::RemoveTopic(RemoveTopicRecord { topic_id: ID }),
        R::DelegationToken(token("new")),
        R::UserScramCredential(scram("new")),
        R::FeatureLevel(FeatureLevelRecord {
            name: "group.version",
            feature_level: 1,
        }),
        R::ClientQuota(ClientQuotaRecord {
            key: "producer_byte_rate",
            value: 1.0,
            ..Default::default()
        }),
        R::ProducerIds(ProducerIdsRecord {
            broker_id: 1,
            broker_epoch: 5,
            next_producer_id: 1000,
        }),
        R::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
            broker_id: 1,
            broker_epoch: 5,
            in_controlled_shutdown: 1,
            ..Default::default()
        }),
        R::AccessControlEntry(acl(new)),
        R::RemoveAccessControlEntry(RemoveAccessControlEntryRecord { id: ID }),
        R::NoOp(NoOpRecord {}),
        R::ZkMigrationState(ZkMigrationStateRecord {
            zk_migration_state: 1,
        }),
        R::RemoveUserScramCredential(RemoveUserScramCredentialRecord {
            name: "old",
            mechanism: 1,
        }),
        R::BeginTransaction(BeginTransactionRecord { name: None }),
        R::EndTransaction(EndTransactionRecord {}),
        R::AbortTransaction(AbortTransactionRecord { reason: None }),
        R::RemoveDelegationToken(RemoveDelegationTokenRecord { token_id: "old" }),
        R::RegisterController(RegisterControllerRecord {
            controller_id: 1,
            ..Default::default()
        }),
        R::ClearElr(ClearElrRecord { topic_name: "" }),
    ]
}

/// The rows of the table: number, name, effect.
fn table() -> Vec<(i16, String, String)> {
    let text = include_str!("../RECORDS.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((
            cells.get(1)?.parse().ok()?,
            cells.get(2)?.to_string(),
            cells.get(3)?.to_string(),
        ))
    });
    rows.collect()
}

#[test]
fn the_table_names_every_type() {
    // `decode` knows every number that the schemas have; a body of the wrong length is an error of another kind.
    let known: Vec<i16> = (0..128)
        .filter(|id| {
            let mut r = ottla_wire::Reader::new(&[]);
            !matches!(
                MetadataRecord::decode(&mut r, *id, 0).map_err(|error| error.kind),
                Err(ottla_wire::DecodeErrorKind::UnknownRecord { .. })
            )
        })
        .map(|id| id as i16)
        .collect();
    let listed: Vec<i16> = table().iter().map(|row| row.0).collect();
    assert_eq!(listed, known);
    let tried: Vec<i16> = one_of_each().iter().map(MetadataRecord::id).collect();
    assert_eq!(tried, known);
    for (record, row) in one_of_each().iter().zip(table()) {
        let name = format!("{record:?}");
        let name = name.split(['(', ' ']).nth(1).unwrap().trim_end_matches(')');
        assert_eq!(name, row.1);
    }
}

#[test]
fn it_says_truly_which_records_change_the_image() {
    for (record, (_, name, effect)) in one_of_each().iter().zip(table()) {
        let mut before = image();
        if matches!(
            record,
            MetadataRecord::EndTransaction(_) | MetadataRecord::AbortTransaction(_)
        ) {
            let begin = MetadataRecord::BeginTransaction(BeginTransactionRecord { name: None });
            before.replay(&begin, 0, &mut MetadataDelta::default()).unwrap();
        }
        if matches!(record, MetadataRecord::FenceBroker(_)) {
            let unfence = MetadataRecord::UnfenceBroker(UnfenceBrokerRecord { id: 1, epoch: 5 });
            before.replay(&unfence, 0, &mut MetadataDelta::default()).unwrap();
        }
        let mut after = before.clone();
        after.replay(record, 0, &mut MetadataDelta::default()).unwrap();
        assert_eq!(before != after, effect == "image", "{name}: {effect}");
    }
}
