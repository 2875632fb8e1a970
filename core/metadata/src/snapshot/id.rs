//! What a snapshot is called (Kafka class `Snapshots`, KIP-630).

use ottla_types::{Epoch, Offset};

const SUFFIX: &str = ".checkpoint";

/// Which records a snapshot stands for. Orders as Kafka's `OffsetAndEpoch`: by epoch first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// The offset behind the last record that it contains; a batch begins or the log ends there.
    pub offset: Offset,
    /// The epoch of that last record.
    pub epoch: Epoch,
}

impl Ord for SnapshotId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.epoch, self.offset).cmp(&(other.epoch, other.offset))
    }
}

impl PartialOrd for SnapshotId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for SnapshotId {
    /// The file's name without its ending.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:020}-{:010}", self.offset, self.epoch)
    }
}

/// How far a snapshot's file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotState {
    /// It is whole.
    Whole,
    /// It was being written (`.part`).
    Partial,
    /// It was about to be removed (`.deleted`).
    Deleted,
}

impl SnapshotState {
    fn ending(self) -> &'static str {
        match self {
            SnapshotState::Whole => "",
            SnapshotState::Partial => ".part",
            SnapshotState::Deleted => ".deleted",
        }
    }
}

/// A file name of the metadata log's folder that belongs to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileName {
    /// Which snapshot.
    pub id: SnapshotId,
    /// How far it has come.
    pub state: SnapshotState,
}

impl FileName {
    /// What the name says; `None` for any other file. `bootstrap.checkpoint` is one of those.
    pub fn parse(name: &str) -> Option<FileName> {
        let (stem, rest) = name.split_once(SUFFIX)?;
        let state = [
            SnapshotState::Whole,
            SnapshotState::Partial,
            SnapshotState::Deleted,
        ]
        .into_iter()
        .find(|state| state.ending() == rest)?;
        let (offset, epoch) = stem.split_once('-')?;
        let digits = |text: &str, least: usize| {
            (text.len() >= least && text.bytes().all(|b| b.is_ascii_digit())).then_some(())
        };
        digits(offset, 20)?;
        digits(epoch, 10)?;
        let id = SnapshotId {
            offset: offset.parse().ok()?,
            epoch: epoch.parse().ok()?,
        };
        Some(FileName { id, state })
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{SUFFIX}{}", self.id, self.state.ending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let id = SnapshotId { offset: 42, epoch: 7 };
        for (name, state) in [
            ("00000000000000000042-0000000007.checkpoint", SnapshotState::Whole),
            (
                "00000000000000000042-0000000007.checkpoint.part",
                SnapshotState::Partial,
            ),
            (
                "00000000000000000042-0000000007.checkpoint.deleted",
                SnapshotState::Deleted,
            ),
        ] {
            let parsed = FileName { id, state };
            assert_eq!(FileName::parse(name), Some(parsed));
            assert_eq!(parsed.to_string(), name);
        }
        for other in [
            "bootstrap.checkpoint",
            "leader-epoch-checkpoint",
            "00000000000000000042.log",
            "00000000000000000042-0000000007.checkpoint.damaged",
            "42-7.checkpoint",
            "0000000000000000004x-0000000007.checkpoint",
            "99999999999999999999-0000000007.checkpoint",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_epoch_orders_first() {
        let id = |offset, epoch| SnapshotId { offset, epoch };
        assert!(id(9, 1) < id(3, 2) && id(3, 2) < id(4, 2));
    }
}
