//! A node's disk: the disk in memory with latency and faults around it. What survives what is decided there
//! ([`ottla_io::mem`]); when something happens, and whether it goes wrong, here.

pub mod faults;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::mem::{MemDisk, MemFile};
use ottla_io::{Disk, Entry, File, FileId, Lock, Op, OpenOptions, ReadResult, Rng, WriteResult};

use crate::locked;
use crate::world::Shared;
use faults::{DiskFaults, DiskOp, Fate, Wrong};

/// What is to be done at a certain operation on a certain path.
pub(crate) struct Trigger {
    pub(crate) op: DiskOp,
    /// Part of the path.
    pub(crate) path: String,
    /// How many such operations pass before the one that fires.
    pub(crate) skip: u64,
    pub(crate) action: Box<dyn FnOnce() + Send>,
}

/// What all incarnations of a node's disk share.
pub(crate) struct DiskNode {
    shared: Arc<Shared>,
    node: usize,
    pub(crate) disk: MemDisk,
    pub(crate) faults: Mutex<DiskFaults>,
    pub(crate) triggers: Mutex<Vec<Trigger>>,
    rng: Mutex<Rng>,
}

impl DiskNode {
    pub(crate) fn new(shared: Arc<Shared>, node: usize, disk: MemDisk, rng: Rng) -> Arc<Self> {
        let (faults, triggers) = Default::default();
        Arc::new(DiskNode {
            shared,
            node,
            disk,
            faults,
            triggers,
            rng: Mutex::new(rng),
        })
    }

    /// What happens with an operation. `None`: the node is about to be stopped by a trigger, so the operation never ends.
    fn fate(&self, op: DiskOp, path: &Path, bytes: usize, grows: bool) -> Option<Fate> {
        let mut fate = locked(&self.faults).fate(op, &mut locked(&self.rng));
        if fate.wrong == Some(Wrong::NoSpace) && !grows {
            fate.wrong = None;
        }
        let number = op as u64 | (self.node as u64) << 8;
        self.shared.trace.step(
            self.shared.timers.now(),
            [number, bytes as u64, fate.takes.as_nanos() as u64],
        );
        match (op, fate.wrong) {
            (DiskOp::Read, Some(Wrong::Io)) => self.shared.count("disk.read_error"),
            (DiskOp::Write, Some(Wrong::Io)) => self.shared.count("disk.write_error"),
            (_, Some(Wrong::Io)) => self.shared.count("disk.sync_error"),
            (_, Some(Wrong::NoSpace)) => self.shared.count("disk.no_space"),
            (DiskOp::Read, Some(Wrong::Short(_))) => self.shared.count("disk.short_read"),
            (_, Some(Wrong::Short(_))) => self.shared.count("disk.short_write"),
            (_, None) => {}
        }
        if fate.stalled {
            self.shared.count("disk.stall");
        }
        if self.triggered(op, path) {
            None
        } else {
            Some(fate)
        }
    }

    fn triggered(&self, op: DiskOp, path: &Path) -> bool {
        let mut triggers = locked(&self.triggers);
        if triggers.is_empty() {
            return false;
        }
        let path = path.to_string_lossy();
        for index in 0..triggers.len() {
            let trigger = &mut triggers[index];
            if trigger.op != op || !path.contains(&trigger.path) {
                continue;
            }
            if trigger.skip > 0 {
                trigger.skip -= 1;
                continue;
            }
            let trigger = triggers.remove(index);
            self.shared.count("disk.trigger");
            // Not from here: the action stops the task that called us.
            self.shared
                .timers
                .run_at(self.shared.timers.now(), trigger.action);
            return true;
        }
        false
    }

