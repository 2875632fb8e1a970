//! Carrying out what `ottla_log::Log` orders, effect by effect. One that fails takes the log directory offline, because the log already
//! counts on it; only what the disk had no room for is taken back (appends in `writer`, rolls in `upkeep`). Deletions and cuts need no
//! room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_io::{OpenOptions, write_all_at};
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::format::txn_index;
use ottla_log::{Effect, SegmentState, StartCause, Truncation};
use ottla_types::event::StartMove;
use ottla_types::{Event, Offset, Time};

use crate::errors::{StorageError, StoreError};
use crate::files;
use crate::log_dir::Written;
use crate::replay;
use crate::segment::Segment;
use crate::writer::{LogWriter, WriteError};

impl LogWriter {
    /// Carries out the effects in their order, but for the last group of writes, which is left in hand.
    pub(crate) async fn carry_out(&mut self, now: Time) -> Result<(), WriteError> {
        let mut effects = std::mem::take(&mut self.effects);
        let mut result = Ok(());
        for effect in effects.drain(..) {
            result = self.carry_out_one(effect, now).await;
            if result.is_err() {
                break;
            }
        }
        effects.clear();
        self.effects = effects;
        result
    }

    /// Carries out effects among which no batch is written. After `DiskFull` the caller brings the log back to what it was.
    pub(crate) async fn carry_out_plain(&mut self, now: Time) -> Result<(), StoreError> {
        let result = match self.carry_out(now).await {
            Ok(()) => self.write_due_indexes().await,
            Err(WriteError::Store(error)) => Err(error),
            Err(WriteError::Full) => Err(StoreError::DiskFull {
                dir: self.shared.home.dir.path.clone(),
            }),
        };
        self.publish();
        result
    }

    async fn carry_out_one(&mut self, effect: Effect, now: Time) -> Result<(), WriteError> {
        match effect {
            Effect::Write {
                segment, position, ..
            } => self.enqueue(segment, position),
            Effect::IndexEntry { entry, .. } => {
                self.index_write_due |= self.active.index.push(entry.to_bytes(self.active.base));
            }
            Effect::TimeIndexEntry { entry, .. } => {
                self.index_write_due |= self.active.time_index.push(entry.to_bytes(self.active.base));
            }
            Effect::AbortedTxn { entry, .. } => {
                self.index_write_due |= self.active.txn_index.push(entry.to_bytes());
            }
            Effect::EpochsChanged => {
                self.epochs_changed();
                self.epochs_before_batches().await?;
            }
            Effect::Flush { to } => self.flush_wanted = Some(to),
            Effect::HighWatermarkMoved { offset } => {
                self.env.observe(|| Event::HighWatermark {
                    partition: self.shared.partition.clone(),
                    offset,
                });
            }
            Effect::LastStableMoved { .. } => {}
            Effect::StartMoved { offset, cause } => self.start_moved(offset, cause),
            Effect::CloseSegment { end, .. } => {
                self.write_group().await?;
                self.close_segment(end).await?;
            }
            Effect::ProducerSnapshot { offset, bytes } => self.write_snapshot(offset, bytes).await?,
            Effect::OpenSegment { base } => self.open_segment(base, now).await?,
            Effect::RecoveryPointLowered { offset } => self.lower_recovery_point(offset).await?,
            Effect::DeleteSegment { segment } => self.delete_segment(segment, now).await?,
            Effect::DeleteSnapshotsAbove { offset } => self.delete_snapshots_above(offset).await?,
            Effect::TruncateSegment {
                segment,
                size,
                index_entries,
                time_entries,
                end,
            } => {
                self.truncate_segment(segment, size, [index_entries, time_entries], end)
                    .await?;
            }
        }
        Ok(())
    }

    /// Writes the epoch file, which comes before the batches that it names. With no batch waiting, a full disk is no reason to
    /// fail: the next append tries again.
    pub(crate) async fn epochs_before_batches(&self) -> Result<(), WriteError> {
        match self.shared.write_epochs().await? {
            Written::NoRoom if !self.queue.is_empty() => Err(WriteError::Full),
            _ => Ok(()),
        }
    }

