//! What is due: the clean, the dirty and the uncleanable part of a log, by Kafka's ratio and lags (`LogCleanerManager`, `LogToClean`;
//! KIP-58 for `min.compaction.lag.ms`, KIP-354 for `max.compaction.lag.ms`), and which segments become one (`groupSegmentsBySize`).

use crate::format::{offset_index, time_index};
use crate::log::Log;
use crate::segments::SegmentState;
use ottla_types::{Offset, Time};

/// A topic's settings that the cleaner goes by. The defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanConfig {
    /// `min.cleanable.dirty.ratio`: a log is due when more than this part of it is dirty.
    pub min_cleanable_ratio: f64,
    /// `min.compaction.lag.ms`: what is younger is not cleaned.
    pub min_lag_ms: u64,
    /// `max.compaction.lag.ms`: a log whose oldest dirty batch is older is due whatever the ratio. `None` stands for Kafka's largest.
    pub max_lag_ms: Option<u64>,
    /// `delete.retention.ms`: how long tombstones and markers stay once they are clean.
    pub delete_retention_ms: u64,
}

impl Default for CleanConfig {
    fn default() -> Self {
        CleanConfig {
            min_cleanable_ratio: 0.5,
            min_lag_ms: 0,
            max_lag_ms: None,
            delete_retention_ms: 24 * 3_600_000,
        }
    }
}

/// A log as the cleaner sees it.
#[derive(Debug, Clone, Copy)]
pub struct Extent<'a> {
    /// Its segments, oldest first; the last is active.
    pub segments: &'a [SegmentState],
    /// The first readable offset.
    pub start: Offset,
    /// Everything below it is replicated and decided.
    pub last_stable: Offset,
    /// The next offset to be given.
    pub end: Offset,
}

impl<'a> From<&'a Log> for Extent<'a> {
    fn from(log: &'a Log) -> Self {
        Extent {
            segments: log.segments().list(),
            start: log.start(),
            last_stable: log.last_stable_offset(),
            end: log.end(),
        }
    }
}

/// The parts of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Everything below it was cleaned before.
    pub first_dirty: Offset,
    /// Where a segment begins that no round may touch yet; everything below lies in whole segments, is replicated and decided.
    pub first_uncleanable: Offset,
    /// Bytes of the segments that begin below [`Range::first_dirty`].
    pub clean_bytes: u64,
    /// Bytes of the segments that a round would read keys from.
    pub cleanable_bytes: u64,
    /// How long ago `max.compaction.lag.ms` ran out; 0 if it has not.
    pub overdue_ms: u64,
    /// The checkpoint (`cleaner-offset-checkpoint`) names an offset that the log has not; [`Range::first_dirty`] is to replace it.
    pub checkpoint_is_stale: bool,
}

impl Range {
    /// The parts of `log`, of which everything below `checkpoint` was cleaned.
    pub fn of(log: Extent<'_>, checkpoint: Option<Offset>, cfg: &CleanConfig, now: Time) -> Self {
        let named = checkpoint.unwrap_or(log.start);
        let stale = named < log.start || named > log.end;
        let first_dirty = if stale { log.start } else { named };
        let first_uncleanable = first_uncleanable(&log, first_dirty, cfg, now);
        let size = |segments: &[SegmentState]| segments.iter().map(|s| u64::from(s.size)).sum();
        let dirty = spanning(
            log.segments,
            first_dirty.min(first_uncleanable),
            first_uncleanable,
        );
        let clean = log.segments.partition_point(|s| s.base < first_dirty);
        Range {
            first_dirty,
            first_uncleanable,
            clean_bytes: size(log.segments.get(..clean).unwrap_or_default()),
            cleanable_bytes: size(dirty),
            overdue_ms: overdue(&log, first_dirty, cfg, now),
            checkpoint_is_stale: stale,
        }
    }

    /// Part of the log that is dirty (`LogToClean.cleanableRatio`), from 0 to 1: the dirtiest log goes first.
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes.saturating_add(self.cleanable_bytes);
        if total == 0 {
            0.0
        } else {
            self.cleanable_bytes as f64 / total as f64
        }
    }

    /// Whether a round is due.
    pub fn is_due(&self, cfg: &CleanConfig) -> bool {
        self.cleanable_bytes > 0 && (self.overdue_ms > 0 || self.ratio() > cfg.min_cleanable_ratio)
    }
}

