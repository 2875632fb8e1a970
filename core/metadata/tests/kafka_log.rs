//! The log that a real Kafka 4.3.1 cluster wrote (`data/README.md`): it replays, it is written again byte for byte, and the
//! controller here, given the image before each batch and what was asked, decides the very same records.

mod common;

use common::{Rules, config, kafka_log};
use ottla_metadata::controller::*;
use ottla_metadata::image::*;
use ottla_metadata::records::{Records, decode, encode};
use ottla_metadata::{ConfigResource, Loader, MetadataDelta, MetadataImage, ResourceKind};
use ottla_wire::metadata_records::{MetadataRecord, RegisterBrokerRecord};
use std::collections::BTreeMap;

fn replay_all() -> Loader {
    let mut loader = Loader::new();
    for (base, values) in kafka_log() {
        for (offset, value) in (base..).zip(values) {
            loader.replay(value, offset).unwrap();
        }
        loader.image().verify().unwrap();
        loader.publish().unwrap();
    }
    loader
}

#[test]
fn it_replays_to_the_image_that_kafka_described() {
    let loader = replay_all();
    let image = loader.published();
    assert_eq!(image, loader.image());
    let shape: BTreeMap<&str, usize> = image
        .topics()
        .iter()
        .map(|topic| (&*topic.name, topic.partitions.size()))
        .collect();
    let expected = [
        ("__transaction_state", 2),
        ("a.b", 1),
        ("defaults", 4),
        ("elr", 3),
        ("manual", 2),
        ("orders", 9),
    ];
    assert_eq!(shape, BTreeMap::from(expected));
    let moved = &image.topics().by_name("manual").unwrap().partitions[&0];
    assert_eq!(
        (moved.replicas.as_slice(), moved.is_reassigning()),
        (&[3, 1][..], false)
    );

    assert_eq!(
        image
            .configs()
            .get(&ConfigResource::topic("orders"), "cleanup.policy"),
        Some("compact")
    );
    assert_eq!(
        image
            .configs()
            .get(&ConfigResource::topic("orders"), "retention.ms"),
        None
    );
    assert_eq!(
        image
            .configs()
            .get(&ConfigResource::topic("elr"), "min.insync.replicas"),
        Some("2")
    );
    assert!(
        image
            .configs()
            .of(&ConfigResource::topic("configured"))
            .is_empty()
    );
    assert_eq!(
        image
            .configs()
            .get(&ConfigResource::default_broker(), "log.retention.ms"),
        Some("7000")
    );
    assert_eq!(
        image
            .configs()
            .get(&ConfigResource::broker(2), "log.cleaner.threads"),
        Some("2")
    );

    let levels: Vec<(&str, i16)> = image
        .features()
        .iter()
        .map(|(name, level)| (name.as_str(), *level))
        .collect();
    let mut defaults = DEFAULT_FEATURES.to_vec();
    defaults.sort_unstable();
    assert_eq!(levels, defaults);
    assert_eq!(image.next_producer_id(), 2000);
    let scram: Vec<&str> = image
        .security()
        .scram
        .keys()
        .map(|user| user.name.as_str())
        .collect();
    assert_eq!(scram, ["alice"]);
    let quotas: Vec<_> = image
        .security()
        .quotas
        .values()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.get()))
        .collect();
    assert_eq!(quotas, [("producer_byte_rate", 1000.0)]);

    let racks: Vec<_> = image
        .cluster()
        .brokers()
        .map(|b| (b.id, b.rack.as_deref().unwrap(), b.fenced))
        .collect();
    assert_eq!(
        racks,
        [(1, "rack-1", true), (2, "rack-2", true), (3, "rack-3", true)]
    );
    assert_eq!(
        image
            .cluster()
            .broker(1)
            .unwrap()
            .endpoint("PLAINTEXT")
            .unwrap()
            .port,
        21192
    );
    assert_eq!(image.cluster().controllers().count(), 1);
}

#[test]
fn every_record_is_written_again_as_it_was() {
    for (_, values) in kafka_log() {
        for value in values {
            let mut again = Vec::new();
            encode(&decode(value).unwrap(), 30, &mut again).unwrap();
            assert_eq!(again, value, "{:?}", decode(value));
        }
    }
}

