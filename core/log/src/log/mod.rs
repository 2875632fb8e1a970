//! The machine of one log (Kafka classes `UnifiedLog`, `LocalLog`): what comes in ([`Input`]) changes the state at once and
//! orders effects; the store carries them out in sequence.
//!
//! - here: the state, appends, watermarks;
//! - `lifecycle`: recovery, rolling, retention, truncation, closing;
//! - `effect`: inputs, effects, refusals.

mod effect;
mod lifecycle;
#[cfg(test)]
mod tests;

pub use effect::{Effect, Input, LogError, Outcome, Recovered, StartCause, Truncation};

use crate::append::{AppendError, AppendInfo, Appended};
use crate::batch::{BatchMeta, Origin};
use crate::config::LogConfig;
use crate::epochs::{EpochCache, EpochEnd};
use crate::format::offset_index::OffsetEntry;
use crate::producers::Producers;
use crate::segments::{RollReason, SegmentState, Segments};
use ottla_types::{Epoch, Offset, Violation};

/// One log.
///
/// Invariants: `start <= high_watermark <= end`; `recovery_point <= end`; the active segment's base is at most `end`; epochs
/// ascend and none begins above `end`; the producer table stands at `end`; the last stable offset is at most the high watermark.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Log {
    segments: Segments,
    epochs: EpochCache,
    producers: Producers,
    start: Offset,
    end: Offset,
    high_watermark: Offset,
    recovery_point: Offset,
}

impl Log {
    /// The segments.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The leader epochs.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// The producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The first readable offset.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The next offset to be given (log end offset).
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below it is replicated.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Everything below it is on the platter.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Everything below it is replicated and decided: where readers of committed records stop.
    pub fn last_stable_offset(&self) -> Offset {
        let unstable = self
            .producers
            .first_unstable_offset()
            .map(|offset| offset.max(self.start));
        unstable.map_or(self.high_watermark, |offset| offset.min(self.high_watermark))
    }

    /// The answer to OffsetForLeaderEpoch.
    pub fn end_offset_for(&self, epoch: Epoch) -> EpochEnd {
        self.epochs.end_offset_for(epoch, self.end)
    }

    /// The one door to all that can happen to a log; the methods by name do the same. `out` is not cleared.
    pub fn step(
        &mut self,
        cfg: &LogConfig,
        input: Input,
        out: &mut Vec<Effect>,
    ) -> Result<Outcome, LogError> {
        match input {
            Input::Append(info) => return Ok(Outcome::Appended(self.append(cfg, &info, out)?)),
            Input::HighWatermark(offset) => self.set_high_watermark(offset, out),
            Input::Flushed(offset) => self.flushed(offset),
            Input::MoveStart(offset, cause) => self.move_start(offset, cause, out)?,
            Input::Retention(now) => self.retention(cfg, now, out)?,
            Input::ExpireProducers(now) => {
                self.producers.expire(now, cfg.producer_expiration_ms);
            }
            Input::Truncate(truncation) => self.truncate(*truncation, out)?,
            Input::Reset(offset, now) => self.reset(offset, now, out)?,
            Input::Roll(now) => self.roll(self.end, RollReason::Asked, now, out)?,
            Input::Close => self.close(out)?,
        }
        Ok(Outcome::Done)
    }

    /// Appends one batch. A duplicate or a refusal orders nothing. Does not allocate once `out` has room, unless the segment
    /// rolls, the leader epoch or the producer is new, or a transaction begins.
    pub fn append(
        &mut self,
        cfg: &LogConfig,
        info: &AppendInfo,
        out: &mut Vec<Effect>,
    ) -> Result<Appended, AppendError> {
        let batch = match info.origin {
            Origin::Replication | Origin::RaftLeader => info.batch,
            Origin::Client | Origin::Coordinator { .. } => info.batch.at(self.end, info.leader_epoch),
        };
        self.check_batch(cfg, &batch, info)?;
        if info.origin == Origin::Client
            && let Some(original) = self.producers.duplicate_of(&batch)
        {
            let (base_offset, last_offset) = (original.first_offset(), original.last_offset);
            return Ok(Appended::Duplicate {
                base_offset,
                last_offset,
                timestamp: original.timestamp,
            });
        }
        self.producers.validate(&batch, info.origin, info.verification)?;

        if self.epochs.assign(batch.leader_epoch, batch.base_offset) {
            out.push(Effect::EpochsChanged);
        }
        if let Some(reason) = self.segments.active()?.should_roll(cfg, &batch, info.now) {
            self.roll(batch.base_offset, reason, info.now, out)?;
        }
        let (segment, position) = self.write(cfg, &batch, info, out)?;
        let (base_offset, last_offset, leader_epoch) =
            (batch.base_offset, batch.last_offset, batch.leader_epoch);
        Ok(Appended::Written {
            base_offset,
            last_offset,
            leader_epoch,
            segment,
            position,
        })
    }

