//! A walk over a segment that may be damaged anywhere: which byte ranges are sound batches, and which are not.
//!
//! Unlike a recovery's scan it goes on behind a damage. Where the next batch begins is taken from what can be trusted, so that
//! bytes inside of a record are never taken for a batch of the log:
//! 1. the length in the damaged batch's own header, if a sound batch begins there (or other headers lead to one);
//! 2. else the next place from which an unbroken chain of sound batches leads to a place known to be the begin of one: an entry of
//!    the offset index, or the end of the file.

use super::{Extent, Run};
use crate::recovery::{Damage, read_marker};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, HEADER_SIZE, MAGIC_V2, field};

/// Bytes of a control batch that are kept to read its marker from.
const MARKER_ROOM: usize = 4096;

/// A byte range that holds no sound batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) position: u64,
    pub(super) damage: Damage,
}

/// How sure it is that a batch begins where the walk reads.
#[derive(Debug, Clone)]
enum Trust {
    /// It begins where a sound batch ends, or the file.
    Known,
    /// A damaged batch's header says so. The base offset of the last such header.
    Claimed { damage: Bad, floor: Offset },
    /// It looks like one; what was found from there on counts once it leads to a known place.
    Guessed { damage: Bad, found: Vec<Run> },
}

#[derive(Debug, Clone)]
enum Step {
    /// The header at the position.
    Head(u64),
    /// The batch's body.
    Body(Box<Body>),
    /// Nothing known: the next header that could be one.
    Search(u64),
    Done,
}

#[derive(Debug, Clone)]
struct Body {
    start: u64,
    at: u64,
    header: BatchHeader,
    crc: u32,
    marker: Vec<u8>,
}

/// A walk in progress: [`Walk::wants`] says which bytes come next, [`Walk::feed`] takes them.
#[derive(Debug, Clone)]
pub struct Walk {
    extent: Extent,
    len: u64,
    anchors: Vec<u32>,
    step: Step,
    trust: Trust,
    runs: Vec<Run>,
    bad: Vec<Bad>,
}

impl Walk {
    /// A walk over a segment of `len` bytes. `anchors` are the positions in its offset index, ascending.
    pub fn new(extent: Extent, len: u64, anchors: Vec<u32>) -> Walk {
        Walk {
            extent,
            len: len.min(i32::MAX as u64),
            anchors,
            step: Step::Head(0),
            trust: Trust::Known,
            runs: Vec::new(),
            bad: Vec::new(),
        }
        .settled()
    }

    /// Where the next bytes are to be read from, and how many at least; `None` at the end. The place may lie before bytes that
    /// were fed already.
    pub fn wants(&self) -> Option<(u64, usize)> {
        let head = |at: u64| {
            let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
            (at, left.min(HEADER_SIZE))
        };
        match &self.step {
            Step::Head(at) | Step::Search(at) => Some(head(*at)),
            Step::Body(body) => Some((body.at, 1)),
            Step::Done => None,
        }
    }

