//! Batches to append, and a store in memory that carries a log's effects out, for the property tests.

pub use ottla_fuzz_checks::batches::{data_batch, marker_batch};
use ottla_log::format::{offset_index, time_index, txn_index};
use ottla_log::recovery::{
    Carried, Check, ScanConfig, SegmentReport, SegmentScan, Verdict, judge, plan, scan_segment,
};
use ottla_log::*;
use ottla_types::{Time, Violation};
use ottla_wire::records::{BatchRef, EndTxnMarker, patch};

use std::collections::BTreeMap;

/// What the log is told of a batch.
pub fn meta(bytes: &[u8]) -> BatchMeta {
    let batch = BatchRef::first(bytes).expect("a batch");
    let control = batch.header().attributes.is_control().then(|| {
        let record = batch.records().next().expect("a record").expect("readable");
        let marker = EndTxnMarker::from_record(record.key.expect("key"), record.value.expect("value"));
        EndTxn::from(marker.expect("a marker"))
    });
    BatchMeta::from_header(batch.header(), control)
}

/// One segment's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub log: Vec<u8>,
    pub index: Vec<u8>,
    pub time: Vec<u8>,
    pub txn: Vec<u8>,
}

/// A log's folder in memory.
#[derive(Debug, Clone, Default)]
pub struct TinyStore {
    pub segments: BTreeMap<i64, Files>,
    pub snapshots: BTreeMap<i64, Vec<u8>>,
    pub epochs: EpochCache,
    pub recovery_point: i64,
    pub start: i64,
}

impl TinyStore {
    /// Carries out effects; `bytes` are those of the one batch among them.
    pub fn apply(&mut self, log: &Log, effects: &mut Vec<Effect>, bytes: &[u8]) {
        for effect in effects.drain(..) {
            match effect {
                Effect::EpochsChanged => self.epochs = log.epochs().clone(),
                Effect::RecoveryPointLowered { offset } => {
                    self.recovery_point = self.recovery_point.min(offset)
                }
                Effect::CloseSegment { segment, size, .. } => {
                    assert_eq!(self.file(segment).log.len(), size as usize)
                }
                Effect::ProducerSnapshot { offset, bytes } => {
                    self.snapshots.insert(offset, bytes);
                }
                Effect::OpenSegment { base } => {
                    assert!(
                        self.segments.insert(base, Files::default()).is_none(),
                        "segment {base} is new"
                    );
                }
                Effect::Write {
                    segment,
                    position,
                    size,
                    base_offset,
                    last_offset,
                } => {
                    let mut batch = bytes.to_vec();
                    patch::base_offset(&mut batch, base_offset).expect("patch");
                    patch::leader_epoch(&mut batch, log.epochs().latest().expect("an epoch").epoch)
                        .expect("patch");
                    assert_eq!(batch.len(), size as usize);
                    assert_eq!(meta(&batch).last_offset, last_offset);
                    assert_eq!(
                        self.segments.keys().last(),
                        Some(&segment),
                        "writes go to the newest segment"
                    );
                    let file = self.file(segment);
                    assert_eq!(file.log.len(), position as usize);
                    file.log.extend(batch);
                }
                Effect::IndexEntry { segment, entry } => {
                    self.file(segment).index.extend(entry.to_bytes(segment))
                }
                Effect::TimeIndexEntry { segment, entry } => {
                    self.file(segment).time.extend(entry.to_bytes(segment))
                }
                Effect::AbortedTxn { segment, entry } => self.file(segment).txn.extend(entry.to_bytes()),
                Effect::DeleteSegment { segment } => {
                    self.segments.remove(&segment).expect("it exists");
                    self.snapshots.remove(&segment);
                }
                Effect::DeleteSnapshotsAbove { offset } => self.snapshots.retain(|at, _| *at <= offset),
                Effect::TruncateSegment {
                    segment,
                    size,
                    index_entries,
                    time_entries,
                    end,
                } => {
                    let file = self.file(segment);
                    file.log.truncate(size as usize);
                    file.index
                        .truncate(index_entries as usize * offset_index::ENTRY_SIZE);
                    file.time.truncate(time_entries as usize * time_index::ENTRY_SIZE);
                    let keep = txn_index::bytes_below(&file.txn, end);
                    file.txn.truncate(keep);
                }
                Effect::StartMoved { offset, .. } => self.start = offset,
                Effect::Flush { .. } | Effect::HighWatermarkMoved { .. } | Effect::LastStableMoved { .. } => {
                }
            }
        }
    }

    fn file(&mut self, segment: i64) -> &mut Files {
        self.segments.get_mut(&segment).expect("the segment exists")
    }

