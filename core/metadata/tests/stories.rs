//! Golden stories: what is asked, and the records that carry it out, one a line.

mod common;

use common::{Rules, cluster, config, registration, replay};
use ottla_metadata::controller::*;
use ottla_metadata::records::{Records, decode};
use ottla_metadata::{ConfigResource, MetadataImage};
use ottla_types::Uuid;
use ottla_wire::metadata_records::MetadataRecord;

/// A topic id for a story: `draw` returns its halves.
const HALVES: [u64; 2] = [0x0101_0101_0101_4101, 0x8101_0101_0101_0101];

fn id_draw() -> impl FnMut() -> u64 {
    let mut at = 0;
    move || {
        at += 1;
        HALVES[at % 2]
    }
}

/// Records in a few words each.
fn told(image: &MetadataImage, records: &Records) -> Vec<String> {
    let name = |id: Uuid| {
        image
            .topics()
            .by_id(id)
            .map_or("it".to_string(), |topic| topic.name.to_string())
    };
    let line = |value| match decode(value).unwrap() {
        MetadataRecord::Topic(r) => format!("topic {}", r.name),
        MetadataRecord::RemoveTopic(r) => format!("remove topic {}", name(r.topic_id)),
        MetadataRecord::Config(r) => match r.value {
            Some(value) => format!(
                "config {}/{} {} = {value}",
                r.resource_type, r.resource_name, r.name
            ),
            None => format!("config {}/{} {} unset", r.resource_type, r.resource_name, r.name),
        },
        MetadataRecord::ClearElr(r) => format!("clear ELR of {}", r.topic_name),
        MetadataRecord::Partition(r) => format!(
            "partition {}-{} on {:?}, isr {:?}, leader {} in epoch {}.{}",
            name(r.topic_id),
            r.partition_id,
            r.replicas,
            r.isr,
            r.leader,
            r.leader_epoch,
            r.partition_epoch
        ),
        MetadataRecord::PartitionChange(r) => {
            let mut line = format!("{}-{}:", name(r.topic_id), r.partition_id);
            let leader = (r.leader != -2).then_some(format!(" leader {}", r.leader));
            let list =
                |what: &str, ids: &Option<Vec<i32>>| ids.as_ref().map(|ids| format!(" {what} {ids:?}"));
            let parts = [
                leader,
                list("isr", &r.isr),
                list("elr", &r.eligible_leader_replicas),
                list("last known", &r.last_known_elr),
                (r.leader_recovery_state != -1).then_some(format!(" recovery {}", r.leader_recovery_state)),
            ];
            line.extend(parts.into_iter().flatten());
            line
        }
        MetadataRecord::BrokerRegistrationChange(r) => {
            format!(
                "broker {}: fenced {}, shutdown {}",
                r.broker_id, r.fenced, r.in_controlled_shutdown
            )
        }
        MetadataRecord::RegisterBroker(r) => {
            format!("broker {} registers as {}", r.broker_id, r.broker_epoch)
        }
        MetadataRecord::UnregisterBroker(r) => format!("broker {} is gone", r.broker_id),
        MetadataRecord::ProducerIds(r) => format!("producer ids up to {}", r.next_producer_id),
        other => format!("{other:?}"),
    };
    records.iter().map(line).collect()
}

fn create(image: &MetadataImage, brokers: &[i32], configs: &[(&str, &str)], validate_only: bool) -> Records {
    let request = CreatableTopic {
        name: "t",
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![Assignment {
            partition: 0,
            brokers: brokers.to_vec(),
        }],
        configs: configs.iter().map(|(key, value)| (*key, Some(*value))).collect(),
    };
    let result = create_topics(
        image,
        &config(),
        &Rules,
        &[request],
        validate_only,
        &mut id_draw(),
    );
    let (records, results) = result.unwrap();
    let created = results[0].1.as_ref().unwrap();
    assert_eq!(
        (created.num_partitions, created.replication_factor),
        (1, brokers.len() as i16)
    );
    assert_eq!(created.config.len(), configs.len());
    records
}

fn alter(image: &MetadataImage, ops: &[(&str, OpType, Option<&str>)]) -> Records {
    let ops = ops
        .iter()
        .map(|(key, op, value)| ConfigOp {
            key,
            op: *op,
            value: *value,
        })
        .collect();
    let request = ResourceOps {
        resource: ConfigResource::topic("t"),
        ops,
    };
    let (records, results) = incremental_alter_configs(image, &Rules, &[request], false).unwrap();
    assert_eq!(results[0].1, Ok(()));
    records
}

/// Tells `records`, and replays them.
fn happens(image: &mut MetadataImage, records: &Records) -> Vec<String> {
    let told = told(image, records);
    replay(image, records);
    image.verify().unwrap();
    told
}

