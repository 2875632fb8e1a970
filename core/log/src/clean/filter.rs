//! One batch: what stays of it, and the bytes that this makes (Kafka's `Cleaner.cleanInto`, `MemoryRecords.filterTo`).
//!
//! Stricter than Kafka in two points: a batch above the map's end is not touched at all (Kafka drops aborted records and markers
//! there too, and lets a horizon begin before the tombstone is clean); and the marker that is a producer's last stays whole (Kafka leaves an
//! empty batch, which a recovery from the log learns no epoch from).

use super::CleanError;
use super::map::OffsetMap;
use super::producers::LastRecords;
use super::txns::Transactions;
use crate::format::txn_index::AbortedTxn;
use ottla_types::{Offset, Time};
use ottla_wire::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchRef, Codec, Compressor, Decompressor, RecordRef,
    TimestampType,
};

/// What a round goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The time, one for the whole round.
    pub now: Time,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// Where the part ends that the round may touch ([`super::Range::first_uncleanable`]). The batch before it stays, if only as a
    /// header, so that the log's offsets can still be read off its batches.
    pub first_uncleanable: Offset,
}

impl Terms {
    /// The horizon of what is found clean for the first time.
    fn horizon(&self) -> i64 {
        let wait = i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX);
        self.now.as_millis().saturating_add(wait)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It stays, to the byte.
    Copied,
    /// Some records went, or it got a delete horizon.
    Rewritten,
    /// Its records went, its header stays.
    Emptied,
    /// It went.
    Dropped,
}

/// What a round has done so far (`CleanerStats`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of batches read.
    pub bytes_read: u64,
    /// Bytes of batches that stay.
    pub bytes_written: u64,
    /// Records read.
    pub records_read: u64,
    /// Records that stay.
    pub records_kept: u64,
    /// Records without a key, which a compacted log can't keep.
    pub invalid_records: u64,
}

/// Passes the batches of a round, in the log's order and from its begin.
pub struct Filter {
    map: OffsetMap,
    terms: Terms,
    producers: LastRecords,
    txns: Transactions,
    scratch: Decompressor,
    compressor: Compressor,
    /// Which records of the batch in hand stay.
    stays: Vec<bool>,
    stats: Stats,
}