    /// Takes the bytes at the position that [`Walk::wants`] names, at least as many as it names.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some((from, _)) = self.wants() else { return };
        while let Some((at, least)) = self.wants() {
            let rest = at.checked_sub(from).and_then(|skip| usize::try_from(skip).ok());
            match rest.and_then(|skip| bytes.get(skip..)) {
                Some(rest) if rest.len() >= least && !rest.is_empty() => self.take(rest),
                _ => return,
            }
        }
    }

    /// The sound batches in order of position, and where others begin.
    pub(super) fn finish(self) -> (Vec<Run>, Vec<Bad>) {
        (self.runs, self.bad)
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.step {
            Step::Done => {}
            Step::Search(at) => {
                let at = *at;
                self.search(at, bytes);
            }
            Step::Head(at) => {
                let at = *at;
                self.head(at, bytes);
            }
            Step::Body(body) => {
                let end = body.start + body.header.size_in_bytes() as u64;
                let left = usize::try_from(end - body.at).unwrap_or(usize::MAX);
                let part = bytes.get(..left.min(bytes.len())).unwrap_or_default();
                body.add(part);
                if body.at == end
                    && let Step::Body(body) = std::mem::replace(&mut self.step, Step::Done)
                {
                    self.complete(*body);
                }
            }
        }
    }

    /// Moves on where no bytes are needed: a batch begins at the end of the file, which is none.
    fn settled(mut self) -> Walk {
        self.settle();
        self
    }

    fn settle(&mut self) {
        match self.step {
            Step::Head(at) if at >= self.len => self.at_end(),
            Step::Search(at) if self.len.saturating_sub(at) < HEADER_SIZE as u64 => self.at_end(),
            _ => {}
        }
    }

    fn at_end(&mut self) {
        let known = matches!(self.step, Step::Head(_));
        self.step = Step::Done;
        match std::mem::replace(&mut self.trust, Trust::Known) {
            Trust::Known => {}
            Trust::Claimed { damage, .. } => self.bad.push(damage),
            Trust::Guessed { damage, found } => {
                self.bad.push(damage);
                if known {
                    found.into_iter().for_each(|run| self.push(run));
                }
            }
        }
    }

    fn head(&mut self, at: u64, bytes: &[u8]) {
        let have = self.len - at;
        let incomplete = |need| Damage::Incomplete { need, have };
        let Some(header) = BatchHeader::parse(bytes).filter(|_| have >= HEADER_SIZE as u64) else {
            return self.broken(at, incomplete(HEADER_SIZE as u64), None);
        };
        let size = header.size_in_bytes() as u64;
        if header.magic != MAGIC_V2 {
            self.broken(at, Damage::Magic(header.magic), None)
        } else if size < HEADER_SIZE as u64 {
            self.broken(at, Damage::Length(header.batch_length), None)
        } else if size > have {
            self.broken(at, incomplete(size), None)
        } else {
            self.begin(at, header, bytes);
        }
    }

    fn begin(&mut self, start: u64, header: BatchHeader, bytes: &[u8]) {
        let wants_marker =
            header.attributes.is_control() && header.has_producer_id() && header.record_count != 0;
        let head = bytes.get(..HEADER_SIZE).unwrap_or_default();
        let body = Body {
            start,
            at: start + HEADER_SIZE as u64,
            crc: crc32c::crc32c(head.get(field::ATTRIBUTES..).unwrap_or_default()),
            marker: if wants_marker { head.to_vec() } else { Vec::new() },
            header,
        };
        if header.size_in_bytes() == HEADER_SIZE {
            self.complete(body);
        } else {
            self.step = Step::Body(Box::new(body));
        }
    }

    /// All bytes of a batch have been read.
    fn complete(&mut self, body: Body) {
        let Body {
            start, header, crc, ..
        } = body;
        let end = start + header.size_in_bytes() as u64;
        if crc != header.crc {
            let damage = Damage::Crc {
                stored: header.crc,
                computed: crc,
            };
            // What its header says of its end can still be right.
            let claim = self.extent.holds(&header).then_some((end, header.base_offset));
            return self.broken(start, damage, claim);
        }
        if !body.marker.is_empty() && read_marker(&body.marker).is_none() {
            return self.broken(start, Damage::Marker, Some((end, header.base_offset)));
        }
        self.step = Step::Head(end);
        let run = Run::of(start, &header);
        if !self.extent.holds(&header) {
            let damage = Damage::Offsets {
                base: header.base_offset,
                last: header.last_offset(),
                expected: self.runs.last().map_or(self.extent.base, Run::next),
            };
            if matches!(self.trust, Trust::Guessed { .. }) {
                return self.broken(start, damage, None);
            }
            // The checksum covers every byte up to its end, but not its base offset.
            self.commit();
            self.bad.push(Bad {
                position: start,
                damage,
            });
        } else if let Trust::Guessed { found, .. } = &mut self.trust {
            found.push(run);
            if self.is_anchor(start) || self.is_anchor(end) {
                self.commit();
            }
        } else {
            self.commit();
            self.push(run);
        }
        self.settle();
    }

    /// No sound batch begins at `start`. `claim`: where its header says that it ends, and its base offset.
    fn broken(&mut self, start: u64, damage: Damage, claim: Option<(u64, Offset)>) {
        let here = Bad {
            position: start,
            damage,
        };
        match (std::mem::replace(&mut self.trust, Trust::Known), claim) {
            (Trust::Known, Some((end, floor))) => {
                self.step = Step::Head(end);
                self.trust = Trust::Claimed { damage: here, floor };
            }
            (Trust::Claimed { damage, floor: below }, Some((end, floor))) if floor > below => {
                self.step = Step::Head(end);
                self.trust = Trust::Claimed { damage, floor };
            }
            (Trust::Known, None) => self.search_behind(here, start),
            (Trust::Claimed { damage, .. }, _) => {
                let since = damage.position;
                self.search_behind(damage, since);
            }
            // No other guess within what was read can lead further: its batches would end where these do.
            (Trust::Guessed { damage, .. }, _) => self.search_behind(damage, start),
        }
        self.settle();
    }

    fn search_behind(&mut self, damage: Bad, at: u64) {
        self.trust = Trust::Guessed {
            damage,
            found: Vec::new(),
        };
        self.step = Step::Search(at + 1);
    }

    fn search(&mut self, at: u64, bytes: &[u8]) {
        let within = usize::try_from(self.len - at).unwrap_or(usize::MAX);
        let bytes = bytes.get(..within).unwrap_or(bytes);
        for (skip, window) in bytes.windows(HEADER_SIZE).enumerate() {
            let (Some(header), start) = (BatchHeader::parse(window), at + skip as u64) else {
                continue;
            };
            let size = header.size_in_bytes() as u64;
            let could_be = header.magic == MAGIC_V2
                && (HEADER_SIZE as u64..=self.len - start).contains(&size)
                && self.extent.holds(&header);
            if could_be {
                return self.begin(start, header, window);
            }
        }
        let tried = bytes.len().saturating_sub(HEADER_SIZE - 1) as u64;
        self.step = Step::Search(at + tried);
        self.settle();
    }

    fn is_anchor(&self, at: u64) -> bool {
        at == self.len || u32::try_from(at).is_ok_and(|at| self.anchors.binary_search(&at).is_ok())
    }

    /// What is read is where the log's batches are.
    fn commit(&mut self) {
        match std::mem::replace(&mut self.trust, Trust::Known) {
            Trust::Known => {}
            Trust::Claimed { damage, .. } => self.bad.push(damage),
            Trust::Guessed { damage, found } => {
                self.bad.push(damage);
                found.into_iter().for_each(|run| self.push(run));
            }
        }
    }

    /// Adds batches that follow; those that go on where the ones before end are one run with them.
    fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.goes_on_with(&run) => last.add(&run),
            _ => self.runs.push(run),
        }
    }
}

impl Body {
    fn add(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if !self.marker.is_empty() {
            let room = MARKER_ROOM.saturating_sub(self.marker.len()).min(bytes.len());
            self.marker
                .extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
        self.at += bytes.len() as u64;
    }
}
