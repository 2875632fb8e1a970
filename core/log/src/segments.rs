//! The segment table: what a log's segments hold, when the active one gives way to a new one, and which may go
//! (Kafka classes `LogSegment`, `LogSegments`, and the retention part of `UnifiedLog`).

use crate::batch::BatchMeta;
use crate::config::LogConfig;
use crate::format::offset_index;
use crate::format::time_index::{self, TimeEntry};
use ottla_types::{Offset, Time, Violation};
use ottla_wire::records::BatchHeader;

/// What the log remembers of a segment, so that no decision needs its files.
///
/// A segment's offsets lie in `[base, base + 2^31)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentState {
    /// Base offset; the names of its files.
    pub base: Offset,
    /// Bytes of batches; where the next one is written.
    pub size: u32,
    /// When it was created.
    pub created: Time,
    /// When it was last written; what age it has when no batch has a timestamp.
    pub modified: Time,
    /// Largest timestamp of the first batch, from which `segment.ms` counts; −1 for none.
    pub first_timestamp: i64,
    /// The largest timestamp so far and the last offset of its batch.
    pub max_timestamp: TimeEntry,
    /// Bytes appended since the last index entry.
    pub bytes_since_index: u32,
    /// Entries in the offset index.
    pub index_entries: u32,
    /// Entries in the time index.
    pub time_entries: u32,
    /// Last entry of the time index.
    pub last_time: TimeEntry,
}

/// Why the active segment gave way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RollReason {
    /// The batch would have made it larger than `segment.bytes`.
    Size,
    /// It was older than `segment.ms`.
    Time,
    /// An index had no room.
    IndexFull,
    /// The batch's offset could not be said relative to its base.
    OffsetOverflow,
    /// All segments were to be deleted, or somebody asked.
    Asked,
}

impl SegmentState {
    /// An empty segment.
    pub fn new(base: Offset, now: Time) -> Self {
        SegmentState {
            base,
            size: 0,
            created: now,
            modified: now,
            first_timestamp: -1,
            max_timestamp: TimeEntry::none(base),
            bytes_since_index: 0,
            index_entries: 0,
            time_entries: 0,
            last_time: TimeEntry::none(base),
        }
    }

    /// A segment of `size` bytes that is not read again, by its indexes. The time index of a closed segment ends with its
    /// largest timestamp; in one that was not closed, `recovery::SegmentScan` looks behind the last entry.
    pub fn loaded(base: Offset, size: u32, modified: Time, index: &[u8], time_index: &[u8]) -> Self {
        let index_entries = offset_index::valid_entries(index);
        let time_entries = time_index::valid_entries(time_index);
        let last_time = time_index::last(time_index, base, time_entries);
        SegmentState {
            size,
            max_timestamp: last_time,
            bytes_since_index: size.saturating_sub(last_position(index, base, index_entries)),
            index_entries: index_entries as u32,
            time_entries: time_entries as u32,
            last_time,
            ..SegmentState::new(base, modified)
        }
    }

    /// What is left of a loaded segment's index entries when it is cut at `offset`. `recovery::ScanConfig::cut` then finds the
    /// rest: its size, and the largest timestamp behind the last time index entry.
    #[must_use]
    pub fn cut_before(self, offset: Offset, index: &[u8], time_index: &[u8]) -> Self {
        let index_entries =
            offset_index::entries_below(index, self.base, self.index_entries as usize, offset);
        let time_entries =
            time_index::entries_below(time_index, self.base, self.time_entries as usize, offset);
        let last_time = time_index::last(time_index, self.base, time_entries);
        SegmentState {
            max_timestamp: last_time,
            last_time,
            bytes_since_index: self
                .size
                .saturating_sub(last_position(index, self.base, index_entries)),
            index_entries: index_entries as u32,
            time_entries: time_entries as u32,
            ..self
        }
    }