    /// The producer table at the newest snapshot that is at most `offset`.
    fn producers_before(&self, offset: i64) -> Producers {
        match self.snapshots.range(..=offset).next_back() {
            Some((at, bytes)) => {
                Producers::from_snapshot(*at, bytes, Time(0), u64::MAX).expect("own snapshot")
            }
            None => Producers::new(self.segments.keys().next().copied().unwrap_or(0)),
        }
    }

    /// What a truncation to `offset` needs, as the store finds it out.
    pub fn truncation(&self, cfg: &LogConfig, log: &Log, offset: i64) -> Option<Truncation> {
        let kept = *log.segment_to_cut(offset)?;
        let mut carried = Carried::new(EpochCache::default(), self.producers_before(offset));
        let begin = carried.producers.end().min(kept.base);
        let mut report = None;
        let first = self
            .segments
            .range(..=begin)
            .next_back()
            .map_or(kept.base, |(base, _)| *base);
        for (base, files) in self.segments.range(first..=kept.base) {
            let mut state =
                SegmentState::loaded(*base, files.log.len() as u32, Time(0), &files.index, &files.time);
            let mut scan_cfg = ScanConfig::replay(cfg);
            if *base == kept.base {
                scan_cfg = ScanConfig::cut(cfg, offset);
                state = state.cut_before(offset, &files.index, &files.time);
            }
            let scan = SegmentScan::new(scan_cfg, state, files.log.len() as u64, 0, carried);
            let found = scan_segment(scan, &mut files.log.as_slice(), &mut [0; 100]).expect("scan");
            assert_eq!(found.cut, None);
            carried = found.carried.clone();
            report = Some(found);
        }
        let SegmentReport {
            state, end, carried, ..
        } = report?;
        Some(Truncation {
            end,
            segment: SegmentState {
                created: kept.created,
                ..state
            },
            producers: carried.producers,
        })
    }

    /// A start after a crash (or a clean stop): the log as it is found, repaired on the way.
    pub fn recover(&mut self, cfg: &LogConfig, clean: bool, high_watermark: i64) -> Result<Log, Verdict> {
        let bases: Vec<i64> = self.segments.keys().copied().collect();
        let checks: Vec<(i64, Check)> = plan(&bases, self.recovery_point, clean).collect();
        let first_full = checks
            .iter()
            .find(|(_, c)| *c == Check::Full)
            .map_or(i64::MAX, |(base, _)| *base);
        let snapshot_at = if clean { i64::MAX } else { first_full };
        let mut carried = Carried::new(self.epochs.clone(), self.producers_before(snapshot_at));
        let mut states = Vec::new();
        let mut end = self.start;
        for (i, (base, check)) in checks.iter().enumerate() {
            let file = self.segments.get_mut(base).expect("listed");
            let full = *check == Check::Full;
            let (state, scan_cfg) = match full {
                true => (
                    SegmentState::new(*base, Time(0)),
                    ScanConfig::recover(cfg, self.recovery_point),
                ),
                false => {
                    let (size, index, time) = (file.log.len() as u32, &file.index, &file.time);
                    (
                        SegmentState::loaded(*base, size, Time(0), index, time),
                        ScanConfig::replay(cfg),
                    )
                }
            };
            let scan = SegmentScan::new(scan_cfg, state, file.log.len() as u64, 0, carried);
            let report = scan_segment(scan, &mut file.log.as_slice(), &mut [0; 64]).expect("scan");
            let verdict = judge(&report, self.recovery_point, i + 1 == checks.len());
            if let Verdict::Corrupt(_) = verdict {
                return Err(verdict);
            }
            file.log.truncate(report.state.size as usize);
            if full {
                file.index = report.index;
                file.time = report.time_index;
                file.txn = report.txn_index;
            }
            end = report.end;
            carried = report.carried;
            states.push(report.state);
            if verdict == Verdict::EndsHere {
                self.segments.retain(|b, _| b <= base);
                break;
            }
        }
        self.snapshots.retain(|at, _| *at <= end);
        let found = Recovered {
            segments: states,
            epochs: carried.epochs,
            producers: carried.producers,
            start: self.start,
            end,
            high_watermark,
            recovery_point: self.recovery_point,
        };
        let mut out = Vec::new();
        let log = Log::recover(found, Time(0), &mut out).expect("no violation");
        self.apply(&log, &mut out, &[]);
        Ok(log)
    }
}

/// For `?` in tests.
pub fn violation(error: LogError) -> Option<Violation> {
    match error {
        LogError::Violation(violation) => Some(violation),
        LogError::Append(_) | LogError::OffsetOutOfRange { .. } => None,
    }
}
