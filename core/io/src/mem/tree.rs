//! Inodes and directories: names as the page cache has them, names as the platter has them, and the ordered journal of
//! directory operations between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::file::FileData;
use super::journal::{DirChange, Journal};

/// An inode's number.
pub(super) type Ino = u64;
/// The root directory.
pub(super) const ROOT: Ino = 0;

/// Which of the two contents is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Cache,
    Platter,
}

/// A directory's names.
#[derive(Debug, Clone, Default)]
pub(super) struct DirData {
    pub(super) cache: BTreeMap<String, Ino>,
    pub(super) platter: BTreeMap<String, Ino>,
}

impl DirData {
    pub(super) fn names(&self, view: View) -> &BTreeMap<String, Ino> {
        match view {
            View::Cache => &self.cache,
            View::Platter => &self.platter,
        }
    }
}

/// A file or a directory.
#[derive(Debug, Clone)]
pub(super) enum Inode {
    File(Box<FileData>),
    Dir(DirData),
}

/// A place in a directory, whether or not something is there.
pub(super) struct Place {
    pub(super) dir: Ino,
    pub(super) name: String,
    pub(super) ino: Option<Ino>,
}

/// The whole file system.
#[derive(Debug, Clone)]
pub(super) struct Fs {
    pub(super) inodes: BTreeMap<Ino, Inode>,
    /// Directory changes that are not durable.
    pub(super) journal: Journal,
    /// Open handles of the present incarnation.
    pub(super) open: BTreeMap<Ino, u32>,
    /// Open files without a name.
    orphans: BTreeSet<Ino>,
    /// Files that hold a lock.
    pub(super) locks: BTreeSet<Ino>,
    pub(super) incarnation: u64,
    pub(super) capacity: Option<u64>,
    pub(super) used: u64,
    next_ino: Ino,
    next_seq: u64,
    unlinked: u32,
}

impl Fs {
    pub(super) fn new() -> Self {
        Fs {
            inodes: BTreeMap::from([(ROOT, Inode::Dir(DirData::default()))]),
            journal: Journal::default(),
            open: BTreeMap::new(),
            orphans: BTreeSet::new(),
            locks: BTreeSet::new(),
            incarnation: 1,
            capacity: None,
            used: 0,
            next_ino: 1,
            next_seq: 1,
            unlinked: 0,
        }
    }