    /// Learns from the header of its first batch when time-based rolling begins to count. A scan from byte 0 does it too.
    pub fn read_first_batch(&mut self, header: &[u8]) {
        if let Some(header) = BatchHeader::parse(header) {
            self.first_timestamp = header.max_timestamp;
        }
    }

    /// Whether the batch needs a new segment, and why (`LogSegment.shouldRoll`).
    pub fn should_roll(&self, cfg: &LogConfig, batch: &BatchMeta, now: Time) -> Option<RollReason> {
        if u64::from(self.size) + u64::from(batch.size) > u64::from(cfg.segment_bytes) {
            return Some(RollReason::Size);
        }
        let waited = if self.first_timestamp >= 0 {
            batch.max_timestamp.saturating_sub(self.first_timestamp)
        } else {
            now.as_millis().saturating_sub(self.created.as_millis())
        };
        let allowed = cfg.segment_ms.saturating_sub(cfg.segment_jitter_ms);
        if self.size > 0 && waited > i64::try_from(allowed).unwrap_or(i64::MAX) {
            return Some(RollReason::Time);
        }
        if self.indexes_full(cfg) {
            return Some(RollReason::IndexFull);
        }
        (!self.holds(batch.last_offset)).then_some(RollReason::OffsetOverflow)
    }

    /// The last slot of the time index is kept for the entry that closing the segment writes.
    fn indexes_full(&self, cfg: &LogConfig) -> bool {
        self.index_entries >= cfg.max_index_entries()
            || self.time_entries >= cfg.max_time_entries().saturating_sub(1)
    }

    /// Whether the index can name this offset.
    pub fn holds(&self, offset: Offset) -> bool {
        (0..=i64::from(i32::MAX)).contains(&offset.saturating_sub(self.base))
    }

    /// The time index entry that closing the segment writes, if there is anything new to say.
    pub fn closing_time_entry(&self) -> Option<TimeEntry> {
        (self.max_timestamp.timestamp > self.last_time.timestamp).then_some(self.max_timestamp)
    }

    /// The timestamp that retention goes by: the largest of its batches, or when it was last written.
    pub fn retention_timestamp(&self) -> i64 {
        if self.max_timestamp.timestamp >= 0 {
            self.max_timestamp.timestamp
        } else {
            self.modified.as_millis()
        }
    }

    /// Takes a batch in at the end. Returns whether an index entry is due before it (the offset index's position is that
    /// of this batch), and whether the time index gets one too.
    pub(crate) fn append(&mut self, index_interval_bytes: u32, batch: &BatchMeta, now: Time) -> (bool, bool) {
        if self.size == 0 {
            self.first_timestamp = batch.max_timestamp;
        }
        if batch.max_timestamp > self.max_timestamp.timestamp {
            self.max_timestamp = TimeEntry {
                timestamp: batch.max_timestamp,
                offset: batch.last_offset,
            };
        }
        let due = self.bytes_since_index > index_interval_bytes;
        let mut time_due = false;
        if due {
            self.index_entries += 1;
            self.bytes_since_index = 0;
            time_due = self.closing_time_entry().is_some();
            if time_due {
                self.time_entries += 1;
                self.last_time = self.max_timestamp;
            }
        }
        self.bytes_since_index = self.bytes_since_index.saturating_add(batch.size);
        self.size = self.size.saturating_add(batch.size);
        self.modified = now;
        (due, time_due)
    }
}

/// Where the batch of the last of `entries` index entries begins.
fn last_position(index: &[u8], base: Offset, entries: usize) -> u32 {
    entries
        .checked_sub(1)
        .and_then(|n| offset_index::entry(index, base, n))
        .map_or(0, |e| e.position)
}

/// The segments, oldest first. There is always one: the last, which is active.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segments {
    list: Vec<SegmentState>,
}

impl Segments {
    /// From segments in any order; an empty one at `start` if there are none.
    pub fn new(mut list: Vec<SegmentState>, start: Offset, now: Time) -> Self {
        list.sort_by_key(|s| s.base);
        if list.is_empty() {
            list.push(SegmentState::new(start, now));
        }
        Segments { list }
    }