    fn epochs_changed(&self) {
        self.shared.view().epochs = Arc::new(self.log.epochs().clone());
        self.shared.epochs_unwritten.store(true, Ordering::Release);
    }

    fn start_moved(&self, offset: Offset, cause: StartCause) {
        // Readers must not be sent to segments that are about to go.
        self.publish();
        let cause = match cause {
            StartCause::RetentionTime => StartMove::RetentionTime,
            StartCause::RetentionSize => StartMove::RetentionSize,
            StartCause::Snapshot => StartMove::Snapshot,
            StartCause::DeleteRecords | StartCause::Leader | StartCause::Truncation => {
                StartMove::DeleteRecords
            }
        };
        self.env.observe(|| Event::LogStartMoved {
            partition: self.shared.partition.clone(),
            offset,
            cause,
        });
    }

    async fn close_segment(&mut self, end: Offset) -> Result<(), WriteError> {
        let dir = &self.shared.home.dir;
        WriteError::check(dir, "writing an index", self.active.write_indexes().await)?;
        self.index_write_due = false;
        if self.shared.view().offsets.recovery_point >= end {
            // Already flushed up to here, so no later flush will come by for the indexes.
            dir.io("flushing an index", self.active.sync(true).await)?;
        }
        self.flush_wanted = Some(end);
        Ok(())
    }