/// The segments with offsets in `[from, to)`: as in Kafka's `LogSegments.values`, the one that holds `from` is the first.
fn spanning(segments: &[SegmentState], from: Offset, to: Offset) -> &[SegmentState] {
    let first = segments.partition_point(|s| s.base <= from).saturating_sub(1);
    let end = segments.partition_point(|s| s.base < to);
    segments.get(first..end).unwrap_or_default()
}

/// The base of the first segment that is active, holds something undecided, or is too young.
fn first_uncleanable(log: &Extent<'_>, first_dirty: Offset, cfg: &CleanConfig, now: Time) -> Offset {
    let active = log.segments.last().map_or(log.start, |s| s.base);
    let mut limit = log.last_stable.min(active);
    if cfg.min_lag_ms > 0 {
        let newest = now
            .as_millis()
            .saturating_sub(i64::try_from(cfg.min_lag_ms).unwrap_or(i64::MAX));
        let young = spanning(log.segments, first_dirty, active)
            .iter()
            .find(|s| s.retention_timestamp() > newest);
        limit = young.map_or(limit, |s| limit.min(s.base));
    }
    let holding = spanning(log.segments, limit, Offset::MAX).first();
    holding.map_or(limit, |s| s.base.min(limit))
}

/// How long the oldest dirty batch has been waiting beyond `max.compaction.lag.ms`.
fn overdue(log: &Extent<'_>, first_dirty: Offset, cfg: &CleanConfig, now: Time) -> u64 {
    let active = log.segments.last().map_or(log.start, |s| s.base);
    let oldest = spanning(log.segments, first_dirty, active)
        .iter()
        .map(|s| s.first_timestamp)
        .filter(|at| *at > 0)
        .min();
    let lag = cfg.max_lag_ms.and_then(|lag| i64::try_from(lag).ok());
    match (oldest, lag) {
        (Some(oldest), Some(lag)) => {
            let waited = now.as_millis().saturating_sub(lag).saturating_sub(oldest);
            u64::try_from(waited).unwrap_or(0)
        }
        _ => 0,
    }
}

/// The segments that a round cleans, those that begin below `end`, as runs of neighbours that become one segment each: no run has more
/// bytes than `segment_bytes` or more index than `index_bytes`, nor offsets that its first base can't be an int32 away from.
pub fn group(
    segments: &[SegmentState],
    end: Offset,
    first_uncleanable: Offset,
    segment_bytes: u32,
    index_bytes: u32,
) -> Vec<std::ops::Range<usize>> {
    let count = segments.partition_point(|s| s.base < end.min(first_uncleanable));
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut total = Totals::default();
    for (i, segment) in segments.iter().take(count).enumerate() {
        let next = segments.get(i + 1).filter(|_| i + 1 < count);
        let last = next.map_or(first_uncleanable, |n| n.base).saturating_sub(1);
        let with = total.plus(segment);
        match groups.last_mut() {
            Some(group)
                if with.fit(segment_bytes, index_bytes)
                    && segments.get(group.start).is_some_and(|first| first.holds(last)) =>
            {
                group.end = i + 1;
                total = with;
            }
            _ => {
                groups.push(i..i + 1);
                total = Totals::default().plus(segment);
            }
        }
    }
    groups
}

/// What a group amounts to.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    log: u64,
    index: u64,
    time_index: u64,
}

impl Totals {
    fn plus(self, segment: &SegmentState) -> Self {
        let entries = |count: u32, size: usize| u64::from(count) * size as u64;
        Totals {
            log: self.log + u64::from(segment.size),
            index: self.index + entries(segment.index_entries, offset_index::ENTRY_SIZE),
            time_index: self.time_index + entries(segment.time_entries, time_index::ENTRY_SIZE),
        }
    }

    fn fit(self, segment_bytes: u32, index_bytes: u32) -> bool {
        let limit = u64::from(index_bytes);
        self.log <= u64::from(segment_bytes) && self.index <= limit && self.time_index <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::time_index::TimeEntry;

    /// Segments of 100 bytes and ten offsets each, a second apart.
    fn segments(count: i64) -> Vec<SegmentState> {
        let one = |n: i64| SegmentState {
            size: 100,
            first_timestamp: 1000 * n + 1,
            max_timestamp: TimeEntry {
                timestamp: 1000 * n + 900,
                offset: 10 * n + 9,
            },
            index_entries: 2,
            time_entries: 1,
            ..SegmentState::new(10 * n, Time(0))
        };
        (0..count).map(one).collect()
    }

    fn extent(segments: &[SegmentState], start: Offset, last_stable: Offset) -> Extent<'_> {
        let end = 10 * segments.len() as i64;
        Extent {
            segments,
            start,
            last_stable,
            end,
        }
    }