    /// All, oldest first.
    pub fn list(&self) -> &[SegmentState] {
        &self.list
    }

    /// The one that takes batches. `Err` would mean the table is empty, which it never is.
    pub fn active(&self) -> Result<&SegmentState, Violation> {
        self.list.last().ok_or_else(none_left)
    }

    pub(crate) fn active_mut(&mut self) -> Result<&mut SegmentState, Violation> {
        self.list.last_mut().ok_or_else(none_left)
    }

    /// The segment that holds `offset`: the last whose base is at most `offset`.
    pub fn containing(&self, offset: Offset) -> Option<&SegmentState> {
        let above = self.list.partition_point(|s| s.base <= offset);
        above.checked_sub(1).and_then(|i| self.list.get(i))
    }

    /// The segment after the one that begins at `base`.
    pub fn after(&self, base: Offset) -> Option<&SegmentState> {
        self.list.get(self.list.partition_point(|s| s.base <= base))
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.list.iter().map(|s| u64::from(s.size)).sum()
    }

    pub(crate) fn push(&mut self, segment: SegmentState) {
        self.list.push(segment);
    }

    /// Where `sources` lie one behind the other, if they are there, unchanged and closed.
    pub(crate) fn find_run(&self, sources: &[SegmentState]) -> Option<std::ops::Range<usize>> {
        let first = sources.first()?;
        let at = self.list.partition_point(|s| s.base < first.base);
        let end = at.saturating_add(sources.len());
        (end < self.list.len() && self.list.get(at..end) == Some(sources)).then_some(at..end)
    }

    /// Puts `cleaned` in the place of `sources`, if they are there, unchanged and closed, and it begins where they do.
    pub(crate) fn swap(&mut self, sources: &[SegmentState], cleaned: SegmentState) -> bool {
        let fits = sources.first().is_some_and(|s| s.base == cleaned.base);
        let run = self.find_run(sources).filter(|_| fits);
        if let Some(run) = run.clone() {
            self.list.splice(run, [cleaned]);
        }
        run.is_some()
    }

    /// Takes the first `count` out.
    pub(crate) fn remove_oldest(&mut self, count: usize) -> impl Iterator<Item = SegmentState> + '_ {
        let count = count.min(self.list.len());
        self.list.drain(..count)
    }

    /// Takes out every segment that begins at `offset` or later.
    pub(crate) fn remove_from(&mut self, offset: Offset) -> impl Iterator<Item = SegmentState> + '_ {
        let first = self.list.partition_point(|s| s.base < offset);
        self.list.drain(first..)
    }

    /// How many of the oldest segments retention may delete, and by which rule; at most those that lie wholly below the high
    /// watermark, and never an empty active one.
    pub(crate) fn expired(&self, cfg: &LogConfig, bounds: &RetentionBounds, rule: RetentionRule) -> usize {
        let mut excess = cfg
            .retention_bytes
            .and_then(|limit| self.size().checked_sub(limit));
        let mut count = 0;
        for (i, segment) in self.list.iter().enumerate() {
            let next = self.list.get(i + 1);
            let upper = next.map_or(bounds.end, |n| n.base);
            let empty_active = next.is_none() && segment.size == 0;
            let due = match rule {
                RetentionRule::LogStart => next.is_some_and(|n| n.base <= bounds.start),
                RetentionRule::Size => excess.is_some_and(|excess| excess >= u64::from(segment.size)),
                RetentionRule::Time => cfg.retention_ms.is_some_and(|limit| {
                    let age = bounds
                        .now
                        .as_millis()
                        .saturating_sub(segment.retention_timestamp());
                    age > i64::try_from(limit).unwrap_or(i64::MAX)
                }),
            };
            if !due || upper > bounds.high_watermark || empty_active {
                break;
            }
            excess = excess.map(|excess| excess.saturating_sub(u64::from(segment.size)));
            count += 1;
        }
        count
    }

    /// Bases ascend strictly, and the last lies at or below the log's end.
    pub fn check(&self, end: Offset) -> Result<(), Violation> {
        for pair in self.list.windows(2) {
            if let [a, b] = pair
                && a.base >= b.base
            {
                return Err(Violation::new(
                    "segments ascend",
                    format!("base {} before {}", a.base, b.base),
                ));
            }
        }
        let active = self.active()?;
        if active.base > end {
            let detail = format!("active segment begins at {}, log ends at {end}", active.base);
            return Err(Violation::new("the active segment holds the log end", detail));
        }
        Ok(())
    }
}