    /// Index entries that have filled a block. On a full disk they stay in memory: the batches they belong to are written.
    pub(crate) async fn write_due_indexes(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.index_write_due) {
            let written = self.active.write_indexes().await;
            match WriteError::check(&self.shared.home.dir, "writing an index", written) {
                Err(WriteError::Store(error)) => return Err(error),
                Ok(()) | Err(WriteError::Full) => {}
            }
        }
        Ok(())
    }

    async fn write_snapshot(&mut self, offset: Offset, bytes: Vec<u8>) -> Result<(), WriteError> {
        let empty = self.log.producers().entries().len() == 0 && offset == self.active.base;
        if offset == self.last_snapshot || (empty && self.log.segments().list().len() == 1) {
            return Ok(());
        }
        let home = &self.shared.home;
        let name = FileName::new(offset, FileKind::Snapshot);
        let folder = home.folder();
        // Written under the name of something unfinished, which every start removes (Kafka's too): a kill leaves no snapshot
        // that is cut off, and no tool has a complaint.
        let aside = folder.join(name.with_state(FileState::Cleaned).to_string());
        let written = async {
            let file = home.disk().open(&aside, OpenOptions::Truncate).await?;
            write_all_at(&*file, 0, vec![Bytes::from(bytes)]).await.0?;
            home.disk().rename(&aside, &folder.join(name.to_string())).await
        };
        let written = written.await;
        if written.is_err() {
            // It would take up room; what went wrong before is what counts.
            let _ = files::remove(home.disk(), &aside).await;
        }
        WriteError::check(&home.dir, "writing a producer snapshot", written)?;
        self.shared.names_unsynced.store(true, Ordering::Release);
        self.last_snapshot = offset;
        Ok(())
    }

    async fn open_segment(&mut self, base: Offset, now: Time) -> Result<(), WriteError> {
        let home = self.shared.home.clone();
        let created = Segment::create(home.clone(), &SegmentState::new(base, now)).await;
        let segment = Arc::new(WriteError::check(&home.dir, "creating a segment", created)?);
        self.shared.names_unsynced.store(true, Ordering::Release);
        self.active = segment.clone();
        let mut view = self.shared.view();
        view.recent.clear();
        view.segments.retain(|s| s.base < base);
        view.segments.push(segment);
        Ok(())
    }

    async fn lower_recovery_point(&self, offset: Offset) -> Result<(), StorageError> {
        {
            let mut view = self.shared.view();
            view.offsets.recovery_point = view.offsets.recovery_point.min(offset);
        }
        self.shared.home.dir.write_lower_recovery_point().await
    }

    /// Puts a segment's files aside. The folder is synced each time, so that a loss of power can't bring back a segment without the
    /// ones before it.
    pub(crate) async fn delete_segment(&mut self, base: Offset, now: Time) -> Result<(), StorageError> {
        self.shared.view().segments.retain(|s| s.base != base);
        if self.last_snapshot == base {
            self.last_snapshot = -1;
        }
        let home = &self.shared.home;
        for kind in FileKind::ALL {
            self.put_aside(FileName::new(base, kind), now).await?;
        }
        home.dir
            .io("syncing a folder", home.disk().sync_dir(&home.folder()).await)
    }

    async fn put_aside(&self, name: FileName, now: Time) -> Result<(), StorageError> {
        let home = &self.shared.home;
        let folder = home.folder();
        let live = folder.join(name.to_string());
        let aside = folder.join(name.with_state(FileState::Deleted).to_string());
        match home.disk().rename(&live, &aside).await {
            Ok(()) => home
                .dir
                .doom(Time(now.0.saturating_add(self.delete_delay_ms)), aside),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            // The folder had no room for a longer name. Who reads the file has it open.
            Err(e) if files::is_full(&e) => {
                let removed = files::remove(home.disk(), &live).await;
                home.dir.io("removing a segment", removed)?;
            }
            other => home.dir.io("putting a segment aside", other)?,
        }
        Ok(())
    }

    pub(crate) async fn delete_snapshots_above(&mut self, offset: Offset) -> Result<(), StorageError> {
        let home = &self.shared.home;
        let found = home.dir.io("listing a folder", replay::snapshots(home).await)?;
        let above = found.into_iter().filter(|at| *at > offset);
        home.remove_all(above.map(|at| (at, FileKind::Snapshot))).await?;
        self.last_snapshot = self.last_snapshot.min(offset);
        Ok(())
    }

    /// Cuts a segment's files, indexes first: entries beyond the log's end would lead astray, bytes beyond the indexes don't.
    async fn truncate_segment(
        &mut self,
        base: Offset,
        size: u32,
        [index_entries, time_entries]: [u32; 2],
        end: Offset,
    ) -> Result<(), StorageError> {
        let found = self
            .shared
            .view()
            .segments
            .iter()
            .find(|s| s.base == base)
            .cloned();
        let dir = self.shared.home.dir.clone();
        let Some(segment) = found else {
            return Err(dir.fail(format!("segment {base} to be cut is not there")));
        };
        let disk = dir.disk();
        let cut = async {
            segment
                .index
                .truncate(disk, || segment.path(FileKind::Index), index_entries)
                .await?;
            segment
                .time_index
                .truncate(disk, || segment.path(FileKind::TimeIndex), time_entries)
                .await?;
            if segment.txn_index.count() > 0 {
                let path = || segment.path(FileKind::TxnIndex);
                let kept = txn_index::bytes_below(&segment.txn_index.all(disk, path).await?, end)
                    / txn_index::ENTRY_SIZE;
                segment.txn_index.truncate(disk, path, kept as u32).await?;
            }
            segment.touched();
            let cut = segment.file().await?.set_len(u64::from(size)).await;
            segment.touched();
            cut
        };
        dir.io("cutting a segment", cut.await)?;
        self.active = segment;
        Ok(())
    }

    /// Cuts the log. Readers see the new end before the files change.
    pub(crate) async fn cut(&mut self, cut: Truncation, now: Time) -> Result<(), StoreError> {
        let state = cut.segment;
        self.log.truncate(cut, &mut self.effects)?;
        {
            let mut view = self.shared.view();
            view.cuts += 1;
            view.recent.clear();
            view.show(&self.log);
            if let Some(segment) = view.segments.iter().find(|s| s.base == state.base) {
                segment.publish(&state);
            }
        }
        self.shared.lower_cleaned(self.log.end()).await?;
        self.carry_out_in_any_case(now).await
    }

    /// Carries out effects that can't be taken back, and that should need no room.
    pub(crate) async fn carry_out_in_any_case(&mut self, now: Time) -> Result<(), StoreError> {
        match self.carry_out_plain(now).await {
            Err(StoreError::DiskFull { dir }) => {
                let what = format!("a change to {} was left half-done: no room", dir.display());
                Err(self.shared.home.dir.fail(what).into())
            }
            other => other,
        }
    }
}
