//! `.index`: from offsets to positions. Entries of 8 bytes: offset relative to the segment's base (int32), position (int32)
//! (Kafka class `OffsetIndex`). An entry names the last offset of a batch and where that batch begins.

use super::{CorruptIndex, bytes_at, last_at_most};
use ottla_types::Offset;

/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 8;

/// One entry, with its full offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetEntry {
    /// Last offset of the batch at [`OffsetEntry::position`].
    pub offset: Offset,
    /// Where that batch begins in the segment.
    pub position: u32,
}

impl OffsetEntry {
    /// The entry's bytes in the segment that begins at `base`.
    pub fn to_bytes(self, base: Offset) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        out[..4].copy_from_slice(&((self.offset - base) as i32).to_be_bytes());
        out[4..].copy_from_slice(&self.position.to_be_bytes());
        out
    }
}

/// Entry `n` of the index of the segment that begins at `base`.
pub fn entry(bytes: &[u8], base: Offset, n: usize) -> Option<OffsetEntry> {
    let at = n.checked_mul(ENTRY_SIZE)?;
    let offset = i32::from_be_bytes(bytes_at(bytes, at)?);
    let position = u32::from_be_bytes(bytes_at(bytes, at + 4)?);
    Some(OffsetEntry {
        offset: base.saturating_add(i64::from(offset)),
        position,
    })
}

/// How many entries there are before the zeros that Kafka preallocates in an active segment's index.
pub fn valid_entries(bytes: &[u8]) -> usize {
    let count = bytes.len() / ENTRY_SIZE;
    // No entry is all zero: the first batch of a segment has none, and positions grow.
    last_at_most(count, |n| {
        bytes_at::<ENTRY_SIZE>(bytes, n * ENTRY_SIZE).is_some_and(|e| e != [0; ENTRY_SIZE])
    })
    .map_or(0, |n| n + 1)
}

/// The last of the first `entries` entries whose offset is at most `target`; the segment's begin when there is none.
pub fn lookup(bytes: &[u8], base: Offset, entries: usize, target: Offset) -> OffsetEntry {
    let count = entries.min(bytes.len() / ENTRY_SIZE);
    last_at_most(count, |n| {
        entry(bytes, base, n).is_some_and(|e| e.offset <= target)
    })
    .and_then(|n| entry(bytes, base, n))
    .unwrap_or(OffsetEntry {
        offset: base,
        position: 0,
    })
}

/// How many entries remain when everything from `offset` on is truncated (`OffsetIndex.truncateTo`).
pub fn entries_below(bytes: &[u8], base: Offset, entries: usize, offset: Offset) -> usize {
    let count = entries.min(bytes.len() / ENTRY_SIZE);
    last_at_most(count, |n| {
        entry(bytes, base, n).is_some_and(|e| e.offset < offset)
    })
    .map_or(0, |n| n + 1)
}

/// Kafka's check of a closed segment's index (`OffsetIndex.sanityCheck`), and that positions lie in the segment of
/// `segment_size` bytes.
pub fn sanity_check(bytes: &[u8], base: Offset, segment_size: u64) -> Result<(), CorruptIndex> {
    if !bytes.len().is_multiple_of(ENTRY_SIZE) {
        return Err(CorruptIndex::Length {
            length: bytes.len(),
            entry: ENTRY_SIZE,
        });
    }
    let Some(last) = (bytes.len() / ENTRY_SIZE).checked_sub(1) else {
        return Ok(());
    };
    match entry(bytes, base, last) {
        Some(e) if e.offset < base || (e.offset == base && e.position == 0) => {
            Err(CorruptIndex::LastOffset { last: e.offset, base })
        }
        Some(e) if u64::from(e.position) >= segment_size => Err(CorruptIndex::Order { entry: last }),
        _ => Ok(()),
    }
}
