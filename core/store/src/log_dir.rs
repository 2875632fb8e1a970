//! One log directory: its lock, whether it is online, and its four offset checkpoints. Partition folders are in `writer` and
//! `load`, all directories together in `manager`.
//!
//! A directory goes offline with the first write, sync or rename that fails, and stays so: after a failed sync the kernel may have
//! dropped dirty pages that it will report as written the next time. Nothing is written to an offline directory. A disk that only has
//! no room is no failure: what could not be written is refused, or tried again later.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use ottla_io::{Disk, Env, Lock, Mono};
use ottla_types::{Event, Offset, Time, TopicPartition, Uuid};

use crate::checkpoint::{self, Offsets};
use crate::errors::{StorageError, StoreError};
use crate::files;
use crate::names;
use crate::shared::Shared;

/// The lock, for state that is consistent between calls: a panic elsewhere must not hide behind a poisoned lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The offset checkpoints of a log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    RecoveryPoint,
    LogStart,
    HighWatermark,
    Cleaned,
}

impl Checkpoint {
    pub(crate) const ALL: [Checkpoint; 4] = [
        Checkpoint::RecoveryPoint,
        Checkpoint::LogStart,
        Checkpoint::HighWatermark,
        Checkpoint::Cleaned,
    ];

    fn file(self) -> &'static str {
        match self {
            Checkpoint::RecoveryPoint => names::RECOVERY_POINTS,
            Checkpoint::LogStart => names::LOG_STARTS,
            Checkpoint::HighWatermark => names::HIGH_WATERMARKS,
            Checkpoint::Cleaned => names::CLEANED,
        }
    }
}

/// Whether a small file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was, or had not changed.
    Yes,
    /// The disk is full; the old content stands.
    NoRoom,
}

/// What a partition contributes to the checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) recovery_point: Offset,
    /// Only where it isn't the first segment's base offset.
    pub(crate) log_start: Option<Offset>,
    pub(crate) high_watermark: Offset,
    /// Only of logs that the cleaner has touched.
    pub(crate) cleaned: Option<Offset>,
}

impl Marks {
    fn found(&self) -> Found {
        Found {
            recovery_point: Some(self.recovery_point),
            log_start: self.log_start,
            high_watermark: Some(self.high_watermark),
            cleaned: self.cleaned,
        }
    }

    fn get(&self, which: Checkpoint) -> Option<Offset> {
        match which {
            Checkpoint::RecoveryPoint => Some(self.recovery_point),
            Checkpoint::LogStart => self.log_start,
            Checkpoint::HighWatermark => Some(self.high_watermark),
            Checkpoint::Cleaned => self.cleaned,
        }
    }
}

/// A partition's row: a log in use, or what the checkpoints said of a folder that was not loaded yet.
enum Row {
    /// With what it last said of itself, for when its writer was dropped without being closed: all lower than the truth at most.
    Loaded {
        log: Weak<Shared>,
        last: Marks,
    },
    /// A log that was closed cleanly.
    Closed(Marks),
    Found(Found),
}

/// What the checkpoints say of a partition that is about to be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) recovery_point: Option<Offset>,
    pub(crate) log_start: Option<Offset>,
    pub(crate) high_watermark: Option<Offset>,
    /// Below it the log was cleaned. A log without has no gaps that the cleaner made.
    pub(crate) cleaned: Option<Offset>,
}

/// The last write to a directory that was refused for want of room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullDisk {
    /// When.
    pub at: Mono,
    /// What it was to do.
    pub what: &'static str,
}

pub(crate) struct LogDir {
    pub(crate) path: PathBuf,
    /// Zero if the directory was offline before its id was known.
    pub(crate) id: Uuid,
    /// Whether the last stop was a clean one.
    pub(crate) clean: bool,
    pub(crate) env: Env,
    offline: OnceLock<Arc<str>>,
    full: Mutex<Option<FullDisk>>,
    rows: Mutex<BTreeMap<TopicPartition, Row>>,
    /// Each checkpoint's text on disk. The lock also keeps two tasks from writing one file at once.
    written: [tokio::sync::Mutex<String>; 4],
    held: Mutex<Option<Box<dyn Lock>>>,
    /// Files and folders that were put aside, and when they go.
    doomed: Mutex<Vec<(Time, PathBuf)>>,
}