    /// Carries out `effect` as its fate says.
    fn op<T: Send + 'static>(
        &self,
        op: DiskOp,
        path: &Path,
        bytes: usize,
        effect: impl FnOnce(Option<Wrong>) -> T + Send + 'static,
    ) -> Op<T> {
        self.op_that(op, path, bytes, true, effect)
    }

    /// Like [`DiskNode::op`]; `grows` says whether there may be no room for it.
    fn op_that<T: Send + 'static>(
        &self,
        op: DiskOp,
        path: &Path,
        bytes: usize,
        grows: bool,
        effect: impl FnOnce(Option<Wrong>) -> T + Send + 'static,
    ) -> Op<T> {
        let Some(fate) = self.fate(op, path, bytes, grows) else {
            return Op::pending(std::future::pending());
        };
        if fate.takes.is_zero() {
            return Op::ready(effect(fate.wrong));
        }
        let timers = self.shared.timers.clone();
        let (before, after) = if fate.early {
            (Duration::ZERO, fate.takes)
        } else {
            (fate.takes, Duration::ZERO)
        };
        if fate.early {
            let value = effect(fate.wrong);
            let sleep = timers.sleep(after);
            return Op::pending(async move {
                sleep.await;
                value
            });
        }
        let sleep = timers.sleep(before);
        Op::pending(async move {
            sleep.await;
            effect(fate.wrong)
        })
    }
}

/// [`Disk`] of one incarnation.
pub(crate) struct SimDisk {
    node: Arc<DiskNode>,
    inner: Arc<dyn Disk>,
}

impl SimDisk {
    pub(crate) fn new(node: Arc<DiskNode>) -> Self {
        let inner = node.disk.handle();
        SimDisk { node, inner }
    }

    /// An operation on names: an injected error, or what the disk in memory does.
    fn names<T: Send + 'static>(
        &self,
        op: DiskOp,
        path: &Path,
        effect: impl FnOnce(&dyn Disk, &Path) -> Op<io::Result<T>> + Send + 'static,
    ) -> Op<io::Result<T>> {
        self.names_that(op, path, true, effect)
    }

    /// Like [`SimDisk::names`]; `grows` says whether there may be no room for it.
    fn names_that<T: Send + 'static>(
        &self,
        op: DiskOp,
        path: &Path,
        grows: bool,
        effect: impl FnOnce(&dyn Disk, &Path) -> Op<io::Result<T>> + Send + 'static,
    ) -> Op<io::Result<T>> {
        let (inner, owned) = (self.inner.clone(), path.to_path_buf());
        self.node.op_that(op, path, 0, grows, move |wrong| match wrong {
            Some(wrong) => Err(wrong.error(&owned)),
            None => now(effect(&*inner, &owned)),
        })
    }
}

