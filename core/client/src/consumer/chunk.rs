//! One partition's bytes out of one response, turned into records batch by batch: checksum, decompression, what the isolation
//! level hides, what lies before the position. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ottla_types::TopicPartition;
use ottla_wire::records::{BatchRef, Batches, Codec, ControlType, Decompressor, RecordRef, TimestampType};

use super::record::{ConsumerRecord, RecordHeader};
use crate::{Error, Result};

/// An aborted transaction in the fetched range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
}

/// The transactions that a reader of committed records must not see, while it walks through the log.
#[derive(Debug, Default)]
struct Hidden {
    /// Not begun yet, by first offset, the first one last.
    coming: Vec<Aborted>,
    active: BTreeSet<i64>,
}

/// What is left to read of one partition in one response.
pub(crate) struct Chunk {
    pub(crate) partition: TopicPartition,
    topic: Arc<str>,
    bytes: Bytes,
    /// The offset that was asked for: no record before it is given out.
    pub(crate) from: i64,
    /// `None` for uncommitted reading.
    hidden: Option<Hidden>,
    check_crcs: bool,
}

/// The records of one batch, and the offset behind it.
pub(crate) struct Decoded {
    pub(crate) records: Vec<ConsumerRecord>,
    pub(crate) next_offset: i64,
}

impl Chunk {
    /// `aborted` is `None` when nothing is to be hidden.
    pub(crate) fn new(
        topic: Arc<str>,
        partition: i32,
        bytes: Bytes,
        from: i64,
        aborted: Option<Vec<Aborted>>,
        crcs: bool,
    ) -> Self {
        let hidden = aborted.map(|mut coming| {
            coming.sort_by_key(|a| std::cmp::Reverse(a.first_offset));
            Hidden {
                coming,
                active: BTreeSet::new(),
            }
        });
        let name = TopicPartition::new(&*topic, partition);
        Chunk {
            partition: name,
            topic,
            bytes,
            from,
            hidden,
            check_crcs: crcs,
        }
    }

    /// The offset behind the last whole batch, by the headers alone; `from` if there is none.
    pub(crate) fn end(&self) -> i64 {
        let last = Batches::tolerant(&self.bytes)
            .map_while(std::result::Result::ok)
            .last();
        last.map_or(self.from, |batch| batch.header().next_offset().max(self.from))
    }

