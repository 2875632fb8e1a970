//! What a log's one writer and its many readers share: the view that readers work from, published by the writer after the bytes
//! behind it are written. The mutex is never held over an await.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ottla_log::{EpochCache, Log};
use ottla_types::{Epoch, Event, Offset, TopicPartition, Uuid};

use crate::epoch_file;
use crate::errors::StorageError;
use crate::files;
use crate::log_dir::{Checkpoint, Marks, Written, lock};
use crate::names;
use crate::scan::Place;
use crate::segment::{Home, Segment};

/// The newest batches of the active segment that are remembered, so that a consumer at the tail costs no look into the files.
const RECENT: usize = 64;

/// A log's offsets, as of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that may be read.
    pub start: Offset,
    /// Everything below it is replicated.
    pub high_watermark: Offset,
    /// Everything below it is replicated and decided.
    pub last_stable: Offset,
    /// The next offset to be given.
    pub end: Offset,
    /// The newest leader epoch in the log; −1 for none.
    pub epoch: Epoch,
    /// Everything below it is on the platter.
    pub recovery_point: Offset,
}

/// Invariants: `segments` ascend and there is at least one, the last is active; `recent` are consecutive batches of the active
/// segment, the newest last.
pub(crate) struct View {
    pub(crate) offsets: Offsets,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) recent: Recent,
    pub(crate) epochs: Arc<EpochCache>,
    /// Goes up when the log is cut, so that a flush that began before does not move the recovery point.
    pub(crate) cuts: u64,
    pub(crate) size: u64,
}

impl View {
    /// The segment that holds `offset`, and the base of the one after it.
    pub(crate) fn segment_of(&self, offset: Offset) -> Option<(Arc<Segment>, Option<Offset>)> {
        let above = self.segments.partition_point(|s| s.base <= offset);
        let found = above.checked_sub(1).and_then(|i| self.segments.get(i))?;
        Some((found.clone(), self.segments.get(above).map(|s| s.base)))
    }
}

/// The newest batches.
#[derive(Default)]
pub(crate) struct Recent(VecDeque<Place>);

impl Recent {
    pub(crate) fn push(&mut self, place: Place) {
        if self.0.len() == RECENT {
            self.0.pop_front();
        }
        self.0.push_back(place);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first batch that holds `offset` or lies above it, if that is sure to be among these.
    pub(crate) fn locate(&self, offset: Offset) -> Option<Place> {
        let below = self.0.partition_point(|p| p.last < offset);
        let place = *self.0.get(below)?;
        (below > 0 || place.base <= offset).then_some(place)
    }
}

/// One log's shared half.
pub(crate) struct Shared {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Uuid,
    pub(crate) home: Arc<Home>,
    view: Mutex<View>,
    /// One flush at a time: a second one waits and mostly finds its work done.
    flushing: tokio::sync::Mutex<()>,
    /// One writer of small files at a time: who finds a flag down must find the work done, not under way.
    small_files: tokio::sync::Mutex<()>,
    /// The epoch cache is newer than its file.
    pub(crate) epochs_unwritten: AtomicBool,
    /// The epoch cache may hold what recovery found in batches and no file has yet.
    pub(crate) epochs_recovered: AtomicBool,
    /// Names in the folder that are not durable.
    pub(crate) names_unsynced: AtomicBool,
    /// The log was deleted or closed: its files may be gone.
    pub(crate) gone: AtomicBool,
    /// Below it the log is clean; −1 if no round has ever begun.
    cleaned: AtomicI64,
}

impl Shared {
    pub(crate) fn new(
        partition: TopicPartition,
        topic_id: Uuid,
        home: Arc<Home>,
        log: &Log,
        segments: Vec<Arc<Segment>>,
    ) -> Self {
        let view = View {
            offsets: Offsets::default(),
            segments,
            recent: Recent::default(),
            epochs: Arc::new(log.epochs().clone()),
            cuts: 0,
            size: log.segments().size(),
        };
        let shared = Shared {
            partition,
            topic_id,
            home,
            view: Mutex::new(view),
            flushing: tokio::sync::Mutex::new(()),
            small_files: tokio::sync::Mutex::new(()),
            epochs_unwritten: AtomicBool::new(false),
            names_unsynced: AtomicBool::new(false),
            epochs_recovered: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            cleaned: AtomicI64::new(-1),
        };
        shared.view().offsets.recovery_point = log.recovery_point();
        shared.view().show(log);
        shared
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }

