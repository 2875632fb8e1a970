//! Putting a cleaned segment in the place of those it was made from (Kafka's `LocalLog.replaceSegments`), so that a crash between any two
//! steps leaves the old segments or the new one:
//!
//! 1. `.txnindex.cleaned`, then `.log.cleaned`, then the other indexes become `.swap`. With the log's new name the swap is decided:
//!    `tidy` finishes it at the next start. A cleaned transaction index names every aborted transaction that has data in the old
//!    segments, so it may come first; any other index beside the old log would lead astray.
//! 2. Readers see the new segment instead of the old ones, all at once. Who still has an old one reads on: its files are open.
//! 3. The old segments but the first go, then the new one gets its name, over the first one's: log first, so that whenever an index is
//!    renamed, it is the log's.

use std::io;
use std::sync::Arc;

use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::format::txn_index;
use ottla_types::{Event, Offset, Time};

use crate::clean::{CleanedGroup, discard};
use crate::errors::{StorageError, StoreError};
use crate::files;
use crate::segment::Segment;
use crate::writer::LogWriter;

impl LogWriter {
    /// Puts a cleaned segment in its place. False if the log has changed since the round read it, and the segment was thrown away. On
    /// a full disk the log stays as it was.
    pub async fn swap_in(&mut self, group: CleanedGroup, now: Time) -> Result<bool, StoreError> {
        self.enter()?;
        let result = self.swap(group, now).await;
        self.leave_unless_broken(&result);
        result
    }

    async fn swap(&mut self, group: CleanedGroup, now: Time) -> Result<bool, StoreError> {
        let CleanedGroup { sources, finished } = group;
        let base = finished.state.base;
        if !self.log.holds_segments(&sources) {
            discard(&self.shared, base).await;
            return Ok(false);
        }
        let has_txns = !finished.txn_index.is_empty();
        let decided = self.decide(base, has_txns).await;
        if let Err(StoreError::DiskFull { .. }) = decided {
            discard(&self.shared, base).await;
        }
        decided?;

        let home = self.shared.home.clone();
        let old = self
            .shared
            .view()
            .segments
            .iter()
            .find(|s| s.base == base)
            .cloned();
        let txn_entries = (finished.txn_index.len() / txn_index::ENTRY_SIZE) as u32;
        let new = Arc::new(Segment::found(home.clone(), &finished.state, txn_entries));
        let folder = home.folder();
        let swapped = |kind| folder.join(FileName::new(base, kind).with_state(FileState::Swap).to_string());
        home.dir
            .io("opening a cleaned segment", new.open_at(swapped).await)?;
        if let Some(old) = old {
            home.dir
                .io("opening a segment", old.open_at(|kind| old.path(kind)).await)?;
        }
        if !self.log.swap_cleaned(&sources, finished.state) {
            return Err(home
                .dir
                .fail(format!("segment {base} to be replaced is not there"))
                .into());
        }
        {
            let mut view = self.shared.view();
            let gone = |at: Offset| sources.iter().any(|s| s.base == at);
            view.segments.retain(|s| !gone(s.base));
            let at = view.segments.partition_point(|s| s.base < base);
            view.segments.insert(at, new);
        }
        self.publish();
        for source in sources.iter().skip(1) {
            self.delete_segment(source.base, now).await?;
        }
        self.rename_swapped(base, has_txns).await?;
        let replaced = sources.len();
        self.env.observe(|| Event::SegmentCleaned {
            partition: self.shared.partition.clone(),
            base,
            replaced,
        });
        Ok(true)
    }

    /// The first step: after it, a start finishes the swap.
    async fn decide(&self, base: Offset, has_txns: bool) -> Result<(), StoreError> {
        let dir = &self.shared.home.dir;
        let (from, to) = (FileState::Cleaned, FileState::Swap);
        if has_txns {
            dir.io_or_full(
                "renaming a cleaned index",
                self.rename(base, FileKind::TxnIndex, from, to).await,
            )?;
            self.sync_folder().await?;
        }
        if let Err(error) = self.rename(base, FileKind::Log, from, to).await {
            // Nothing is decided; the index would be taken for one of a swap.
            let folder = self.shared.home.folder();
            let name = FileName::new(base, FileKind::TxnIndex).with_state(to);
            let removed = files::remove(dir.disk(), &folder.join(name.to_string())).await;
            dir.io("removing a cleaned index", removed)?;
            dir.io_or_full("renaming a cleaned segment", Err(error))?;
        }
        self.sync_folder().await?;
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            dir.io(
                "renaming a cleaned index",
                self.rename(base, kind, from, to).await,
            )?;
        }
        Ok(self.sync_folder().await?)
    }

    /// The last step.
    async fn rename_swapped(&self, base: Offset, has_txns: bool) -> Result<(), StorageError> {
        let dir = &self.shared.home.dir;
        let (from, to) = (FileState::Swap, FileState::Live);
        if !has_txns {
            // The old one names transactions whose markers may go, which would hide what their producers wrote later.
            let path = self.shared.home.file(base, FileKind::TxnIndex);
            dir.io("removing an index", files::remove(dir.disk(), &path).await)?;
            self.sync_folder().await?;
        }
        dir.io(
            "renaming a cleaned segment",
            self.rename(base, FileKind::Log, from, to).await,
        )?;
        self.sync_folder().await?;
        let txns = has_txns.then_some(FileKind::TxnIndex);
        for kind in [FileKind::Index, FileKind::TimeIndex].into_iter().chain(txns) {
            dir.io(
                "renaming a cleaned index",
                self.rename(base, kind, from, to).await,
            )?;
        }
        self.sync_folder().await
    }

    async fn rename(&self, base: Offset, kind: FileKind, from: FileState, to: FileState) -> io::Result<()> {
        let (home, name) = (&self.shared.home, FileName::new(base, kind));
        let path = |state| home.folder().join(name.with_state(state).to_string());
        home.disk().rename(&path(from), &path(to)).await
    }

    async fn sync_folder(&self) -> Result<(), StorageError> {
        let home = &self.shared.home;
        home.dir
            .io("syncing a folder", home.disk().sync_dir(&home.folder()).await)
    }
}
