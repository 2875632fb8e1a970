//! One segment's files: log, three indexes. What is in them is decided in `ottla_log`; here they are opened, written, read and synced.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ottla_io::{Disk, File, OpenOptions};
use ottla_log::SegmentState;
use ottla_log::format::file_name::{FileKind, FileName};
use ottla_log::format::time_index::TimeEntry;
use ottla_log::format::{offset_index, time_index, txn_index};
use ottla_types::Offset;

use crate::errors::StorageError;
use crate::files;
use crate::handle::Handle;
use crate::index_file::IndexFile;
use crate::log_dir::{LogDir, lock};
use crate::scan::{Place, Scan};

/// Where a log's files are.
pub(crate) struct Home {
    pub(crate) dir: Arc<LogDir>,
    /// Changes once, when the partition is deleted.
    folder: Mutex<PathBuf>,
}

impl Home {
    pub(crate) fn new(dir: Arc<LogDir>, folder: PathBuf) -> Self {
        Home {
            dir,
            folder: Mutex::new(folder),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.dir.disk()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        lock(&self.folder).clone()
    }

    pub(crate) fn moved(&self, folder: PathBuf) {
        *lock(&self.folder) = folder;
    }

    pub(crate) fn file(&self, offset: Offset, kind: FileKind) -> PathBuf {
        lock(&self.folder).join(FileName::new(offset, kind).to_string())
    }

    /// Removes files and makes that durable: a name that came back after a loss of power would be taken for a part of the log.
    pub(crate) async fn remove_all(
        &self,
        files: impl Iterator<Item = (Offset, FileKind)>,
    ) -> Result<(), StorageError> {
        let mut removed = false;
        for (offset, kind) in files {
            let path = self.file(offset, kind);
            self.dir
                .io("removing a file", files::remove(self.disk(), &path).await)?;
            removed = true;
        }
        if removed {
            self.dir
                .io("syncing a folder", self.disk().sync_dir(&self.folder()).await)?;
        }
        Ok(())
    }
}

/// A segment in use.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    home: Arc<Home>,
    log: Handle,
    /// Bytes of whole batches: readers never look beyond. Grows after the bytes are written.
    size: AtomicU64,
    unsynced: AtomicBool,
    max_timestamp: AtomicI64,
    max_timestamp_offset: AtomicI64,
    pub(crate) index: IndexFile<{ offset_index::ENTRY_SIZE }>,
    pub(crate) time_index: IndexFile<{ time_index::ENTRY_SIZE }>,
    pub(crate) txn_index: IndexFile<{ txn_index::ENTRY_SIZE }>,
}

impl Segment {
    /// A segment whose files exist.
    pub(crate) fn found(home: Arc<Home>, state: &SegmentState, txn_entries: u32) -> Self {
        Segment {
            base: state.base,
            home,
            log: Handle::default(),
            size: AtomicU64::new(u64::from(state.size)),
            unsynced: AtomicBool::new(false),
            max_timestamp: AtomicI64::new(state.max_timestamp.timestamp),
            max_timestamp_offset: AtomicI64::new(state.max_timestamp.offset),
            index: IndexFile::with_entries(state.index_entries),
            time_index: IndexFile::with_entries(state.time_entries),
            txn_index: IndexFile::with_entries(txn_entries),
        }
    }