fn none_left() -> Violation {
    Violation::new("a log has a segment", "at least one expected, none found")
}

/// Why retention deletes a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetentionRule {
    /// It lies below the log's start.
    LogStart,
    /// `retention.bytes`.
    Size,
    /// `retention.ms`.
    Time,
}

/// The log's numbers that bound retention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionBounds {
    pub start: Offset,
    pub end: Offset,
    pub high_watermark: Offset,
    pub now: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: Offset, last_offset: Offset, size: u32, max_timestamp: i64) -> BatchMeta {
        BatchMeta {
            base_offset,
            last_offset,
            size,
            max_timestamp,
            leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 1,
            is_transactional: false,
            is_control: false,
            control: None,
        }
    }

    fn cfg() -> LogConfig {
        LogConfig {
            segment_bytes: 1000,
            segment_ms: 500,
            segment_jitter_ms: 100,
            ..LogConfig::default()
        }
    }

    #[test]
    fn a_segment_rolls_for_kafkas_reasons() {
        let cfg = cfg();
        let mut segment = SegmentState::new(100, Time(1000));
        let roll = |s: &SegmentState, b: BatchMeta, now| s.should_roll(&cfg, &b, Time(now));
        assert_eq!(
            roll(&segment, batch(100, 100, 1000, 0), 9_999),
            None,
            "an empty one waits for ever"
        );
        segment.append(4096, &batch(100, 100, 600, 2000), Time(1000));
        assert_eq!(roll(&segment, batch(101, 101, 400, 2000), 0), None);
        assert_eq!(
            roll(&segment, batch(101, 101, 401, 2000), 0),
            Some(RollReason::Size)
        );
        // By the first batch's timestamp, less the jitter.
        assert_eq!(roll(&segment, batch(101, 101, 1, 2400), 0), None);
        assert_eq!(
            roll(&segment, batch(101, 101, 1, 2401), 0),
            Some(RollReason::Time)
        );
        // Without timestamps, by the wall clock since it was created.
        let untimed = SegmentState {
            first_timestamp: -1,
            ..segment
        };
        assert_eq!(roll(&untimed, batch(101, 101, 1, -1), 1400), None);
        assert_eq!(
            roll(&untimed, batch(101, 101, 1, -1), 1401),
            Some(RollReason::Time)
        );
        let last = 100 + i64::from(i32::MAX);
        assert_eq!(roll(&segment, batch(last, last, 1, 2000), 0), None);
        assert_eq!(
            roll(&segment, batch(last, last + 1, 1, 2000), 0),
            Some(RollReason::OffsetOverflow)
        );
        let small = LogConfig {
            index_bytes: 24,
            ..cfg.clone()
        };
        let full = |index_entries, time_entries| {
            SegmentState {
                index_entries,
                time_entries,
                ..segment
            }
            .should_roll(&small, &batch(101, 101, 1, 2000), Time(0))
        };
        assert_eq!(full(2, 0), None);
        assert_eq!(full(3, 0), Some(RollReason::IndexFull));
        assert_eq!(
            full(0, 1),
            Some(RollReason::IndexFull),
            "the last time entry is kept for closing"
        );
    }

    #[test]
    fn index_entries_come_after_the_interval() {
        let mut segment = SegmentState::new(0, Time(0));
        let append =
            |s: &mut SegmentState, at, timestamp| s.append(100, &batch(at, at, 60, timestamp), Time(0));
        assert_eq!(
            append(&mut segment, 0, 50),
            (false, false),
            "the first batch has no entry"
        );
        assert_eq!(append(&mut segment, 1, 40), (false, false));
        assert_eq!(
            append(&mut segment, 2, 30),
            (true, true),
            "120 bytes since the last"
        );
        assert_eq!(
            segment.last_time,
            TimeEntry {
                timestamp: 50,
                offset: 0
            }
        );
        assert_eq!(append(&mut segment, 3, 50), (false, false));
        assert_eq!(append(&mut segment, 4, 50), (true, false), "no larger timestamp");
        assert_eq!(segment.closing_time_entry(), None);
        append(&mut segment, 5, 51);
        assert_eq!(
            segment.closing_time_entry(),
            Some(TimeEntry {
                timestamp: 51,
                offset: 5
            })
        );
    }

    /// Three segments of 400, 300 and 200 bytes, from 0, 10 and 20 to 25, with timestamps 100, 200 and 300.
    fn table() -> Segments {
        let list = [(0, 400, 100), (10, 300, 200), (20, 200, 300)];
        let make = |(base, size, timestamp)| SegmentState {
            size,
            max_timestamp: TimeEntry {
                timestamp,
                offset: base,
            },
            ..SegmentState::new(base, Time(0))
        };
        Segments::new(list.into_iter().rev().map(make).collect(), 0, Time(0))
    }

    #[test]
    fn retention_goes_by_start_size_and_age_below_the_high_watermark() {
        let bounds = RetentionBounds {
            start: 0,
            end: 25,
            high_watermark: 25,
            now: Time(1000),
        };
        let size = |limit, bounds| {
            let cfg = LogConfig {
                retention_bytes: Some(limit),
                ..LogConfig::default()
            };
            table().expired(&cfg, &bounds, RetentionRule::Size)
        };
        let by_size: Vec<usize> = [901, 501, 500, 201, 200, 1, 0]
            .into_iter()
            .map(|limit| size(limit, bounds))
            .collect();
        assert_eq!(
            by_size,
            [0, 0, 1, 1, 2, 2, 3],
            "a segment goes when what is left still reaches the limit"
        );
        assert_eq!(
            size(
                0,
                RetentionBounds {
                    high_watermark: 19,
                    ..bounds
                }
            ),
            1,
            "the second ends at 20"
        );

        let age = |limit, bounds| {
            let cfg = LogConfig {
                retention_ms: limit,
                ..LogConfig::default()
            };
            table().expired(&cfg, &bounds, RetentionRule::Time)
        };
        let by_age: Vec<usize> = [900, 899, 799, 699]
            .into_iter()
            .map(|limit| age(Some(limit), bounds))
            .collect();
        assert_eq!(by_age, [0, 1, 2, 3]);
        assert_eq!(age(None, bounds), 0);

        let start = |start| {
            table().expired(
                &LogConfig::default(),
                &RetentionBounds { start, ..bounds },
                RetentionRule::LogStart,
            )
        };
        assert_eq!(
            [start(9), start(10), start(24), start(25)],
            [0, 1, 2, 2],
            "the active one has no segment above it"
        );
    }

    #[test]
    fn a_segment_is_found_by_offset() {
        let table = table();
        let base = |offset| table.containing(offset).map(|s| s.base);
        assert_eq!(
            [base(-1), base(0), base(9), base(10), base(99)],
            [None, Some(0), Some(0), Some(10), Some(20)]
        );
        assert_eq!(table.after(0).map(|s| s.base), Some(10));
        assert_eq!(table.after(20), None);
        assert_eq!((table.size(), table.active().map(|s| s.base)), (900, Ok(20)));
        assert!(table.check(19).is_err() && table.check(20).is_ok());
    }
}
