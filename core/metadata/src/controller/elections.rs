//! Changes of one partition: who leads when its ISR must change or a leader is wanted, and what becomes of its eligible
//! leader replicas (Kafka class `PartitionChangeBuilder`, KIP-966).

use super::{ApiError, ControllerConfig, elr_enabled};
use crate::image::{
    DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, LeaderRecoveryState, MetadataImage, NO_LEADER,
    NO_LEADER_CHANGE, Partition, Topic,
};
use crate::records::Records;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::metadata_records::{MetadataRecord, PartitionChangeRecord};

/// Which leaders will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Election {
    /// The preferred replica if it can, else whoever can.
    Preferred,
    /// The present leader if it can, else whoever can.
    Online,
    /// As [`Election::Online`], and if nobody can, a replica that may lack committed records.
    Unclean,
}

/// Brokers that a change is about; each is in none, one or more roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Subject {
    /// Leaves ISR and leadership.
    pub remove: Option<i32>,
    /// May lead although its registration does not say so yet.
    pub add: Option<i32>,
    /// Has lost what it had not synced: leaves ISR, ELR and leadership.
    pub unclean: Option<i32>,
}

/// Adds the changes that `subject` makes necessary to every partition that `concerned` selects, by topic name and index.
pub(super) fn update_partitions(
    image: &MetadataImage,
    config: &ControllerConfig,
    subject: Subject,
    concerned: impl Fn(&Partition) -> bool,
    records: &mut Records,
) -> Result<(), ApiError> {
    for topic in image.topics().iter() {
        if !topic.partitions.values().any(|partition| concerned(partition)) {
            continue;
        }
        let unclean = config.unclean_election(image, &topic.name);
        let election = if unclean {
            Election::Unclean
        } else {
            Election::Online
        };
        for (index, partition) in topic
            .partitions
            .iter()
            .filter(|(_, partition)| concerned(partition))
        {
            let change = Change::new(image, config, topic, partition, subject, election);
            if let Some(record) = change.build(topic, *index) {
                records.push(&MetadataRecord::PartitionChange(record))?;
            }
        }
    }
    Ok(())
}

/// An election that an operator or the leader balancer asked for (Kafka class `ReplicationControlManager`, `electLeader`).
/// Adds to `records` what it takes.
pub fn elect_leader(
    image: &MetadataImage,
    config: &ControllerConfig,
    topic: &str,
    partition: i32,
    election: Election,
    records: &mut Records,
) -> Result<(), ApiError> {
    let unknown = |message: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
    let found = image
        .topics()
        .by_name(topic)
        .ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
    let registration = found.partitions.get(&partition);
    let registration =
        registration.ok_or_else(|| unknown(format!("No such partition as {topic}-{partition}")))?;
    let settled = match election {
        Election::Preferred => registration.leader == registration.preferred_leader(),
        Election::Online | Election::Unclean => registration.leader != NO_LEADER,
    };
    if settled {
        return Err(ErrorCode::ElectionNotNeeded.into());
    }
    let change = Change::new(image, config, found, registration, Subject::default(), election);
    match change.build(found, partition) {
        Some(record) => Ok(records.push(&MetadataRecord::PartitionChange(record))?),
        None if election == Election::Preferred => Err(ErrorCode::PreferredLeaderNotAvailable.into()),
        None => Err(ErrorCode::EligibleLeadersNotAvailable.into()),
    }
}

/// The change that a leader's new ISR means, by AlterPartition; `None` when nothing changes.
pub(super) fn alter_isr(
    image: &MetadataImage,
    config: &ControllerConfig,
    topic: &Topic,
    index: i32,
    partition: &Partition,
    new_isr: &[i32],
    recovery: LeaderRecoveryState,
) -> Option<PartitionChangeRecord> {
    let unclean = config.unclean_election(image, &topic.name);
    let election = if unclean {
        Election::Unclean
    } else {
        Election::Online
    };
    let mut change = Change::new(image, config, topic, partition, Subject::default(), election);
    change.isr = new_isr.to_vec();
    change.recovery = recovery;
    change.complete_reassignment();
    change.retarget_elr();
    change.build(topic, index)
}

struct Change<'a> {
    image: &'a MetadataImage,
    partition: &'a Partition,
    subject: Subject,
    election: Election,
    elr_enabled: bool,
    min_isr: usize,
    replicas: Vec<i32>,
    /// Whether the reassignment under way ends here.
    completes: bool,
    isr: Vec<i32>,
    elr: Vec<i32>,
    recovery: LeaderRecoveryState,
}

impl<'a> Change<'a> {
    fn new(
        image: &'a MetadataImage,
        config: &ControllerConfig,
        topic: &Topic,
        partition: &'a Partition,
        subject: Subject,
        election: Election,
    ) -> Self {
        let leaves = |id: &i32| subject.remove == Some(*id) || subject.unclean == Some(*id);
        let isr: Vec<i32> = partition.isr.iter().copied().filter(|id| !leaves(id)).collect();
        let mut change = Change {
            image,
            partition,
            subject,
            election,
            elr_enabled: elr_enabled(image),
            min_isr: config.min_isr(image, &topic.name),
            replicas: partition.replicas.clone(),
            completes: false,
            isr,
            elr: Vec::new(),
            recovery: partition.leader_recovery_state,
        };
        change.retarget_elr();
        change
    }

    /// Once all replicas that come in are in sync, those that go out go (KIP-455; Kafka class
    /// `PartitionReassignmentReplicas`).
    fn complete_reassignment(&mut self) {
        if !self.partition.is_reassigning() {
            return;
        }
        let Partition {
            adding_replicas,
            removing_replicas,
            ..
        } = self.partition;
        let stays = |id: &i32| !removing_replicas.contains(id);
        let isr: Vec<i32> = self.isr.iter().copied().filter(stays).collect();
        if !isr.is_empty() && adding_replicas.iter().all(|id| isr.contains(id)) {
            self.isr = isr;
            self.replicas.retain(stays);
            self.completes = true;
        }
    }

