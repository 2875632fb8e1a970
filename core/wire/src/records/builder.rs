//! Building batches: the producer's side, re-compression, and the control batches a broker writes.
//! Without compression the bytes are those of Java's `MemoryRecordsBuilder`.

use super::codec::{Codec, Compressor};
use super::error::CodecError;
use super::header::{
    Attributes, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC_V2, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, field,
};
use super::record::{Header, RecordRef};
use super::varint;
use std::fmt;

/// What goes into the header beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Compression of the records.
    pub codec: Codec,
    /// Its level, see [`Codec::levels`].
    pub level: i32,
    /// Offset of the first record; a producer sends 0.
    pub base_offset: i64,
    /// Epoch of the appending leader; a producer sends -1.
    pub leader_epoch: i32,
    /// Producer id or -1.
    pub producer_id: i64,
    /// Producer epoch or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record or -1.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// Control records.
    pub control: bool,
    /// The append time, for a batch of `LogAppendTime`.
    pub log_append_time: Option<i64>,
    /// Last offset delta when it isn't the last record's: a cleaned batch keeps the one it had.
    pub last_offset_delta: Option<i32>,
}

impl Default for BatchOptions {
    /// An uncompressed batch of a producer without idempotence.
    fn default() -> Self {
        BatchOptions {
            codec: Codec::None,
            level: 0,
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            log_append_time: None,
            last_offset_delta: None,
        }
    }
}

impl BatchOptions {
    /// With this codec at Kafka's default level.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Self {
        BatchOptions {
            codec,
            level: codec.default_level(),
            ..self
        }
    }
}

