//! A disk whose syncs and writes fail, whose writes take their time, which runs full, dies, or can't read a byte, on demand.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use ottla_io::{Disk, Entry, File, FileId, Lock, Op, OpenOptions, ReadResult, WriteResult};

/// What goes wrong.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) fail_sync: AtomicBool,
    pub(super) fail_write: AtomicBool,
    /// Writes happen at the second poll.
    pub(super) slow_write: AtomicBool,
    /// Operations so far that may need room: creations, renames, writes.
    pub(super) asked: AtomicU64,
    /// From which one on there is none, and from which one on again.
    pub(super) full: [AtomicU64; 2],
    /// Changes so far, of any kind.
    pub(super) changes: AtomicU64,
    /// The change with which the disk goes away, if not 0.
    pub(super) dies_at: AtomicU64,
    /// Reads that touch this offset of a file fail, if it is not 0.
    pub(super) bad_byte: AtomicU64,
    /// Called before each operation that changes the disk or makes a change durable.
    pub(super) before: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl Faults {
    fn alive(&self) -> io::Result<()> {
        if let Some(before) = &mut *self.before.lock().unwrap() {
            before();
        }
        let n = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        match self.dies_at.load(Ordering::Relaxed) {
            at if at != 0 && n >= at => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }

    fn room(&self) -> io::Result<()> {
        self.alive()?;
        let n = self.asked.fetch_add(1, Ordering::Relaxed);
        let [from, to] = [0, 1].map(|i| self.full[i].load(Ordering::Relaxed));
        if (from..to).contains(&n) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

pub(super) struct FaultyDisk {
    inner: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    pub(super) fn new(inner: Arc<dyn Disk>, faults: Arc<Faults>) -> Self {
        FaultyDisk { inner, faults }
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, how: OpenOptions) -> Op<io::Result<Arc<dyn File>>> {
        let there = matches!(self.inner.entry(path).into_ready(), Ok(Ok(Some(_))));
        let asked = match how {
            OpenOptions::Read | OpenOptions::Write => Ok(()),
            OpenOptions::Truncate if there => self.faults.alive(),
            _ if there => Ok(()),
            _ => self.faults.room(),
        };
        if let Err(e) = asked {
            return Op::ready(Err(e));
        }
        let (opening, faults) = (self.inner.open(path, how), self.faults.clone());
        match opening.into_ready() {
            Ok(opened) => {
                Op::ready(opened.map(|inner| Arc::new(FaultyFile { inner, faults }) as Arc<dyn File>))
            }
            Err(_) => panic!("the disk in memory never waits"),
        }
    }

    fn create_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        match self.faults.room() {
            Ok(()) => self.inner.create_dir_all(path),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn list(&self, dir: &Path) -> Op<io::Result<Vec<Entry>>> {
        self.inner.list(dir)
    }

    fn entry(&self, path: &Path) -> Op<io::Result<Option<Entry>>> {
        self.inner.entry(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Op<io::Result<()>> {
        match self.faults.room() {
            Ok(()) => self.inner.rename(from, to),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn remove_file(&self, path: &Path) -> Op<io::Result<()>> {
        match self.faults.alive() {
            Ok(()) => self.inner.remove_file(path),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        match self.faults.alive() {
            Ok(()) => self.inner.remove_dir_all(path),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> Op<io::Result<()>> {
        match self.faults.alive() {
            Ok(()) => self.inner.sync_dir(dir),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn free_space(&self, path: &Path) -> Op<io::Result<u64>> {
        self.inner.free_space(path)
    }

    fn lock(&self, path: &Path) -> Op<io::Result<Box<dyn Lock>>> {
        self.inner.lock(path)
    }
}

struct FaultyFile {
    inner: Arc<dyn File>,
    faults: Arc<Faults>,
}

impl File for FaultyFile {
    fn read_at(&self, offset: u64, buf: BytesMut, len: usize) -> Op<ReadResult> {
        let bad = self.faults.bad_byte.load(Ordering::Relaxed);
        if bad != 0 && (offset..offset + len as u64).contains(&bad) {
            return Op::ready((Err(io::Error::other("input/output error")), buf));
        }
        self.inner.read_at(offset, buf, len)
    }

    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult> {
        if self.faults.fail_write.load(Ordering::Relaxed) {
            return Op::ready((Err(io::Error::other("input/output error")), bufs));
        }
        if let Err(e) = self.faults.room() {
            return Op::ready((Err(e), bufs));
        }
        if !self.faults.slow_write.load(Ordering::Relaxed) {
            return self.inner.write_at(offset, bufs);
        }
        let inner = self.inner.clone();
        Op::pending(async move {
            let mut waited = false;
            std::future::poll_fn(|_| {
                if std::mem::replace(&mut waited, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            inner.write_at(offset, bufs).await
        })
    }

    fn len(&self) -> Op<io::Result<u64>> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Op<io::Result<()>> {
        match self.faults.alive() {
            Ok(()) => self.inner.set_len(len),
            Err(e) => Op::ready(Err(e)),
        }
    }

    fn sync_data(&self) -> Op<io::Result<()>> {
        if let Err(e) = self.faults.alive() {
            return Op::ready(Err(e));
        }
        if self.faults.fail_sync.load(Ordering::Relaxed) {
            return Op::ready(Err(io::Error::other("input/output error")));
        }
        self.inner.sync_data()
    }

    fn id(&self) -> FileId {
        self.inner.id()
    }

    fn handle(&self) -> &dyn Any {
        self.inner.handle()
    }
}