    /// The next batch. `None` at the end; what is cut off there comes again with the next response.
    pub(crate) fn next(&mut self, scratch: &mut Decompressor) -> Option<Result<Decoded>> {
        let bytes = self.bytes.clone();
        let batch = match Batches::tolerant(&bytes).next() {
            None => {
                self.bytes = Bytes::new();
                return None;
            }
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                self.bytes = Bytes::new();
                return Some(Err(self.corrupt(None, error.to_string())));
            }
        };
        self.bytes = bytes.slice(batch.size_in_bytes()..);
        let result = self.decode(&bytes, batch, scratch);
        if result.is_err() {
            self.bytes = Bytes::new();
        }
        Some(result)
    }

    fn decode(&mut self, bytes: &Bytes, batch: BatchRef<'_>, scratch: &mut Decompressor) -> Result<Decoded> {
        let header = *batch.header();
        if self.check_crcs {
            batch
                .verify_crc()
                .map_err(|e| self.corrupt(Some(header.last_offset()), e.to_string()))?;
        }
        let next_offset = header.next_offset().max(self.from);
        let mut records = Vec::new();
        let hidden = self.hidden.as_mut().is_some_and(|h| h.hides(&batch));
        if !hidden && !header.attributes.is_control() && header.last_offset() >= self.from {
            let read = match header.attributes.codec() {
                Ok(Codec::None) => self.plain(bytes, &batch, &mut records),
                Ok(_) => self.compressed(&batch, scratch, &mut records),
                Err(id) => Err(format!("its compression codec {id} is unknown")),
            };
            read.map_err(|problem| self.corrupt(Some(header.last_offset()), problem))?;
        }
        self.from = next_offset;
        Ok(Decoded { records, next_offset })
    }

    /// Records are slices of the response.
    fn plain(
        &self,
        bytes: &Bytes,
        batch: &BatchRef<'_>,
        out: &mut Vec<ConsumerRecord>,
    ) -> std::result::Result<(), String> {
        // A record takes seven bytes at least, whatever the header announces.
        let announced = usize::try_from(batch.header().record_count).unwrap_or(0);
        out.reserve(announced.min(batch.body().len() / 7));
        for record in batch.records() {
            let record = record.map_err(|e| e.to_string())?;
            if let Some(made) = self.record(batch, &record, |part| bytes.slice_ref(part))? {
                out.push(made);
            }
        }
        Ok(())
    }

    /// Records are slices of memory that they share with their batch.
    fn compressed(
        &self,
        batch: &BatchRef<'_>,
        scratch: &mut Decompressor,
        out: &mut Vec<ConsumerRecord>,
    ) -> std::result::Result<(), String> {
        let mut stream = batch.records_with(scratch).map_err(|e| e.to_string())?;
        let mut memory = bytes::BytesMut::with_capacity(batch.body().len());
        while let Some(record) = stream.next_record() {
            let record = record.map_err(|e| e.to_string())?;
            let copy = |part: &[u8], memory: &mut bytes::BytesMut| {
                memory.extend_from_slice(part);
                memory.split().freeze()
            };
            if let Some(made) = self.record(batch, &record, |part| copy(part, &mut memory))? {
                out.push(made);
            }
        }
        Ok(())
    }

    fn record(
        &self,
        batch: &BatchRef<'_>,
        record: &RecordRef<'_>,
        mut keep: impl FnMut(&[u8]) -> Bytes,
    ) -> std::result::Result<Option<ConsumerRecord>, String> {
        let header = batch.header();
        let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
        if offset < self.from {
            return Ok(None);
        }
        if offset > header.last_offset() {
            return Err(format!(
                "a record's offset {offset} lies behind the batch's last, {}",
                header.last_offset()
            ));
        }
        let mut headers = Vec::with_capacity(record.header_count());
        for header in record.headers() {
            let header = header.map_err(|e| e.to_string())?;
            headers.push(RecordHeader {
                key: keep(header.key),
                value: header.value.map(&mut keep),
            });
        }
        let timestamp_type = header.attributes.timestamp_type();
        Ok(Some(ConsumerRecord {
            topic: self.topic.clone(),
            partition: self.partition.partition,
            offset,
            timestamp: match timestamp_type {
                TimestampType::LogAppendTime => header.max_timestamp,
                TimestampType::CreateTime => header.timestamp(record.timestamp_delta),
            },
            timestamp_type,
            leader_epoch: header.partition_leader_epoch,
            key: record.key.map(&mut keep),
            value: record.value.map(&mut keep),
            headers,
        }))
    }

    fn corrupt(&self, last_offset: Option<i64>, problem: String) -> Error {
        Error::Corrupt {
            partition: self.partition.clone(),
            offset: self.from,
            last_offset,
            problem,
        }
    }
}

