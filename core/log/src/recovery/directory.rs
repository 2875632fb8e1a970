//! A log's segments together: which are read, and what a damage means.

use super::report::{Damage, SegmentReport};
use crate::format::{CorruptIndex, offset_index, time_index, txn_index};
use ottla_types::Offset;
use std::fmt;

/// How a segment is checked at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// Its batches were flushed, or the stop was clean: see that its indexes can be ([`sanity_check`]); one that is missing
    /// or can't be is rebuilt by a full scan.
    Indexes,
    /// All its batches are read and its indexes rebuilt.
    Full,
}

/// How each segment is checked. `bases` ascend. After a stop that was not clean, the segment that holds the recovery point
/// and all above it are read.
pub fn plan(
    bases: &[Offset],
    recovery_point: Offset,
    clean: bool,
) -> impl Iterator<Item = (Offset, Check)> + '_ {
    bases.iter().enumerate().map(move |(i, base)| {
        let flushed = bases.get(i + 1).is_some_and(|next| *next <= recovery_point);
        (
            *base,
            if clean || flushed {
                Check::Indexes
            } else {
                Check::Full
            },
        )
    })
}

/// Whether a segment's indexes can be what they say. A transaction index that does not exist is empty; `None` for one of the
/// others is a missing file.
pub fn sanity_check(
    base: Offset,
    size: u64,
    index: Option<&[u8]>,
    time: Option<&[u8]>,
    txn: &[u8],
) -> Result<(), CorruptIndex> {
    let missing = |entry| CorruptIndex::Missing { entry };
    offset_index::sanity_check(index.ok_or(missing(offset_index::ENTRY_SIZE))?, base, size)?;
    time_index::sanity_check(time.ok_or(missing(time_index::ENTRY_SIZE))?, base)?;
    txn_index::sanity_check(txn, base)
}

/// What a scan's result means for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The segment is whole.
    Whole,
    /// The log ends here: cut the file to the report's size, remove all later segments, and count the replica as unclean.
    EndsHere,
    /// Flushed batches are gone: the log directory goes offline.
    Corrupt(Corruption),
}

/// Batches below the recovery point that are damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The segment.
    pub segment: Offset,
    /// Where it stops being good.
    pub position: u32,
    /// The first offset that is lost.
    pub offset: Offset,
    /// The recovery point.
    pub recovery_point: Offset,
    /// What is wrong there; `None` when the file just ends too early.
    pub damage: Option<Damage>,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption {
            segment,
            position,
            offset,
            recovery_point,
            damage,
        } = self;
        write!(
            f,
            "segment {segment:020}.log is corrupt at byte {position} (offset {offset}): "
        )?;
        match damage {
            Some(damage) => damage.fmt(f)?,
            None => f.write_str("the file ends there")?,
        }
        write!(
            f,
            "; everything below offset {recovery_point} had been flushed, so the disk has lost data. The log directory stays offline. \
             If other replicas of the partition are in sync, replace the disk or remove the partition's folder, and it is \
             fetched from them; if this is the only replica, copy the folder before anything else, then `ottla log check` says \
             what can be kept, and `ottla log repair` keeps it"
        )
    }
}

impl std::error::Error for Corruption {}

/// What a report means. `last` says whether it is of the log's last segment, which must reach up to the recovery point.
pub fn judge(report: &SegmentReport, recovery_point: Offset, last: bool) -> Verdict {
    let lost = report.end < recovery_point && (report.cut.is_some() || last);
    if lost {
        return Verdict::Corrupt(Corruption {
            segment: report.state.base,
            position: report.state.size,
            offset: report.end,
            recovery_point,
            damage: report.cut.as_ref().map(|cut| cut.damage.clone()),
        });
    }
    if report.cut.is_some() {
        Verdict::EndsHere
    } else {
        Verdict::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_at_and_above_the_recovery_point_are_read() {
        let full = |recovery_point, clean| -> Vec<Offset> {
            let checks = plan(&[0, 10, 20], recovery_point, clean);
            checks
                .filter(|(_, check)| *check == Check::Full)
                .map(|(base, _)| base)
                .collect()
        };
        assert_eq!(full(0, false), [0, 10, 20]);
        assert_eq!(full(9, false), [0, 10, 20]);
        assert_eq!(full(10, false), [10, 20]);
        assert_eq!(full(19, false), [10, 20]);
        assert_eq!(full(25, false), [20], "the active one always");
        assert_eq!(full(0, true), []);
    }

    #[test]
    fn a_missing_index_is_a_corrupt_one() {
        assert_eq!(sanity_check(0, 100, Some(&[]), Some(&[]), &[]), Ok(()));
        assert!(sanity_check(0, 100, None, Some(&[]), &[]).is_err());
        assert!(sanity_check(0, 100, Some(&[]), None, &[]).is_err());
        assert!(sanity_check(0, 100, Some(&[]), Some(&[]), &[0; 3]).is_err());
    }
}