    /// Puts a checked batch at the end of the active segment.
    fn write(
        &mut self,
        cfg: &LogConfig,
        batch: &BatchMeta,
        info: &AppendInfo,
        out: &mut Vec<Effect>,
    ) -> Result<(Offset, u32), AppendError> {
        let stable = self.last_stable_offset();
        let active = self.segments.active_mut()?;
        let (segment, position) = (active.base, active.size);
        let (base_offset, last_offset) = (batch.base_offset, batch.last_offset);
        out.push(Effect::Write {
            segment,
            position,
            size: batch.size,
            base_offset,
            last_offset,
        });
        let (index_due, time_due) = active.append(cfg.index_interval_bytes, batch, info.now);
        if index_due {
            out.push(Effect::IndexEntry {
                segment,
                entry: OffsetEntry {
                    offset: last_offset,
                    position,
                },
            });
        }
        if time_due {
            out.push(Effect::TimeIndexEntry {
                segment,
                entry: active.last_time,
            });
        }
        self.end = batch.next_offset();
        if let Some(completed) = self.producers.apply(batch)?
            && completed.aborted
        {
            out.push(Effect::AbortedTxn {
                segment,
                entry: completed.txn,
            });
        }
        let unflushed = self.end.saturating_sub(self.recovery_point) as u64;
        if cfg.flush_messages.is_some_and(|limit| unflushed >= limit) {
            out.push(Effect::Flush { to: self.end });
        }
        self.stable_moved(stable, out);
        Ok((segment, position))
    }

    /// What holds for every batch, whoever its producer is.
    fn check_batch(&self, cfg: &LogConfig, batch: &BatchMeta, info: &AppendInfo) -> Result<(), AppendError> {
        if batch.last_offset < batch.base_offset || batch.base_offset < 0 {
            return Err(AppendError::Invalid {
                reason: "the batch's offsets run backwards",
            });
        }
        if batch.last_offset == Offset::MAX {
            return Err(AppendError::NoOffsetsLeft);
        }
        if info.origin == Origin::Client && batch.is_control {
            return Err(AppendError::Invalid {
                reason: "clients may not write control records",
            });
        }
        if info.origin != Origin::Replication && batch.size > cfg.max_message_bytes {
            return Err(AppendError::TooLarge {
                size: batch.size,
                limit: cfg.max_message_bytes,
            });
        }
        if batch.size > cfg.segment_bytes {
            return Err(AppendError::LargerThanSegment {
                size: batch.size,
                limit: cfg.segment_bytes,
            });
        }
        if batch.base_offset < self.end {
            return Err(AppendError::UnexpectedOffset {
                base_offset: batch.base_offset,
                end: self.end,
            });
        }
        let (epoch, newest, following) = (
            batch.leader_epoch,
            self.epochs.latest().map_or(-1, |e| e.epoch),
            info.leader_epoch,
        );
        if (newest..=following).contains(&epoch) {
            return Ok(());
        }
        match info.origin {
            Origin::Replication => Err(AppendError::UnexpectedEpoch {
                epoch,
                newest,
                following,
            }),
            _ => {
                let detail = format!("a leader of epoch {epoch} appends to a log of epoch {newest}");
                Err(AppendError::Violation(Violation::new(
                    "leader epochs of a log never fall",
                    detail,
                )))
            }
        }
    }

    /// Everything below `offset` is replicated.
    pub fn set_high_watermark(&mut self, offset: Offset, out: &mut Vec<Effect>) {
        let offset = offset.min(self.end);
        if offset <= self.high_watermark {
            return;
        }
        let stable = self.last_stable_offset();
        self.high_watermark = offset;
        self.producers.high_watermark(offset);
        out.push(Effect::HighWatermarkMoved { offset });
        self.stable_moved(stable, out);
    }

    /// Everything below `offset` is on the platter.
    pub fn flushed(&mut self, offset: Offset) {
        self.recovery_point = self.recovery_point.max(offset.min(self.end));
    }

    fn stable_moved(&self, before: Offset, out: &mut Vec<Effect>) {
        let offset = self.last_stable_offset();
        if offset != before {
            out.push(Effect::LastStableMoved { offset });
        }
    }

    /// The segment that `append` would write to next.
    pub fn active(&self) -> Result<&SegmentState, Violation> {
        self.segments.active()
    }

    /// All invariants, for tests, models and the trial.
    pub fn check(&self) -> Result<(), Violation> {
        let bounds = [
            ("log start <= high watermark", self.start, self.high_watermark),
            ("high watermark <= log end", self.high_watermark, self.end),
            ("recovery point <= log end", self.recovery_point, self.end),
            (
                "last stable offset <= high watermark",
                self.last_stable_offset(),
                self.high_watermark,
            ),
            (
                "log start <= last stable offset",
                self.start,
                self.last_stable_offset(),
            ),
            ("producer table <= log end", self.producers.end(), self.end),
            ("log end <= producer table", self.end, self.producers.end()),
        ];
        if let Some((invariant, low, high)) = bounds.into_iter().find(|(_, low, high)| low > high) {
            return Err(Violation::new(invariant, format!("{low} > {high}")));
        }
        self.segments.check(self.end)?;
        self.epochs.check(self.end)?;
        self.producers.check()
    }
}