    /// Below it the log is clean; `None` if no round has ever begun.
    pub(crate) fn cleaned(&self) -> Option<Offset> {
        Some(self.cleaned.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }

    pub(crate) fn set_cleaned(&self, offset: Option<Offset>) {
        self.cleaned.store(offset.unwrap_or(-1), Ordering::Release);
    }

    /// The log was cut: what comes in the place of what went is not clean (`LogCleanerManager.maybeTruncateCheckpoint`).
    pub(crate) async fn lower_cleaned(&self, end: Offset) -> Result<(), StorageError> {
        if self.cleaned().is_some_and(|cleaned| cleaned > end) {
            self.set_cleaned(Some(end));
            // Without room the file follows later; a value above the log's end is seen to be stale.
            self.home.dir.write_checkpoint(Checkpoint::Cleaned).await?;
        }
        Ok(())
    }

    /// What the checkpoints say of this log.
    pub(crate) fn marks(&self) -> Marks {
        let view = self.view();
        let first = view.segments.first().map(|s| s.base);
        Marks {
            recovery_point: view.offsets.recovery_point,
            log_start: (first != Some(view.offsets.start)).then_some(view.offsets.start),
            high_watermark: view.offsets.high_watermark,
            cleaned: self.cleaned(),
        }
    }

    /// Puts everything below `to` on the platter and moves the recovery point: closed segments with their indexes and producer
    /// snapshots, the active one's log, the epochs, the names. Returns the recovery point.
    pub(crate) async fn flush_to(&self, to: Offset) -> Result<Offset, StorageError> {
        let dir = &self.home.dir;
        dir.check()?;
        let _one = self.flushing.lock().await;
        let (segments, to, cuts) = {
            let view = self.view();
            let to = to.min(view.offsets.end);
            if to <= view.offsets.recovery_point {
                return Ok(view.offsets.recovery_point);
            }
            // With the segment that ends at the recovery point: it may have been closed while its last bytes were being flushed.
            let first = view
                .segments
                .partition_point(|s| s.base < view.offsets.recovery_point)
                .saturating_sub(1);
            let segments: Vec<_> = view
                .segments
                .iter()
                .skip(first)
                .take_while(|s| s.base < to)
                .cloned()
                .collect();
            (segments, to, view.cuts)
        };
        let active = self.view().segments.last().map(|s| s.base);
        for (i, segment) in segments.iter().enumerate() {
            let closed = active != Some(segment.base);
            dir.io(
                "flushing a segment",
                self.forgive_gone(segment.sync(closed).await),
            )?;
            if i > 0 {
                self.sync_snapshot(segment.base).await?;
            }
        }
        if let Some(next) = self.next_base(segments.last().map(|s| s.base)) {
            self.sync_snapshot(next).await?;
        }
        // Without room for the file, one that names too many epochs will do: recovery cuts them. But epochs that only the batches
        // know are read from batches above the recovery point.
        let epochs = self.write_epochs().await?;
        if epochs == Written::NoRoom && self.epochs_recovered.load(Ordering::Acquire) {
            return Ok(self.view().offsets.recovery_point);
        }
        self.sync_names().await?;
        let moved = {
            let mut view = self.view();
            let valid = view.cuts == cuts && to > view.offsets.recovery_point;
            if valid {
                view.offsets.recovery_point = to;
            }
            (valid, view.offsets.recovery_point)
        };
        if moved.0 {
            dir.env.observe(|| Event::Flushed {
                partition: self.partition.clone(),
                offset: to,
            });
        }
        Ok(moved.1)
    }

    fn next_base(&self, base: Option<Offset>) -> Option<Offset> {
        let view = self.view();
        let base = base?;
        view.segments
            .get(view.segments.partition_point(|s| s.base <= base))
            .map(|s| s.base)
    }

    /// The producer snapshot that a roll wrote: without it, recovery would have to read older segments again.
    pub(crate) async fn sync_snapshot(&self, offset: Offset) -> Result<(), StorageError> {
        let path = self
            .home
            .file(offset, ottla_log::format::file_name::FileKind::Snapshot);
        let result = match self.home.disk().open(&path, ottla_io::OpenOptions::Write).await {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(file) => file.sync_data().await,
        };
        self.home.dir.io("flushing a producer snapshot", result)
    }

    /// A segment that retention or a deletion took away meanwhile needs no flush.
    fn forgive_gone(&self, result: std::io::Result<()>) -> std::io::Result<()> {
        match result {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Writes the epoch checkpoint if the cache is newer. On a full disk that stays to be done.
    pub(crate) async fn write_epochs(&self) -> Result<Written, StorageError> {
        let _one = self.small_files.lock().await;
        if !self.epochs_unwritten.load(Ordering::Acquire) {
            return Ok(Written::Yes);
        }
        let epochs = self.view().epochs.clone();
        let path = self.home.folder().join(names::LEADER_EPOCHS);
        let text = epoch_file::write(&epochs);
        let what = "writing leader epochs";
        match files::replace(self.home.disk(), &path, Bytes::from(text)).await {
            Err(e) if files::is_full(&e) => {
                self.home.dir.found_full(what);
                return Ok(Written::NoRoom);
            }
            other => self.home.dir.io(what, other)?,
        }
        self.epochs_recovered.store(false, Ordering::Release);
        // Only now: who finds the flag down relies on the file.
        let view = self.view();
        if Arc::ptr_eq(&view.epochs, &epochs) {
            self.epochs_unwritten.store(false, Ordering::Release);
        }
        Ok(Written::Yes)
    }

    /// Makes the names of new segments durable.
    pub(crate) async fn sync_names(&self) -> Result<(), StorageError> {
        let _one = self.small_files.lock().await;
        if !self.names_unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.home.dir.io(
            "syncing a folder",
            self.home.disk().sync_dir(&self.home.folder()).await,
        )
    }
}

impl View {
    /// Takes the log's offsets over; the recovery point has a life of its own.
    pub(crate) fn show(&mut self, log: &Log) {
        self.offsets = Offsets {
            start: log.start(),
            high_watermark: log.high_watermark(),
            last_stable: log.last_stable_offset(),
            end: log.end(),
            epoch: log.epochs().latest().map_or(-1, |e| e.epoch),
            recovery_point: self.offsets.recovery_point,
        };
    }
}
