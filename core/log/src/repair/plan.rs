//! What a damaged log becomes.

use super::{Lost, Run, Surveyed, Why};
use ottla_types::Offset;

/// Whether a log may have holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Each sound batch stays: readers pass over missing offsets, as they do in compacted logs.
    Holes,
    /// The log ends at the first damage: records build upon those before them, as the metadata's do.
    Prefix,
}

/// What is known of a log beside its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The recovery point; 0 if no checkpoint names one.
    pub recovery_point: Offset,
    /// An offset below which all were given out, by the high watermark and the producer snapshots.
    pub known_end: Offset,
    /// The last stop was a clean one.
    pub clean: bool,
}

/// A stretch of sound batches that becomes a segment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the damaged segment's file.
    pub position: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its first offset: the new segment's base.
    pub base: Offset,
    /// The offset after its last batch.
    pub end: Offset,
}

/// What a damaged segment becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPlan {
    /// The segment.
    pub base: Offset,
    /// The bytes that stay in its file.
    pub front: u64,
    /// The offset after them.
    pub front_end: Offset,
    /// Stretches behind a damage.
    pub pieces: Vec<Piece>,
    /// Nothing stays in it: its files go.
    pub gone: bool,
}

/// What is to be done to a log so that a node starts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is given up.
    pub lost: Vec<Lost>,
    /// The segments that change, ascending.
    pub segments: Vec<SegmentPlan>,
    /// An empty segment at the end, so that the offsets of lost records are not given out again.
    pub new_segment: Option<Offset>,
    /// The recovery point afterwards. All below it has to be synced first.
    pub recovery_point: Offset,
    /// The log's end afterwards, but for what a start cuts off ([`Findings::tail`]).
    pub end: Offset,
}

/// What a survey means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What was never flushed and has nothing sound behind it: the next start cuts it off by itself.
    pub tail: Vec<Lost>,
    /// What is to be repaired.
    pub plan: Option<Plan>,
}

/// What a survey means, and what is to be done.
pub fn plan(segments: &[Surveyed], marks: Marks, policy: Policy) -> Findings {
    let mut damages = damages(segments, marks);
    let sound_end = segments.last().map_or(0, Surveyed::end);
    let last_kept = segments.iter().flat_map(|s| &s.kept).map(|run| run.base).max();
    let is_tail = |lost: &Lost| {
        let followed = policy == Policy::Holes && last_kept.is_some_and(|base| base >= lost.first);
        !followed && lost.first >= marks.recovery_point
    };
    let first_tail = match policy {
        Policy::Holes => damages
            .iter()
            .rposition(|lost| !is_tail(lost))
            .map_or(0, |n| n + 1),
        Policy::Prefix if damages.first().is_some_and(is_tail) => 0,
        Policy::Prefix => damages.len(),
    };
    let tail = damages.split_off(first_tail);
    let plan = (!damages.is_empty()).then(|| match policy {
        Policy::Holes => with_holes(segments, damages, &tail, marks, sound_end),
        Policy::Prefix => prefix(segments, damages, marks),
    });
    Findings { tail, plan }
}

/// All that is wrong, in order of offset: with the holes between segments and the end that is missing.
fn damages(segments: &[Surveyed], marks: Marks) -> Vec<Lost> {
    let mut damages = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        damages.extend(segment.lost.iter().cloned());
        let at_end = segment
            .lost
            .last()
            .is_some_and(|lost| lost.position + lost.bytes == segment.bytes);
        let end = segment.end();
        // Where a start does not trust what was flushed, a segment has to reach the next.
        let missing = match segments.get(i + 1) {
            Some(next) => !marks.clean && next.extent.base > marks.recovery_point && end < next.extent.base,
            None => end < marks.recovery_point,
        };
        if missing && !at_end {
            damages.push(Lost {
                segment: segment.extent.base,
                position: segment.bytes,
                bytes: 0,
                first: end,
                next: segment.extent.next,
                why: Why::Missing,
            });
        }
    }
    damages
}

