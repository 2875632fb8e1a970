//! One partition's registration, and how records make and change it (Kafka class `PartitionRegistration`). Which change is
//! right at a given moment is the controller's business.

use crate::records::{DIRECTORIES_SINCE, ELR_SINCE};
use ottla_types::{Epoch, Uuid, Violation};
use ottla_wire::metadata_records::{PartitionChangeRecord, PartitionRecord};

/// The directory of a replica that its broker has not told yet.
pub const DIRECTORY_UNASSIGNED: Uuid = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// The directory of a replica placed before directories had ids.
pub const DIRECTORY_MIGRATING: Uuid = Uuid::ZERO;
/// A directory that is offline, by a name that hides which.
pub const DIRECTORY_LOST: Uuid = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
/// No leader.
pub const NO_LEADER: i32 = -1;
/// A change record that leaves the leader and its epoch alone.
pub const NO_LEADER_CHANGE: i32 = -2;
const NO_RECOVERY_CHANGE: i8 = -1;

/// Whether the leader came from an unclean election and its ISR has not been rebuilt since (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeaderRecoveryState {
    /// The log holds every committed record.
    Recovered,
    /// Committed records may be missing.
    Recovering,
}

impl LeaderRecoveryState {
    fn from_wire(value: i8) -> Result<Self, Violation> {
        match value {
            0 => Ok(LeaderRecoveryState::Recovered),
            1 => Ok(LeaderRecoveryState::Recovering),
            _ => Err(Violation::new(
                "metadata-leader-recovery-state",
                format!("0 or 1 is known, found {value}"),
            )),
        }
    }

    /// Its number in a record.
    pub fn to_wire(self) -> i8 {
        i8::from(self == LeaderRecoveryState::Recovering)
    }
}

/// A partition as the controller sees it.
///
/// The leader is a member of the ISR or [`NO_LEADER`]; ISR members are replicas; nobody is in ISR and ELR at once; there
/// is one directory a replica; `partition_epoch` grows with every change, `leader_epoch` with every election.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The brokers that keep a copy, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Where each replica keeps it, in the order of `replicas` (KIP-858).
    pub directories: Vec<Uuid>,
    /// The replicas that are in sync.
    pub isr: Vec<i32>,
    /// Replicas on their way out (KIP-455).
    pub removing_replicas: Vec<i32>,
    /// Replicas on their way in (KIP-455).
    pub adding_replicas: Vec<i32>,
    /// Eligible leader replicas: out of the ISR, but known to hold all that was committed (KIP-966).
    pub elr: Vec<i32>,
    /// The last members of ISR and ELR before both ran empty (KIP-966).
    pub last_known_elr: Vec<i32>,
    /// The leader, or [`NO_LEADER`].
    pub leader: i32,
    /// How the leader was elected.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Grows with every election.
    pub leader_epoch: Epoch,
    /// Grows with every change.
    pub partition_epoch: i32,
}

impl Partition {
    /// A new partition on `replicas`, of which `isr` can serve; its first member leads.
    pub fn new(replicas: Vec<i32>, directories: Vec<Uuid>, isr: Vec<i32>) -> Self {
        Partition {
            leader: isr.first().copied().unwrap_or(NO_LEADER),
            replicas,
            directories,
            isr,
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 0,
            partition_epoch: 0,
        }
    }

    /// What a `PartitionRecord` says.
    pub fn from_record(record: &PartitionRecord) -> Result<Self, Violation> {
        let directories = match record.directories.len() {
            0 => vec![DIRECTORY_MIGRATING; record.replicas.len()],
            _ => record.directories.clone(),
        };
        let partition = Partition {
            replicas: record.replicas.clone(),
            directories,
            isr: record.isr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            elr: record.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: record.last_known_elr.clone().unwrap_or_default(),
            leader: record.leader,
            leader_recovery_state: LeaderRecoveryState::from_wire(record.leader_recovery_state)?,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        };
        partition.verify()?;
        Ok(partition)
    }

    /// The partition after a `PartitionChangeRecord`.
    pub fn changed(&self, change: &PartitionChangeRecord) -> Result<Self, Violation> {
        let mut next = self.clone();
        if let Some(replicas) = &change.replicas {
            next.directories = replicas
                .iter()
                .map(|id| self.directory(*id).unwrap_or(DIRECTORY_UNASSIGNED))
                .collect();
            next.replicas.clone_from(replicas);
        }
        let set = |field: &mut Vec<i32>, change: &Option<Vec<i32>>| {
            if let Some(value) = change {
                field.clone_from(value);
            }
        };
        set(&mut next.isr, &change.isr);
        set(&mut next.removing_replicas, &change.removing_replicas);
        set(&mut next.adding_replicas, &change.adding_replicas);
        set(&mut next.elr, &change.eligible_leader_replicas);
        set(&mut next.last_known_elr, &change.last_known_elr);
        if let Some(directories) = change.directories.as_ref().filter(|d| !d.is_empty()) {
            next.directories.clone_from(directories);
        }
        if change.leader != NO_LEADER_CHANGE {
            next.leader = change.leader;
            next.leader_epoch = self.leader_epoch.checked_add(1).ok_or_else(overflow)?;
        }
        if change.leader_recovery_state != NO_RECOVERY_CHANGE {
            next.leader_recovery_state = LeaderRecoveryState::from_wire(change.leader_recovery_state)?;
        }
        next.partition_epoch = self.partition_epoch.checked_add(1).ok_or_else(overflow)?;
        next.verify()?;
        Ok(next)
    }