    /// The number of the next operation.
    pub(super) fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub(super) fn file(&self, ino: Ino) -> io::Result<&FileData> {
        match self.inodes.get(&ino) {
            Some(Inode::File(file)) => Ok(file),
            Some(Inode::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file_mut(&mut self, ino: Ino) -> io::Result<&mut FileData> {
        match self.inodes.get_mut(&ino) {
            Some(Inode::File(file)) => Ok(file),
            Some(Inode::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn dir(&self, ino: Ino) -> io::Result<&DirData> {
        match self.inodes.get(&ino) {
            Some(Inode::Dir(dir)) => Ok(dir),
            Some(Inode::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn dir_mut(&mut self, ino: Ino) -> io::Result<&mut DirData> {
        match self.inodes.get_mut(&ino) {
            Some(Inode::Dir(dir)) => Ok(dir),
            Some(Inode::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What `path` names.
    pub(super) fn find(&self, path: &Path, view: View) -> io::Result<Ino> {
        let mut at = ROOT;
        for name in components(path)? {
            at = *self
                .dir(at)?
                .names(view)
                .get(&name)
                .ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The directory and name of `path`; the directory must exist.
    pub(super) fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut dir = ROOT;
        for part in names {
            dir = *self.dir(dir)?.cache.get(&part).ok_or(io::ErrorKind::NotFound)?;
        }
        let ino = self.dir(dir)?.cache.get(&name).copied();
        Ok(Place { dir, name, ino })
    }

    /// A new inode with a name, in the cache only.
    pub(super) fn create(&mut self, dir: Ino, name: String, inode: Inode) -> io::Result<Ino> {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(ino, inode);
        self.dir_mut(dir)?.cache.insert(name.clone(), ino);
        let seq = self.seq();
        self.journal.push(seq, DirChange::Create { dir, name, ino });
        Ok(ino)
    }

    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for name in components(path)? {
            at = match self.dir(at)?.cache.get(&name) {
                Some(ino) => *ino,
                None => self.create(at, name, Inode::Dir(DirData::default()))?,
            };
        }
        // As mkdir says it: a file further up is no directory, one at the place itself is in the way.
        self.dir(at).map_err(|_| io::ErrorKind::AlreadyExists)?;
        Ok(at)
    }

    /// Removes a name. A directory below it goes with all its names.
    pub(super) fn remove(&mut self, dir: Ino, name: &str) -> io::Result<()> {
        let Some(ino) = self.dir(dir)?.cache.get(name).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Ok(data) = self.dir(ino) {
            for below in data.cache.keys().cloned().collect::<Vec<_>>() {
                self.remove(ino, &below)?;
            }
        }
        self.dir_mut(dir)?.cache.remove(name);
        let seq = self.seq();
        self.journal.push(
            seq,
            DirChange::Remove {
                dir,
                name: name.to_string(),
            },
        );
        self.unlink(ino);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: Place, to: Place) -> io::Result<()> {
        let ino = from.ino.ok_or(io::ErrorKind::NotFound)?;
        if to.ino == Some(ino) {
            return Ok(());
        }
        let is_dir = self.dir(ino).is_ok();
        if is_dir && self.is_below(to.dir, ino) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(target) = to.ino {
            match (is_dir, self.dir(target)) {
                (true, Ok(data)) if !data.cache.is_empty() => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                (true, Err(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                (false, Ok(_)) => return Err(io::ErrorKind::IsADirectory.into()),
                _ => {}
            }
        }
        self.dir_mut(from.dir)?.cache.remove(&from.name);
        self.dir_mut(to.dir)?.cache.insert(to.name.clone(), ino);
        let seq = self.seq();
        let change = DirChange::Rename {
            from_dir: from.dir,
            from: from.name,
            to_dir: to.dir,
            to: to.name,
            ino,
        };
        self.journal.push(seq, change);
        if let Some(target) = to.ino {
            self.unlink(target);
        }
        Ok(())
    }

    /// Makes the names in `dir` durable. A rename between two directories is one entry of the file system's own journal, so
    /// it goes with either of them, and takes with it whatever came before it in the other.
    pub(super) fn sync_dir(&mut self, dir: Ino) -> io::Result<()> {
        self.dir(dir)?;
        for change in self.journal.take_dir(dir) {
            self.apply(&change);
        }
        Ok(())
    }

    /// Puts a directory change on the platter. False if what it starts from is not there, because an earlier change was
    /// lost; nothing happens then.
    pub(super) fn apply(&mut self, change: &DirChange) -> bool {
        match change {
            DirChange::Create { dir, name, ino } => self
                .dir_mut(*dir)
                .map(|d| d.platter.insert(name.clone(), *ino))
                .is_ok(),
            DirChange::Remove { dir, name } => {
                self.dir_mut(*dir).is_ok_and(|d| d.platter.remove(name).is_some())
            }
            DirChange::Rename {
                from_dir,
                from,
                to_dir,
                to,
                ino,
            } => {
                let there = self
                    .dir(*from_dir)
                    .is_ok_and(|d| d.platter.get(from) == Some(ino));
                if there && let Ok(d) = self.dir_mut(*from_dir) {
                    d.platter.remove(from);
                }
                there
                    && self
                        .dir_mut(*to_dir)
                        .map(|d| d.platter.insert(to.clone(), *ino))
                        .is_ok()
            }
        }
    }

    /// A name of `ino` went away. Its bytes count as used until the last handle is closed.
    fn unlink(&mut self, ino: Ino) {
        if self.open.contains_key(&ino) {
            self.orphans.insert(ino);
        } else {
            self.release(ino);
        }
    }

    pub(super) fn close(&mut self, ino: Ino) {
        if let Some(count) = self.open.get_mut(&ino) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&ino);
                if self.orphans.remove(&ino) {
                    self.release(ino);
                }
            }
        }
    }

    fn release(&mut self, ino: Ino) {
        let bytes = self.file(ino).map_or(0, |f| f.cache.allocated());
        self.used = self.used.saturating_sub(bytes);
        self.unlinked += 1;
        if self.unlinked > 256 {
            self.sweep();
        }
    }

    fn is_below(&self, mut at: Ino, top: Ino) -> bool {
        while at != top {
            let parent = self.inodes.iter().find_map(|(ino, inode)| match inode {
                Inode::Dir(d) if d.cache.values().any(|v| *v == at) => Some(*ino),
                _ => None,
            });
            match parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }

    /// Every handle and lock of the present incarnation is dead from here on.
    pub(super) fn end_incarnation(&mut self) {
        self.incarnation += 1;
        self.open.clear();
        self.orphans.clear();
        self.locks.clear();
        self.sweep();
        self.count();
    }

    /// Forgets the inodes that neither a name, nor the journal, nor a handle leads to.
    pub(super) fn sweep(&mut self) {
        self.unlinked = 0;
        let mut reached: BTreeSet<Ino> = self.open.keys().copied().collect();
        let mut queue: Vec<Ino> = vec![ROOT];
        queue.extend(self.open.keys());
        for change in self.journal.changes() {
            let (a, b) = change.dirs();
            queue.extend([a, b]);
            if let DirChange::Create { ino, .. } | DirChange::Rename { ino, .. } = change {
                queue.push(*ino);
            }
        }
        while let Some(ino) = queue.pop() {
            reached.insert(ino);
            if let Some(Inode::Dir(dir)) = self.inodes.get(&ino) {
                queue.extend(
                    dir.cache
                        .values()
                        .chain(dir.platter.values())
                        .filter(|i| !reached.contains(i)),
                );
            }
        }
        self.inodes.retain(|ino, _| reached.contains(ino));
    }
}

/// A path's names from the root; relative paths start there too.
pub(super) fn components(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                names.pop();
            }
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_string())
            }
        }
    }
    Ok(names)
}
