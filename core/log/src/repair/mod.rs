//! A log that recovery refuses: what is sound of it, what is lost, and what it becomes (`ottla log check`, `ottla log repair`).
//!
//! 1. [`Walk`] finds the sound batches of each segment, before and behind any damage.
//! 2. [`survey`] puts the segments together: no checksum covers a batch's base offset and leader epoch, so the largest set of
//!    batches is kept in which neither falls.
//! 3. [`plan`] says what the log becomes: each stretch of sound batches a segment of its own, so that no segment has a hole; the
//!    end where offsets were given out before, so that none is given twice.
//!
//! Pure; `ottla-store` reads the bytes and carries the plan out.

mod choose;
mod plan;
mod walk;

pub use plan::{Findings, Marks, Piece, Plan, Policy, SegmentPlan, plan};
pub use walk::Walk;

use crate::recovery::Damage;
use ottla_types::{Epoch, Offset};
use ottla_wire::records::BatchHeader;
use std::fmt;

/// The offsets that a segment can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its base offset.
    pub base: Offset,
    /// The next segment's; `None` for the last.
    pub next: Option<Offset>,
}

impl Extent {
    fn holds(&self, header: &BatchHeader) -> bool {
        let (base, last) = (header.base_offset, header.last_offset());
        let end = self.base.saturating_add(i64::from(i32::MAX));
        self.base <= base && base <= last && last <= end && last < self.next.unwrap_or(Offset::MAX)
    }
}

/// Sound batches that lie one behind the other, without a gap in their offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where the first begins.
    pub position: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Offset of the first record.
    pub base: Offset,
    /// Offset of the last record.
    pub last: Offset,
    /// Their leader epoch.
    pub epoch: Epoch,
    /// How many.
    pub batches: u64,
    /// Their records.
    pub records: u64,
}

impl Run {
    fn of(position: u64, header: &BatchHeader) -> Run {
        Run {
            position,
            bytes: header.size_in_bytes() as u64,
            base: header.base_offset,
            last: header.last_offset(),
            epoch: header.partition_leader_epoch,
            batches: 1,
            records: u64::try_from(header.record_count).unwrap_or(0),
        }
    }

    /// The offset after it.
    pub fn next(&self) -> Offset {
        self.last.saturating_add(1)
    }

    /// Where its last byte is followed.
    pub fn end(&self) -> u64 {
        self.position + self.bytes
    }

    fn goes_on_with(&self, other: &Run) -> bool {
        other.position == self.end() && other.base == self.next() && other.epoch == self.epoch
    }

    fn add(&mut self, other: &Run) {
        self.bytes += other.bytes;
        self.last = other.last;
        self.batches += other.batches;
        self.records += other.records;
    }
}

/// Bytes of a segment that hold no batch which can be kept, or offsets that no segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The segment's base offset.
    pub segment: Offset,
    /// The first byte.
    pub position: u64,
    /// How many bytes; 0 where whole batches are missing.
    pub bytes: u64,
    /// The first offset that is lost.
    pub first: Offset,
    /// The next offset that is there; `None` at the log's end. A compacted log lacks offsets in between anyway.
    pub next: Option<Offset>,
    /// What is wrong.
    pub why: Why,
}

/// Why bytes are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The batch that begins there is damaged.
    Damaged(Damage),
    /// A batch whose checksum is right; its offset or leader epoch contradicts those around it.
    Contradicts(Run),
    /// The segment ends before the next one begins, or before offsets that had been flushed.
    Missing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Damaged(damage) => damage.fmt(f),
            Why::Contradicts(run) => write!(
                f,
                "batches of offsets {} to {} and leader epoch {} contradict those around them",
                run.base, run.last, run.epoch
            ),
            Why::Missing => f.write_str("batches are missing"),
        }
    }
}

/// A segment that was walked over.
#[derive(Debug, Clone)]
pub struct Walked {
    extent: Extent,
    bytes: u64,
    runs: Vec<Run>,
    bad: Vec<walk::Bad>,
}

impl Walked {
    /// What a walk over a file of `bytes` found.
    pub fn new(extent: Extent, bytes: u64, walk: Walk) -> Walked {
        let (runs, bad) = walk.finish();
        Walked {
            extent,
            bytes,
            runs,
            bad,
        }
    }
}

/// What is sound of a segment, and what is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its offsets.
    pub extent: Extent,
    /// Length of its file.
    pub bytes: u64,
    /// Sound batches, offsets ascending.
    pub kept: Vec<Run>,
    /// All else.
    pub lost: Vec<Lost>,
}

impl Surveyed {
    /// The offset after the last sound batch; the base without one.
    pub fn end(&self) -> Offset {
        self.kept.last().map_or(self.extent.base, Run::next)
    }
}

/// Puts a log's segments, ascending, together.
pub fn survey(segments: Vec<Walked>) -> Vec<Surveyed> {
    let (mut runs, mut expected) = (Vec::new(), Vec::new());
    for segment in &segments {
        for run in &segment.runs {
            let follows = runs.last().is_some_and(|last: &Run| last.next() == run.base);
            expected.push(follows || run.base == segment.extent.base);
            runs.push(*run);
        }
    }
    let mut chosen = choose::choose(&runs, &expected).into_iter();
    let mut surveyed = Vec::new();
    for segment in segments {
        let keep: Vec<bool> = chosen.by_ref().take(segment.runs.len()).collect();
        let with = |wanted: bool| -> Vec<Run> {
            let runs = segment.runs.iter().zip(&keep);
            runs.filter(|(_, keep)| **keep == wanted)
                .map(|(run, _)| *run)
                .collect()
        };
        let (kept, dropped) = (with(true), with(false));
        surveyed.push(Surveyed {
            lost: lost(&segment, &kept, &dropped),
            extent: segment.extent,
            bytes: segment.bytes,
            kept,
        });
    }
    surveyed
}

/// What lies between the batches that are kept.
fn lost(segment: &Walked, kept: &[Run], dropped: &[Run]) -> Vec<Lost> {
    let mut lost = Vec::new();
    let (mut at, mut first) = (0, segment.extent.base);
    let ends = kept.iter().map(|run| (run.position, Some(run)));
    for (until, run) in ends.chain([(segment.bytes, None)]) {
        if at < until {
            let bad = segment.bad.iter().find(|bad| (at..until).contains(&bad.position));
            let against = dropped.iter().find(|run| (at..until).contains(&run.position));
            let why = match (bad, against) {
                (Some(bad), Some(run)) if run.position < bad.position => Why::Contradicts(*run),
                (Some(bad), _) => Why::Damaged(bad.damage.clone()),
                (None, Some(run)) => Why::Contradicts(*run),
                (None, None) => Why::Damaged(Damage::TooLarge),
            };
            lost.push(Lost {
                segment: segment.extent.base,
                position: at,
                bytes: until - at,
                first,
                next: run.map(|run| run.base).or(segment.extent.next),
                why,
            });
        }
        if let Some(run) = run {
            (at, first) = (run.end(), run.next());
        }
    }
    lost
}