    /// The record that makes this partition, with what it can hold at a `metadata.version`.
    pub fn to_record(&self, topic_id: Uuid, partition_id: i32, level: i16) -> PartitionRecord {
        let unless_empty = |ids: &Vec<i32>| (!ids.is_empty()).then(|| ids.clone());
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state.to_wire(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: if level >= DIRECTORIES_SINCE {
                self.directories.clone()
            } else {
                Vec::new()
            },
            eligible_leader_replicas: unless_empty(&self.elr).filter(|_| level >= ELR_SINCE),
            last_known_elr: unless_empty(&self.last_known_elr).filter(|_| level >= ELR_SINCE),
        }
    }

    /// The directory of the replica on `broker`.
    pub fn directory(&self, broker: i32) -> Option<Uuid> {
        let at = self.replicas.iter().position(|id| *id == broker)?;
        self.directories.get(at).copied()
    }

    /// The replica that leads when all is well.
    pub fn preferred_leader(&self) -> i32 {
        self.replicas.first().copied().unwrap_or(NO_LEADER)
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// Checks what the type promises.
    pub fn verify(&self) -> Result<(), Violation> {
        let fail = |what: &'static str| Err(Violation::new(what, format!("{self:?}")));
        if self.replicas.is_empty() || self.replicas.iter().any(|id| *id < 0) || !distinct(&self.replicas) {
            return fail("metadata-replicas-are-distinct-brokers");
        }
        if self.directories.len() != self.replicas.len() {
            return fail("metadata-one-directory-a-replica");
        }
        if !distinct(&self.isr) || self.isr.iter().any(|id| !self.replicas.contains(id)) {
            return fail("metadata-isr-within-replicas");
        }
        if self.leader != NO_LEADER && !self.isr.contains(&self.leader) {
            return fail("metadata-leader-in-isr");
        }
        if self.elr.iter().any(|id| self.isr.contains(id)) {
            return fail("metadata-isr-and-elr-disjoint");
        }
        if self.leader_epoch < 0 || self.partition_epoch < 0 {
            return fail("metadata-epochs-are-not-negative");
        }
        Ok(())
    }
}

fn overflow() -> Violation {
    Violation::new("metadata-epochs-do-not-overflow", "an epoch reached 2147483647")
}

fn distinct(ids: &[i32]) -> bool {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_leader_bumps_its_epoch_and_any_change_the_partition_epoch() {
        let partition = Partition::new(vec![1, 2, 3], vec![DIRECTORY_UNASSIGNED; 3], vec![1, 2, 3]);
        let shrunk = partition
            .changed(&PartitionChangeRecord {
                isr: Some(vec![2, 3]),
                leader: 2,
                ..Default::default()
            })
            .unwrap();
        assert_eq!(
            (shrunk.leader, shrunk.leader_epoch, shrunk.partition_epoch),
            (2, 1, 1)
        );
        let grown = shrunk
            .changed(&PartitionChangeRecord {
                isr: Some(vec![2, 3, 1]),
                ..Default::default()
            })
            .unwrap();
        assert_eq!(
            (grown.leader, grown.leader_epoch, grown.partition_epoch),
            (2, 1, 2)
        );
    }

    #[test]
    fn replicas_that_stay_keep_their_directory() {
        let dir = Uuid::from_bytes([7; 16]);
        let partition = Partition::new(vec![1, 2], vec![dir, DIRECTORY_MIGRATING], vec![1, 2]);
        let moved = PartitionChangeRecord {
            replicas: Some(vec![3, 1]),
            isr: Some(vec![1]),
            ..Default::default()
        };
        let moved = partition.changed(&moved).unwrap();
        assert_eq!(moved.directories, [DIRECTORY_UNASSIGNED, dir]);
    }

    #[test]
    fn impossible_partitions_are_violations() {
        let good =
            Partition::new(vec![1, 2], vec![DIRECTORY_UNASSIGNED; 2], vec![1]).to_record(Uuid::ZERO, 0, 30);
        assert!(Partition::from_record(&good).is_ok());
        type Spoil = fn(&mut PartitionRecord);
        let bad: [(&str, Spoil); 7] = [
            ("metadata-replicas-are-distinct-brokers", |r| {
                r.replicas = vec![1, 1]
            }),
            ("metadata-one-directory-a-replica", |r| r.directories.truncate(1)),
            ("metadata-isr-within-replicas", |r| r.isr.push(3)),
            ("metadata-leader-in-isr", |r| r.leader = 2),
            ("metadata-isr-and-elr-disjoint", |r| {
                r.eligible_leader_replicas = Some(vec![1])
            }),
            ("metadata-epochs-are-not-negative", |r| r.leader_epoch = -1),
            ("metadata-leader-recovery-state", |r| r.leader_recovery_state = 2),
        ];
        for (invariant, spoil) in bad {
            let mut record = good.clone();
            spoil(&mut record);
            assert_eq!(Partition::from_record(&record).unwrap_err().invariant, invariant);
        }
    }
}
