//! What a broker checks before a client's batch may enter a log, in one pass over the records, and the
//! error a producer gets for what is wrong (`LogValidator`, `UnifiedLog.analyzeAndValidateRecords`).
//!
//! Not here: `max.message.bytes` (compare [`BatchRef::size_in_bytes`]), "one batch per partition" of
//! Produce 3 and up, sequence numbers against the producer's state, the offsets the log assigns.
//!
//! Stricter than Kafka 4.3.1 where that stores or answers nonsense. Offset deltas that are not 0, 1, 2 .. are
//! refused (Kafka stores such a batch as it is, or fails with UNKNOWN_SERVER_ERROR when it is compressed);
//! so are compressed records whose fields don't fill their length (its validator skips over keys, values
//! and headers), a delete horizon or `LogAppendTime` set by a client, and a transaction without producer id.

use super::batch::BatchRef;
use super::codec::{Codec, Decompressor};
use super::error::{BatchError, CodecError, RecordError};
use super::header::{BatchHeader, NO_PRODUCER_ID, NO_TIMESTAMP, TimestampType};
use super::record::{Scan, split_record};
use std::fmt;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request.
    Client,
    /// The broker itself: coordinators and transaction markers. Control batches, producer ids without a
    /// sequence and base offsets other than 0 are its own business.
    Broker,
}

/// What the topic and the moment ask of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who appends.
    pub origin: Origin,
    /// The broker's wall clock in milliseconds.
    pub now: i64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// Every record needs a key: `cleanup.policy` contains `compact`.
    pub key_required: bool,
    /// Open compressed bodies. Without it only the header of a compressed batch is checked: its count
    /// against its offset range, and base and max timestamp against the bounds; what the records really
    /// hold is then found out by whoever reads them. A topic that requires keys opens them regardless.
    pub inspect_compressed: bool,
}

impl Rules {
    /// Kafka's defaults for a topic: create time, no bound into the past, one hour into the future.
    pub fn new(now: i64) -> Self {
        Rules {
            origin: Origin::Client,
            now,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            key_required: false,
            inspect_compressed: true,
        }
    }
}

/// What the log needs to know about a batch that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// Number of records.
    pub record_count: i32,
    /// Offset of the last record minus that of the first.
    pub last_offset_delta: i32,
    /// Largest timestamp, -1 when no record has one; `now` under `LogAppendTime`.
    pub max_timestamp: i64,
    /// Which record carries it first: its offset delta, or -1 when none has a timestamp. Under
    /// `LogAppendTime`, and for a body that wasn't opened, the last. (Kafka's time index
    /// takes the batch's last offset; `ListOffsets` for the largest timestamp this one.)
    pub max_timestamp_offset_delta: i32,
    /// The header doesn't say `max_timestamp` and the topic's type: `patch::timestamps` must be called.
    pub rewrite_timestamps: bool,
    /// Producer id or -1.
    pub producer_id: i64,
    /// Producer epoch or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record or -1.
    pub base_sequence: i32,
    /// Sequence of the last record or -1.
    pub last_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// Control records.
    pub control: bool,
    /// Codec of the body.
    pub codec: Codec,
}

/// Kafka's name and code for the way a batch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// `CORRUPT_MESSAGE`, 2: damaged on the way; the producer retries.
    CorruptMessage,
    /// `MESSAGE_TOO_LARGE`, 10; the producer may split the batch.
    MessageTooLarge,
    /// `INVALID_TIMESTAMP`, 32.
    InvalidTimestamp,
    /// `UNSUPPORTED_FOR_MESSAGE_FORMAT`, 43.
    UnsupportedForMessageFormat,
    /// `UNSUPPORTED_COMPRESSION_TYPE`, 76.
    UnsupportedCompressionType,
    /// `INVALID_RECORD`, 87: the producer built it wrong; retrying doesn't help.
    InvalidRecord,
}

impl ErrorKind {
    /// The protocol's error code.
    pub fn code(self) -> i16 {
        match self {
            ErrorKind::CorruptMessage => 2,
            ErrorKind::MessageTooLarge => 10,
            ErrorKind::InvalidTimestamp => 32,
            ErrorKind::UnsupportedForMessageFormat => 43,
            ErrorKind::UnsupportedCompressionType => 76,
            ErrorKind::InvalidRecord => 87,
        }
    }
}

