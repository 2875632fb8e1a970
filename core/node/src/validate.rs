//! What a produced batch must pass before it may queue for its partition: it is one whole batch, every record of it
//! is sound, and the topic's rules hold. Timestamps and codec are brought to what the topic asks for.

use std::sync::Mutex;

use bytes::BytesMut;
use ottla_log::BatchMeta;
use ottla_types::config::{CompressionType, TimestampType as TopicTimestamps, TopicConfig};
use ottla_types::{ErrorCode, Time};
use ottla_wire::records::{
    BatchBuilder, BatchError, BatchHeader, BatchOptions, BatchRef, BatchSummary, Codec, Compressor,
    Decompressor, InvalidBatch, Limits, Rules, TimestampType, patch, validate_for_append,
};

use crate::partition::Refused;

/// Decompressors that nobody uses at the moment, so that a batch needs no new one.
#[derive(Default)]
pub struct Scratch(Mutex<Vec<Decompressor>>);

impl Scratch {
    fn with<T>(&self, work: impl FnOnce(&mut Decompressor) -> T) -> T {
        let kept = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .pop();
        let mut decompressor = kept.unwrap_or_else(|| Decompressor::new(Limits::default()));
        let result = work(&mut decompressor);
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(decompressor);
        result
    }
}

/// The first version of Produce whose batches may be compressed with zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// Checks a batch from a producer, sent in this version of Produce, and says what the log needs to know of it.
pub fn produced(
    version: i16,
    bytes: &mut BytesMut,
    config: &TopicConfig,
    now: Time,
    transactional: bool,
    scratch: &Scratch,
) -> Result<BatchMeta, Refused> {
    let limit = usize::try_from(config.max_message_bytes).unwrap_or(0);
    let batch = BatchRef::first(bytes).map_err(|error| match error {
        // Kafka finds no batch in what does not hold a whole one (Kafka class ProduceRequest).
        BatchError::Truncated { .. } => Refused::because(ErrorCode::InvalidRecord, error),
        error => invalid(&error.into()),
    })?;
    if batch.size_in_bytes() < bytes.len() {
        // Kafka takes one batch a partition since Produce 3.
        return Err(Refused::because(
            ErrorCode::InvalidRecord,
            "a produce request carries one batch for each partition",
        ));
    }
    if version < ZSTD_SINCE && batch.header().attributes.codec() == Ok(Codec::Zstd) {
        return Err(Refused::because(
            ErrorCode::UnsupportedCompressionType,
            "zstd may be used from version 7 of Produce",
        ));
    }
    if batch.size_in_bytes() > limit {
        let text = format!(
            "the batch has {} bytes, max.message.bytes is {limit}",
            batch.size_in_bytes()
        );
        return Err(Refused::because(ErrorCode::MessageTooLarge, text));
    }
    let rules = Rules {
        timestamp_type: timestamp_type(config),
        before_max_ms: config.message_timestamp_before_max_ms,
        after_max_ms: config.message_timestamp_after_max_ms,
        key_required: config.cleanup_policy.compact,
        ..Rules::new(now.as_millis())
    };
    let summary = scratch
        .with(|d| validate_for_append(&batch, &rules, d))
        .map_err(|e| invalid(&e))?;
    if summary.transactional || transactional {
        // No transaction coordinator is served yet, so no transaction can be open.
        return Err(Refused::because(
            ErrorCode::InvalidTxnState,
            "transactions are not served yet",
        ));
    }
    if let Some(codec) = wanted_codec(config).filter(|codec| *codec != summary.codec) {
        let recompressed = recompress(&batch, &summary, codec, config, now, scratch)?;
        *bytes = BytesMut::from(&recompressed[..]);
    } else if summary.rewrite_timestamps {
        patch::timestamps(bytes, rules.timestamp_type, summary.max_timestamp)
            .map_err(|e| invalid(&e.into()))?;
    }
    let header = BatchHeader::parse(bytes).ok_or_else(|| Refused::code(ErrorCode::CorruptMessage))?;
    Ok(BatchMeta::from_header(&header, None))
}

fn timestamp_type(config: &TopicConfig) -> TimestampType {
    match config.message_timestamp_type {
        TopicTimestamps::CreateTime => TimestampType::CreateTime,
        TopicTimestamps::LogAppendTime => TimestampType::LogAppendTime,
    }
}

fn invalid(error: &InvalidBatch) -> Refused {
    let code = ErrorCode::from_code(error.kind().code()).unwrap_or(ErrorCode::InvalidRecord);
    Refused::because(code, error)
}

fn wanted_codec(config: &TopicConfig) -> Option<Codec> {
    match config.compression_type {
        CompressionType::Producer => None,
        CompressionType::Uncompressed => Some(Codec::None),
        CompressionType::Gzip => Some(Codec::Gzip),
        CompressionType::Snappy => Some(Codec::Snappy),
        CompressionType::Lz4 => Some(Codec::Lz4),
        CompressionType::Zstd => Some(Codec::Zstd),
    }
}

/// Writes the batch anew with the topic's codec (`compression.type`).
fn recompress(
    batch: &BatchRef<'_>,
    summary: &BatchSummary,
    codec: Codec,
    config: &TopicConfig,
    now: Time,
    scratch: &Scratch,
) -> Result<Vec<u8>, Refused> {
    let header = batch.header();
    let corrupt = |e: &dyn std::fmt::Display| Refused::because(ErrorCode::CorruptMessage, e);
    let mut builder = BatchBuilder::new();
    scratch.with(|decompressor| {
        let mut records = batch.records_with(decompressor).map_err(|e| corrupt(&e))?;
        while let Some(record) = records.next_record() {
            let record = record.map_err(|e| corrupt(&e))?;
            let headers = record
                .headers()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| corrupt(&e))?;
            let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
            builder
                .append(timestamp, record.key, record.value, &headers)
                .map_err(|e| corrupt(&e))?;
        }
        Ok(())
    })?;
    let level = match codec {
        Codec::Gzip => config.compression_gzip_level,
        Codec::Lz4 => config.compression_lz4_level,
        Codec::Zstd => config.compression_zstd_level,
        Codec::None | Codec::Snappy => codec.default_level(),
    };
    let append_time = timestamp_type(config) == TimestampType::LogAppendTime;
    let options = BatchOptions {
        codec,
        level,
        producer_id: summary.producer_id,
        producer_epoch: summary.producer_epoch,
        base_sequence: summary.base_sequence,
        transactional: summary.transactional,
        log_append_time: append_time.then(|| now.as_millis()),
        ..BatchOptions::default()
    };
    builder
        .finish(&options, &mut Compressor::new())
        .map_err(|e| corrupt(&e))
}
