//! What a log's writer does beside appends: high watermark, flushes, retention, DeleteRecords, truncation, configuration.

use std::sync::atomic::Ordering;

use ottla_log::format::file_name::FileKind;
use ottla_log::format::{offset_index, time_index};
use ottla_log::recovery::{Carried, ScanConfig, SegmentScan};
use ottla_log::{EpochCache, LogConfig, Producers, RollReason, SegmentState, StartCause, Truncation};
use ottla_types::{Epoch, Event, Offset, Time};

use crate::errors::{StorageError, StoreError};
use crate::replay::{self, Depth};
use crate::writer::LogWriter;

impl LogWriter {
    /// The log's settings.
    pub fn config(&self) -> &LogConfig {
        &self.cfg
    }

    /// Changes the log's settings. They count from the next operation on.
    pub fn set_config(&mut self, cfg: LogConfig) {
        self.cfg = cfg;
    }

    /// Everything below `offset` is replicated. Lower values than before change nothing.
    pub fn set_high_watermark(&mut self, offset: Offset) {
        let before = self.log.high_watermark();
        self.log.set_high_watermark(offset, &mut self.effects);
        // What is ordered here are announcements, no work for the disk.
        self.effects.clear();
        if self.log.high_watermark() != before {
            self.publish();
            let offset = self.log.high_watermark();
            self.env.observe(|| Event::HighWatermark {
                partition: self.shared.partition.clone(),
                offset,
            });
        }
    }

    /// Says that this replica leads in `epoch` from the log's end on.
    pub fn assign_epoch(&mut self, epoch: Epoch) {
        self.log.assign_epoch(epoch, &mut self.effects);
        self.announce_epochs();
    }

    /// Shows the epochs if they changed, and forgets the orders: the file follows later.
    fn announce_epochs(&mut self) {
        if !self.effects.is_empty() {
            self.effects.clear();
            self.shared.view().epochs = std::sync::Arc::new(self.log.epochs().clone());
            self.shared.epochs_unwritten.store(true, Ordering::Release);
            self.publish();
        }
    }

    /// Puts everything on the platter and returns the recovery point. It keeps the writer meanwhile; [`crate::LogReader::flush_to`]
    /// does not.
    pub async fn flush(&mut self) -> Result<Offset, StorageError> {
        let point = self.shared.flush_to(self.log.end()).await?;
        self.log.flushed(point);
        Ok(point)
    }

    /// Takes note of a flush that a reader has done. Every other operation does so too.
    pub fn flushed(&mut self, offset: Offset) {
        self.log
            .flushed(offset.min(self.shared.view().offsets.recovery_point));
    }

    /// Retention, idle producers, idle files. Due every `log.retention.check.interval.ms`. On a full disk the closed segments that
    /// are due go, which needs no room; the active one waits until there is room for the one behind it.
    pub async fn maintain(&mut self, now: Time) -> Result<(), StoreError> {
        self.enter()?;
        self.log.expire_producers(&self.cfg, now);
        let more = self
            .log
            .retention_without_roll(&self.cfg, now, &mut self.effects)?;
        self.carry_out_in_any_case(now).await?;
        if more {
            match self.roll_or_not(now).await {
                Err(StoreError::DiskFull { .. }) => {}
                other => {
                    other?;
                    self.log.retention(&self.cfg, now, &mut self.effects)?;
                    self.carry_out_in_any_case(now).await?;
                }
            }
        }
        let segments = self.shared.view().segments.clone();
        for segment in segments {
            segment.close_if_idle();
        }
        self.leave();
        Ok(())
    }

    /// DeleteRecords: the log begins at `offset` from now on. Segments below it go with the next [`LogWriter::maintain`].
    pub async fn delete_records(&mut self, offset: Offset, now: Time) -> Result<(), StoreError> {
        self.move_start(offset, StartCause::DeleteRecords, now).await
    }

    /// The log begins at `offset` from now on; lower values than before change nothing.
    pub async fn move_start(
        &mut self,
        offset: Offset,
        cause: StartCause,
        now: Time,
    ) -> Result<(), StoreError> {
        self.enter()?;
        let moved = self.log.move_start(offset, cause, &mut self.effects);
        let result = match moved {
            Ok(()) => self.carry_out_in_any_case(now).await,
            Err(error) => Err(error.into()),
        };
        self.leave_unless_broken(&result);
        result
    }