fn with_holes(segments: &[Surveyed], mut lost: Vec<Lost>, tail: &[Lost], marks: Marks, end: Offset) -> Plan {
    let highest = segments
        .last()
        .map_or(Offset::MAX, |s| s.extent.base.saturating_add(i64::from(i32::MAX)));
    // A checkpoint is not protected by a checksum: one that no segment could reach is none.
    let believed = |offset: Offset| if offset <= highest { offset } else { 0 };
    let given = believed(marks.recovery_point).max(believed(marks.known_end));
    let short = end < marks.recovery_point;
    let new_segment = (short && given > end).then_some(given);
    for at_end in lost.iter_mut().filter(|lost| lost.next.is_none()) {
        at_end.next = new_segment;
    }
    let behind = lost.iter().filter_map(|lost| lost.next).max().unwrap_or(0);
    let recovery_point = match (short, new_segment) {
        (_, Some(at)) => at,
        (true, None) => end,
        (false, None) => marks.recovery_point.max(behind.min(end)),
    };
    let left = |segment: &Surveyed| tail.iter().find(|lost| lost.segment == segment.extent.base);
    let mut plans = Vec::new();
    for segment in segments {
        if lost
            .iter()
            .any(|l| l.segment == segment.extent.base && l.bytes > 0)
        {
            plans.push(split(segment, left(segment)));
        }
    }
    keep_one(segments.len(), &mut plans, new_segment.is_some());
    Plan {
        lost,
        segments: plans,
        new_segment,
        recovery_point,
        end: new_segment.unwrap_or(end),
    }
}

/// Splits a segment at its damages. `tail`, which a start cuts off, stays with what is before it.
fn split(segment: &Surveyed, tail: Option<&Lost>) -> SegmentPlan {
    let mut pieces: Vec<Piece> = Vec::new();
    for run in &segment.kept {
        match pieces.last_mut() {
            Some(piece) if piece.position + piece.bytes == run.position => {
                piece.bytes += run.bytes;
                piece.end = run.next();
            }
            _ => pieces.push(Piece {
                position: run.position,
                bytes: run.bytes,
                base: run.base,
                end: run.next(),
            }),
        }
    }
    if let (Some(piece), Some(tail)) = (pieces.last_mut(), tail)
        && piece.position + piece.bytes == tail.position
    {
        piece.bytes += tail.bytes;
    }
    let base = segment.extent.base;
    let front = match pieces.first() {
        Some(first) if first.position == 0 => Some(pieces.remove(0)),
        _ => None,
    };
    SegmentPlan {
        base,
        front: front.map_or(0, |f| f.bytes),
        front_end: front.map_or(base, |f| f.end),
        gone: front.is_none() && pieces.iter().all(|piece| piece.base != base),
        pieces,
    }
}

fn prefix(segments: &[Surveyed], damages: Vec<Lost>, marks: Marks) -> Plan {
    let Some(first) = damages.into_iter().next() else {
        return Plan {
            lost: Vec::new(),
            segments: Vec::new(),
            new_segment: None,
            recovery_point: marks.recovery_point,
            end: 0,
        };
    };
    let end = first.first;
    let next = Some(marks.recovery_point.max(marks.known_end)).filter(|next| *next > end);
    let (mut lost, mut plans) = (Vec::new(), Vec::new());
    for segment in segments.iter().filter(|s| s.extent.base >= first.segment) {
        let base = segment.extent.base;
        let cut = if base == first.segment { first.position } else { 0 };
        let why = if base == first.segment {
            first.why.clone()
        } else {
            Why::Missing
        };
        lost.push(Lost {
            segment: base,
            position: cut,
            bytes: segment.bytes.saturating_sub(cut),
            first: if base == first.segment { end } else { base },
            next: segment.extent.next.or(next),
            why,
        });
        plans.push(SegmentPlan {
            base,
            front: cut,
            front_end: if cut > 0 { end } else { base },
            pieces: Vec::new(),
            gone: cut == 0,
        });
    }
    keep_one(segments.len(), &mut plans, false);
    Plan {
        lost,
        segments: plans,
        new_segment: None,
        recovery_point: marks.recovery_point.min(end),
        end,
    }
}

/// A log has a segment, though it be empty: it says at which offset the log goes on.
fn keep_one(segments: usize, plans: &mut [SegmentPlan], another: bool) {
    let all_gone = plans.len() == segments && plans.iter().all(|p| p.gone && p.pieces.is_empty());
    if all_gone
        && !another
        && let Some(first) = plans.first_mut()
    {
        first.gone = false;
    }
}

impl Plan {
    /// Bytes that are given up.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.iter().map(|lost| lost.bytes).sum()
    }

    /// Offsets that are given up; records, where a log is not compacted.
    pub fn lost_offsets(&self) -> u64 {
        self.lost.iter().map(Lost::offsets).sum()
    }
}

impl Lost {
    /// How many offsets it spans; 0 where nobody knows.
    pub fn offsets(&self) -> u64 {
        let next = self.next.unwrap_or(self.first);
        u64::try_from(next.saturating_sub(self.first)).unwrap_or(0)
    }
}

impl Surveyed {
    /// Sound batches, their records, and their bytes.
    pub fn sound(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&Run) -> u64| self.kept.iter().map(of).sum();
        (sum(|r| r.batches), sum(|r| r.records), sum(|r| r.bytes))
    }
}