/// Why a batch may not be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidBatch {
    /// Not a whole, intact batch.
    Batch(BatchError),
    /// A record can't be read.
    Record {
        /// Index of the record in the batch.
        index: i32,
        /// What is wrong with it.
        error: RecordError,
    },
    /// A client's batch must begin at offset 0.
    BaseOffset(i64),
    /// Count and offset range differ, or one isn't positive.
    OffsetRange {
        /// Records announced.
        count: i32,
        /// Last offset delta.
        last_offset_delta: i32,
    },
    /// A record's offset delta isn't its index.
    OffsetDelta {
        /// Index of the record in the batch.
        index: i32,
        /// Its offset delta.
        delta: i32,
    },
    /// A compacted topic needs keys.
    MissingKey {
        /// Index of the record in the batch.
        index: i32,
    },
    /// A timestamp out of the topic's bounds.
    Timestamp {
        /// Index of the record in the batch; -1 for the header's.
        index: i32,
        /// The timestamp.
        timestamp: i64,
        /// Earliest allowed.
        earliest: i64,
        /// Latest allowed.
        latest: i64,
    },
    /// Only a broker may set `LogAppendTime`.
    LogAppendTime,
    /// Only a broker may write control records.
    Control,
    /// Only the log cleaner sets a delete horizon.
    DeleteHorizon,
    /// Producer id, epoch and sequence don't fit together, or a transaction lacks them.
    Producer {
        /// Producer id.
        producer_id: i64,
        /// Producer epoch.
        producer_epoch: i16,
        /// Base sequence.
        base_sequence: i32,
    },
    /// Compressed in a way that Kafka's Java clients could not read back.
    UnreadableForJava,
}

impl InvalidBatch {
    /// What the producer gets. Kafka answers UNKNOWN_SERVER_ERROR to some of what can't be decompressed;
    /// those are INVALID_RECORD here, because the producer can't mend them by retrying.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Batch(BatchError::UnsupportedMagic { .. }) => ErrorKind::InvalidRecord,
            Self::Batch(BatchError::TooLarge { .. }) => ErrorKind::MessageTooLarge,
            Self::Batch(_) => ErrorKind::CorruptMessage,
            Self::Record {
                error: RecordError::UnknownCodec { .. },
                ..
            } => ErrorKind::UnsupportedCompressionType,
            Self::Record {
                error: RecordError::Codec(CodecError::TooManyBytes { .. } | CodecError::TooManyRecords { .. }),
                ..
            } => ErrorKind::MessageTooLarge,
            Self::Timestamp { .. } | Self::LogAppendTime => ErrorKind::InvalidTimestamp,
            _ => ErrorKind::InvalidRecord,
        }
    }

    /// Index of the record at fault, for the response's `record_errors`.
    pub fn record_index(&self) -> Option<i32> {
        match self {
            Self::Record { index, .. }
            | Self::OffsetDelta { index, .. }
            | Self::MissingKey { index }
            | Self::Timestamp { index, .. } => (*index >= 0).then_some(*index),
            _ => None,
        }
    }
}

impl From<BatchError> for InvalidBatch {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

impl fmt::Display for InvalidBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Record { index, error } => write!(f, "record {index}: {error}"),
            Self::BaseOffset(offset) => {
                write!(f, "base offset {offset} in a produced batch, must be 0")
            }
            Self::OffsetRange {
                count,
                last_offset_delta,
            } => {
                write!(
                    f,
                    "{count} records don't fit last offset delta {last_offset_delta}"
                )
            }
            Self::OffsetDelta { index, delta } => {
                write!(f, "record {index} has offset delta {delta}")
            }
            Self::MissingKey { index } => {
                write!(f, "record {index}: a compacted topic needs a key")
            }
            Self::Timestamp {
                index,
                timestamp,
                earliest,
                latest,
            } => {
                write!(
                    f,
                    "record {index}: timestamp {timestamp} is outside [{earliest}, {latest}]"
                )
            }
            Self::LogAppendTime => write!(f, "a producer may not set the timestamp type to LogAppendTime"),
            Self::Control => write!(f, "clients may not write control records"),
            Self::DeleteHorizon => write!(f, "clients may not set a delete horizon"),
            Self::Producer {
                producer_id,
                producer_epoch,
                base_sequence,
            } => write!(
                f,
                "producer id {producer_id}, epoch {producer_epoch} and sequence {base_sequence} don't fit"
            ),
            Self::UnreadableForJava => write!(f, "lz4 frame that Kafka's Java clients can't read"),
        }
    }
}

impl std::error::Error for InvalidBatch {}

/// Checks a batch before it is appended. The CRC is read exactly once. Nothing is allocated for an
/// uncompressed batch, and for a compressed one only what `scratch` doesn't have yet.
pub fn validate_for_append(
    batch: &BatchRef<'_>,
    rules: &Rules,
    scratch: &mut Decompressor,
) -> Result<BatchSummary, InvalidBatch> {
    batch.verify_crc()?;
    let header = batch.header();
    let codec = check_header(header, rules)?;
    let mut pass = Pass::new(header, rules);
    if codec == Codec::None {
        pass = walk(batch, pass)?;
    } else if rules.inspect_compressed || rules.key_required {
        let opened = batch.records_with(scratch);
        let mut records = opened.map_err(|error| InvalidBatch::Record { index: 0, error })?;
        while let Some(record) = records.next_scan() {
            pass.check(record)?;
        }
        if !records.java_reads_it() {
            return Err(InvalidBatch::UnreadableForJava);
        }
    } else {
        pass.trust(header)?;
    }
    Ok(pass.summary(header, codec))
}