#[test]
fn a_snapshot_holds_it_all() {
    let loader = replay_all();
    let image = loader.published();
    let records = image.to_records().unwrap();
    let mut fresh = Loader::new();
    fresh.load_snapshot(records.iter(), image.offset()).unwrap();
    let changes = fresh.publish().unwrap().unwrap();
    assert_eq!(fresh.published(), image);
    assert_eq!(changes, Changes::between(&MetadataImage::default(), image));
    assert_eq!(changes.topics_created.len(), image.topics().len());
    assert_eq!(changes.partitions.len(), image.topics().partition_count());
}

/// What the controller here decides in the place of the one that wrote `batch`; `None` for operations that it does not have
/// (reassignments, quotas, credentials) or that no request caused.
fn decide(image: &MetadataImage, base: i64, batch: &[MetadataRecord<'_>]) -> Option<Records> {
    match &batch[0] {
        MetadataRecord::BeginTransaction(_) => {
            Some(bootstrap_records(&config(), format_records(&DEFAULT_FEATURES).unwrap().iter()).unwrap())
        }
        MetadataRecord::RegisterController(r) => {
            let request = ControllerRegistrationRequest {
                controller_id: r.controller_id,
                incarnation_id: r.incarnation_id,
                endpoints: r
                    .end_points
                    .iter()
                    .map(|e| endpoint(e.name, e.host, e.port))
                    .collect(),
                features: r
                    .features
                    .iter()
                    .map(|f| range(f.name, f.min_supported_version, f.max_supported_version))
                    .collect(),
            };
            Some(register_controller(image, &request).unwrap())
        }
        MetadataRecord::Topic(topic) => {
            let id = u128::from_be_bytes(*topic.topic_id.as_bytes());
            let mut halves = [(id >> 64) as u64, id as u64].into_iter();
            let request = created(topic.name, batch);
            let result = create_topics(image, &config(), &Rules, &[request], false, &mut || {
                halves.next().unwrap()
            });
            let (records, results) = result.unwrap();
            assert_eq!(results[0].1.as_ref().unwrap().topic_id, topic.topic_id);
            Some(records)
        }
        MetadataRecord::Partition(first) => {
            let topic = image.topics().by_id(first.topic_id).unwrap();
            let assignments: Vec<Vec<i32>> = batch.iter().map(|r| replicas(r).1).collect();
            let request = CreatePartitionsTopic {
                name: &topic.name,
                count: (topic.partitions.size() + assignments.len()) as i32,
                assignments: Some(assignments),
            };
            let (records, results) = create_partitions(image, &[request], false, &mut || 0).unwrap();
            assert_eq!(results[0].1, Ok(()));
            Some(records)
        }
        MetadataRecord::RemoveTopic(r) => {
            Some(delete_topics(image, &[TopicSelector::Id(r.topic_id)]).unwrap().0)
        }
        MetadataRecord::Config(r) => {
            let resource = ConfigResource {
                kind: ResourceKind::from_wire(r.resource_type),
                name: r.resource_name.to_string(),
            };
            let op = if r.value.is_some() {
                OpType::Set
            } else {
                OpType::Delete
            };
            let ops = vec![ConfigOp {
                key: r.name,
                op,
                value: r.value,
            }];
            let (records, results) =
                incremental_alter_configs(image, &Rules, &[ResourceOps { resource, ops }], false).unwrap();
            assert_eq!(results[0].1, Ok(()));
            Some(records)
        }
        MetadataRecord::ProducerIds(r) => {
            let (records, block) = allocate_producer_ids(image, r.broker_id, r.broker_epoch).unwrap();
            assert_eq!(block.start + i64::from(block.len), r.next_producer_id);
            Some(records)
        }
        _ => decide_broker(image, base, batch),
    }
}

/// What a broker's coming and going led to. The record that names the broker comes first or last.
fn decide_broker(image: &MetadataImage, base: i64, batch: &[MetadataRecord<'_>]) -> Option<Records> {
    let named = |r: &&MetadataRecord<'_>| {
        matches!(
            r,
            MetadataRecord::BrokerRegistrationChange(_) | MetadataRecord::RegisterBroker(_)
        )
    };
    match batch.iter().find(named)? {
        MetadataRecord::RegisterBroker(r) => Some(decide_registration(image, base, r)),
        MetadataRecord::BrokerRegistrationChange(r) => Some(
            match (r.fenced, r.in_controlled_shutdown, &r.cordoned_log_dirs) {
                (1, ..) => fence_broker(image, &config(), r.broker_id),
                (-1, ..) => unfence_broker(image, &config(), r.broker_id, r.broker_epoch),
                (_, 1, _) => controlled_shutdown(image, &config(), r.broker_id, r.broker_epoch),
                (_, _, Some(dirs)) => cordon_log_dirs(image, r.broker_id, r.broker_epoch, dirs),
                other => panic!("{other:?}"),
            }
            .unwrap(),
        ),
        other => panic!("{other:?}"),
    }
}

fn decide_registration(image: &MetadataImage, base: i64, r: &RegisterBrokerRecord<'_>) -> Records {
    let known = image.cluster().broker(r.broker_id);
    let request = BrokerRegistrationRequest {
        cluster_id: config().cluster_id,
        broker_id: r.broker_id,
        incarnation_id: r.incarnation_id,
        endpoints: r
            .end_points
            .iter()
            .map(|e| endpoint(e.name, e.host, e.port))
            .collect(),
        features: r
            .features
            .iter()
            .map(|f| range(f.name, f.min_supported_version, f.max_supported_version))
            .collect(),
        rack: r.rack.map(str::to_string),
        log_dirs: r.log_dirs.clone(),
        // All but the one that was killed stopped cleanly, and that one was out of every ISR and ELR when it came back.
        previous_broker_epoch: known.map_or(-1, |broker| broker.epoch),
    };
    let registered = register_broker(image, &config(), &request, base, false).unwrap();
    assert_eq!(registered.epoch, r.broker_epoch);
    registered.records
}

fn created<'a>(name: &'a str, batch: &[MetadataRecord<'a>]) -> CreatableTopic<'a> {
    let partitions = batch
        .iter()
        .filter(|r| matches!(r, MetadataRecord::Partition(_)))
        .map(replicas);
    let configs = batch.iter().filter_map(|r| match r {
        MetadataRecord::Config(config) => Some((config.name, config.value)),
        _ => None,
    });
    CreatableTopic {
        name,
        num_partitions: -1,
        replication_factor: -1,
        assignments: partitions
            .map(|(partition, brokers)| Assignment { partition, brokers })
            .collect(),
        configs: configs.collect(),
    }
}

fn replicas(record: &MetadataRecord<'_>) -> (i32, Vec<i32>) {
    match record {
        MetadataRecord::Partition(r) => (r.partition_id, r.replicas.clone()),
        other => panic!("{other:?}"),
    }
}

fn endpoint(name: &str, host: &str, port: u16) -> Endpoint {
    Endpoint {
        name: name.to_string(),
        host: host.to_string(),
        port,
        security_protocol: 0,
    }
}

fn range(name: &str, min: i16, max: i16) -> FeatureRange {
    FeatureRange {
        name: name.to_string(),
        min,
        max,
    }
}

/// A change of one partition that its leader asked for.
fn decide_isr(image: &MetadataImage, record: &MetadataRecord<'_>) -> Option<Records> {
    let MetadataRecord::PartitionChange(change) = record else {
        return None;
    };
    let partition = image
        .topics()
        .partition(change.topic_id, change.partition_id)
        .unwrap();
    let isr = change
        .isr
        .as_ref()
        .filter(|isr| partition.leader >= 0 && !isr.is_empty())?;
    // The end of the reassignment leaves out the replica that its leader had still counted in: itself.
    let mut isr = isr.clone();
    if change.replicas.is_some() {
        isr.push(partition.leader);
    }
    let request = AlterPartition {
        topic_id: change.topic_id,
        partition: change.partition_id,
        leader_epoch: partition.leader_epoch,
        new_isr: isr
            .iter()
            .map(|id| (*id, image.cluster().broker(*id).unwrap().epoch))
            .collect(),
        leader_recovery_state: partition.leader_recovery_state,
        partition_epoch: partition.partition_epoch,
    };
    let leader = image.cluster().broker(partition.leader).unwrap();
    let result = alter_partition(image, &config(), leader.id, leader.epoch, &[request]);
    result.ok().map(|(records, _)| records)
}

/// How many records at the start of `batch` one operation has written, by their kinds. Kafka may put several operations
/// into one batch.
fn operation(batch: &[MetadataRecord<'_>]) -> usize {
    let run = |kind: fn(&MetadataRecord<'_>) -> bool| batch[1..].iter().take_while(|r| kind(r)).count() + 1;
    match &batch[0] {
        MetadataRecord::BeginTransaction(_) => batch.len(),
        MetadataRecord::Topic(_) => run(|r| {
            use MetadataRecord::*;
            matches!(r, Config(_) | ClearElr(_) | Partition(_))
        }),
        MetadataRecord::Partition(_) => run(|r| matches!(r, MetadataRecord::Partition(_))),
        MetadataRecord::Config(_) => run(|r| matches!(r, MetadataRecord::ClearElr(_))),
        MetadataRecord::BrokerRegistrationChange(r) if r.fenced == -1 || r.in_controlled_shutdown == 1 => {
            run(|r| matches!(r, MetadataRecord::PartitionChange(_)))
        }
        MetadataRecord::PartitionChange(_) => run(|r| matches!(r, MetadataRecord::PartitionChange(_))) + 1,
        _ => 1,
    }
}

/// Kafka walks its hash tables: the order of the partitions says nothing.
fn sorted<'a>(records: impl Iterator<Item = &'a MetadataRecord<'a>>) -> Vec<String> {
    let mut sorted: Vec<String> = records.map(|record| format!("{record:?}")).collect();
    sorted.sort_unstable();
    sorted
}

#[test]
fn the_controller_decides_as_kafka_did() {
    let mut image = MetadataImage::default();
    let mut decided: BTreeMap<String, usize> = BTreeMap::new();
    let mut not_ours: Vec<String> = Vec::new();
    for (base, values) in kafka_log() {
        let batch: Vec<MetadataRecord<'_>> = values.iter().map(|value| decode(value).unwrap()).collect();
        let mut at = 0;
        while at < batch.len() {
            let offset = base + at as i64;
            let theirs = &batch[at..(at + operation(&batch[at..])).min(batch.len())];
            let is_change = matches!(theirs[0], MetadataRecord::PartitionChange(_));
            let decision = decide(&image, base + (at + theirs.len()) as i64 - 1, theirs);
            let decision = decision.map(|records| {
                records
                    .iter()
                    .map(|v| format!("{:?}", decode(v).unwrap()))
                    .collect()
            });
            let ours: Option<Vec<String>> = decision.map(|mut ours: Vec<String>| {
                ours.sort_unstable();
                ours
            });
            let taken = match ours {
                Some(ours) if ours == sorted(theirs.iter()) => {
                    let last = theirs.last().unwrap();
                    let name = format!("{:?}", if is_change { last } else { &theirs[0] });
                    *decided
                        .entry(name.split('(').next().unwrap().to_string())
                        .or_default() += theirs.len();
                    theirs.len()
                }
                // A leader's changes of its ISR may stand before those that a broker's leaving made.
                Some(ours) if !is_change => panic!("at offset {offset}\n  ours {ours:?}\ntheirs {theirs:?}"),
                _ => {
                    let ours = decide_isr(&image, &theirs[0]);
                    let ours =
                        ours.and_then(|r| r.iter().next().map(|v| format!("{:?}", decode(v).unwrap())));
                    if ours == Some(format!("{:?}", theirs[0])) {
                        *decided.entry("AlterPartition".to_string()).or_default() += 1;
                    } else {
                        not_ours.push(format!("{:?}", theirs[0]));
                    }
                    1
                }
            };
            for (offset, record) in (offset..).zip(&theirs[..taken]) {
                image
                    .replay(record, offset, &mut MetadataDelta::default())
                    .unwrap();
            }
            at += taken;
        }
    }
    let decided: Vec<(&str, usize)> = decided
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect();
    let expected = [
        ("AlterPartition", 64),
        ("BeginTransaction", 9),
        // With the elections and the shrinking ISRs that came of them.
        ("BrokerRegistrationChange", 194),
        ("Config", 12),
        ("Partition", 3),
        ("ProducerIds", 2),
        ("RegisterBroker", 8),
        ("RegisterController", 2),
        ("RemoveTopic", 1),
        ("Topic", 36),
    ];
    assert_eq!(decided, expected);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &not_ours {
        *kinds.entry(record.split('(').next().unwrap()).or_default() += 1;
    }
    let expected = [
        ("ClientQuota", 3),
        ("NoOp", 25),
        // A reassignment begins.
        ("PartitionChange", 1),
        ("RemoveUserScramCredential", 1),
        ("UserScramCredential", 2),
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}