impl LogDir {
    pub(crate) fn new(env: Env, path: PathBuf, id: Uuid, clean: bool, held: Option<Box<dyn Lock>>) -> Self {
        LogDir {
            path,
            id,
            clean,
            env,
            offline: OnceLock::new(),
            full: Mutex::default(),
            rows: Mutex::default(),
            written: Default::default(),
            held: Mutex::new(held),
            doomed: Mutex::default(),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.env.disk
    }

    /// Refuses if the directory is offline.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.offline.get() {
            None => Ok(()),
            Some(reason) => Err(StorageError {
                dir: self.path.clone(),
                reason: reason.clone(),
            }),
        }
    }

    /// Takes the directory offline; the first reason stays.
    pub(crate) fn fail(&self, reason: impl Into<String>) -> StorageError {
        let reason: Arc<str> = reason.into().into();
        if self.offline.set(reason.clone()).is_ok() {
            let dir = self.path.display().to_string();
            self.env.observe(|| Event::LogDirOffline {
                dir,
                reason: reason.to_string(),
            });
        }
        let reason = self.offline.get().cloned().unwrap_or(reason);
        StorageError {
            dir: self.path.clone(),
            reason,
        }
    }

    /// Takes the directory offline if `result` is an error.
    pub(crate) fn io<T>(&self, what: &str, result: io::Result<T>) -> Result<T, StorageError> {
        result.map_err(|e| self.fail(format!("{what}: {e}")))
    }

    /// Like [`LogDir::io`], but a disk that only has no room leaves the directory online.
    pub(crate) fn io_or_full<T>(&self, what: &'static str, result: io::Result<T>) -> Result<T, StoreError> {
        match result {
            Err(e) if files::is_full(&e) => Err(self.found_full(what)),
            other => Ok(self.io(what, other)?),
        }
    }

    /// Takes note of a write that the disk had no room for.
    pub(crate) fn found_full(&self, what: &'static str) -> StoreError {
        let at = self.env.clock.now();
        *lock(&self.full) = Some(FullDisk { at, what });
        StoreError::DiskFull {
            dir: self.path.clone(),
        }
    }

    /// The last write that the disk had no room for.
    pub(crate) fn full(&self) -> Option<FullDisk> {
        lock(&self.full).clone()
    }

    /// The folder of a partition.
    pub(crate) fn folder(&self, tp: &TopicPartition) -> PathBuf {
        self.path.join(tp.to_string())
    }

    /// Lets another process have the directory.
    pub(crate) fn unlock(&self) {
        lock(&self.held).take();
    }

    /// Reads the checkpoints, keeping the rows whose folder exists. A file that can't be read is as good as none, as in Kafka:
    /// without recovery points everything is checked, without starts they are the segments'.
    pub(crate) async fn read_checkpoints(&self, folders: &[TopicPartition]) -> Result<(), StorageError> {
        let mut all: [Offsets; 4] = Default::default();
        for (which, into) in Checkpoint::ALL.into_iter().zip(&mut all) {
            let text = match files::read_text(self.disk(), &self.path.join(which.file())).await {
                Err(e) if e.kind() == io::ErrorKind::InvalidData => None,
                other => self.io("reading a checkpoint", other)?,
            };
            if let Some(Ok(offsets)) = text.as_deref().map(checkpoint::read_offsets) {
                *into = offsets;
            }
            *self.written[which as usize].lock().await = text.unwrap_or_default();
        }
        let [points, starts, marks, cleaned] = all;
        let mut rows = lock(&self.rows);
        for tp in folders {
            let found = Found {
                recovery_point: points.get(tp).copied(),
                log_start: starts.get(tp).copied(),
                high_watermark: marks.get(tp).copied(),
                cleaned: cleaned.get(tp).copied(),
            };
            rows.insert(tp.clone(), Row::Found(found));
        }
        Ok(())
    }

    /// The partitions whose folders were found and that are not in use.
    pub(crate) fn unloaded(&self) -> Vec<TopicPartition> {
        let rows = lock(&self.rows);
        rows.iter()
            .filter(|(_, row)| matches!(row, Row::Found(_)))
            .map(|(tp, _)| tp.clone())
            .collect()
    }

    /// How many partitions the directory holds.
    pub(crate) fn count(&self) -> usize {
        lock(&self.rows).len()
    }

    /// Whether a folder of `tp` was found here, or its log is in use.
    pub(crate) fn holds(&self, tp: &TopicPartition) -> bool {
        lock(&self.rows).contains_key(tp)
    }

    /// What the checkpoints say of a folder that is not in use; `None` if there is no such folder.
    pub(crate) fn found(&self, tp: &TopicPartition) -> Option<Found> {
        match lock(&self.rows).get(tp) {
            Some(Row::Found(found)) => Some(*found),
            Some(Row::Loaded { log, last }) if log.strong_count() == 0 => Some(last.found()),
            Some(Row::Closed(last)) => Some(last.found()),
            _ => None,
        }
    }

    /// Lowers the recovery point of a folder that is being loaded, on the platter too.
    pub(crate) async fn lower_recovery_point(
        &self,
        tp: &TopicPartition,
        offset: Offset,
    ) -> Result<(), StorageError> {
        if let Some(Row::Found(found)) = lock(&self.rows).get_mut(tp) {
            found.recovery_point = Some(offset);
        }
        self.write_lower_recovery_point().await
    }

    /// From now on the checkpoints take the partition's row from its log.
    pub(crate) fn register(&self, log: &Arc<Shared>) {
        let row = Row::Loaded {
            log: Arc::downgrade(log),
            last: log.marks(),
        };
        lock(&self.rows).insert(log.partition.clone(), row);
    }

    /// The log was closed: what it says of itself is final.
    pub(crate) fn closed(&self, log: &Shared) {
        lock(&self.rows).insert(log.partition.clone(), Row::Closed(log.marks()));
    }

    /// Whether the clean-shutdown marker may vouch for every log: each was closed, or was not touched since a clean stop.
    pub(crate) fn all_closed(&self) -> bool {
        let vouched = |row: &Row| match row {
            Row::Loaded { .. } => false,
            Row::Found(_) => self.clean,
            Row::Closed(_) => true,
        };
        lock(&self.rows).values().all(vouched)
    }

    /// From now on the partition has no row, neither here nor on the disk: a new log of its name must not inherit an old one's
    /// recovery point, or its first crash would look like lost data. On a full disk the rows stay there, which is told, until this
    /// is called again: a deletion may go on, a creation may not.
    pub(crate) async fn forget(&self, tp: &TopicPartition) -> Result<Written, StorageError> {
        lock(&self.rows).remove(tp);
        let row = format!("\n{} {} ", tp.topic, tp.partition);
        let mut all = Written::Yes;
        for which in Checkpoint::ALL {
            let known = self.written[which as usize].lock().await.contains(&row);
            if known && self.write_checkpoint(which).await? == Written::NoRoom {
                all = Written::NoRoom;
            }
        }
        Ok(all)
    }

    /// The partition's folder stays after all, with what the checkpoints said of it.
    pub(crate) fn remember(&self, tp: &TopicPartition, found: Found) {
        lock(&self.rows).insert(tp.clone(), Row::Found(found));
    }

    /// A file or folder that was put aside goes when `at` has come.
    pub(crate) fn doom(&self, at: Time, path: PathBuf) {
        lock(&self.doomed).push((at, path));
    }

    /// Removes what is due.
    pub(crate) async fn remove_doomed(&self, now: Time) -> Result<(), StorageError> {
        let due: Vec<PathBuf> = lock(&self.doomed)
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, path)| path)
            .collect();
        for path in due {
            let removed = match self.disk().entry(&path).await {
                Ok(Some(entry)) if entry.kind == ottla_io::EntryKind::Dir => {
                    self.disk().remove_dir_all(&path).await
                }
                Ok(Some(_)) => files::remove(self.disk(), &path).await,
                Ok(None) => Ok(()),
                Err(e) => Err(e),
            };
            self.io("removing what was put aside", removed)?;
        }
        Ok(())
    }

    /// Writes the checkpoints that changed.
    pub(crate) async fn write_checkpoints(&self) -> Result<Written, StorageError> {
        let mut all = Written::Yes;
        for which in Checkpoint::ALL {
            if self.write_checkpoint(which).await? == Written::NoRoom {
                all = Written::NoRoom;
            }
        }
        Ok(all)
    }

    /// Writes one checkpoint if it changed. On a full disk it stays as it is, and the next time it is tried again.
    pub(crate) async fn write_checkpoint(&self, which: Checkpoint) -> Result<Written, StorageError> {
        let mut written = self.written[which as usize].lock().await;
        self.check()?;
        let text = self.text(which);
        if *written == text || (written.is_empty() && text == "0\n0\n") {
            return Ok(Written::Yes);
        }
        let path = self.path.join(which.file());
        let what = "writing a checkpoint";
        match files::replace(self.disk(), &path, Bytes::from(text.clone())).await {
            Err(e) if files::is_full(&e) => {
                self.found_full(what);
                return Ok(Written::NoRoom);
            }
            other => self.io(what, other)?,
        }
        *written = text;
        Ok(Written::Yes)
    }

    /// Writes the recovery points after one was lowered, before the log is cut. If the disk has no room, the file goes: without it
    /// every log is checked from its begin.
    pub(crate) async fn write_lower_recovery_point(&self) -> Result<(), StorageError> {
        let which = Checkpoint::RecoveryPoint;
        if self.write_checkpoint(which).await? == Written::Yes {
            return Ok(());
        }
        let mut written = self.written[which as usize].lock().await;
        let path = self.path.join(which.file());
        let removed = async {
            files::remove(self.disk(), &path).await?;
            self.disk().sync_dir(&self.path).await
        };
        self.io("removing a checkpoint", removed.await)?;
        written.clear();
        Ok(())
    }

    fn text(&self, which: Checkpoint) -> String {
        let mut rows = lock(&self.rows);
        let offset = |row: &mut Row| match row {
            Row::Loaded { log, last } => {
                if let Some(log) = log.upgrade() {
                    *last = log.marks();
                }
                last.get(which)
            }
            Row::Closed(last) => last.get(which),
            Row::Found(found) => match which {
                Checkpoint::RecoveryPoint => found.recovery_point,
                Checkpoint::LogStart => found.log_start,
                Checkpoint::HighWatermark => found.high_watermark,
                Checkpoint::Cleaned => found.cleaned,
            },
        };
        let known: Vec<_> = rows
            .iter_mut()
            .filter_map(|(tp, row)| Some((tp, offset(row)?)))
            .collect();
        checkpoint::write_offsets(known.into_iter())
    }
}
