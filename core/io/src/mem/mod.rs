//! A disk in memory that keeps the page cache and the platter apart, for tests, models and fuzzing. No runtime: every
//! operation is ready when it returns. Latency and I/O errors are not here; `sim` wraps this disk to add them.
//!
//! - [`MemDisk::handle`] gives the [`Disk`](crate::Disk) of the present incarnation, as a process would see it.
//! - [`MemDisk::crash`] ends the process: the page cache survives, every handle is dead, locks are released.
//! - [`MemDisk::power_loss`] also loses what was not yet durable: which part is chosen by the caller under a [`Profile`].
//! - [`MemDisk::peek`], [`MemDisk::export`] and their like look at the content past the trait, as only a test may.

mod content;
#[cfg(test)]
mod contract;
mod file;
mod fs;
mod handle;
mod journal;
mod power;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Disk;
pub use handle::MemFile;
pub use power::{LossReport, Profile};
use tree::{Fs, View};

/// One disk. Clones are the same disk; [`MemDisk::fork`] makes another one.
#[derive(Clone)]
pub struct MemDisk {
    fs: Arc<Mutex<Fs>>,
}

impl Default for MemDisk {
    fn default() -> Self {
        MemDisk::new()
    }
}

impl MemDisk {
    /// An empty disk without a limit: only the root directory.
    pub fn new() -> Self {
        MemDisk {
            fs: Arc::new(Mutex::new(Fs::new())),
        }
    }

    /// An empty disk that refuses to hold more than `bytes` (`ErrorKind::StorageFull`).
    pub fn with_capacity(bytes: u64) -> Self {
        let disk = MemDisk::new();
        disk.set_capacity(Some(bytes));
        disk
    }

    /// A disk with these files, all durable. Paths are `/`-separated from the root; missing directories are made.
    pub fn import(files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<Self> {
        let disk = MemDisk::new();
        {
            let mut fs = disk.fs();
            for (path, bytes) in files {
                fs.put(path, bytes)?;
            }
            fs.settle();
        }
        Ok(disk)
    }

    /// Every file as a process would read it, by path from the root (`a/b`).
    pub fn export(&self) -> BTreeMap<String, Vec<u8>> {
        self.fs().export(View::Cache)
    }

    /// Every file as it would be found after a loss of power that kept only what is promised to be durable.
    pub fn export_durable(&self) -> BTreeMap<String, Vec<u8>> {
        self.fs().export(View::Platter)
    }

    /// What a process would read from the file at `path`; `None` if there is no such file.
    pub fn peek(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.fs().peek(path.as_ref(), View::Cache)
    }

    /// The durable bytes of the durable name `path`; `None` if no file is durable there.
    pub fn peek_durable(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.fs().peek(path.as_ref(), View::Platter)
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.fs()
            .walk(View::Cache)
            .into_iter()
            .map(|(path, _)| path)
            .collect()
    }

    /// Damages the file at `path`: puts `bytes` at `offset` into page cache and platter alike. False if there is no such
    /// file, or the range is not inside it.
    pub fn poke(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> bool {
        self.fs().poke(path.as_ref(), offset, bytes)
    }

    /// How many operations are not durable yet: changed file ranges, changed lengths and directory entries.
    pub fn pending(&self) -> usize {
        self.fs().pending()
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.fs().used
    }

    /// Sets or lifts the limit on bytes in use. A disk that is over a new limit takes no more bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.fs().capacity = bytes;
    }

    /// Makes everything durable, as a clean unmount does.
    pub fn settle(&self) {
        self.fs().settle();
    }

    /// The disk as the present incarnation sees it. Dead after [`MemDisk::crash`] and [`MemDisk::power_loss`].
    pub fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(handle::MemHandle::new(self.fs.clone()))
    }

    /// The process dies: handles die, locks are released, the page cache survives. Nothing is lost by that; the report
    /// says what would have been at risk in a loss of power ([`LossReport::pending_ops`]).
    pub fn crash(&self) -> LossReport {
        let mut fs = self.fs();
        let report = LossReport {
            pending_ops: fs.pending() as u64,
            ..LossReport::default()
        };
        fs.end_incarnation();
        report
    }

    /// The machine loses power. Of what was not durable, `profile` says what may survive and `choose(n)` picks a number below
    /// `n` at each choice (`&mut |n| rng.below(n)`, or bytes of a fuzzer). Afterwards what is left is durable.
    pub fn power_loss(&self, profile: Profile, choose: &mut dyn FnMut(u64) -> u64) -> LossReport {
        let mut fs = self.fs();
        let report = power::lose(&mut fs, profile, choose);
        fs.end_incarnation();
        report
    }

    /// Another disk with the same content, durable state and pending operations, shared copy-on-write. It has no open
    /// handles and no locks.
    pub fn fork(&self) -> MemDisk {
        let mut fs = self.fs().clone();
        fs.end_incarnation();
        MemDisk {
            fs: Arc::new(Mutex::new(fs)),
        }
    }

    fn fs(&self) -> MutexGuard<'_, Fs> {
        lock(&self.fs)
    }
}

/// A panic of another thread of a test must not hide behind a poisoned lock: the state is consistent between calls.
fn lock(fs: &Mutex<Fs>) -> MutexGuard<'_, Fs> {
    fs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemDisk")
            .field("paths", &self.paths())
            .field("pending", &self.pending())
            .finish()
    }
}