    /// Closes the active segment, unless it is empty, and begins a new one.
    pub async fn roll(&mut self, now: Time) -> Result<(), StoreError> {
        self.enter()?;
        let result = self.roll_or_not(now).await;
        self.leave_unless_broken(&result);
        result
    }

    /// Rolls. If the disk has no room for a new segment, the log is as before.
    async fn roll_or_not(&mut self, now: Time) -> Result<(), StoreError> {
        let (end, segment) = (self.log.end(), *self.log.active()?);
        let producers = self.log.producers().clone();
        self.log.roll(end, RollReason::Asked, now, &mut self.effects)?;
        let rolled = self.carry_out_plain(now).await;
        if let Err(StoreError::DiskFull { .. }) = rolled {
            let before = Truncation {
                end,
                segment,
                producers,
            };
            self.cut(before, now).await?;
        }
        rolled
    }

    /// Cuts the log so that it ends at `offset`, or before the batch that spans it. Returns the new end.
    pub async fn truncate_to(&mut self, offset: Offset, now: Time) -> Result<Offset, StoreError> {
        self.enter()?;
        let first = self.log.segments().list().first().map_or(0, |s| s.base);
        let result = if offset >= self.log.end() {
            self.log.truncate_epochs(offset, &mut self.effects);
            self.announce_epochs();
            Ok(())
        } else if offset < first {
            self.start_anew(offset, now).await
        } else {
            self.cut_at(offset, now).await
        };
        self.leave_unless_broken(&result);
        result?;
        let offset = self.log.end();
        self.env.observe(|| Event::Truncated {
            partition: self.shared.partition.clone(),
            offset,
        });
        Ok(offset)
    }

    /// Throws everything away; the log begins at `offset`.
    pub async fn reset(&mut self, offset: Offset, now: Time) -> Result<(), StoreError> {
        self.enter()?;
        let result = self.start_anew(offset, now).await;
        self.leave_unless_broken(&result);
        result?;
        self.env.observe(|| Event::Truncated {
            partition: self.shared.partition.clone(),
            offset,
        });
        Ok(())
    }

    pub(crate) fn leave_unless_broken<T>(&mut self, result: &Result<T, StoreError>) {
        if matches!(
            result,
            Ok(_) | Err(StoreError::OutOfRange { .. } | StoreError::DiskFull { .. })
        ) {
            self.leave();
        }
    }

    async fn start_anew(&mut self, offset: Offset, now: Time) -> Result<(), StoreError> {
        self.log.reset(offset, now, &mut self.effects)?;
        {
            let mut view = self.shared.view();
            view.cuts += 1;
            view.recent.clear();
            view.show(&self.log);
            view.offsets.recovery_point = view.offsets.recovery_point.min(offset);
        }
        self.shared.lower_cleaned(offset).await?;
        self.carry_out_in_any_case(now).await?;
        // The recovery point of an empty log is its begin: nothing below it can be damaged.
        self.shared.view().offsets.recovery_point = offset;
        Ok(())
    }

    async fn cut_at(&mut self, offset: Offset, now: Time) -> Result<(), StoreError> {
        let Some(state) = self.log.segment_to_cut(offset).copied() else {
            return Ok(());
        };
        let kept = self.indexes_below(&state, offset).await?;
        let home = self.shared.home.clone();
        let producers = self.producers_before(&state, offset.min(state.base), now).await?;
        let segment = self
            .shared
            .view()
            .segment_of(state.base)
            .map(|(segment, _)| segment);
        let Some(segment) = segment else { return Ok(()) };
        let file = home.dir.io("opening a segment", segment.file().await)?;
        let carried = Carried::new(EpochCache::default(), producers);
        let scan = SegmentScan::new(
            ScanConfig::cut(&self.cfg, offset),
            kept.0,
            u64::from(state.size),
            0,
            carried,
        );
        let report = replay::run(&home.dir, &*file, scan, Depth::Headers).await?;
        let mut kept_state = report.state;
        kept_state.bytes_since_index = kept_state.size.saturating_sub(kept.1);
        let end = if report.cut.is_some() {
            report.end.min(offset)
        } else {
            report.end
        };
        self.cut(
            Truncation {
                end,
                segment: kept_state,
                producers: report.carried.producers,
            },
            now,
        )
        .await
    }

