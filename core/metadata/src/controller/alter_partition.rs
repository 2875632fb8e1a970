//! AlterPartition: a leader tells the controller its new ISR (KIP-497, KIP-841, KIP-903; Kafka class
//! `ReplicationControlManager`, `alterPartition`). The leader acts by it only after the record is committed.

use super::elections::alter_isr;
use super::{ApiError, ControllerConfig, check_broker_epoch};
use crate::image::{LeaderRecoveryState, MetadataImage, Partition, Topic};
use crate::records::Records;
use ottla_types::{Epoch, ErrorCode, Uuid};
use ottla_wire::metadata_records::MetadataRecord;

/// A partition whose ISR its leader wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// The epoch in which the sender leads it.
    pub leader_epoch: Epoch,
    /// The new ISR: each member with its broker epoch as the leader knows it, −1 if it does not.
    pub new_isr: Vec<(i32, i64)>,
    /// Whether the leader has recovered from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// The state that the leader wants to change.
    pub partition_epoch: i32,
}

/// What each partition is answered: its state when the records are replayed.
pub type AlterPartitionResults = Vec<((Uuid, i32), Result<Partition, ErrorCode>)>;

/// AlterPartition from an incarnation of a broker; each partition for itself.
pub fn alter_partition(
    image: &MetadataImage,
    config: &ControllerConfig,
    broker_id: i32,
    broker_epoch: i64,
    partitions: &[AlterPartition],
) -> Result<(Records, AlterPartitionResults), ApiError> {
    check_broker_epoch(image, broker_id, broker_epoch)?;
    let mut records = Records::unbounded(image.metadata_version());
    let mut results = Vec::with_capacity(partitions.len());
    for request in partitions {
        let result = match find(image, request).and_then(|(topic, partition)| {
            check(image, broker_id, request, partition)?;
            Ok((topic, partition))
        }) {
            Err(code) => Err(code),
            Ok((topic, partition)) => {
                let isr: Vec<i32> = request.new_isr.iter().map(|member| member.0).collect();
                let recovery = request.leader_recovery_state;
                match alter_isr(image, config, topic, request.partition, partition, &isr, recovery) {
                    None => Ok(partition.clone()),
                    Some(record) => {
                        let next = partition.changed(&record);
                        let next = next.map_err(|_| ApiError::from(ErrorCode::UnknownServerError))?;
                        records.push(&MetadataRecord::PartitionChange(record))?;
                        // The end of a reassignment may have taken the leadership from the sender.
                        if next.leader == broker_id {
                            Ok(next)
                        } else {
                            Err(ErrorCode::NewLeaderElected)
                        }
                    }
                }
            }
        };
        results.push(((request.topic_id, request.partition), result));
    }
    Ok((records, results))
}

fn find<'a>(
    image: &'a MetadataImage,
    request: &AlterPartition,
) -> Result<(&'a Topic, &'a Partition), ErrorCode> {
    let topic = image
        .topics()
        .by_id(request.topic_id)
        .ok_or(ErrorCode::UnknownTopicId)?;
    let partition = topic
        .partitions
        .get(&request.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok((topic, partition))
}

fn check(
    image: &MetadataImage,
    broker_id: i32,
    request: &AlterPartition,
    partition: &Partition,
) -> Result<(), ErrorCode> {
    let AlterPartition {
        leader_epoch,
        partition_epoch,
        new_isr,
        leader_recovery_state,
        ..
    } = request;
    // The leader has seen more than this controller: it is most likely the active one no more.
    if *leader_epoch > partition.leader_epoch || *partition_epoch > partition.partition_epoch {
        return Err(ErrorCode::NotController);
    }
    if *leader_epoch < partition.leader_epoch {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if broker_id != partition.leader {
        return Err(ErrorCode::InvalidRequest);
    }
    if *partition_epoch < partition.partition_epoch {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    let mut members: Vec<i32> = new_isr.iter().map(|member| member.0).collect();
    members.sort_unstable();
    let distinct = members.windows(2).all(|pair| pair[0] != pair[1]);
    if !distinct || !members.contains(&broker_id) || members.iter().any(|id| !partition.replicas.contains(id))
    {
        return Err(ErrorCode::InvalidRequest);
    }
    if *leader_recovery_state == LeaderRecoveryState::Recovering
        && (members.len() > 1 || partition.leader_recovery_state == LeaderRecoveryState::Recovered)
    {
        return Err(ErrorCode::InvalidRequest);
    }
    // A member that is fenced, leaving or restarted may have lost what the leader thinks it has (KIP-841, KIP-903).
    let eligible = |(id, epoch): &(i32, i64)| {
        let registered = image.cluster().broker(*id).filter(|broker| broker.is_active());
        registered.is_some_and(|broker| *epoch == -1 || broker.epoch == *epoch)
    };
    if new_isr.iter().all(eligible) {
        Ok(())
    } else {
        Err(ErrorCode::IneligibleReplica)
    }
}