    /// Creates the files of an empty segment. Files of that name that no log knows are emptied.
    pub(crate) async fn create(home: Arc<Home>, state: &SegmentState) -> io::Result<Self> {
        let segment = Segment::found(home, state, 0);
        let disk = segment.home.disk();
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let how = if kind == FileKind::Log {
                OpenOptions::CreateNew
            } else {
                OpenOptions::Truncate
            };
            disk.open(&segment.path(kind), how).await?;
        }
        files::remove(disk, &segment.path(FileKind::TxnIndex)).await?;
        Ok(segment)
    }

    pub(crate) fn path(&self, kind: FileKind) -> PathBuf {
        self.home.file(self.base, kind)
    }

    /// Bytes that may be read.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The largest timestamp and the last offset of its batch.
    pub(crate) fn max_timestamp(&self) -> TimeEntry {
        TimeEntry {
            timestamp: self.max_timestamp.load(Ordering::Acquire),
            offset: self.max_timestamp_offset.load(Ordering::Acquire),
        }
    }

    /// Shows readers what was written: called under the view's lock.
    pub(crate) fn publish(&self, state: &SegmentState) {
        self.max_timestamp_offset
            .store(state.max_timestamp.offset, Ordering::Release);
        self.max_timestamp
            .store(state.max_timestamp.timestamp, Ordering::Release);
        self.size.store(u64::from(state.size), Ordering::Release);
    }

    /// The log's file.
    pub(crate) async fn file(&self) -> io::Result<Arc<dyn File>> {
        self.log
            .get(self.home.disk(), || self.path(FileKind::Log), OpenOptions::Write)
            .await
    }

    /// Opens the files where `path` says they are now; who has this segment needs their names no more.
    pub(crate) async fn open_at(&self, path: impl Fn(FileKind) -> PathBuf) -> io::Result<()> {
        let disk = self.home.disk();
        self.log
            .get(disk, || path(FileKind::Log), OpenOptions::Write)
            .await?;
        self.index.open(disk, || path(FileKind::Index)).await?;
        self.time_index.open(disk, || path(FileKind::TimeIndex)).await?;
        self.txn_index.open(disk, || path(FileKind::TxnIndex)).await
    }

    /// Says that there are bytes which no sync has seen: before a write, which may fail half-way, and after it, because a sync that ran
    /// meanwhile need not have seen its bytes.
    pub(crate) fn touched(&self) {
        self.unsynced.store(true, Ordering::Release);
    }

    /// Makes the log durable, and the indexes of a closed segment too.
    pub(crate) async fn sync(&self, closed: bool) -> io::Result<()> {
        if self.unsynced.swap(false, Ordering::AcqRel) {
            self.file().await?.sync_data().await?;
        }
        if closed {
            let disk = self.home.disk();
            self.index.sync(disk, || self.path(FileKind::Index)).await?;
            self.time_index
                .sync(disk, || self.path(FileKind::TimeIndex))
                .await?;
            self.txn_index
                .sync(disk, || self.path(FileKind::TxnIndex))
                .await?;
        }
        Ok(())
    }

    /// Writes the index entries that are in memory only.
    pub(crate) async fn write_indexes(&self) -> io::Result<()> {
        let disk = self.home.disk();
        self.index.write(disk, || self.path(FileKind::Index)).await?;
        self.time_index
            .write(disk, || self.path(FileKind::TimeIndex))
            .await?;
        self.txn_index.write(disk, || self.path(FileKind::TxnIndex)).await
    }

    /// Puts indexes in the place of those on the disk; the transaction index stays if there is none for it.
    pub(crate) async fn replace_indexes(
        &self,
        index: Vec<u8>,
        time_index: Vec<u8>,
        txn_index: Option<Vec<u8>>,
    ) -> io::Result<()> {
        let disk = self.home.disk();
        self.index
            .replace(disk, || self.path(FileKind::Index), index)
            .await?;
        let path = || self.path(FileKind::TimeIndex);
        self.time_index.replace(disk, path, time_index).await?;
        if let Some(txn_index) = txn_index {
            let path = || self.path(FileKind::TxnIndex);
            files::remove(disk, &path()).await?;
            if !txn_index.is_empty() {
                self.txn_index.replace(disk, path, txn_index).await?;
            }
        }
        self.write_indexes().await
    }

    /// The first batch that holds `target` or lies above it, below `end` bytes.
    pub(crate) async fn locate(&self, target: Offset, end: u64) -> io::Result<Option<Place>> {
        let mut scan = Scan::new(self.file().await?, self.position_at_or_below(target).await?, end);
        while let Some((place, _)) = scan.next().await? {
            if place.last >= target {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Where a batch begins that lies at or below `target`, by the index.
    pub(crate) async fn position_at_or_below(&self, target: Offset) -> io::Result<u64> {
        let base = self.base;
        let below = |e: &[u8; offset_index::ENTRY_SIZE]| {
            offset_index::entry(e, base, 0).is_some_and(|e| e.offset <= target)
        };
        let found = self
            .index
            .last_at_most(self.home.disk(), || self.path(FileKind::Index), below)
            .await?;
        let entry = found.and_then(|(_, entry)| offset_index::entry(&entry, base, 0));
        Ok(entry.map_or(0, |e| u64::from(e.position)))
    }

    /// An offset that no batch below `position` reaches beyond, by the index; `None` if it has no entry from there on.
    pub(crate) async fn offset_bound(&self, position: u64) -> io::Result<Option<Offset>> {
        let base = self.base;
        let path = || self.path(FileKind::Index);
        let below = |e: &[u8; offset_index::ENTRY_SIZE]| {
            offset_index::entry(e, base, 0).is_some_and(|e| u64::from(e.position) < position)
        };
        let found = self.index.last_at_most(self.home.disk(), path, below).await?;
        let next = found.map_or(0, |(n, _)| n + 1);
        let entry = self.index.entry(self.home.disk(), path, next).await?;
        Ok(entry
            .and_then(|entry| offset_index::entry(&entry, base, 0))
            .map(|e| e.offset.saturating_add(1)))
    }

    /// The offset from which on batches may have a timestamp of at least `timestamp`, by the time index.
    pub(crate) async fn offset_for_time(&self, timestamp: i64) -> io::Result<Offset> {
        let base = self.base;
        let below = |e: &[u8; time_index::ENTRY_SIZE]| {
            time_index::entry(e, base, 0).is_some_and(|e| e.timestamp < timestamp)
        };
        let found = self
            .time_index
            .last_at_most(self.home.disk(), || self.path(FileKind::TimeIndex), below)
            .await?;
        Ok(found
            .and_then(|(_, entry)| time_index::entry(&entry, base, 0))
            .map_or(base, |e| e.offset))
    }

    /// Closes what nobody used since the last call.
    pub(crate) fn close_if_idle(&self) {
        if !self.unsynced.load(Ordering::Acquire) {
            self.log.close_if_idle();
        }
        self.index.close_if_idle();
        self.time_index.close_if_idle();
        self.txn_index.close_if_idle();
    }
}
