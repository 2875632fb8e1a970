//! Replay of a partition of `__consumer_offsets`, from its start to its end, into a coordinator that is not serving yet.

use bytes::BytesMut;
use ottla_group::{Groups, LoadError};
use ottla_store::{LogReader, Upto};
use ottla_types::Offset;
use ottla_wire::records::{BatchRef, Batches, Decompressor, EndTxnMarker, Limits};

/// Why a partition cannot be loaded.
#[derive(Debug)]
pub struct Unloadable(String);

impl std::fmt::Display for Unloadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Unloadable {
    fn from(error: E) -> Self {
        Unloadable(error.to_string())
    }
}

/// Feeds every batch below the log's end to `apply`, reading about `chunk` bytes at a time. Nobody appends meanwhile: the
/// coordinator is the only one to write its partition, and it does not serve yet.
pub async fn load(
    reader: &LogReader,
    chunk: usize,
    mut apply: impl FnMut(&[u8], Offset) -> Result<Offset, Unloadable> + Send,
) -> Result<(), Unloadable> {
    let (mut at, end) = (reader.offsets().start, reader.offsets().end);
    while at < end {
        let slice = reader.read(at, chunk, Upto::LogEnd, true).await?;
        let Some(file) = &slice.file else { break };
        let buffer = BytesMut::new();
        let (read, bytes) = ottla_io::read_exact_at(file.as_ref(), slice.position, buffer, slice.len).await;
        read?;
        let next = apply(&bytes, at)?;
        if next <= at {
            return Err(Unloadable(format!(
                "no batch at offset {at}, below the end {end}"
            )));
        }
        at = next;
    }
    Ok(())
}

/// Replays the batches in `bytes` that reach `at` or further. Returns the offset behind the last of them.
pub fn replay(
    groups: &mut Groups,
    bytes: &[u8],
    mut at: Offset,
    scratch: &mut Decompressor,
) -> Result<Offset, Unloadable> {
    for batch in Batches::tolerant(bytes) {
        let batch = batch?;
        let header = batch.header();
        if header.last_offset() < at {
            continue;
        }
        batch.verify_crc()?;
        replay_batch(groups, batch, scratch)?;
        at = header.next_offset();
    }
    Ok(at)
}

fn replay_batch(
    groups: &mut Groups,
    batch: BatchRef<'_>,
    scratch: &mut Decompressor,
) -> Result<(), Unloadable> {
    let header = *batch.header();
    let transaction = header.attributes.is_transactional().then_some(header.producer_id);
    let mut records = batch.records_with(scratch)?;
    while let Some(record) = records.next_record() {
        let record = record?;
        let (key, value) = (record.key, record.value);
        if header.attributes.is_control() {
            let marker = EndTxnMarker::from_record(key.unwrap_or_default(), value.unwrap_or_default());
            if let Some(marker) = marker {
                groups.replay_marker(header.producer_id, marker.committed)?;
            }
            continue;
        }
        // Kafka's coordinator writes none without a key, and fails on one; so do we, and say where.
        let at = header.base_offset + i64::from(record.offset_delta);
        let key = key.ok_or_else(|| Unloadable(format!("the record at offset {at} has no key")))?;
        groups
            .replay(transaction, key, value)
            .map_err(|error: LoadError| Unloadable(format!("offset {at}: {error}")))?;
    }
    Ok(())
}

/// What decompression of a partition needs.
pub fn scratch() -> Decompressor {
    Decompressor::new(Limits::default())
}
