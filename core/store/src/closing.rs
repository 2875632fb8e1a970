//! The last words of a log at a clean stop, and what of them a later start throws away.

use ottla_log::format::file_name::FileKind;
use ottla_types::{Offset, Time};

use crate::errors::StoreError;
use crate::log_dir::Written;
use crate::replay;
use crate::writer::LogWriter;

impl LogWriter {
    /// A clean stop of one log: everything flushed, indexes complete, a producer snapshot at the end. A full disk is told when
    /// everything else is done: the log is whole, but the next start has to check it.
    pub(crate) async fn close(&mut self, now: Time) -> Result<(), StoreError> {
        self.enter()?;
        self.log.close(&mut self.effects).map_err(StoreError::Violation)?;
        let mut whole = self.carry_out_plain(now).await;
        if !matches!(whole, Ok(()) | Err(StoreError::DiskFull { .. })) {
            return whole;
        }
        let segments = self.shared.view().segments.clone();
        let dir = self.shared.home.dir.clone();
        for segment in &segments {
            match dir.io_or_full("writing an index", segment.write_indexes().await) {
                Err(full @ StoreError::DiskFull { .. }) => whole = Err(full),
                other => other?,
            }
            dir.io("flushing a segment", segment.sync(true).await)?;
        }
        let end: Offset = self.log.end();
        self.shared.flush_to(end).await?;
        self.shared.sync_snapshot(end).await?;
        if self.shared.write_epochs().await? == Written::NoRoom {
            whole = whole.and(Err(StoreError::DiskFull {
                dir: dir.path.clone(),
            }));
        }
        self.shared.sync_names().await?;
        self.leave();
        whole
    }

    /// Removes producer snapshots that nobody will read: of a state that the log no longer reaches, and those of earlier clean
    /// stops. The newest stays, and those at the begin of a segment (`ProducerStateManager.removeStraySnapshots`).
    pub(crate) async fn forget_stray_snapshots(&mut self) -> Result<(), StoreError> {
        let end = self.log.end();
        self.delete_snapshots_above(end).await?;
        let home = self.shared.home.clone();
        let mut found = home.dir.io("listing a folder", replay::snapshots(&home).await)?;
        found.pop();
        let segments = self.log.segments().list();
        found.retain(|at| segments.binary_search_by_key(at, |s| s.base).is_err());
        Ok(home
            .remove_all(found.into_iter().map(|at| (at, FileKind::Snapshot)))
            .await?)
    }
}