    /// Whoever was in ISR or ELR holds all that was committed, unless it lost its unsynced tail. An ISR that is large enough
    /// commits on without them.
    fn retarget_elr(&mut self) {
        self.elr.clear();
        if self.elr_enabled && self.isr.len() < self.min_isr.min(self.replicas.len()) {
            self.elr.clone_from(&self.partition.elr);
            self.elr.extend(
                self.partition
                    .isr
                    .iter()
                    .filter(|id| !self.partition.elr.contains(id)),
            );
            self.elr
                .retain(|id| !self.isr.contains(id) && self.subject.unclean != Some(*id));
            self.elr.sort_unstable();
        }
    }

    fn build(mut self, topic: &Topic, index: i32) -> Option<PartitionChangeRecord> {
        let mut record = PartitionChangeRecord {
            partition_id: index,
            topic_id: topic.id,
            ..Default::default()
        };
        let (leader, clean) = self.elect();
        if leader != self.partition.leader {
            record.leader = leader;
            if !clean {
                // Forcing the ISR to the new leader may lose committed records; the leader says so until it has recovered.
                record.isr = Some(vec![leader]);
                if self.partition.leader_recovery_state != LeaderRecoveryState::Recovering {
                    record.leader_recovery_state = LeaderRecoveryState::Recovering.to_wire();
                }
            } else if self.elr.contains(&leader) {
                self.isr = vec![leader];
                self.elr.retain(|id| *id != leader);
            }
        }
        // Only ELR lets an ISR run empty: without it the last member stays, to know who may lead.
        if record.isr.is_none()
            && (!self.isr.is_empty() || self.elr_enabled)
            && self.isr != self.partition.isr
        {
            record.isr = Some(self.isr.clone());
        }
        if !clean && leader != NO_LEADER {
            self.elr.clear();
        }
        if self.elr != self.partition.elr {
            record.eligible_leader_replicas = Some(self.elr.clone());
        }
        self.remember_last_leader(&mut record);
        self.assign(&mut record);
        if record.leader_recovery_state == -1 && self.recovery != self.partition.leader_recovery_state {
            record.leader_recovery_state = self.recovery.to_wire();
        }
        let unchanged = PartitionChangeRecord {
            partition_id: index,
            topic_id: topic.id,
            ..Default::default()
        };
        (record != unchanged).then_some(record)
    }

    /// The end of a reassignment. A leader that stays gets a new epoch: the followers that are gone must not fetch on.
    fn assign(&self, record: &mut PartitionChangeRecord) {
        if !self.completes {
            return;
        }
        if self.replicas != self.partition.replicas {
            if record.leader == NO_LEADER_CHANGE {
                record.leader = self.partition.leader;
            }
            record.replicas = Some(self.replicas.clone());
            let kept = |id: &i32| self.partition.directory(*id).unwrap_or(DIRECTORY_UNASSIGNED);
            let directories: Vec<Uuid> = self.replicas.iter().map(kept).collect();
            record.directories = (self.image.metadata_version() >= 17).then_some(directories);
        }
        if !self.partition.removing_replicas.is_empty() {
            record.removing_replicas = Some(Vec::new());
        }
        if !self.partition.adding_replicas.is_empty() {
            record.adding_replicas = Some(Vec::new());
        }
    }

    /// While a partition has no leader, `LastKnownElr` holds who led it last: the one to elect first, should it come back
    /// without being eligible.
    fn remember_last_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.elr_enabled {
            return;
        }
        let now = self.partition.leader;
        let runs_empty = record.isr.as_ref().is_some_and(Vec::is_empty);
        let led = record.leader >= 0 || (now != NO_LEADER && record.leader != NO_LEADER);
        if runs_empty && self.partition.last_known_elr != [now] {
            record.last_known_elr = Some(vec![now]);
        } else if led && !self.partition.last_known_elr.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }

    /// The leader, and whether it holds all that was committed.
    fn elect(&self) -> (i32, bool) {
        let replicas = &self.replicas;
        let preferred = replicas.first().copied().unwrap_or(NO_LEADER);
        if self.election == Election::Preferred && self.is_valid(preferred) {
            return (preferred, true);
        }
        if self.is_valid(self.partition.leader) && replicas.contains(&self.partition.leader) {
            return (self.partition.leader, true);
        }
        if let Some(id) = replicas.iter().find(|id| self.is_valid(**id)) {
            return (*id, true);
        }
        if let ([last], true, true) = (
            &self.partition.last_known_elr[..],
            self.isr.is_empty(),
            self.elr.is_empty(),
        ) && self.elr_enabled
            && self.is_acceptable(*last)
        {
            return (*last, false);
        }
        let any = replicas
            .iter()
            .find(|id| self.election == Election::Unclean && self.is_acceptable(**id));
        any.map_or((NO_LEADER, true), |id| (*id, false))
    }

    fn is_valid(&self, id: i32) -> bool {
        (self.isr.contains(&id) || self.elr.contains(&id)) && self.is_acceptable(id)
    }

    fn is_acceptable(&self, id: i32) -> bool {
        if self.subject.remove == Some(id) || self.subject.unclean == Some(id) {
            return false;
        }
        let Some(broker) = self.image.cluster().broker(id) else {
            return false;
        };
        let online = self.partition.directory(id).is_some_and(|dir| {
            dir == DIRECTORY_UNASSIGNED || dir == DIRECTORY_MIGRATING || broker.log_dirs.contains(&dir)
        });
        online && (self.subject.add == Some(id) || broker.is_active())
    }
}
