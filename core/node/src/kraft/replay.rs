//! Reading the metadata log from its begin, or from behind a snapshot: data records to the loader, control records to the quorum.

use bytes::BytesMut;
use ottla_metadata::{Loader, Quorum};
use ottla_store::{LogReader, Upto};
use ottla_types::{Offset, Time};
use ottla_wire::records::{BatchRef, Batches, ControlType, Decompressor};

use crate::start::StartError;

/// How much is read at once.
const READ: usize = 1 << 20;

/// What a replay adds up to.
pub struct Replayed {
    /// Data records.
    pub loader: Loader,
    /// Control records.
    pub quorum: Quorum,
    /// Whether the log itself, or a snapshot made of it, names the voters: what only `format` has said, the first leader repeats.
    pub voters_in_log: bool,
    /// The append time of the last batch of data records.
    pub newest: Time,
    /// Bytes of the batches taken.
    pub bytes: u64,
}

impl Replayed {
    /// Nothing yet.
    pub fn new() -> Self {
        Replayed {
            loader: Loader::new(),
            quorum: Quorum::default(),
            voters_in_log: false,
            newest: Time(0),
            bytes: 0,
        }
    }

    /// Takes one batch.
    pub fn take(&mut self, batch: &BatchRef<'_>, decompressor: &mut Decompressor) -> Result<(), StartError> {
        let header = *batch.header();
        let control = header.attributes.is_control();
        let mut records = batch.records_with(decompressor)?;
        while let Some(record) = records.next_record() {
            let record = record?;
            let value = record.value.unwrap_or_default();
            if !control {
                let offset = header.base_offset + i64::from(record.offset_delta);
                self.loader.replay(value, offset)?;
            } else if let Some(kind) = ControlType::from_key(record.key.unwrap_or_default()) {
                self.quorum.replay(kind, value)?;
                self.voters_in_log |= kind == ControlType::KRaftVoters;
            }
        }
        if !control {
            self.newest = Time(u64::try_from(header.max_timestamp).unwrap_or(0));
        }
        self.bytes += batch.size_in_bytes() as u64;
        Ok(())
    }

    /// Takes every batch of the log from `from` on, in order.
    pub async fn take_log(&mut self, reader: &LogReader, from: Offset) -> Result<(), StartError> {
        let (mut at, end) = (reader.offsets().start.max(from), reader.offsets().end);
        let mut decompressor = Decompressor::default();
        while at < end {
            let slice = reader.read(at, READ, Upto::LogEnd, true).await?;
            let Some(file) = &slice.file else { break };
            let (read, bytes) =
                ottla_io::read_exact_at(file.as_ref(), slice.position, BytesMut::new(), slice.len).await;
            read.map_err(|e| StartError::MetadataLog(e.to_string()))?;
            let before = at;
            for batch in Batches::tolerant(&bytes) {
                let batch = batch?;
                if batch.header().last_offset() >= at {
                    at = batch.header().last_offset() + 1;
                    self.take(&batch, &mut decompressor)?;
                }
            }
            if at == before {
                return Err(StartError::MetadataLog(format!(
                    "no batch at offset {at}, below the end {end}"
                )));
            }
        }
        Ok(())
    }
}