    /// The segment's state with the index entries that lie below `offset`, and the position of the last one.
    async fn indexes_below(
        &self,
        state: &SegmentState,
        offset: Offset,
    ) -> Result<(SegmentState, u32), StoreError> {
        let dir = &self.shared.home.dir;
        let base = state.base;
        let Some((segment, _)) = self.shared.view().segment_of(base) else {
            return Ok((*state, 0));
        };
        let below = |e: &[u8; offset_index::ENTRY_SIZE]| {
            offset_index::entry(e, base, 0).is_some_and(|e| e.offset < offset)
        };
        let last = segment
            .index
            .last_at_most(dir.disk(), || segment.path(FileKind::Index), below)
            .await;
        let last = dir.io("reading an index", last)?;
        let below = |e: &[u8; time_index::ENTRY_SIZE]| {
            time_index::entry(e, base, 0).is_some_and(|e| e.offset < offset)
        };
        let last_time = segment
            .time_index
            .last_at_most(dir.disk(), || segment.path(FileKind::TimeIndex), below)
            .await;
        let last_time = dir.io("reading an index", last_time)?;
        let mut kept = SegmentState {
            size: state.size,
            first_timestamp: state.first_timestamp,
            ..SegmentState::new(base, state.created)
        };
        kept.modified = state.modified;
        kept.index_entries = last.map_or(0, |(n, _)| n + 1);
        kept.time_entries = last_time.map_or(0, |(n, _)| n + 1);
        if let Some(entry) = last_time.and_then(|(_, entry)| time_index::entry(&entry, base, 0)) {
            (kept.last_time, kept.max_timestamp) = (entry, entry);
        }
        let position = last
            .and_then(|(_, entry)| offset_index::entry(&entry, base, 0))
            .map_or(0, |e| e.position);
        Ok((kept, position))
    }

    /// The producer table as of `end`, which lies in the segment `state` or at its begin.
    pub(crate) async fn producers_at(
        &self,
        end: Offset,
        state: &SegmentState,
    ) -> Result<Producers, StoreError> {
        let producers = self.producers_before(state, end, state.modified).await?;
        if producers.end() >= end || state.size == 0 {
            return Ok(producers);
        }
        let home = &self.shared.home;
        let Some((segment, _)) = self.shared.view().segment_of(state.base) else {
            return Ok(producers);
        };
        let file = home.dir.io("opening a segment", segment.file().await)?;
        let carried = Carried::new(EpochCache::default(), producers);
        let scan = SegmentScan::new(
            ScanConfig::cut(&self.cfg, end),
            *state,
            u64::from(state.size),
            0,
            carried,
        );
        Ok(replay::run(&home.dir, &*file, scan, Depth::Headers)
            .await?
            .carried
            .producers)
    }

    /// The producer table before the segment `state`, or by a snapshot in it that is not above `limit`.
    async fn producers_before(
        &self,
        state: &SegmentState,
        limit: Offset,
        now: Time,
    ) -> Result<Producers, StoreError> {
        let home = &self.shared.home;
        let segments = self.log.segments().list();
        let first = segments.first().map_or(state.base, |s| s.base);
        let (_, mut producers) = replay::newest_snapshot(home, limit, first, &self.cfg, now).await?;
        let from = producers.end();
        let above = segments.partition_point(|s| s.base <= from).saturating_sub(1);
        for before in segments.iter().skip(above).take_while(|s| s.base < state.base) {
            let Some((segment, _)) = self.shared.view().segment_of(before.base) else {
                continue;
            };
            let file = home.dir.io("opening a segment", segment.file().await)?;
            let carried = Carried::new(EpochCache::default(), producers);
            let scan = SegmentScan::new(
                ScanConfig::replay(&self.cfg),
                *before,
                u64::from(before.size),
                0,
                carried,
            );
            producers = replay::run(&home.dir, &*file, scan, Depth::Headers)
                .await?
                .carried
                .producers;
        }
        Ok(producers)
    }
}