#[test]
fn the_life_of_a_topic() {
    let mut image = cluster(2);
    let configs = [("retention.ms", "1000"), ("min.insync.replicas", "2")];
    assert!(create(&image, &[2, 1], &configs, true).is_empty());
    let records = create(&image, &[2, 1], &configs, false);
    assert_eq!(
        happens(&mut image, &records),
        [
            "topic t",
            "config 2/t min.insync.replicas = 2",
            "config 2/t retention.ms = 1000",
            "clear ELR of t",
            "partition it-0 on [2, 1], isr [2, 1], leader 2 in epoch 0.0",
        ]
    );
    let request = CreatePartitionsTopic {
        name: "t",
        count: 3,
        assignments: None,
    };
    let records = create_partitions(&image, &[request], false, &mut || 0).unwrap().0;
    assert_eq!(
        happens(&mut image, &records),
        [
            "partition t-1 on [1, 2], isr [1, 2], leader 1 in epoch 0.0",
            "partition t-2 on [2, 1], isr [2, 1], leader 2 in epoch 0.0",
        ]
    );
    let records = alter(
        &image,
        &[
            ("cleanup.policy", OpType::Append, Some("compact")),
            ("retention.ms", OpType::Delete, None),
            ("segment.ms", OpType::Delete, None),
        ],
    );
    assert_eq!(
        happens(&mut image, &records),
        [
            "config 2/t cleanup.policy = delete,compact",
            "config 2/t retention.ms unset"
        ]
    );
    let records = alter(&image, &[("cleanup.policy", OpType::Append, Some("compact"))]);
    assert!(records.is_empty(), "it was compacted already");
    let records = alter(&image, &[("cleanup.policy", OpType::Subtract, Some("delete"))]);
    assert_eq!(
        happens(&mut image, &records),
        ["config 2/t cleanup.policy = compact"]
    );

    let legacy = LegacyAlter {
        resource: ConfigResource::topic("t"),
        configs: vec![("retention.ms", Some("7")), ("cleanup.policy", Some("compact"))],
    };
    let records = alter_configs(&image, &Rules, &[legacy], false).unwrap().0;
    assert_eq!(
        happens(&mut image, &records),
        [
            "config 2/t retention.ms = 7",
            "config 2/t min.insync.replicas unset",
            "clear ELR of t"
        ]
    );

    let records = delete_topics(&image, &[TopicSelector::Name("t")]).unwrap().0;
    assert_eq!(happens(&mut image, &records), ["remove topic t"]);
    assert!(image.topics().is_empty() && image.configs().of(&ConfigResource::topic("t")).is_empty());
}

/// KIP-966: with `min.insync.replicas=2` a broker that leaves last stays eligible, until it says that it lost its tail.
#[test]
fn eligible_leaders_come_and_go() {
    let mut image = cluster(3);
    let records = create(&image, &[1, 2, 3], &[("min.insync.replicas", "2")], false);
    happens(&mut image, &records);
    let step =
        |image: &mut MetadataImage, records: Result<Records, ApiError>| happens(image, &records.unwrap());

    let fenced = fence_broker(&image, &config(), 3);
    assert_eq!(
        step(&mut image, fenced),
        ["t-0: isr [1, 2]", "broker 3: fenced 1, shutdown 0"]
    );
    let fenced = fence_broker(&image, &config(), 1);
    assert_eq!(
        step(&mut image, fenced),
        ["t-0: leader 2 isr [2] elr [1]", "broker 1: fenced 1, shutdown 0"]
    );
    let fenced = fence_broker(&image, &config(), 2);
    assert_eq!(
        step(&mut image, fenced),
        [
            "t-0: leader -1 isr [] elr [1, 2] last known [2]",
            "broker 2: fenced 1, shutdown 0"
        ]
    );
    // Broker 3 held nothing that counts: it may not lead.
    let epoch = image.cluster().broker(3).unwrap().epoch;
    let unfenced = unfence_broker(&image, &config(), 3, epoch);
    assert_eq!(step(&mut image, unfenced), ["broker 3: fenced -1, shutdown 0"]);
    // Broker 1 comes back from a crash, so that it is eligible no more.
    let request = registration(1, 1, -1);
    let back = register_broker(&image, &config(), &request, image.offset() + 1, false).unwrap();
    let expected = format!("broker 1 registers as {}", back.epoch);
    assert_eq!(
        step(&mut image, Ok(back.records)),
        ["t-0: elr [2]".to_string(), expected]
    );
    let unfenced = unfence_broker(&image, &config(), 1, back.epoch);
    assert_eq!(step(&mut image, unfenced), ["broker 1: fenced -1, shutdown 0"]);
    // Broker 2 does too; nobody is left but the last leader, which is elected as one who may have lost records.
    let request = registration(2, 1, -1);
    let back = register_broker(&image, &config(), &request, image.offset() + 1, false).unwrap();
    let expected = format!("broker 2 registers as {}", back.epoch);
    assert_eq!(
        step(&mut image, Ok(back.records)),
        ["t-0: elr []".to_string(), expected]
    );
    let unfenced = unfence_broker(&image, &config(), 2, back.epoch);
    assert_eq!(
        step(&mut image, unfenced),
        [
            "broker 2: fenced -1, shutdown 0",
            "t-0: leader 2 isr [2] last known [] recovery 1"
        ]
    );
}