/// The disk in memory never waits.
fn now<T>(op: Op<T>) -> T {
    op.into_ready()
        .unwrap_or_else(|_| unreachable!("an operation on the disk in memory waits"))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: OpenOptions) -> Op<io::Result<Arc<dyn File>>> {
        let node = self.node.clone();
        // Opening a file that is there, or is not to be made, needs no room.
        let creates = !matches!(how, OpenOptions::Read | OpenOptions::Write)
            && matches!(now(self.inner.entry(path)), Ok(None));
        self.names_that(DiskOp::Open, path, creates, move |disk, path| {
            Op::ready(now(disk.open(path, how)).map(|inner| {
                Arc::new(SimFile {
                    node,
                    inner,
                    path: path.to_path_buf(),
                }) as Arc<dyn File>
            }))
        })
    }

    fn create_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        self.names(DiskOp::Open, path, |disk, path| disk.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> Op<io::Result<Vec<Entry>>> {
        self.names(DiskOp::Look, dir, |disk, dir| disk.list(dir))
    }

    fn entry(&self, path: &Path) -> Op<io::Result<Option<Entry>>> {
        self.names(DiskOp::Look, path, |disk, path| disk.entry(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Op<io::Result<()>> {
        let to = to.to_path_buf();
        self.names(DiskOp::Rename, from, move |disk, from| disk.rename(from, &to))
    }

    fn remove_file(&self, path: &Path) -> Op<io::Result<()>> {
        self.names(DiskOp::Remove, path, |disk, path| disk.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        self.names(DiskOp::Remove, path, |disk, path| disk.remove_dir_all(path))
    }

    fn sync_dir(&self, dir: &Path) -> Op<io::Result<()>> {
        self.names(DiskOp::SyncDir, dir, |disk, dir| disk.sync_dir(dir))
    }

    fn free_space(&self, path: &Path) -> Op<io::Result<u64>> {
        self.names(DiskOp::Look, path, |disk, path| disk.free_space(path))
    }

    fn lock(&self, path: &Path) -> Op<io::Result<Box<dyn Lock>>> {
        self.names(DiskOp::Open, path, |disk, path| disk.lock(path))
    }
}

/// [`File`] of one incarnation.
pub(crate) struct SimFile {
    node: Arc<DiskNode>,
    inner: Arc<dyn File>,
    path: PathBuf,
}

impl SimFile {
    /// What a stream sends of it without a copy: page-cache reads, faults included, at once.
    pub(crate) fn read_now(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match self
            .node
            .fate(DiskOp::Read, &self.path, len, false)
            .and_then(|fate| fate.wrong)
        {
            Some(wrong @ (Wrong::Io | Wrong::NoSpace)) => Err(wrong.error(&self.path)),
            Some(Wrong::Short(share)) => read_now(&*self.inner, offset, shorter(len, share)),
            None => read_now(&*self.inner, offset, len),
        }
    }
}

/// Reads from a file of the disk in memory.
pub(crate) fn read_now(file: &dyn File, offset: u64, len: usize) -> io::Result<Bytes> {
    let op = file.read_at(offset, BytesMut::new(), len);
    let (result, buf) = op
        .into_ready()
        .map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
    result.map(|_| buf.freeze())
}

/// A part of `len`, at least 1 of it.
fn shorter(len: usize, share: f64) -> usize {
    ((len as f64 * share) as usize).clamp(len.min(1), len)
}

/// The first `len` bytes of `bufs`.
fn prefix(bufs: &[Bytes], mut len: usize) -> Vec<Bytes> {
    let mut out = Vec::new();
    for buf in bufs {
        out.push(buf.slice(..buf.len().min(len)));
        len -= buf.len().min(len);
    }
    out
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: BytesMut, len: usize) -> Op<ReadResult> {
        let (inner, path) = (self.inner.clone(), self.path.clone());
        self.node
            .op(DiskOp::Read, &self.path, len, move |wrong| match wrong {
                Some(wrong @ (Wrong::Io | Wrong::NoSpace)) => (Err(wrong.error(&path)), buf),
                Some(Wrong::Short(share)) => now(inner.read_at(offset, buf, shorter(len, share))),
                None => now(inner.read_at(offset, buf, len)),
            })
    }

    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult> {
        let (inner, path) = (self.inner.clone(), self.path.clone());
        let len: usize = bufs.iter().map(Bytes::len).sum();
        self.node.op(DiskOp::Write, &self.path, len, move |wrong| {
            let part = match wrong {
                None => return now(inner.write_at(offset, bufs)),
                Some(Wrong::Short(share)) => shorter(len, share),
                // An error says nothing about how much has reached the cache: all of three, half of it, or nothing.
                Some(Wrong::Io) => len / 2 * (offset as usize / 512 % 3),
                Some(Wrong::NoSpace) => 0,
            };
            let (result, _) = now(inner.write_at(offset, prefix(&bufs, part.min(len))));
            match wrong {
                Some(wrong @ (Wrong::Io | Wrong::NoSpace)) => (Err(wrong.error(&path)), bufs),
                _ => (result, bufs),
            }
        })
    }

    fn len(&self) -> Op<io::Result<u64>> {
        let inner = self.inner.clone();
        self.node
            .op(DiskOp::Look, &self.path, 0, move |_| now(inner.len()))
    }

    fn set_len(&self, len: u64) -> Op<io::Result<()>> {
        let inner = self.inner.clone();
        self.node
            .op(DiskOp::SetLen, &self.path, 0, move |_| now(inner.set_len(len)))
    }

    fn sync_data(&self) -> Op<io::Result<()>> {
        let (inner, path) = (self.inner.clone(), self.path.clone());
        self.node
            .op(DiskOp::Sync, &self.path, 0, move |wrong| match wrong {
                Some(wrong) => {
                    if let Some(file) = inner.handle().downcast_ref::<MemFile>() {
                        file.fail_sync();
                    }
                    Err(wrong.error(&path))
                }
                None => now(inner.sync_data()),
            })
    }

    fn id(&self) -> FileId {
        self.inner.id()
    }

    fn handle(&self) -> &dyn Any {
        self
    }
}