impl Filter {
    /// A filter for one round; `txns` has seen no batch yet. `scratch` brings the limits of decompression.
    pub fn new(
        map: OffsetMap,
        terms: Terms,
        producers: LastRecords,
        txns: Transactions,
        scratch: Decompressor,
    ) -> Self {
        Filter {
            map,
            terms,
            producers,
            txns,
            scratch,
            compressor: Compressor::new(),
            stays: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// The map.
    pub fn map(&self) -> &OffsetMap {
        &self.map
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Entries for the transaction index of the segment that the batches since the last call went into.
    pub fn take_aborted(&mut self) -> Vec<AbortedTxn> {
        self.txns.take_kept()
    }

    /// Passes the next batch and puts what stays of it behind `out`.
    pub fn pass(&mut self, batch: &BatchRef<'_>, out: &mut Vec<u8>) -> Result<Fate, CleanError> {
        let header = batch.header();
        let offset = header.base_offset;
        batch
            .verify_crc()
            .map_err(|error| CleanError::Batch { offset, error })?;
        let (before, records) = (out.len(), u64::try_from(header.record_count).unwrap_or(0));
        let (fate, kept) = if header.attributes.is_control() {
            let discard = self.txns.on_marker(batch, &mut self.scratch)?;
            self.pass_marker(batch, discard, out)?
        } else {
            let discard = self.txns.on_data(header);
            self.pass_data(batch, discard, out)?
        };
        match fate {
            Fate::Copied => out.extend_from_slice(batch.bytes()),
            Fate::Emptied => out.extend_from_slice(&header.emptied()),
            Fate::Rewritten | Fate::Dropped => {}
        }
        self.stats.bytes_read += batch.size_in_bytes() as u64;
        self.stats.bytes_written += (out.len() - before) as u64;
        self.stats.records_read += records;
        self.stats.records_kept += if fate == Fate::Copied { records } else { kept };
        Ok(fate)
    }

    /// A marker goes when nothing is left of its transaction and its horizon, set when that was first seen, has passed.
    fn pass_marker(
        &mut self,
        batch: &BatchRef<'_>,
        discard: bool,
        out: &mut Vec<u8>,
    ) -> Result<(Fate, u64), CleanError> {
        let header = batch.header();
        let empty = header.record_count == 0;
        if header.base_offset > self.map.latest() || !discard {
            return Ok((Fate::Copied, 0));
        }
        let fate = match header.delete_horizon() {
            None if !empty => {
                self.stays.clear();
                self.stays
                    .resize(usize::try_from(header.record_count).unwrap_or(0), true);
                self.rewrite(batch, Some(self.terms.horizon()), out)?;
                return Ok((Fate::Rewritten, u64::from(header.record_count.unsigned_abs())));
            }
            Some(horizon) if self.terms.now.as_millis() < horizon => Fate::Copied,
            _ if self.producers.names(header) => Fate::Copied,
            _ if self.is_last(header) => Fate::Emptied,
            _ => Fate::Dropped,
        };
        Ok((fate, 0))
    }

    fn pass_data(
        &mut self,
        batch: &BatchRef<'_>,
        aborted: bool,
        out: &mut Vec<u8>,
    ) -> Result<(Fate, u64), CleanError> {
        let header = batch.header();
        if header.base_offset > self.map.latest() {
            return Ok((Fate::Copied, 0));
        }
        let choice = if aborted && header.last_offset() <= self.map.latest() {
            Choice::default()
        } else {
            self.choose(batch)?
        };
        if choice.kept == 0 {
            let needed = self.producers.names(header) || self.is_last(header);
            return Ok(if needed {
                (Fate::Emptied, 0)
            } else {
                (Fate::Dropped, 0)
            });
        }
        // A batch that reaches beyond the map's end may hold tombstones that are not clean yet.
        let clean = header.last_offset() <= self.map.latest();
        let stamp = choice.tombstones && clean && header.delete_horizon().is_none();
        if choice.kept == self.stays.len() && !stamp {
            return Ok((Fate::Copied, 0));
        }
        let horizon = header.delete_horizon().or(stamp.then(|| self.terms.horizon()));
        self.rewrite(batch, horizon, out)?;
        Ok((Fate::Rewritten, choice.kept as u64))
    }

    /// Whether this batch is the last that the round may touch.
    fn is_last(&self, header: &BatchHeader) -> bool {
        header.next_offset() == self.terms.first_uncleanable
    }

    /// Fills [`Filter::stays`].
    fn choose(&mut self, batch: &BatchRef<'_>) -> Result<Choice, CleanError> {
        let header = batch.header();
        let offset = header.base_offset;
        let failed = |error| CleanError::Record { offset, error };
        let horizon = header.delete_horizon();
        let deletable = horizon.is_some_and(|horizon| self.terms.now.as_millis() >= horizon);
        let mut choice = Choice::default();
        self.stays.clear();
        let mut records = batch.records_with(&mut self.scratch).map_err(failed)?;
        while let Some(record) = records.next_record() {
            let record = record.map_err(failed)?;
            let at = offset.saturating_add(i64::from(record.offset_delta));
            self.stats.invalid_records += u64::from(record.key.is_none() && at <= self.map.latest());
            let stays = stays(&self.map, &record, at, deletable);
            self.stays.push(stays);
            choice.kept += usize::from(stays);
            choice.tombstones |= stays && record.value.is_none();
        }
        Ok(choice)
    }

    /// Writes the records that stay: same offsets, timestamps, producer, sequence and codec.
    fn rewrite(
        &mut self,
        batch: &BatchRef<'_>,
        horizon: Option<i64>,
        out: &mut Vec<u8>,
    ) -> Result<(), CleanError> {
        let header = batch.header();
        let offset = header.base_offset;
        let failed = |error| CleanError::Record { offset, error };
        let unbuilt = |error| CleanError::Build { offset, error };
        let mut builder = BatchBuilder::cleaned(horizon);
        let mut records = batch.records_with(&mut self.scratch).map_err(failed)?;
        let mut stays = self.stays.iter();
        while let Some(record) = records.next_record() {
            let record = record.map_err(failed)?;
            if stays.next() == Some(&true) {
                let timestamp = header.timestamp(record.timestamp_delta);
                builder.keep(&record, timestamp).map_err(unbuilt)?;
            }
        }
        let built = builder
            .finish(&options(header), &mut self.compressor)
            .map_err(unbuilt)?;
        out.extend_from_slice(&built);
        Ok(())
    }
}

/// What was chosen of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    kept: usize,
    /// Among what stays there is a tombstone.
    tombstones: bool,
}

/// Whether a record stays. `deletable` says whether its batch's horizon has passed.
fn stays(map: &OffsetMap, record: &RecordRef<'_>, at: Offset, deletable: bool) -> bool {
    if at > map.latest() {
        return true;
    }
    let Some(key) = record.key else {
        return false;
    };
    let newest = map.get(key).is_none_or(|newest| at >= newest);
    newest && (record.value.is_some() || !deletable)
}

/// The header's fields that a rewritten batch keeps.
fn options(header: &BatchHeader) -> BatchOptions {
    let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    BatchOptions {
        base_offset: header.base_offset,
        leader_epoch: header.partition_leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
        control: header.attributes.is_control(),
        log_append_time: append_time.then_some(header.max_timestamp),
        last_offset_delta: Some(header.last_offset_delta),
        ..BatchOptions::default()
    }
    .with_codec(header.attributes.codec().unwrap_or(Codec::None))
}