impl Hidden {
    /// Follows the log through one batch; whether its records belong to an aborted transaction (Kafka class
    /// `CompletedFetch`).
    fn hides(&mut self, batch: &BatchRef<'_>) -> bool {
        let header = batch.header();
        while let Some(next) = self.coming.pop_if(|a| a.first_offset <= header.last_offset()) {
            self.active.insert(next.producer_id);
        }
        if header.attributes.is_control() {
            let first = batch.records().next().and_then(std::result::Result::ok);
            let kind = first.and_then(|r| r.key).and_then(ControlType::from_key);
            if kind == Some(ControlType::Abort) {
                self.active.remove(&header.producer_id);
            }
            return true;
        }
        header.attributes.is_transactional() && self.active.contains(&header.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::records::{BatchBuilder, BatchOptions, Compressor, EndTxnMarker, Header, Limits};
    use proptest::prelude::*;

    fn batch(base: i64, records: usize, codec: Codec, producer: Option<i64>) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for i in 0..records {
            let value = format!("value {}", base + i as i64);
            let headers = [Header {
                key: b"h",
                value: None,
            }];
            builder
                .append(1000 + i as i64, Some(b"k"), Some(value.as_bytes()), &headers)
                .unwrap();
        }
        let options = BatchOptions {
            base_offset: base,
            leader_epoch: 3,
            producer_id: producer.unwrap_or(-1),
            transactional: producer.is_some(),
            ..BatchOptions::default()
        };
        builder
            .finish(&options.with_codec(codec), &mut Compressor::new())
            .unwrap()
    }

    fn marker(offset: i64, producer: i64, committed: bool) -> Vec<u8> {
        EndTxnMarker {
            committed,
            coordinator_epoch: 0,
        }
        .to_batch(0, producer, 0, offset, 0)
        .unwrap()
    }

    fn read(bytes: Vec<u8>, from: i64, aborted: Option<Vec<Aborted>>) -> (Vec<i64>, Option<Error>, i64) {
        let mut chunk = Chunk::new("t".into(), 0, bytes.into(), from, aborted, true);
        let mut scratch = Decompressor::new(Limits::default());
        let (mut offsets, mut failed) = (Vec::new(), None);
        while let Some(next) = chunk.next(&mut scratch) {
            match next {
                Ok(decoded) => offsets.extend(decoded.records.iter().map(|r| r.offset)),
                Err(error) => failed = Some(error),
            }
        }
        (offsets, failed, chunk.from)
    }

    #[test]
    fn every_codec_gives_the_same_records() {
        for codec in Codec::ALL {
            let bytes = batch(10, 5, codec, None);
            let mut chunk = Chunk::new("t".into(), 7, bytes.into(), 12, None, true);
            assert_eq!(chunk.end(), 15);
            let decoded = chunk
                .next(&mut Decompressor::new(Limits::default()))
                .unwrap()
                .unwrap();
            assert_eq!(decoded.next_offset, 15);
            let first = &decoded.records[0];
            assert_eq!(
                (first.offset, first.partition, first.leader_epoch, first.timestamp),
                (12, 7, 3, 1002)
            );
            assert_eq!(first.value.as_deref(), Some(&b"value 12"[..]));
            assert_eq!(first.key.as_deref(), Some(&b"k"[..]));
            assert_eq!(
                (first.headers[0].key.as_ref(), &first.headers[0].value),
                (&b"h"[..], &None)
            );
            assert_eq!(decoded.records.len(), 3);
        }
    }

    #[test]
    fn aborted_transactions_and_markers_are_hidden_from_committed_readers() {
        let log = [
            batch(0, 2, Codec::None, Some(1)),
            batch(2, 2, Codec::Lz4, Some(2)),
            batch(4, 1, Codec::None, None),
            marker(5, 1, false),
            batch(6, 1, Codec::None, Some(1)),
            marker(7, 2, true),
            marker(8, 1, true),
        ]
        .concat();
        let aborted = vec![Aborted {
            producer_id: 1,
            first_offset: 0,
        }];
        assert_eq!(read(log.clone(), 0, Some(aborted)), (vec![2, 3, 4, 6], None, 9));
        assert_eq!(read(log, 0, None), (vec![0, 1, 2, 3, 4, 6], None, 9));
    }

    #[test]
    fn damage_stops_reading_where_it_is() {
        let mut bytes = [batch(0, 2, Codec::None, None), batch(2, 2, Codec::None, None)].concat();
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        let (offsets, error, from) = read(bytes, 0, None);
        assert_eq!((offsets, from), (vec![0, 1], 2));
        let error = error.unwrap();
        assert!(
            matches!(
                error,
                Error::Corrupt {
                    offset: 2,
                    last_offset: Some(3),
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_batch_that_is_cut_off_is_no_error() {
        let whole = [batch(0, 2, Codec::None, None), batch(2, 9, Codec::Zstd, None)].concat();
        for cut in 1..60 {
            let (offsets, error, from) = read(whole[..whole.len() - cut].to_vec(), 0, None);
            assert_eq!((offsets, error, from), (vec![0, 1], None, 2));
        }
    }

    proptest! {
        #[test]
        fn mutated_bytes_never_panic_and_never_go_back(
            codec in 0usize..5, at in any::<prop::sample::Index>(), with in any::<u8>(), from in 0i64..12, crcs in any::<bool>(),
        ) {
            let mut bytes = [batch(0, 3, Codec::ALL[codec], None), batch(3, 4, Codec::None, Some(5))].concat();
            let at = at.index(bytes.len());
            bytes[at] = with;
            let mut chunk = Chunk::new("t".into(), 0, bytes.into(), from, Some(Vec::new()), crcs);
            let mut scratch = Decompressor::new(Limits::default());
            let end = chunk.end();
            prop_assert!(end >= from);
            while let Some(next) = chunk.next(&mut scratch) {
                if let Ok(decoded) = next {
                    prop_assert!(decoded.records.iter().all(|r| r.offset >= from));
                    prop_assert!(decoded.next_offset >= from);
                }
            }
        }
    }
}
