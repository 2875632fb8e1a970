//! Recovery: from the bytes that are found to what is kept (Kafka classes `LogLoader`, `LogSegment.recover`).
//!
//! Three pure parts, which the store drives:
//! 1. [`plan`] says of each segment whether its batches are read or only its indexes checked.
//! 2. [`SegmentScan`] takes a segment's bytes in chunks of any size, checks batch after batch, rebuilds the three indexes,
//!    carries epochs and producers on, and stops at the first damage. It holds one header and a running checksum, never a
//!    batch.
//! 3. [`judge`] says what a damage means: below the recovery point it is corruption, and the log directory goes offline;
//!    above, the log ends there and later segments go.
//!
//! The scan also finds the place of a truncation ([`ScanConfig::cut`]) and reads producers back from a snapshot on
//! ([`ScanConfig::replay`]).

mod directory;
mod report;
mod scan;

pub use directory::{Check, Corruption, Verdict, judge, plan, sanity_check};
pub use report::{Carried, Cut, Damage, ScanConfig, SegmentReport};
pub use scan::SegmentScan;
pub(crate) use scan::read_marker;

use ottla_types::Violation;

/// A segment's bytes, for callers that can read them without waiting.
pub trait SegmentBytes {
    /// What reading can fail with. A failed read is not a damaged log: recovery stops and cuts nothing.
    type Error;

    /// Length of the file.
    fn len(&self) -> u64;

    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills the front of `out` from `position`; returns how many bytes. 0 stands for the end.
    fn read(&mut self, position: u64, out: &mut [u8]) -> Result<usize, Self::Error>;
}

impl SegmentBytes for &[u8] {
    type Error = std::convert::Infallible;

    fn len(&self) -> u64 {
        (**self).len() as u64
    }

    fn read(&mut self, position: u64, out: &mut [u8]) -> Result<usize, Self::Error> {
        let rest = usize::try_from(position)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        let count = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
}

/// Why a scan did not come to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanError<E> {
    /// The bytes could not be read.
    Read(E),
    /// An invariant does not hold: stop.
    Violation(Violation),
}

/// Runs a scan over a segment, a `chunk` at a time.
pub fn scan_segment<B: SegmentBytes>(
    mut scan: SegmentScan,
    bytes: &mut B,
    chunk: &mut [u8],
) -> Result<SegmentReport, ScanError<B::Error>> {
    while let Some(position) = scan.wants() {
        let count = bytes.read(position, chunk).map_err(ScanError::Read)?;
        match chunk.get(..count) {
            Some(read) if count > 0 => scan.feed(read).map_err(ScanError::Violation)?,
            _ => scan.ended(),
        }
    }
    Ok(scan.finish())
}
