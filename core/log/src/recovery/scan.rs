//! One segment, batch by batch, out of chunks of any size. What must hold: a whole batch of magic 2 within the file, its
//! CRC, offsets that ascend from the segment's base and fit its index, leader epochs that never fall, readable markers.

use super::report::{Carried, Cut, Damage, ScanConfig, SegmentReport};
use crate::batch::{BatchMeta, EndTxn};
use crate::format::offset_index::OffsetEntry;
use crate::segments::SegmentState;
use ottla_types::{Epoch, Offset, Violation};
use ottla_wire::records::{BatchHeader, BatchRef, EndTxnMarker, HEADER_SIZE, MAGIC_V2, field};

/// Bytes of a control batch that are kept to read its marker from: Kafka's are 78 bytes. A longer one is no marker.
const MARKER_ROOM: usize = 4096;
/// Segments are addressed by int32.
const MAX_SEGMENT: u64 = i32::MAX as u64;

/// The batch whose bytes are coming in.
#[derive(Debug, Clone)]
struct Current {
    header: BatchHeader,
    size: u64,
    crc: u32,
    /// Front of a control batch; empty for others.
    marker: Vec<u8>,
}

/// A scan in progress. `wants` says which byte comes next, `feed` takes bytes from there.
#[derive(Debug, Clone)]
pub struct SegmentScan {
    cfg: ScanConfig,
    report: SegmentReport,
    len: u64,
    /// Where the batch in hand begins.
    batch_at: u64,
    /// The next byte.
    at: u64,
    head: [u8; HEADER_SIZE],
    current: Option<Current>,
    done: bool,
}

impl SegmentScan {
    /// A scan of the segment `state` from byte `from`, where a batch begins. `len` is the length of its file. With
    /// [`ScanConfig::rebuild`], `state` is a new one and `from` 0; else `state` is [`SegmentState::loaded`].
    pub fn new(cfg: ScanConfig, state: SegmentState, len: u64, from: u32, mut carried: Carried) -> Self {
        carried.next_offset = carried.next_offset.max(state.base);
        let from = u64::from(from).min(len);
        let mut scan = SegmentScan {
            cfg,
            report: SegmentReport {
                end: carried.next_offset,
                state,
                index: Vec::new(),
                time_index: Vec::new(),
                txn_index: Vec::new(),
                carried,
                cut: None,
                batches: 0,
                records: 0,
            },
            len,
            batch_at: from,
            at: from,
            head: [0; HEADER_SIZE],
            current: None,
            done: false,
        };
        scan.settle();
        scan
    }

    /// The position of the next byte to feed; `None` once the scan has come to an end.
    pub fn wants(&self) -> Option<u64> {
        (!self.done).then_some(self.at)
    }

    /// Takes the bytes at the position that [`SegmentScan::wants`] names. Bytes it has no use for are passed over.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while !self.done && !bytes.is_empty() {
            let before = self.at;
            self.take(bytes)?;
            let used = usize::try_from(self.at - before).unwrap_or(usize::MAX);
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that the file ends before its length: it was cut while it was read.
    pub fn ended(&mut self) {
        self.len = self.at;
        let need = self.current.as_ref().map_or(HEADER_SIZE as u64, |c| c.size);
        self.settle();
        if !self.done {
            self.damaged(Damage::Incomplete {
                need,
                have: self.len - self.batch_at,
            });
        }
    }

    /// What was found. The time index ends with the largest timestamp, as after a clean close.
    pub fn finish(mut self) -> SegmentReport {
        if !self.done {
            self.ended();
        }
        let state = &mut self.report.state;
        let size = u32::try_from(self.batch_at).unwrap_or(u32::MAX);
        if !self.cfg.rebuild {
            state.bytes_since_index = state
                .bytes_since_index
                .saturating_sub(state.size.saturating_sub(size));
        }
        state.size = size;
        if self.cfg.rebuild
            && let Some(entry) = state.closing_time_entry()
        {
            state.time_entries += 1;
            state.last_time = entry;
            self.report
                .time_index
                .extend_from_slice(&entry.to_bytes(state.base));
        }
        self.report
    }

