//! Loading a partition's folder: which log it is, what a crash left unfinished, and the recovery that `ottla_log::recovery` plans.

use std::io;
use std::sync::Arc;

use ottla_io::{OpenOptions, read_exact_at};
use ottla_log::format::file_name::FileKind;
use ottla_log::format::{offset_index, time_index, txn_index};
use ottla_log::recovery::{
    Carried, Check, ScanConfig, SegmentReport, SegmentScan, Verdict, judge, plan, sanity_check,
};
use ottla_log::{EpochCache, Log, LogConfig, Recovered, SegmentState};
use ottla_types::{Event, Offset, Time, TopicPartition, Uuid};
use ottla_wire::records::HEADER_SIZE;

use crate::epoch_file;
use crate::errors::{LoadError, StorageError};
use crate::files;
use crate::folder;
use crate::log_dir::{Found, LogDir};
use crate::names;
use crate::peek;
use crate::replay::{self, Depth};
use crate::segment::{Home, Segment};
use crate::shared::Shared;
use crate::tidy::tidy;
use crate::writer::{LogWriter, LossReport};

/// What a partition is loaded with.
pub(crate) struct Terms {
    pub(crate) cfg: LogConfig,
    pub(crate) now: Time,
    pub(crate) delete_delay_ms: u64,
}

/// Loads the log of `tp` from `dir`, which has found its folder.
pub(crate) async fn load(
    dir: &Arc<LogDir>,
    tp: &TopicPartition,
    terms: Terms,
) -> Result<(Uuid, LogWriter), LoadError> {
    dir.check()?;
    let folder = dir.folder(tp);
    let topic_id = folder::topic_id(dir, &folder).await?;
    let home = Arc::new(Home::new(dir.clone(), folder.clone()));
    let bases = tidy(&home).await?;
    let found = dir.found(tp).unwrap_or_default();
    let text = match files::read_text(dir.disk(), &folder.join(names::LEADER_EPOCHS)).await {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => None,
        other => dir.io("reading leader epochs", other)?,
    };
    // A checkpoint that can't be read is as good as none: recovery reads epochs from the batches.
    let epochs = text
        .and_then(|text| epoch_file::read(&text).ok())
        .unwrap_or_default();
    // The cleaner's gaps stay when the topic is no longer compacted.
    let reading = LogConfig {
        compact: terms.cfg.compact || found.cleaned.is_some(),
        ..terms.cfg.clone()
    };
    let mut recovery = Recovery::new(home.clone(), &reading, terms.now, &found, bases, epochs).await?;
    recovery.run().await?;
    recovery.check_snapshot().await?;
    let writer = recovery.finish(tp, topic_id, found, &terms).await?;
    Ok((topic_id, writer))
}

/// A segment that was looked at.
struct Kept {
    state: SegmentState,
    segment: Arc<Segment>,
}

struct Recovery<'a> {
    home: Arc<Home>,
    cfg: &'a LogConfig,
    now: Time,
    recovery_point: Offset,
    checks: Vec<(Offset, Check)>,
    carried: Carried,
    last_snapshot: Offset,
    kept: Vec<Kept>,
    end: Offset,
    loss: Option<LossReport>,
}

