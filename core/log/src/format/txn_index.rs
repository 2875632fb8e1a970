//! `.txnindex`: the aborted transactions whose marker lies in the segment. Entries of 34 bytes: version (int16, 0), producer
//! id, first offset, last offset, last stable offset (int64 each) (Kafka classes `TransactionIndex`, `AbortedTxn`).

use super::{CorruptIndex, bytes_at};
use ottla_types::{Offset, ProducerId};

/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 34;

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbortedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The marker's offset.
    pub last_offset: Offset,
    /// The last stable offset once the marker was written.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    /// The entry's bytes.
    pub fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        let fields = [
            self.producer_id,
            self.first_offset,
            self.last_offset,
            self.last_stable_offset,
        ];
        for (i, field) in fields.into_iter().enumerate() {
            out[2 + 8 * i..10 + 8 * i].copy_from_slice(&field.to_be_bytes());
        }
        out
    }
}

/// The entries of a file. Bytes after the last whole entry are a [`CorruptIndex`].
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Result<AbortedTxn, CorruptIndex>> + '_ {
    bytes.chunks(ENTRY_SIZE).map(|chunk| {
        let field = |i: usize| bytes_at(chunk, 2 + 8 * i).map(i64::from_be_bytes);
        let version = bytes_at(chunk, 0).map(i16::from_be_bytes);
        match (version, field(0), field(1), field(2), field(3)) {
            (Some(0), Some(producer_id), Some(first_offset), Some(last_offset), Some(last_stable_offset)) => {
                Ok(AbortedTxn {
                    producer_id,
                    first_offset,
                    last_offset,
                    last_stable_offset,
                })
            }
            (Some(version), _, _, _, Some(_)) => Err(CorruptIndex::Version { version }),
            _ => Err(CorruptIndex::Length {
                length: bytes.len(),
                entry: ENTRY_SIZE,
            }),
        }
    })
}

/// Adds to `out` the transactions that a fetch of `[from, to)` must name, and says whether later segments may hold more
/// (`TransactionIndex.collectAbortedTxns`).
pub fn collect(
    bytes: &[u8],
    from: Offset,
    to: Offset,
    out: &mut Vec<AbortedTxn>,
) -> Result<bool, CorruptIndex> {
    for entry in entries(bytes) {
        let entry = entry?;
        if entry.last_offset >= from && entry.first_offset < to {
            out.push(entry);
        }
        if entry.last_stable_offset >= to {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Bytes that remain when everything from `offset` on is truncated: entries are ordered by their marker.
pub fn bytes_below(bytes: &[u8], offset: Offset) -> usize {
    entries(bytes)
        .take_while(|e| e.as_ref().is_ok_and(|e| e.last_offset < offset))
        .count()
        * ENTRY_SIZE
}

/// Kafka's check at load (`TransactionIndex.sanityCheck`): markers lie in the segment, in order.
pub fn sanity_check(bytes: &[u8], base: Offset) -> Result<(), CorruptIndex> {
    let mut last = None;
    for (n, entry) in entries(bytes).enumerate() {
        let entry = entry?;
        if entry.last_offset < base {
            return Err(CorruptIndex::LastOffset {
                last: entry.last_offset,
                base,
            });
        }
        if last.is_some_and(|last| last >= entry.last_offset) {
            return Err(CorruptIndex::Order { entry: n });
        }
        last = Some(entry.last_offset);
    }
    Ok(())
}
