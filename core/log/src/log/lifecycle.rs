//! The rarer half of a log's life: recovery, rolling, moving the start, retention, truncation, closing.

use super::{Effect, Log, LogError, Recovered, StartCause, Truncation};
use crate::config::LogConfig;
use crate::producers::Producers;
use crate::segments::{RetentionBounds, RetentionRule, RollReason, SegmentState, Segments};
use ottla_types::{Offset, Time, Violation};

impl Log {
    /// A new log that begins at `start`. Orders its first segment.
    pub fn create(start: Offset, now: Time, out: &mut Vec<Effect>) -> Self {
        out.push(Effect::OpenSegment { base: start });
        Log {
            segments: Segments::new(Vec::new(), start, now),
            epochs: Default::default(),
            producers: Producers::new(start),
            start,
            end: start,
            high_watermark: start,
            recovery_point: start,
        }
    }

    /// The way back after a stop, clean or not. Offsets from checkpoints may contradict the log (a power loss takes batches
    /// that a checkpoint counted): they are brought within it. A log that ends below its start begins anew there, as in Kafka.
    ///
    /// As in Kafka, a snapshot does not say which transactions were completed by a marker above the high watermark; they no
    /// longer hold the last stable offset back. Their outcome is decided, and the coordinator repeats a marker that gets lost.
    pub fn recover(found: Recovered, now: Time, out: &mut Vec<Effect>) -> Result<Self, Violation> {
        let Recovered {
            segments,
            mut epochs,
            mut producers,
            start,
            end,
            high_watermark,
            recovery_point,
        } = found;
        let first = segments.iter().map(|s| s.base).min();
        let start = start.max(first.unwrap_or(start));
        if first.is_none() || end < start {
            let mut old: Vec<Offset> = segments.iter().map(|s| s.base).collect();
            old.sort_unstable();
            out.extend(
                old.into_iter()
                    .rev()
                    .map(|segment| Effect::DeleteSegment { segment }),
            );
            if epochs.clear() {
                out.push(Effect::EpochsChanged);
            }
            return Ok(Log::create(start, now, out));
        }
        let epochs_changed = epochs.truncate_from_end(end) | epochs.truncate_from_start(start);
        if epochs_changed {
            out.push(Effect::EpochsChanged);
        }
        producers.advance(end);
        let high_watermark = high_watermark.clamp(start, end);
        producers.high_watermark(high_watermark);
        let segments = Segments::new(segments, start, now);
        let recovery_point = recovery_point.min(end);
        let log = Log {
            segments,
            epochs,
            producers,
            start,
            end,
            high_watermark,
            recovery_point,
        };
        log.check()?;
        Ok(log)
    }

    /// Closes the active segment and opens one for the batch at `base` (or at the log end, if that is higher). An empty active
    /// segment that begins there already stays.
    pub fn roll(
        &mut self,
        base: Offset,
        reason: RollReason,
        now: Time,
        out: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let base = base.max(self.end);
        let active = self.segments.active_mut()?;
        let segment = active.base;
        if segment == base {
            return match active.size {
                0 => Ok(()),
                size => Err(Violation::new(
                    "a segment's base is new",
                    format!("{base} has {size} bytes already"),
                )),
            };
        }
        if let Some(entry) = active.closing_time_entry() {
            active.time_entries += 1;
            active.last_time = entry;
            out.push(Effect::TimeIndexEntry { segment, entry });
        }
        out.push(Effect::CloseSegment {
            segment,
            reason,
            size: active.size,
            end: self.end,
        });
        self.producers.advance(base);
        out.push(Effect::ProducerSnapshot {
            offset: base,
            bytes: self.producers.snapshot(),
        });
        out.push(Effect::OpenSegment { base });
        self.segments.push(SegmentState::new(base, now));
        // Only a replicated batch beyond a gap is above the end; it is about to be appended.
        self.end = base;
        Ok(())
    }

    /// Moves the first readable offset up. Lower ones change nothing; segments below it go with the next retention.
    pub fn move_start(
        &mut self,
        offset: Offset,
        cause: StartCause,
        out: &mut Vec<Effect>,
    ) -> Result<(), LogError> {
        if offset < 0 || offset > self.high_watermark {
            return Err(LogError::OffsetOutOfRange {
                offset,
                low: 0,
                high: self.high_watermark,
            });
        }
        if offset <= self.start {
            return Ok(());
        }
        let stable = self.last_stable_offset();
        self.start = offset;
        out.push(Effect::StartMoved { offset, cause });
        if self.epochs.truncate_from_start(offset) {
            out.push(Effect::EpochsChanged);
        }
        self.producers.start_moved(offset);
        self.stable_moved(stable, out);
        Ok(())
    }