    /// Processes the front of `bytes`, moving `at` by at least one.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        match &mut self.current {
            None => {
                let have = (self.at - self.batch_at) as usize;
                let room = self.head.get_mut(have..).unwrap_or_default();
                let count = room.len().min(bytes.len());
                for (to, from) in room.iter_mut().zip(bytes) {
                    *to = *from;
                }
                self.at += count as u64;
                if have + count == HEADER_SIZE {
                    self.begin()
                } else {
                    Ok(())
                }
            }
            Some(current) => {
                let left = current.size - (self.at - self.batch_at);
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let body = bytes.get(..count).unwrap_or_default();
                if self.cfg.check_crc {
                    current.crc = crc32c::crc32c_append(current.crc, body);
                }
                if !current.marker.is_empty() {
                    let room = MARKER_ROOM.saturating_sub(current.marker.len()).min(count);
                    current
                        .marker
                        .extend_from_slice(body.get(..room).unwrap_or_default());
                }
                self.at += count as u64;
                if count as u64 == left { self.end() } else { Ok(()) }
            }
        }
    }

    /// A header is complete.
    fn begin(&mut self) -> Result<(), Violation> {
        let Some(header) = BatchHeader::parse(&self.head) else {
            return Ok(());
        };
        let size = header.size_in_bytes() as u64;
        if let Err(damage) = self.check_header(&header, size) {
            self.damaged(damage);
            return Ok(());
        }
        if self.cfg.stop_at.is_some_and(|stop| header.last_offset() >= stop) {
            let stop = self.cfg.stop_at.unwrap_or(header.base_offset);
            self.report.end = stop.min(header.base_offset.max(self.report.end));
            self.done = true;
            return Ok(());
        }
        let wants_marker = header.attributes.is_control() && header.has_producer_id();
        let marker = if wants_marker {
            self.head.to_vec()
        } else {
            Vec::new()
        };
        let crc = crc32c::crc32c(self.head.get(field::ATTRIBUTES..).unwrap_or_default());
        let skip = !self.cfg.check_crc && !wants_marker;
        self.current = Some(Current {
            header,
            size,
            crc,
            marker,
        });
        if skip {
            self.at = self.batch_at + size;
        }
        if self.at == self.batch_at + size {
            self.end()
        } else {
            Ok(())
        }
    }

    fn check_header(&self, header: &BatchHeader, size: u64) -> Result<(), Damage> {
        if header.magic != MAGIC_V2 {
            return Err(Damage::Magic(header.magic));
        }
        if size < HEADER_SIZE as u64 {
            return Err(Damage::Length(header.batch_length));
        }
        let have = self.len - self.batch_at;
        if size > have {
            return Err(Damage::Incomplete { need: size, have });
        }
        if self.batch_at + size > MAX_SEGMENT {
            return Err(Damage::TooLarge);
        }
        let carried = &self.report.carried;
        let (base, last) = (header.base_offset, header.last_offset());
        let strict = carried.next_offset >= self.cfg.strict_from;
        let possible = last >= base && last < Offset::MAX && self.report.state.holds(last);
        let follows = match strict && !self.cfg.gaps {
            true => base == carried.next_offset,
            false => base >= carried.next_offset,
        };
        if !possible || !follows {
            return Err(Damage::Offsets {
                base,
                last,
                expected: carried.next_offset,
            });
        }
        self.check_epoch(header.partition_leader_epoch, base, strict)
    }

    fn check_epoch(&self, epoch: Epoch, base: Offset, strict: bool) -> Result<(), Damage> {
        let carried = &self.report.carried;
        if epoch >= 0 && epoch < carried.last_epoch {
            return Err(Damage::Epoch {
                epoch,
                expected: carried.last_epoch,
            });
        }
        let named = if strict && carried.epochs_known {
            carried.epochs.epoch_for(base)
        } else {
            None
        };
        match named {
            Some(expected) if epoch > expected || epoch < 0 => Err(Damage::Epoch { epoch, expected }),
            _ => Ok(()),
        }
    }

    /// The batch in hand is complete.
    fn end(&mut self) -> Result<(), Violation> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let header = current.header;
        if self.cfg.check_crc && current.crc != header.crc {
            self.damaged(Damage::Crc {
                stored: header.crc,
                computed: current.crc,
            });
            return Ok(());
        }
        // An empty batch is what the cleaner leaves of a marker.
        let holds_marker = !current.marker.is_empty() && header.record_count != 0;
        let marker = if holds_marker {
            read_marker(&current.marker)
        } else {
            None
        };
        if holds_marker && marker.is_none() {
            self.damaged(Damage::Marker);
            return Ok(());
        }
        self.accept(&BatchMeta::from_header(&header, marker))?;
        self.batch_at = self.at;
        self.settle();
        Ok(())
    }

    fn accept(&mut self, batch: &BatchMeta) -> Result<(), Violation> {
        self.index(batch);
        let carried = &mut self.report.carried;
        carried.next_offset = batch.next_offset();
        self.report.end = batch.next_offset();
        self.report.batches += 1;
        self.report.records += u64::from(batch.record_count);
        if batch.leader_epoch >= 0 {
            carried.last_epoch = batch.leader_epoch;
            if carried
                .epochs
                .latest()
                .is_none_or(|latest| latest.epoch < batch.leader_epoch)
            {
                carried.epochs.assign(batch.leader_epoch, batch.base_offset);
            }
        }
        if batch.base_offset < carried.producers.end() {
            carried.producers.recall(batch);
        } else if let Some(completed) = carried.producers.apply(batch)?
            && completed.aborted
            && self.cfg.rebuild
        {
            self.report.txn_index.extend_from_slice(&completed.txn.to_bytes());
        }
        Ok(())
    }

    /// Index entries as an append would have made them, or without rebuilding only the largest timestamp.
    fn index(&mut self, batch: &BatchMeta) {
        let (cfg, state) = (&self.cfg, &mut self.report.state);
        if !cfg.rebuild {
            if self.batch_at == 0 {
                state.first_timestamp = batch.max_timestamp;
            }
            if batch.max_timestamp > state.max_timestamp.timestamp {
                state.max_timestamp.timestamp = batch.max_timestamp;
                state.max_timestamp.offset = batch.last_offset;
            }
            return;
        }
        let full = state.index_entries >= cfg.max_index_entries
            || state.time_entries.saturating_add(1) >= cfg.max_time_entries;
        let interval = if full { u32::MAX } else { cfg.index_interval_bytes };
        let position = state.size;
        let (index_due, time_due) = state.append(interval, batch, state.modified);
        if index_due {
            let entry = OffsetEntry {
                offset: batch.last_offset,
                position,
            };
            self.report.index.extend_from_slice(&entry.to_bytes(state.base));
        }
        if time_due {
            self.report
                .time_index
                .extend_from_slice(&state.last_time.to_bytes(state.base));
        }
    }

    /// Between batches: is there another one?
    fn settle(&mut self) {
        if self.current.is_some() || self.at != self.batch_at || self.done {
            return;
        }
        let have = self.len - self.batch_at;
        if have == 0 {
            self.done = true;
            if let Some(stop) = self.cfg.stop_at {
                self.report.end = self.report.end.max(stop);
            }
        } else if have < HEADER_SIZE as u64 {
            self.damaged(Damage::Incomplete {
                need: HEADER_SIZE as u64,
                have,
            });
        }
    }

    fn damaged(&mut self, damage: Damage) {
        self.done = true;
        let bytes = self.len - self.batch_at;
        self.report.cut = Some(Cut {
            position: u32::try_from(self.batch_at).unwrap_or(u32::MAX),
            bytes,
            damage,
        });
    }
}

/// The marker of a control batch that was written for a producer, from the batch's front; `None` if it can't be read.
pub(crate) fn read_marker(front: &[u8]) -> Option<EndTxn> {
    let record = BatchRef::first(front).ok()?.records().next()?.ok()?;
    let marker = EndTxnMarker::from_record(record.key.unwrap_or_default(), record.value.unwrap_or_default());
    marker.map(EndTxn::from)
}