impl<'a> Recovery<'a> {
    async fn new(
        home: Arc<Home>,
        cfg: &'a LogConfig,
        now: Time,
        found: &Found,
        bases: Vec<Offset>,
        epochs: EpochCache,
    ) -> Result<Recovery<'a>, LoadError> {
        let recovery_point = found.recovery_point.unwrap_or(0);
        let checks: Vec<_> = plan(&bases, recovery_point, home.dir.clean).collect();
        let first = bases.first().copied().unwrap_or(0);
        let read_from = checks
            .iter()
            .find(|(_, check)| *check == Check::Full)
            .map_or(Offset::MAX, |(base, _)| *base);
        let (snapshot, producers) = replay::newest_snapshot(&home, read_from, first, cfg, now).await?;
        Ok(Recovery {
            home,
            cfg,
            now,
            recovery_point,
            checks,
            carried: Carried::new(epochs, producers),
            last_snapshot: snapshot.unwrap_or(-1),
            kept: Vec::new(),
            end: first,
            loss: None,
        })
    }

    async fn run(&mut self) -> Result<(), LoadError> {
        let checks = std::mem::take(&mut self.checks);
        for (i, (base, check)) in checks.iter().enumerate() {
            let next = checks.get(i + 1).map(|(next, _)| *next);
            let whole = match check {
                Check::Indexes => self.trusted(*base, next).await?,
                Check::Full => {
                    let cfg = ScanConfig::recover(self.cfg, self.recovery_point);
                    self.full(*base, cfg, next.is_none(), None).await?
                }
            };
            let gap =
                next.filter(|next| whole && *check == Check::Full && !self.cfg.compact && self.end < *next);
            if let Some(next) = gap {
                self.ends_before(*base, next)?;
            }
            if !whole || gap.is_some() {
                return self.remove_from(checks.get(i + 1..).unwrap_or_default()).await;
            }
        }
        Ok(())
    }

    /// A segment without damage that doesn't reach the one behind it: a loss of power took whole batches off its end.
    fn ends_before(&mut self, base: Offset, next: Offset) -> Result<(), StorageError> {
        let (end, point) = (self.end, self.recovery_point);
        let reason = format!("segment {base:020}.log ends at offset {end}, the next one begins at {next}");
        if end < point {
            let text = format!(
                "{reason}; everything below offset {point} had been flushed, so the disk has lost data"
            );
            return Err(self.home.dir.fail(text));
        }
        self.loss = Some(LossReport {
            end,
            bytes: 0,
            segments: 0,
            reason,
        });
        Ok(())
    }

    /// A segment whose batches were flushed: only its indexes are looked at, and its producers, if no snapshot covers them.
    async fn trusted(&mut self, base: Offset, next: Option<Offset>) -> Result<bool, LoadError> {
        let dir = self.home.dir.clone();
        let path = self.home.file(base, FileKind::Log);
        let file = dir.io(
            "opening a segment",
            dir.disk().open(&path, OpenOptions::Write).await,
        )?;
        let size = dir.io("asking for a segment's size", file.len().await)?;
        let Ok(size32) = u32::try_from(size) else {
            let text = format!("segment {base:020}.log has {size} bytes, more than a segment can have");
            return Err(dir.fail(text).into());
        };
        let home = &self.home;
        let index = peek::ends::<{ offset_index::ENTRY_SIZE }>(home, base, FileKind::Index).await?;
        let time = peek::ends::<{ time_index::ENTRY_SIZE }>(home, base, FileKind::TimeIndex).await?;
        let txn = files::read(dir.disk(), &self.home.file(base, FileKind::TxnIndex)).await;
        let txn = dir.io("reading an index", txn)?.unwrap_or_default();
        let (index, time) = match (index, time) {
            (Some(index), Some(time))
                if sanity_check(base, size, Some(&index.ends), Some(&time.ends), &txn).is_ok() =>
            {
                (index, time)
            }
            _ => return self.rebuild(base, next.is_none(), &txn).await,
        };
        let mut state = SegmentState::loaded(base, size32, self.now, &index.ends, &time.ends);
        (state.index_entries, state.time_entries) = (index.entries, time.entries);
        // Where the last index entry points: the scan for the end need not begin before it, if the producers are known there.
        let last = (index.ends.len() / offset_index::ENTRY_SIZE).checked_sub(1);
        let mut entry = last.and_then(|n| offset_index::entry(&index.ends, base, n));
        let known = self.carried.producers.end();
        if next.is_none() && self.carried.producers.entries().len() > 0 {
            entry = peek::entry_before(home, base, index.entries).await?;
        }
        let from = entry.filter(|e| e.offset < known).map_or(0, |e| e.position);
        // The cleaner asks how old the oldest dirty batch is.
        if from > 0 || self.cfg.compact {
            let (head, bytes) = read_exact_at(&*file, 0, Default::default(), HEADER_SIZE).await;
            dir.io("reading a segment", head)?;
            state.read_first_batch(&bytes);
        }
        let txn_entries = (txn.len() / txn_index::ENTRY_SIZE) as u32;
        if next.is_some_and(|next| next <= known) {
            // The snapshot covers it, and the segment behind it says where it ends.
            self.keep(state, txn_entries);
            return Ok(true);
        }
        let scan = SegmentScan::new(
            ScanConfig::replay(self.cfg),
            state,
            size,
            from,
            self.carried.clone(),
        );
        let report = replay::run(&dir, &*file, scan, Depth::Headers).await?;
        if from > 0 && (report.cut.is_some() || report.batches == 0) {
            // No batch where the index says that one begins: one of the two is damaged, and where the log ends can't be said from here.
            return self.rebuild(base, next.is_none(), &txn).await;
        }
        self.judge(report, next.is_none(), false, Some(txn_entries)).await
    }

    /// Makes the indexes of a trusted segment anew. Its transaction index stays if it can be right: the producers that a later
    /// snapshot knows have these transactions behind them.
    async fn rebuild(&mut self, base: Offset, last: bool, txn: &[u8]) -> Result<bool, LoadError> {
        let keep = (txn_index::sanity_check(txn, base).is_ok() && !txn.is_empty())
            .then_some((txn.len() / txn_index::ENTRY_SIZE) as u32);
        let ahead = self.carried.producers.clone();
        if ahead.end() > base {
            let first = self.kept.first().map_or(base, |k| k.state.base);
            let (_, then) = replay::newest_snapshot(&self.home, base, first, self.cfg, self.now).await?;
            self.carried.producers = then;
        }
        let whole = self.full(base, ScanConfig::rebuild(self.cfg), last, keep).await?;
        if ahead.end() > self.carried.producers.end() {
            self.carried.producers = ahead;
        }
        Ok(whole)
    }

    /// A segment that is read whole, its indexes made anew.
    async fn full(
        &mut self,
        base: Offset,
        cfg: ScanConfig,
        last: bool,
        keep_txn: Option<u32>,
    ) -> Result<bool, LoadError> {
        let dir = self.home.dir.clone();
        let path = self.home.file(base, FileKind::Log);
        let file = dir.io(
            "opening a segment",
            dir.disk().open(&path, OpenOptions::Write).await,
        )?;
        let len = dir.io("asking for a segment's size", file.len().await)?;
        let scan = SegmentScan::new(
            cfg,
            SegmentState::new(base, self.now),
            len,
            0,
            self.carried.clone(),
        );
        let report = replay::run(&dir, &*file, scan, Depth::Whole).await?;
        self.judge(report, last, true, keep_txn).await
    }

    /// Acts on what a scan found, and writes the indexes if it made them anew. `kept_txn` is the number of entries of a transaction
    /// index that stays.
    async fn judge(
        &mut self,
        report: SegmentReport,
        last: bool,
        rebuilt: bool,
        kept_txn: Option<u32>,
    ) -> Result<bool, LoadError> {
        let dir = self.home.dir.clone();
        let verdict = judge(&report, self.recovery_point, last);
        if let Verdict::Corrupt(corruption) = verdict {
            return Err(dir.fail(corruption.to_string()).into());
        }
        let base = report.state.base;
        let txn = kept_txn.unwrap_or((report.txn_index.len() / txn_index::ENTRY_SIZE) as u32);
        let segment = self.keep(report.state, txn);
        if let Some(cut) = &report.cut {
            let file = dir.io("opening a segment", segment.file().await)?;
            dir.io(
                "cutting a segment",
                file.set_len(u64::from(report.state.size)).await,
            )?;
            segment.touched();
            let reason = format!("segment {base:020}.log, byte {}: {}", cut.position, cut.damage);
            self.loss = Some(LossReport {
                end: report.end,
                bytes: cut.bytes,
                segments: 0,
                reason,
            });
        }
        if rebuilt {
            let txn_index = kept_txn.is_none().then_some(report.txn_index);
            let written = segment
                .replace_indexes(report.index, report.time_index, txn_index)
                .await;
            dir.io_or_full("writing an index", written)?;
            // What lies in the page cache since before the crash is on the platter only after the next flush.
            segment.touched();
        }
        self.end = report.end;
        self.carried = report.carried;
        Ok(verdict == Verdict::Whole)
    }

    fn keep(&mut self, state: SegmentState, txn_entries: u32) -> Arc<Segment> {
        let segment = Arc::new(Segment::found(self.home.clone(), &state, txn_entries));
        self.kept.push(Kept {
            state,
            segment: segment.clone(),
        });
        segment
    }

    /// After a clean stop the newest snapshot is taken unseen. If it knows batches that the log does not hold, the disk has lost them:
    /// the producers are read again from a snapshot that is not ahead (`ProducerStateManager.truncateAndReload`).
    async fn check_snapshot(&mut self) -> Result<(), LoadError> {
        let ahead = self.carried.producers.end();
        if ahead <= self.end || self.kept.is_empty() {
            return Ok(());
        }
        let first = self.kept.first().map_or(self.end, |k| k.state.base);
        let (snapshot, mut producers) =
            replay::newest_snapshot(&self.home, self.end, first, self.cfg, self.now).await?;
        for (i, kept) in self.kept.iter().enumerate() {
            let next = self.kept.get(i + 1).map(|k| k.state.base);
            if next.is_some_and(|next| next <= producers.end()) {
                continue;
            }
            let file = self.home.dir.io("opening a segment", kept.segment.file().await)?;
            let carried = Carried::new(EpochCache::default(), producers);
            let size = u64::from(kept.state.size);
            let scan = SegmentScan::new(ScanConfig::replay(self.cfg), kept.state, size, 0, carried);
            producers = replay::run(&self.home.dir, &*file, scan, Depth::Headers)
                .await?
                .carried
                .producers;
        }
        self.carried.producers = producers;
        self.last_snapshot = snapshot.unwrap_or(-1);
        let (end, reason) = (
            self.end,
            format!(
                "the log ends at offset {}, a producer snapshot was written at {ahead}",
                self.end
            ),
        );
        self.loss.get_or_insert(LossReport {
            end,
            bytes: 0,
            segments: 0,
            reason,
        });
        Ok(())
    }

    /// The log ends before these segments: they hold nothing that follows on.
    async fn remove_from(&mut self, rest: &[(Offset, Check)]) -> Result<(), LoadError> {
        let dir = self.home.dir.clone();
        for (base, _) in rest {
            let path = self.home.file(*base, FileKind::Log);
            let entry = dir.io("asking for a segment's size", dir.disk().entry(&path).await)?;
            if let Some(loss) = &mut self.loss {
                loss.bytes += entry.map_or(0, |e| e.len);
                loss.segments += 1;
            }
        }
        // The last one first, so that what a crash leaves still follows on.
        let files = rest
            .iter()
            .rev()
            .flat_map(|(base, _)| FileKind::ALL.map(|kind| (*base, kind)));
        Ok(self.home.remove_all(files).await?)
    }

    async fn finish(
        mut self,
        tp: &TopicPartition,
        topic_id: Uuid,
        found: Found,
        terms: &Terms,
    ) -> Result<LogWriter, LoadError> {
        let mut effects = Vec::new();
        let recovered = Recovered {
            segments: self.kept.iter().map(|k| k.state).collect(),
            epochs: self.carried.epochs,
            producers: self.carried.producers,
            start: found.log_start.unwrap_or(0),
            end: self.end,
            high_watermark: found.high_watermark.unwrap_or(0),
            recovery_point: self.recovery_point,
        };
        let log = Log::recover(recovered, terms.now, &mut effects).map_err(LoadError::Violation)?;
        let begun_anew = log.recovery_point();
        if begun_anew < self.recovery_point {
            // Not one segment is left of what had been flushed. The checkpoint must not say so any longer when there is one again, or
            // the next start takes the new log for a damaged one.
            let reason = format!(
                "no segment is left, everything below offset {} had been flushed",
                self.recovery_point
            );
            self.loss.get_or_insert(LossReport {
                end: log.end(),
                bytes: 0,
                segments: 0,
                reason,
            });
            self.home.dir.lower_recovery_point(tp, begun_anew).await?;
        }
        let segments: Vec<_> = self.kept.into_iter().map(|k| k.segment).collect();
        let nothing = || {
            Arc::new(Segment::found(
                self.home.clone(),
                &SegmentState::new(log.start(), terms.now),
                0,
            ))
        };
        let active = segments.last().cloned().unwrap_or_else(nothing);
        let shared = Arc::new(Shared::new(
            tp.clone(),
            topic_id,
            self.home.clone(),
            &log,
            segments,
        ));
        shared.set_cleaned(found.cleaned);
        let end = log.end();
        let mut writer = LogWriter::new(
            shared.clone(),
            log,
            terms.cfg.clone(),
            active,
            terms.delete_delay_ms,
        );
        writer.last_snapshot = self.last_snapshot;
        writer.clean = self.home.dir.clean;
        writer.loss = self.loss;
        writer.effects = effects;
        writer.carry_out_plain(terms.now).await?;
        writer.forget_stray_snapshots().await?;
        // Epochs that only the batches knew.
        for flag in [&shared.epochs_unwritten, &shared.epochs_recovered] {
            flag.store(!writer.clean, std::sync::atomic::Ordering::Release);
        }
        self.home.dir.register(&shared);
        shared.lower_cleaned(end).await?;
        report(&writer);
        Ok(writer)
    }
}

fn report(writer: &LogWriter) {
    let (partition, offsets) = (writer.partition().clone(), writer.reader().offsets());
    if let Some(loss) = writer.loss() {
        writer.env.observe(|| Event::LogCut {
            partition: partition.clone(),
            end: loss.end,
            bytes: loss.bytes,
            reason: loss.reason.clone(),
        });
    }
    writer.env.observe(|| Event::LogLoaded {
        partition,
        start: offsets.start,
        end: offsets.end,
        clean: writer.clean,
    });
}
