//! Random lives of a cluster: whatever is asked in whatever order, what the controller decides replays, and the image keeps
//! its promises.

mod common;

use common::{Rules, cluster, config, dice, registration, replay};
use ottla_metadata::controller::*;
use ottla_metadata::image::{Changes, LeaderRecoveryState, NO_LEADER};
use ottla_metadata::records::{Records, decode};
use ottla_metadata::{ConfigResource, Loader, MetadataDelta, MetadataImage};
use proptest::prelude::*;

const NAMES: [&str; 6] = ["a", "b", "a.b", "a_b", "long-lived", ".."];

#[derive(Debug, Clone)]
enum Op {
    Create {
        name: usize,
        partitions: i32,
        factor: i16,
        min_isr: Option<u8>,
        validate_only: bool,
    },
    Delete {
        name: usize,
    },
    Grow {
        name: usize,
        count: i32,
    },
    MinIsr {
        name: usize,
        value: Option<u8>,
    },
    Append {
        name: usize,
        value: String,
    },
    Register {
        broker: i32,
        incarnation: u8,
        clean: bool,
    },
    Unfence {
        broker: i32,
    },
    Fence {
        broker: i32,
    },
    Shutdown {
        broker: i32,
    },
    Unregister {
        broker: i32,
    },
    Elect {
        name: usize,
        partition: i32,
        election: Election,
    },
    ProducerIds {
        broker: i32,
    },
    AlterIsr {
        name: usize,
        partition: i32,
        members: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    let broker = 1..=4i32;
    let election = prop_oneof![
        Just(Election::Preferred),
        Just(Election::Online),
        Just(Election::Unclean)
    ];
    prop_oneof![
        4 => (name.clone(), -1..5i32, -1..5i16, prop::option::of(1..4u8), prop::bool::weighted(0.1)).prop_map(
            |(name, partitions, factor, min_isr, validate_only)| {
                Op::Create { name, partitions, factor, min_isr, validate_only }
            }
        ),
        1 => name.clone().prop_map(|name| Op::Delete { name }),
        1 => (name.clone(), 0..8i32).prop_map(|(name, count)| Op::Grow { name, count }),
        1 => (name.clone(), prop::option::of(1..4u8)).prop_map(|(name, value)| Op::MinIsr { name, value }),
        1 => (name.clone(), "(delete|compact|x)").prop_map(|(name, value)| Op::Append { name, value }),
        3 => (broker.clone(), any::<u8>(), any::<bool>()).prop_map(|(broker, incarnation, clean)| {
            Op::Register { broker, incarnation, clean }
        }),
        4 => broker.clone().prop_map(|broker| Op::Unfence { broker }),
        2 => broker.clone().prop_map(|broker| Op::Fence { broker }),
        1 => broker.clone().prop_map(|broker| Op::Shutdown { broker }),
        1 => broker.clone().prop_map(|broker| Op::Unregister { broker }),
        2 => (name, 0..4i32, election).prop_map(|(name, partition, election)| {
            Op::Elect { name, partition, election }
        }),
        4 => (0..NAMES.len(), 0..4i32, any::<u8>()).prop_map(|(name, partition, members)| {
            Op::AlterIsr { name, partition, members }
        }),
        1 => broker.prop_map(|broker| Op::ProducerIds { broker }),
    ]
}

/// The records of an operation; none when it is refused.
fn decide(image: &MetadataImage, op: &Op, draw: Draw<'_>) -> Records {
    let config = config();
    let none = || Records::new(30);
    let epoch = |broker: i32| {
        image
            .cluster()
            .broker(broker)
            .map_or(-1, |registration| registration.epoch)
    };
    let alter = |name: usize, key, op, value: Option<&str>| {
        let ops = vec![ConfigOp { key, op, value }];
        let request = ResourceOps {
            resource: ConfigResource::topic(NAMES[name]),
            ops,
        };
        incremental_alter_configs(image, &Rules, &[request], false)
            .unwrap()
            .0
    };
    match op {
        Op::Create {
            name,
            partitions,
            factor,
            min_isr,
            validate_only,
        } => {
            let value = min_isr.map(|value| value.to_string());
            let request = CreatableTopic {
                name: NAMES[*name],
                num_partitions: *partitions,
                replication_factor: *factor,
                assignments: Vec::new(),
                configs: value
                    .iter()
                    .map(|value| ("min.insync.replicas", Some(value.as_str())))
                    .collect(),
            };
            create_topics(image, &config, &Rules, &[request], *validate_only, draw)
                .unwrap()
                .0
        }
        Op::Delete { name } => {
            delete_topics(image, &[TopicSelector::Name(NAMES[*name])])
                .unwrap()
                .0
        }
        Op::Grow { name, count } => {
            let request = CreatePartitionsTopic {
                name: NAMES[*name],
                count: *count,
                assignments: None,
            };
            create_partitions(image, &[request], false, draw).unwrap().0
        }
        Op::MinIsr {
            name,
            value: Some(value),
        } => alter(
            *name,
            "min.insync.replicas",
            OpType::Set,
            Some(&value.to_string()),
        ),
        Op::MinIsr { name, value: None } => alter(*name, "min.insync.replicas", OpType::Delete, None),
        Op::Append { name, value } => alter(*name, "cleanup.policy", OpType::Append, Some(value)),
        Op::Register {
            broker,
            incarnation,
            clean,
        } => {
            let request = registration(*broker, *incarnation, if *clean { epoch(*broker) } else { -1 });
            let registered = register_broker(image, &config, &request, image.offset() + 1, false);
            // The epoch is the offset of the registration itself, whatever stands before it.
            registered.map_or_else(|_| none(), |registered| registered.records)
        }
        Op::Unfence { broker } => {
            unfence_broker(image, &config, *broker, epoch(*broker)).unwrap_or_else(|_| none())
        }
        Op::Fence { broker } => fence_broker(image, &config, *broker).unwrap_or_else(|_| none()),
        Op::Shutdown { broker } => {
            controlled_shutdown(image, &config, *broker, epoch(*broker)).unwrap_or_else(|_| none())
        }
        Op::Unregister { broker } => unregister_broker(image, &config, *broker).unwrap_or_else(|_| none()),
        Op::Elect {
            name,
            partition,
            election,
        } => {
            let mut records = none();
            let _ = elect_leader(image, &config, NAMES[*name], *partition, *election, &mut records);
            records
        }
        Op::AlterIsr {
            name,
            partition,
            members,
        } => alter_isr(image, NAMES[*name], *partition, *members).unwrap_or_else(none),
        Op::ProducerIds { broker } => allocate_producer_ids(image, *broker, epoch(*broker))
            .map_or_else(|_| none(), |(records, _)| records),
    }
}

/// What the leader's wish for an ISR of some replicas leads to.
fn alter_isr(image: &MetadataImage, topic: &str, index: i32, members: u8) -> Option<Records> {
    let topic = image.topics().by_name(topic)?;
    let partition = topic.partitions.get(&index)?;
    let leader = image.cluster().broker(partition.leader)?;
    let wanted = partition
        .replicas
        .iter()
        .filter(|id| **id == leader.id || members >> **id & 1 == 1);
    let request = AlterPartition {
        topic_id: topic.id,
        partition: index,
        leader_epoch: partition.leader_epoch,
        new_isr: wanted.map(|id| (*id, -1)).collect(),
        leader_recovery_state: LeaderRecoveryState::Recovered,
        partition_epoch: partition.partition_epoch,
    };
    let (records, results) = alter_partition(image, &config(), leader.id, leader.epoch, &[request]).unwrap();
    let promised = results[0].1.as_ref().ok()?;
    let mut after = image.clone();
    replay(&mut after, &records);
    assert_eq!(&**after.topics().partition(topic.id, index).unwrap(), promised);
    Some(records)
}

fn check(before: &MetadataImage, after: &MetadataImage, delta: &MetadataDelta) -> Result<(), TestCaseError> {
    prop_assert_eq!(after.verify(), Ok(()));
    // The delta points at everything that is different, and at nothing else.
    let changes = delta.changes(before, after);
    prop_assert_eq!(&changes, &Changes::between(before, after));
    for change in &changes.partitions {
        if let (Some(old), Some(new)) = (&change.before, &change.after) {
            prop_assert!(new.partition_epoch > old.partition_epoch, "{:?}", change);
            prop_assert!(new.leader_epoch >= old.leader_epoch, "{:?}", change);
            prop_assert!(
                new.leader == old.leader || new.leader_epoch > old.leader_epoch,
                "{:?}",
                change
            );
        }
    }
    for topic in after.topics().iter() {
        for (index, partition) in topic.partitions.iter() {
            if partition.leader == NO_LEADER {
                // Nobody who could lead is kept from it.
                let able = partition
                    .isr
                    .iter()
                    .chain(&partition.elr)
                    .find(|id| after.cluster().is_active(**id));
                prop_assert_eq!(able, None, "{}-{} {:?}", topic.name, index, partition);
            } else {
                let leader = partition.leader;
                prop_assert!(
                    after.cluster().is_active(leader),
                    "{}-{} {:?}",
                    topic.name,
                    index,
                    partition
                );
            }
        }
    }
    prop_assert!(after.next_producer_id() >= before.next_producer_id());
    Ok(())
}

proptest! {
    #[test]
    fn the_image_keeps_its_promises(ops in prop::collection::vec(op(), 1..60), seed: u64) {
        let mut draw = dice(seed);
        let mut image = cluster(3);
        let start = image.to_records().unwrap();
        let start_offset = image.offset();
        let mut log: Vec<Vec<u8>> = Vec::new();
        for op in &ops {
            let records = decide(&image, op, &mut draw);
            let before = image.clone();
            let delta = replay(&mut image, &records);
            log.extend(records.iter().map(<[u8]>::to_vec));
            check(&before, &image, &delta)?;
        }

        // Whoever reads the log from the start ends up with the same image.
        let mut reader = Loader::new();
        reader.load_snapshot(start.iter(), start_offset).unwrap();
        reader.publish().unwrap();
        let first = reader.published().clone();
        for (offset, value) in (start_offset + 1..).zip(&log) {
            reader.replay(value, offset).unwrap();
        }
        let changes = reader.publish().unwrap();
        prop_assert_eq!(reader.published(), &image);
        prop_assert_eq!(changes.unwrap_or_default(), Changes::between(&first, &image));

        // And so does whoever starts from a snapshot.
        let mut late = Loader::new();
        late.load_snapshot(image.to_records().unwrap().iter(), image.offset()).unwrap();
        prop_assert_eq!(late.image(), &image);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_not_feared(bytes in prop::collection::vec(any::<u8>(), 0..200), id in 0..30u8) {
        let framed: Vec<u8> = [&[1, id, 0][..], &bytes].concat();
        for bytes in [&bytes[..], &framed] {
            if let Ok(record) = decode(bytes) {
                let _ = cluster(1).replay(&record, 1000, &mut MetadataDelta::default());
            }
        }
    }
}