    #[test]
    fn what_is_undecided_active_or_young_is_out_of_reach() {
        let list = segments(5);
        let cfg = CleanConfig::default();
        let uncleanable = |last_stable, cfg: &CleanConfig| {
            Range::of(extent(&list, 0, last_stable), None, cfg, Time(4000)).first_uncleanable
        };
        // Whole segments below the last stable offset, and never the active one.
        let by_stable: Vec<i64> = [0, 9, 10, 39, 40, 50].map(|at| uncleanable(at, &cfg)).to_vec();
        assert_eq!(by_stable, [0, 0, 10, 30, 40, 40]);
        // The youngest timestamps are 900, 1900, 2900, 3900.
        let by_lag = |ms| {
            let cfg = CleanConfig {
                min_lag_ms: ms,
                ..cfg
            };
            uncleanable(50, &cfg)
        };
        assert_eq!(
            [99, 100, 101, 2100, 2101, 9999].map(by_lag),
            [40, 40, 30, 20, 10, 0]
        );
    }

    #[test]
    fn ratio_and_lag_say_what_is_due() {
        let list = segments(5);
        let cfg = CleanConfig::default();
        let range =
            |checkpoint, cfg: &CleanConfig| Range::of(extent(&list, 0, 50), checkpoint, cfg, Time(4000));
        let all = range(None, &cfg);
        assert_eq!((all.clean_bytes, all.cleanable_bytes, all.ratio()), (0, 400, 1.0));
        assert!(all.is_due(&cfg));
        // Half is not more than half.
        assert_eq!(
            (range(Some(20), &cfg).ratio(), range(Some(20), &cfg).is_due(&cfg)),
            (0.5, false)
        );
        let none = range(Some(40), &cfg);
        assert_eq!((none.cleanable_bytes, none.is_due(&cfg)), (0, false));
        // The oldest dirty batch, from 2001, is 1999 old.
        let by_lag = |ms| {
            let cfg = CleanConfig {
                max_lag_ms: Some(ms),
                ..cfg
            };
            let range = range(Some(20), &cfg);
            (range.overdue_ms, range.is_due(&cfg))
        };
        assert_eq!([by_lag(1999), by_lag(1998)], [(0, false), (1, true)]);
    }

    #[test]
    fn a_checkpoint_that_the_log_has_not_is_replaced() {
        let list = segments(5);
        let at = |start, checkpoint| {
            let range = Range::of(
                extent(&list, start, 50),
                Some(checkpoint),
                &CleanConfig::default(),
                Time(0),
            );
            (range.first_dirty, range.checkpoint_is_stale)
        };
        assert_eq!(
            [at(15, 14), at(15, 15), at(0, 50), at(0, 51)],
            [(15, true), (15, false), (50, false), (0, true)]
        );
    }

    #[test]
    fn groups_fit_a_segment_and_its_index() {
        let list = segments(6);
        let sizes = |segment_bytes, index_bytes, end| -> Vec<usize> {
            let groups = group(&list, end, 50, segment_bytes, index_bytes);
            groups.into_iter().map(|g| g.len()).collect()
        };
        assert_eq!(sizes(1000, 1000, 50), [5], "the active one stays out");
        assert_eq!(sizes(299, 1000, 50), [2, 2, 1]);
        assert_eq!(
            sizes(1000, 32, 50),
            [2, 2, 1],
            "two index entries of 8 bytes each"
        );
        assert_eq!(sizes(1000, 1000, 11), [2], "where the map ends in a segment");
        assert_eq!(sizes(1000, 1000, 0), Vec::<usize>::new());
        assert_eq!(sizes(1, 1, 50), [1; 5], "one that is too large stays alone");
        let far = [
            SegmentState::new(0, Time(0)),
            SegmentState::new(5, Time(0)),
            SegmentState::new(1 << 31, Time(0)),
        ];
        let count = |uncleanable| group(&far, uncleanable, uncleanable, 1000, 1000).len();
        assert_eq!((count(1 << 31), count((1 << 31) + 1)), (1, 2));
    }
}
