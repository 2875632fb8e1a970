//! Directory changes between the page cache and the platter: in order, and findable by directory, for a disk may have many.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Ino;

/// A change of directory entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DirChange {
    /// A name for a new inode.
    Create { dir: Ino, name: String, ino: Ino },
    /// A name went away.
    Remove { dir: Ino, name: String },
    /// A name moved, atomically, over whatever was there.
    Rename {
        from_dir: Ino,
        from: String,
        to_dir: Ino,
        to: String,
        ino: Ino,
    },
}

impl DirChange {
    pub(super) fn dirs(&self) -> (Ino, Ino) {
        match self {
            DirChange::Create { dir, .. } | DirChange::Remove { dir, .. } => (*dir, *dir),
            DirChange::Rename { from_dir, to_dir, .. } => (*from_dir, *to_dir),
        }
    }
}

/// Directory changes that are not durable, oldest first, each with the number of its operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal {
    changes: BTreeMap<u64, DirChange>,
    by_dir: BTreeMap<Ino, BTreeSet<u64>>,
}

impl Journal {
    pub(super) fn push(&mut self, seq: u64, change: DirChange) {
        let (a, b) = change.dirs();
        for dir in [a, b] {
            self.by_dir.entry(dir).or_default().insert(seq);
        }
        self.changes.insert(seq, change);
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn seqs(&self) -> impl Iterator<Item = u64> + '_ {
        self.changes.keys().copied()
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = &DirChange> {
        self.changes.values()
    }

    /// Takes everything out, in order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u64, DirChange)> + use<> {
        self.by_dir.clear();
        std::mem::take(&mut self.changes).into_iter()
    }

    /// Takes out the changes of `dir`, in order; with a rename between two directories, also what came before it in the other.
    pub(super) fn take_dir(&mut self, dir: Ino) -> Vec<DirChange> {
        let mut dirs = BTreeSet::from([dir]);
        let mut seqs = self.by_dir.get(&dir).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        // From the newest back: what a change drags along is older than itself.
        while let Some(seq) = seqs.pop_last() {
            let Some(change) = self.changes.remove(&seq) else {
                continue;
            };
            let (a, b) = change.dirs();
            for each in [a, b] {
                let own = self.by_dir.get_mut(&each);
                if dirs.insert(each) {
                    seqs.extend(own.iter().flat_map(|own| own.range(..seq)));
                }
                if let Some(own) = own {
                    own.remove(&seq);
                    if own.is_empty() {
                        self.by_dir.remove(&each);
                    }
                }
            }
            taken.push(change);
        }
        taken.reverse();
        taken
    }
}