/// Why a batch can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// No record was appended.
    Empty,
    /// A field, a record or the batch doesn't fit the format's 31 bits.
    TooLarge,
    /// The offset delta is not above the one before.
    OffsetDelta {
        /// The delta.
        delta: i32,
    },
    /// The compressor failed.
    Codec(CodecError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a batch needs a record"),
            Self::TooLarge => write!(f, "a batch can't take more than 2 GiB"),
            Self::OffsetDelta { delta } => {
                write!(f, "offset delta {delta} is not above the one before")
            }
            Self::Codec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

/// Collects records and makes a batch of them. Records are written once, where an uncompressed batch
/// has them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    last_offset_delta: i32,
    delete_horizon: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty builder with room for `bytes` of records.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_SIZE + bytes);
        buffer.resize(HEADER_SIZE, 0);
        BatchBuilder {
            bytes: buffer,
            count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: -1,
            delete_horizon: false,
        }
    }

    /// An empty builder of what the cleaner leaves of a batch. A delete horizon takes the base timestamp's place, and
    /// every record's delta counts from it (KIP-534).
    pub fn cleaned(delete_horizon: Option<i64>) -> Self {
        BatchBuilder {
            base_timestamp: delete_horizon.unwrap_or(NO_TIMESTAMP),
            delete_horizon: delete_horizon.is_some(),
            ..Self::new()
        }
    }

    /// Number of records so far.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether no record was appended yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size of the batch so far, before compression.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that [`BatchBuilder::append`] would add.
    pub fn size_of(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> usize {
        let delta = if self.count == 0 && !self.delete_horizon {
            0
        } else {
            timestamp.wrapping_sub(self.base_timestamp)
        };
        let offset_delta = self.last_offset_delta.saturating_add(1);
        let body = size_of_body(delta, offset_delta, key, value, size_of_headers(headers));
        varint::size(body as i64) + body
    }

    /// Appends a record at the next offset.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), BuildError> {
        let delta = self
            .last_offset_delta
            .checked_add(1)
            .ok_or(BuildError::TooLarge)?;
        self.append_at(delta, timestamp, key, value, headers)
    }

    /// Appends a record at an offset delta above the last one: what cleaning leaves has gaps.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), BuildError> {
        let size = size_of_headers(headers);
        self.put(offset_delta, timestamp, [key, value], size, |out| {
            for header in headers {
                write_bytes(out, Some(header.key));
                write_bytes(out, header.value);
            }
        })
    }

    /// Appends a record of another batch as it is, at its offset delta there. `timestamp` is its full timestamp.
    pub fn keep(&mut self, record: &RecordRef<'_>, timestamp: i64) -> Result<(), BuildError> {
        let headers = record.header_bytes();
        let size = (record.header_count(), headers.len());
        self.put(
            record.offset_delta,
            timestamp,
            [record.key, record.value],
            size,
            |out| {
                out.extend_from_slice(headers);
            },
        )
    }

    /// Appends a record whose headers, of which `headers` says number and size, `write` puts behind the rest.
    fn put(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        [key, value]: [Option<&[u8]>; 2],
        headers: (usize, usize),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BuildError> {
        if offset_delta <= self.last_offset_delta {
            return Err(BuildError::OffsetDelta { delta: offset_delta });
        }
        let base_timestamp = if self.count == 0 && !self.delete_horizon {
            timestamp
        } else {
            self.base_timestamp
        };
        let delta = timestamp.wrapping_sub(base_timestamp);
        let size = size_of_body(delta, offset_delta, key, value, headers);
        // The header's 61 bytes and a length field of 5 leave this much of the format's 31 bits.
        if size > i32::MAX as usize - self.bytes.len() - 5 {
            return Err(BuildError::TooLarge);
        }
        let out = &mut self.bytes;
        out.reserve(size + 5);
        varint::write_i32(out, size as i32);
        out.push(0);
        varint::write_i64(out, delta);
        varint::write_i32(out, offset_delta);
        write_bytes(out, key);
        write_bytes(out, value);
        varint::write_i32(out, headers.0 as i32);
        write(out);
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        self.count += 1;
        Ok(())
    }

    /// The finished batch. `compressor` is only used when the options ask for compression.
    pub fn finish(self, options: &BatchOptions, compressor: &mut Compressor) -> Result<Vec<u8>, BuildError> {
        if self.count == 0 {
            return Err(BuildError::Empty);
        }
        let BatchBuilder {
            mut bytes,
            count,
            base_timestamp,
            max_timestamp,
            last_offset_delta,
            delete_horizon,
        } = self;
        if options.codec != Codec::None {
            let mut packed = Vec::with_capacity(HEADER_SIZE + bytes.len() / 2);
            packed.resize(HEADER_SIZE, 0);
            let body = bytes.get(HEADER_SIZE..).unwrap_or_default();
            compressor
                .compress(options.codec, options.level, body, &mut packed)
                .map_err(BuildError::Codec)?;
            bytes = packed;
        }
        let timestamp_type = match options.log_append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        };
        let mut attributes = Attributes::new(
            options.codec,
            timestamp_type,
            options.transactional,
            options.control,
        );
        if delete_horizon {
            attributes = attributes.with_delete_horizon();
        }
        let mut header = BatchHeader {
            base_offset: options.base_offset,
            batch_length: i32::try_from(bytes.len() - LOG_OVERHEAD).map_err(|_| BuildError::TooLarge)?,
            partition_leader_epoch: options.leader_epoch,
            magic: MAGIC_V2,
            crc: 0,
            attributes,
            last_offset_delta: options.last_offset_delta.unwrap_or(last_offset_delta),
            base_timestamp,
            max_timestamp: options.log_append_time.unwrap_or(max_timestamp),
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: count,
        };
        bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
        header.crc = crc32c::crc32c(&bytes[field::ATTRIBUTES..]);
        bytes[field::CRC..field::ATTRIBUTES].copy_from_slice(&header.crc.to_be_bytes());
        Ok(bytes)
    }
}

fn size_of_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::size(bytes.len() as i64) + bytes.len())
}

/// Their number, and the bytes they take.
fn size_of_headers(headers: &[Header<'_>]) -> (usize, usize) {
    let size = |h: &Header<'_>| size_of_bytes(Some(h.key)) + size_of_bytes(h.value);
    (headers.len(), headers.iter().map(size).sum())
}

fn size_of_body(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    (header_count, headers_size): (usize, usize),
) -> usize {
    1 + varint::size(timestamp_delta)
        + varint::size(i64::from(offset_delta))
        + size_of_bytes(key)
        + size_of_bytes(value)
        + varint::size(header_count as i64)
        + headers_size
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i64(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
