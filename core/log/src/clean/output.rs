//! The segment that takes the place of a group: its indexes, as an append would have made them, and its state.

use super::CleanError;
use crate::batch::BatchMeta;
use crate::config::LogConfig;
use crate::format::offset_index::OffsetEntry;
use crate::format::txn_index::AbortedTxn;
use crate::segments::SegmentState;
use ottla_types::{Offset, Time};
use ottla_wire::records::BatchHeader;

/// A cleaned segment while its batches are being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanedSegment {
    state: SegmentState,
    index: Vec<u8>,
    time_index: Vec<u8>,
    txn_index: Vec<u8>,
    interval: u32,
    max_entries: [u32; 2],
}

/// A cleaned segment's state and index files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What the log will remember of it.
    pub state: SegmentState,
    /// `.index`.
    pub index: Vec<u8>,
    /// `.timeindex`; it ends with the largest timestamp.
    pub time_index: Vec<u8>,
    /// `.txnindex`; there is no file if it is empty.
    pub txn_index: Vec<u8>,
}

impl CleanedSegment {
    /// For the group that begins at `base`. It keeps the age of its last member, `modified`, which retention goes by.
    pub fn new(cfg: &LogConfig, base: Offset, modified: Time) -> Self {
        CleanedSegment {
            state: SegmentState::new(base, modified),
            index: Vec::new(),
            time_index: Vec::new(),
            txn_index: Vec::new(),
            interval: cfg.index_interval_bytes,
            max_entries: [cfg.max_index_entries(), cfg.max_time_entries()],
        }
    }

    /// Bytes so far: where the next batch begins.
    pub fn size(&self) -> u32 {
        self.state.size
    }

    /// Takes in a batch that the filter put out.
    pub fn append(&mut self, header: &BatchHeader) -> Result<(), CleanError> {
        let batch = BatchMeta::from_header(header, None);
        let end = u64::from(self.state.size) + u64::from(batch.size);
        if end > i32::MAX as u64 || !self.state.holds(batch.last_offset) {
            return Err(CleanError::SegmentFull {
                base: self.state.base,
                offset: batch.base_offset,
            });
        }
        let position = self.state.size;
        let [index, time] = self.max_entries;
        let full = self.state.index_entries >= index || self.state.time_entries.saturating_add(1) >= time;
        let interval = if full { u32::MAX } else { self.interval };
        let (index_due, time_due) = self.state.append(interval, &batch, self.state.modified);
        if index_due {
            let entry = OffsetEntry {
                offset: batch.last_offset,
                position,
            };
            self.index.extend_from_slice(&entry.to_bytes(self.state.base));
        }
        if time_due {
            let entry = self.state.last_time.to_bytes(self.state.base);
            self.time_index.extend_from_slice(&entry);
        }
        Ok(())
    }

    /// Takes in an aborted transaction whose marker went into this segment.
    pub fn aborted(&mut self, txn: AbortedTxn) {
        self.txn_index.extend_from_slice(&txn.to_bytes());
    }

    /// Closes it.
    pub fn finish(mut self) -> Finished {
        if let Some(entry) = self.state.closing_time_entry() {
            self.state.time_entries += 1;
            self.state.last_time = entry;
            self.time_index
                .extend_from_slice(&entry.to_bytes(self.state.base));
        }
        Finished {
            state: self.state,
            index: self.index,
            time_index: self.time_index,
            txn_index: self.txn_index,
        }
    }
}