    /// Deletes what retention no longer keeps: segments below the start always, by size and age when `cleanup.policy` says
    /// `delete`. When every segment would go, a new one comes first.
    pub fn retention(&mut self, cfg: &LogConfig, now: Time, out: &mut Vec<Effect>) -> Result<(), LogError> {
        self.expire(cfg, now, true, out).map(drop)
    }

    /// The part of [`Log::retention`] that needs no new segment, and so no room on the disk: the active one stays. Returns whether
    /// it is due too.
    pub fn retention_without_roll(
        &mut self,
        cfg: &LogConfig,
        now: Time,
        out: &mut Vec<Effect>,
    ) -> Result<bool, LogError> {
        self.expire(cfg, now, false, out)
    }

    fn expire(
        &mut self,
        cfg: &LogConfig,
        now: Time,
        may_roll: bool,
        out: &mut Vec<Effect>,
    ) -> Result<bool, LogError> {
        let mut more = false;
        let rules = [
            (RetentionRule::LogStart, StartCause::DeleteRecords),
            (RetentionRule::Size, StartCause::RetentionSize),
            (RetentionRule::Time, StartCause::RetentionTime),
        ];
        for (rule, cause) in rules {
            if rule != RetentionRule::LogStart && !cfg.delete {
                continue;
            }
            let bounds = RetentionBounds {
                start: self.start,
                end: self.end,
                high_watermark: self.high_watermark,
                now,
            };
            let mut count = self.segments.expired(cfg, &bounds, rule);
            if count > 0 && count == self.segments.list().len() {
                if may_roll {
                    self.roll(self.end, RollReason::Asked, now, out)?;
                } else {
                    more = true;
                    count -= 1;
                }
            }
            if count == 0 {
                continue;
            }
            // The start moves before the files go: a reader must not be sent to a segment that is gone.
            if let Some(first) = self.segments.list().get(count) {
                self.move_start(first.base, cause, out)?;
            }
            out.extend(
                self.segments
                    .remove_oldest(count)
                    .map(|s| Effect::DeleteSegment { segment: s.base }),
            );
        }
        Ok(more)
    }

    /// The segment that a cut at `offset` goes through: what [`Log::truncate`] needs is read there. `None` when nothing lies
    /// there to be cut: at or above the end, or below every segment ([`Log::reset`] is for that).
    pub fn segment_to_cut(&self, offset: Offset) -> Option<&SegmentState> {
        if offset >= self.end {
            None
        } else {
            self.segments.containing(offset)
        }
    }

    /// Forgets epochs that begin at or above `offset` though no record is cut: a leader's own entry at its log end that
    /// another leader contradicts.
    pub fn truncate_epochs(&mut self, offset: Offset, out: &mut Vec<Effect>) {
        if self.epochs.truncate_from_end(offset) {
            out.push(Effect::EpochsChanged);
        }
    }

    /// Says that this replica leads in `epoch` from the log's end on.
    pub fn assign_epoch(&mut self, epoch: ottla_types::Epoch, out: &mut Vec<Effect>) {
        if self.epochs.assign(epoch, self.end) {
            out.push(Effect::EpochsChanged);
        }
    }