/// The hot loop: what [`BatchRef::records`] does, written so that its state stays in registers.
#[inline(never)]
fn walk(batch: &BatchRef<'_>, mut pass: Pass) -> Result<Pass, InvalidBatch> {
    let announced = batch.header().record_count;
    let mut rest = batch.body();
    while pass.index < announced {
        if rest.is_empty() {
            let error = RecordError::CountMismatch {
                announced,
                found: pass.index,
            };
            return Err(InvalidBatch::Record {
                index: pass.index,
                error,
            });
        }
        pass.check(split_record(&mut rest).and_then(Scan::read))?;
    }
    if rest.is_empty() {
        return Ok(pass);
    }
    Err(InvalidBatch::Record {
        index: pass.index,
        error: RecordError::TrailingBytes,
    })
}

/// What the header alone can tell.
fn check_header(header: &BatchHeader, rules: &Rules) -> Result<Codec, InvalidBatch> {
    let attributes = header.attributes;
    let codec = attributes.codec().map_err(|id| InvalidBatch::Record {
        index: -1,
        error: RecordError::UnknownCodec { id },
    })?;
    if header.record_count <= 0 || header.last_offset_delta.checked_add(1) != Some(header.record_count) {
        let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
        return Err(InvalidBatch::OffsetRange {
            count,
            last_offset_delta,
        });
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(InvalidBatch::LogAppendTime);
    }
    if attributes.has_delete_horizon() {
        return Err(InvalidBatch::DeleteHorizon);
    }
    let client = rules.origin == Origin::Client;
    if client && header.base_offset != 0 {
        return Err(InvalidBatch::BaseOffset(header.base_offset));
    }
    if client && attributes.is_control() {
        return Err(InvalidBatch::Control);
    }
    let sane = match header.has_producer_id() {
        true => header.producer_epoch >= 0 && (header.base_sequence >= 0 || !client),
        false => header.producer_id == NO_PRODUCER_ID && !attributes.is_transactional(),
    };
    if !sane {
        return Err(InvalidBatch::Producer {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        });
    }
    Ok(codec)
}

/// The state of the one pass over the records.
struct Pass {
    base_timestamp: i64,
    earliest: i64,
    latest: i64,
    key_required: bool,
    append_time: Option<i64>,
    index: i32,
    max_timestamp: i64,
    max_timestamp_index: i32,
}

impl Pass {
    fn new(header: &BatchHeader, rules: &Rules) -> Self {
        let append_time = (rules.timestamp_type == TimestampType::LogAppendTime).then_some(rules.now);
        let (earliest, latest) = match append_time {
            Some(_) => (i64::MIN, i64::MAX),
            None => (
                rules.now.saturating_sub(rules.before_max_ms),
                rules.now.saturating_add(rules.after_max_ms),
            ),
        };
        Pass {
            base_timestamp: header.base_timestamp,
            earliest,
            latest,
            key_required: rules.key_required,
            append_time,
            index: 0,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_index: -1,
        }
    }

    #[inline(always)]
    fn check(&mut self, record: Result<Scan, RecordError>) -> Result<(), InvalidBatch> {
        let index = self.index;
        let record = record.map_err(|error| InvalidBatch::Record { index, error })?;
        if record.offset_delta != index {
            return Err(InvalidBatch::OffsetDelta {
                index,
                delta: record.offset_delta,
            });
        }
        if self.key_required && !record.has_key {
            return Err(InvalidBatch::MissingKey { index });
        }
        self.timestamp(index, self.base_timestamp.wrapping_add(record.timestamp_delta))?;
        self.index = index + 1;
        Ok(())
    }

    #[inline(always)]
    fn timestamp(&mut self, index: i32, timestamp: i64) -> Result<(), InvalidBatch> {
        let outside = timestamp < self.earliest || timestamp > self.latest;
        if outside && timestamp != NO_TIMESTAMP {
            let (earliest, latest) = (self.earliest, self.latest);
            return Err(InvalidBatch::Timestamp {
                index,
                timestamp,
                earliest,
                latest,
            });
        }
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_index = index;
        }
        Ok(())
    }

    /// Takes the header's word for a body that stays closed.
    fn trust(&mut self, header: &BatchHeader) -> Result<(), InvalidBatch> {
        self.timestamp(-1, header.base_timestamp)?;
        self.timestamp(-1, header.max_timestamp)?;
        self.max_timestamp = header.max_timestamp;
        self.max_timestamp_index = header.last_offset_delta;
        Ok(())
    }

    fn summary(&self, header: &BatchHeader, codec: Codec) -> BatchSummary {
        let (max_timestamp, max_timestamp_offset_delta) = match self.append_time {
            Some(now) => (now, header.last_offset_delta),
            None => (self.max_timestamp, self.max_timestamp_index),
        };
        BatchSummary {
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
            max_timestamp,
            max_timestamp_offset_delta,
            // A batch that passed has create time in its header.
            rewrite_timestamps: self.append_time.is_some() || max_timestamp != header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            transactional: header.attributes.is_transactional(),
            control: header.attributes.is_control(),
            codec,
        }
    }
}
