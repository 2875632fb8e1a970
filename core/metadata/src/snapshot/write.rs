//! A snapshot's bytes: a batch with the header and what the log says of the quorum, the image's records, a batch with the footer
//! (Kafka class `RecordsSnapshotWriter`).

use super::{MAX_BATCH_BYTES, SnapshotId};
use crate::quorum::Quorum;
use crate::records::Records;
use ottla_wire::EncodeError;
use ottla_wire::control_records::{ControlRecord, SnapshotFooterRecord, SnapshotHeaderRecord};
use ottla_wire::records::{BatchBuilder, BatchOptions, BuildError, Compressor, ControlType, control_batch};

/// What stands at a snapshot's begin.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// Which records it stands for; its batches carry the epoch.
    pub id: SnapshotId,
    /// When it is written, in ms; its batches carry it.
    pub now: i64,
    /// The append time of the last record that it contains, in ms. Its age counts from there.
    pub last_contained_timestamp: i64,
    /// What the log says of the quorum.
    pub quorum: &'a Quorum,
}

/// The whole file.
pub fn write(head: &Head<'_>, records: &Records) -> Result<Vec<u8>, BuildError> {
    let mut file = File {
        bytes: Vec::new(),
        next: 0,
        epoch: head.id.epoch,
    };
    let mut first = vec![ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
        version: 0,
        last_contained_log_timestamp: head.last_contained_timestamp,
    })];
    first.extend(head.quorum.control_records());
    file.control(head.now, &first)?;
    let mut batch = BatchBuilder::new();
    for record in records.iter() {
        let size = batch.size_of(head.now, None, Some(record), &[]);
        if !batch.is_empty() && size > MAX_BATCH_BYTES {
            file.data(std::mem::take(&mut batch))?;
        }
        batch.append(head.now, None, Some(record), &[])?;
    }
    if !batch.is_empty() {
        file.data(batch)?;
    }
    let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 0 });
    file.control(head.now, &[footer])?;
    Ok(file.bytes)
}

struct File {
    bytes: Vec<u8>,
    /// The offset of the next record: snapshots count from 0.
    next: i64,
    epoch: i32,
}

impl File {
    fn options(&self) -> BatchOptions {
        BatchOptions {
            base_offset: self.next,
            leader_epoch: self.epoch,
            ..BatchOptions::default()
        }
    }

    fn control(&mut self, now: i64, records: &[ControlRecord<'_>]) -> Result<(), BuildError> {
        let mut values: Vec<(ControlType, Vec<u8>)> = Vec::new();
        for record in records {
            let mut value = Vec::new();
            record
                .encode(&mut value)
                .map_err(|_: EncodeError| BuildError::TooLarge)?;
            values.push((record.kind(), value));
        }
        let values: Vec<(ControlType, &[u8])> =
            values.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        self.bytes.extend(control_batch(now, &values, &self.options())?);
        self.next += values.len() as i64;
        Ok(())
    }

    fn data(&mut self, batch: BatchBuilder) -> Result<(), BuildError> {
        let count = i64::from(batch.record_count());
        self.bytes
            .extend(batch.finish(&self.options(), &mut Compressor::new())?);
        self.next += count;
        Ok(())
    }
}
