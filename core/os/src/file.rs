//! An open file: appends and cached reads happen inline, because a thread hop costs more than they do; cold reads and syncs go
//! to the pool.

use std::any::Any;
use std::fs::File as StdFile;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use ottla_io::{File, FileId, Op, ReadResult, WriteResult};
use tokio::runtime::Handle;

use crate::lock::Guarded;
use crate::{calls, error};

/// What a file system was found unable to do. Starts optimistic; all its files share it.
#[derive(Debug, Default)]
pub(crate) struct Abilities {
    /// It can't say whether a read would wait (RWF_NOWAIT): memory file systems, mostly.
    no_nowait: AtomicBool,
    /// It can't feed sendfile.
    no_sendfile: AtomicBool,
}

/// The open file that handles, pool work and sending streams share.
pub(crate) struct Inner {
    file: Guarded,
    /// Opened to append: each write goes to the end, wherever that is then.
    appends: bool,
    abilities: Arc<Abilities>,
    handle: Handle,
    path: PathBuf,
}

/// What the disk gives to its users, and streams find behind [`File::handle`].
pub(crate) struct OsFile(Arc<Inner>);

impl OsFile {
    pub(crate) fn new(
        file: Guarded,
        appends: bool,
        abilities: Arc<Abilities>,
        handle: Handle,
        path: &Path,
    ) -> Self {
        OsFile(Arc::new(Inner {
            file,
            appends,
            abilities,
            handle,
            path: path.to_owned(),
        }))
    }
}

impl Inner {
    pub(crate) fn file(&self) -> &StdFile {
        self.file.file()
    }

    pub(crate) fn failed(&self, operation: &str, e: io::Error) -> io::Error {
        error::at(&self.path, operation, e)
    }

    pub(crate) fn can_sendfile(&self) -> bool {
        !self.abilities.no_sendfile.load(Ordering::Relaxed)
    }

    pub(crate) fn cannot_sendfile(&self) {
        self.abilities.no_sendfile.store(true, Ordering::Relaxed);
    }

    fn read_waiting(&self, offset: u64, mut buf: BytesMut, len: usize) -> ReadResult {
        let result = calls::read_at(self.file(), offset, &mut buf, len, false);
        (result.map_err(|e| self.failed("read", e)), buf)
    }

    /// The read if it can be done without waiting for the disk, else `None`.
    fn read_cached(&self, offset: u64, buf: &mut BytesMut, len: usize) -> Option<io::Result<usize>> {
        if self.abilities.no_nowait.load(Ordering::Relaxed) {
            return Some(calls::read_at(self.file(), offset, buf, len, false));
        }
        match calls::read_at(self.file(), offset, buf, len, true) {
            // Some kernels say 0 where they should say "later", so the end is looked up.
            Ok(0) if self.file().metadata().map_or(true, |m| m.len() > offset) => None,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                self.abilities.no_nowait.store(true, Ordering::Relaxed);
                Some(calls::read_at(self.file(), offset, buf, len, false))
            }
            result => Some(result),
        }
    }

    /// Whether `len` bytes from `offset` can be sent without waiting for the disk, by a look at both ends.
    pub(crate) fn is_cached(&self, offset: u64, len: usize) -> bool {
        self.abilities.no_nowait.load(Ordering::Relaxed)
            || calls::is_cached(self.file(), offset)
                && calls::is_cached(self.file(), offset.saturating_add(len as u64).saturating_sub(1))
    }

    /// Brings a range into the page cache, in the pool.
    pub(crate) fn warm(self: &Arc<Self>, offset: u64, len: usize) -> Op<()> {
        let inner = self.clone();
        let work = self.handle.spawn_blocking(move || {
            // The bytes are thrown away: what counts is that the kernel has them. An error shows again when they are sent.
            let mut buf = BytesMut::with_capacity(len.min(WARM_STEP));
            let (mut at, end) = (offset, offset.saturating_add(len as u64));
            while at < end {
                buf.clear();
                let step = (end - at).min(WARM_STEP as u64) as usize;
                match calls::read_at(inner.file(), at, &mut buf, step, false) {
                    Ok(0) | Err(_) => return,
                    Ok(n) => at += n as u64,
                }
            }
        });
        Op::pending(async move {
            let _ = work.await;
        })
    }
}

const WARM_STEP: usize = 256 << 10;

impl File for OsFile {
    fn read_at(&self, offset: u64, mut buf: BytesMut, len: usize) -> Op<ReadResult> {
        if len == 0 || i64::try_from(offset).is_err() {
            return Op::ready((Ok(0), buf));
        }
        if let Some(result) = self.0.read_cached(offset, &mut buf, len) {
            return Op::ready((result.map_err(|e| self.0.failed("read", e)), buf));
        }
        let inner = self.0.clone();
        let work = self
            .0
            .handle
            .spawn_blocking(move || inner.read_waiting(offset, buf, len));
        Op::pending(async move {
            work.await
                .unwrap_or_else(|_| (Err(error::stopping()), BytesMut::new()))
        })
    }

    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult> {
        let at = if self.0.appends { None } else { Some(offset) };
        let result = calls::write(self.0.file(), at, &bufs);
        Op::ready((result.map_err(|e| self.0.failed("write", e)), bufs))
    }

    fn len(&self) -> Op<io::Result<u64>> {
        let meta = self.0.file().metadata();
        Op::ready(
            meta.map(|m| m.len())
                .map_err(|e| self.0.failed("look up the length of", e)),
        )
    }

    fn set_len(&self, len: u64) -> Op<io::Result<()>> {
        Op::ready(
            self.0
                .file()
                .set_len(len)
                .map_err(|e| self.0.failed("set the length of", e)),
        )
    }

    fn sync_data(&self) -> Op<io::Result<()>> {
        let inner = self.0.clone();
        let work = self.0.handle.spawn_blocking(move || {
            // Not again after an interruption: a failed sync may have dropped the pages that the next one would miss.
            inner.file().sync_data().map_err(|e| inner.failed("sync", e))
        });
        Op::pending(async move { work.await.unwrap_or_else(|_| Err(error::stopping())) })
    }

    fn id(&self) -> FileId {
        let (device, inode) = self.0.file.id();
        FileId { device, inode }
    }

    fn handle(&self) -> &dyn Any {
        &self.0
    }
}