    /// Cuts the log. Segments go newest first, so that a crash in between leaves a log without holes.
    pub fn truncate(&mut self, cut: Truncation, out: &mut Vec<Effect>) -> Result<(), LogError> {
        let kept = cut.segment;
        let (low, high) = (
            self.segments.list().first().map_or(self.start, |s| s.base),
            self.end,
        );
        let known = self.segments.list().iter().find(|s| s.base == kept.base);
        let fits = known.is_some_and(|s| kept.size <= s.size) && kept.base <= cut.end;
        if cut.end < low || cut.end > high || !fits {
            return Err(LogError::OffsetOutOfRange {
                offset: cut.end,
                low,
                high,
            });
        }
        let stable = self.last_stable_offset();
        if self.recovery_point > cut.end {
            self.recovery_point = cut.end;
            out.push(Effect::RecoveryPointLowered { offset: cut.end });
        }
        let above = kept.base.saturating_add(1);
        let gone: Vec<Offset> = self.segments.remove_from(above).map(|s| s.base).collect();
        out.extend(
            gone.into_iter()
                .rev()
                .map(|segment| Effect::DeleteSegment { segment }),
        );
        *self.segments.active_mut()? = kept;
        let (size, index_entries, time_entries) = (kept.size, kept.index_entries, kept.time_entries);
        out.push(Effect::TruncateSegment {
            segment: kept.base,
            size,
            index_entries,
            time_entries,
            end: cut.end,
        });
        out.push(Effect::DeleteSnapshotsAbove { offset: cut.end });
        self.end = cut.end;
        if self.epochs.truncate_from_end(cut.end) {
            out.push(Effect::EpochsChanged);
        }
        self.after_cut(cut.producers, out)?;
        self.stable_moved(stable, out);
        Ok(())
    }

    /// Start, high watermark and producers after the end went down.
    fn after_cut(&mut self, producers: Producers, out: &mut Vec<Effect>) -> Result<(), Violation> {
        if self.start > self.end {
            self.start = self.end;
            out.push(Effect::StartMoved {
                offset: self.end,
                cause: StartCause::Truncation,
            });
        }
        if self.high_watermark > self.end {
            self.high_watermark = self.end;
            out.push(Effect::HighWatermarkMoved { offset: self.end });
        }
        if producers.end() > self.end {
            let detail = format!("table at {}, log end {}", producers.end(), self.end);
            return Err(Violation::new("producer table <= log end", detail));
        }
        self.producers = producers;
        self.producers.advance(self.end);
        self.producers.high_watermark(self.high_watermark);
        Ok(())
    }

    /// Throws everything away and begins at `offset` (`truncateFullyAndStartAt`).
    pub fn reset(&mut self, offset: Offset, now: Time, out: &mut Vec<Effect>) -> Result<(), LogError> {
        if offset < 0 {
            return Err(LogError::OffsetOutOfRange {
                offset,
                low: 0,
                high: Offset::MAX,
            });
        }
        out.push(Effect::RecoveryPointLowered {
            offset: self.recovery_point.min(offset),
        });
        let gone: Vec<Offset> = self.segments.remove_from(0).map(|s| s.base).collect();
        out.extend(
            gone.into_iter()
                .rev()
                .map(|segment| Effect::DeleteSegment { segment }),
        );
        out.push(Effect::DeleteSnapshotsAbove { offset: -1 });
        if self.epochs.clear() {
            out.push(Effect::EpochsChanged);
        }
        *self = Log {
            epochs: std::mem::take(&mut self.epochs),
            ..Log::create(offset, now, out)
        };
        out.push(Effect::StartMoved {
            offset,
            cause: StartCause::Truncation,
        });
        out.push(Effect::HighWatermarkMoved { offset });
        out.push(Effect::LastStableMoved { offset });
        Ok(())
    }

    /// Whether [`Log::swap_cleaned`] would find these segments.
    pub fn holds_segments(&self, sources: &[SegmentState]) -> bool {
        self.segments.find_run(sources).is_some()
    }

    /// Puts a cleaned segment in the place of those it was made from. False, and nothing changes, if they are not what they were
    /// when the round read them: retention, a truncation or a reset came first, and the cleaned segment is to be thrown away.
    #[must_use]
    pub fn swap_cleaned(&mut self, sources: &[SegmentState], cleaned: SegmentState) -> bool {
        self.segments.swap(sources, cleaned)
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, cfg: &LogConfig, now: Time) {
        self.producers.expire(now, cfg.producer_expiration_ms);
    }

    /// A clean stop: the active segment's last time index entry, and a producer snapshot at the end, so that the next start
    /// reads no batches.
    pub fn close(&mut self, out: &mut Vec<Effect>) -> Result<(), Violation> {
        let active = self.segments.active_mut()?;
        if let Some(entry) = active.closing_time_entry() {
            active.time_entries += 1;
            active.last_time = entry;
            out.push(Effect::TimeIndexEntry {
                segment: active.base,
                entry,
            });
        }
        out.push(Effect::ProducerSnapshot {
            offset: self.end,
            bytes: self.producers.snapshot(),
        });
        Ok(())
    }
}