#[test]
fn elections_on_request() {
    let mut image = cluster(2);
    let records = create(&image, &[2, 1], &[], false);
    happens(&mut image, &records);
    let elect = |image: &MetadataImage, election| {
        let mut records = Records::new(30);
        let result = elect_leader(image, &config(), "t", 0, election, &mut records);
        (result.map_err(|error| error.code.name()), told(image, &records))
    };
    assert_eq!(
        elect(&image, Election::Preferred),
        (Err("ELECTION_NOT_NEEDED"), vec![])
    );
    let epoch = image.cluster().broker(2).unwrap().epoch;
    let records = controlled_shutdown(&image, &config(), 2, epoch).unwrap();
    assert_eq!(
        happens(&mut image, &records),
        ["broker 2: fenced 0, shutdown 1", "t-0: leader 1 isr [1]"]
    );
    assert_eq!(
        elect(&image, Election::Preferred),
        (Err("PREFERRED_LEADER_NOT_AVAILABLE"), vec![])
    );
    assert_eq!(
        elect(&image, Election::Unclean),
        (Err("ELECTION_NOT_NEEDED"), vec![])
    );
    let mut records = Records::new(30);
    let unknown = elect_leader(&image, &config(), "u", 0, Election::Preferred, &mut records).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "UNKNOWN_TOPIC_OR_PARTITION: No such topic as u"
    );
}

#[test]
fn producer_ids_come_in_blocks_to_the_broker_that_is_there() {
    let mut image = cluster(1);
    let epoch = image.cluster().broker(1).unwrap().epoch;
    let (records, block) = allocate_producer_ids(&image, 1, epoch).unwrap();
    assert_eq!((block.start, block.len), (0, 1000));
    assert_eq!(happens(&mut image, &records), ["producer ids up to 1000"]);
    let (_, block) = allocate_producer_ids(&image, 1, epoch).unwrap();
    assert_eq!(block.start, 1000);
    let stale = allocate_producer_ids(&image, 1, epoch - 1).unwrap_err();
    let expected = format!(
        "STALE_BROKER_EPOCH: Expected broker epoch {epoch}, but got broker epoch {}",
        epoch - 1
    );
    assert_eq!(stale.to_string(), expected);
}

#[test]
fn registrations_that_are_refused() {
    let image = cluster(2);
    let refused = |change: &dyn Fn(&mut BrokerRegistrationRequest), has_session| {
        let mut request = registration(1, 1, -1);
        change(&mut request);
        let result = register_broker(&image, &config(), &request, image.offset() + 1, has_session);
        result
            .map(|registered| registered.epoch)
            .map_err(|error| error.to_string())
    };
    let nothing = |_: &mut BrokerRegistrationRequest| {};
    assert_eq!(refused(&nothing, false), Ok(image.offset() + 1));
    let duplicate = refused(&nothing, true).unwrap_err();
    assert!(
        duplicate.starts_with("DUPLICATE_BROKER_REGISTRATION: Another broker is registered"),
        "{duplicate}"
    );
    // The same process asks again: it keeps its epoch, and its session is its own.
    let epoch = image.cluster().broker(1).unwrap().epoch;
    assert_eq!(
        refused(&|r| r.incarnation_id = Uuid::from_bytes([1; 16]), true),
        Ok(epoch)
    );
    type Case<'a> = (&'a dyn Fn(&mut BrokerRegistrationRequest), &'a str);
    let cases: [Case<'_>; 7] = [
        (
            &|r| r.cluster_id = "other".to_string(),
            "INCONSISTENT_CLUSTER_ID: Expected cluster ID 5L6g3nShT-eMCtK--X86sw, but got cluster ID other",
        ),
        (
            &|r| r.log_dirs.clear(),
            "INVALID_REGISTRATION: No directories specified in request",
        ),
        (
            &|r| r.log_dirs = vec![Uuid::ZERO],
            "INVALID_REGISTRATION: Reserved directory ID in request",
        ),
        (
            &|r| r.log_dirs = vec![Uuid::from_bytes([7; 16]); 2],
            "INVALID_REGISTRATION: Duplicate directory ID in request",
        ),
        (
            &|r| r.log_dirs = vec![Uuid::from_bytes([2; 16])],
            "INVALID_REGISTRATION: Broker 2 is already registered with directory AgICAgICAgICAgICAgICAg",
        ),
        (
            &|r| r.features.clear(),
            "INVALID_REGISTRATION: Request features do not contain 'metadata.version'",
        ),
        (
            &|r| r.features.retain(|feature| feature.name != "group.version"),
            "UNSUPPORTED_VERSION: Unable to register because the broker does not support finalized version 1 of \
             group.version. The broker wants a version between 0 and 0, inclusive.",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(change, false), Err(expected.to_string()));
    }
}
