//! The fixed 61 bytes in front of every record batch (magic 2): where each field lies, reading them,
//! and the few fields a broker rewrites in place. Records and checksums over bodies are in `batch`.
//!
//! Layout: KIP-98; `DefaultRecordBatch` in Kafka's clients.

use super::codec::Codec;
use super::error::BatchError;

/// Byte offset of each header field, and the header's size.
pub mod field {
    /// First offset of the batch, i64.
    pub const BASE_OFFSET: usize = 0;
    /// Bytes that follow this field, i32.
    pub const BATCH_LENGTH: usize = 8;
    /// Epoch of the leader that appended the batch, i32.
    pub const PARTITION_LEADER_EPOCH: usize = 12;
    /// Format version, i8: always 2 here.
    pub const MAGIC: usize = 16;
    /// CRC-32C of everything from [`ATTRIBUTES`] to the end, u32.
    pub const CRC: usize = 17;
    /// Codec and flags, i16.
    pub const ATTRIBUTES: usize = 21;
    /// Last offset minus base offset, i32.
    pub const LAST_OFFSET_DELTA: usize = 23;
    /// Timestamp the records' deltas count from, i64.
    pub const BASE_TIMESTAMP: usize = 27;
    /// Largest timestamp in the batch, i64.
    pub const MAX_TIMESTAMP: usize = 35;
    /// Producer id, i64; -1 without idempotence.
    pub const PRODUCER_ID: usize = 43;
    /// Producer epoch, i16.
    pub const PRODUCER_EPOCH: usize = 51;
    /// Sequence number of the first record, i32.
    pub const BASE_SEQUENCE: usize = 53;
    /// Number of records, i32.
    pub const RECORD_COUNT: usize = 57;
    /// Where the records begin: the size of the header.
    pub const RECORDS: usize = 61;
}

/// Size of a batch header in bytes.
pub const HEADER_SIZE: usize = field::RECORDS;
/// Bytes of base offset and batch length, which the batch length does not count.
pub const LOG_OVERHEAD: usize = field::PARTITION_LEADER_EPOCH;
/// The only record format of Kafka 4: version 2.
pub const MAGIC_V2: i8 = 2;
/// "No timestamp" in records and headers.
pub const NO_TIMESTAMP: i64 = -1;
/// "No producer id": the batch is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// "No producer epoch".
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// "No sequence number".
pub const NO_SEQUENCE: i32 = -1;
/// "Leader epoch unknown", as a producer sends it.
pub const NO_LEADER_EPOCH: i32 = -1;

/// What a batch's timestamps mean (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    /// Each record carries the time its producer gave it.
    CreateTime,
    /// Every record has the time at which the broker appended the batch: the header's max timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// Bits for a new batch.
    pub fn new(codec: Codec, timestamp_type: TimestampType, transactional: bool, control: bool) -> Self {
        let mut bits = codec.id();
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        Attributes(bits).with_timestamp_type(timestamp_type)
    }

    /// The compression codec, or the id nobody knows.
    pub fn codec(self) -> Result<Codec, u8> {
        Codec::from_id((self.0 & Self::CODEC) as u8)
    }

    /// What the timestamps mean.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the records belong to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records (transaction markers, quorum records).
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp holds a delete horizon (KIP-534), which only the log cleaner writes.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same bits, saying that the base timestamp holds a delete horizon.
    #[must_use]
    pub fn with_delete_horizon(self) -> Self {
        Attributes(self.0 | Self::DELETE_HORIZON)
    }

    /// The bits of a batch that lost its records: without codec and delete horizon, which say something of records only.
    #[must_use]
    pub fn without_records(self) -> Self {
        Attributes(self.0 & !(Self::CODEC | Self::DELETE_HORIZON))
    }

    /// The same bits with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Self::LOG_APPEND_TIME),
        }
    }
}

/// A batch header by value. Reading one proves nothing about its numbers: `Batches` checks length and
/// magic, `validate_for_append` the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (in a Produce request always 0).
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; outside the CRC.
    pub partition_leader_epoch: i32,
    /// Format version.
    pub magic: i8,
    /// CRC-32C as stored.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Last offset minus base offset. After compaction it may exceed the offset of the last record left.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from; the delete horizon when that flag is set.
    pub base_timestamp: i64,
    /// Largest timestamp, or the append time under `LogAppendTime`.
    pub max_timestamp: i64,
    /// Producer id or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Producer epoch or [`NO_PRODUCER_EPOCH`].
    pub producer_epoch: i16,
    /// Sequence of the first record or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header; `None` when there are fewer than 61 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let h = bytes.first_chunk::<HEADER_SIZE>()?;
        Some(BatchHeader {
            base_offset: i64_at(h, field::BASE_OFFSET),
            batch_length: i32_at(h, field::BATCH_LENGTH),
            partition_leader_epoch: i32_at(h, field::PARTITION_LEADER_EPOCH),
            magic: h[field::MAGIC] as i8,
            crc: i32_at(h, field::CRC) as u32,
            attributes: Attributes(i16_at(h, field::ATTRIBUTES)),
            last_offset_delta: i32_at(h, field::LAST_OFFSET_DELTA),
            base_timestamp: i64_at(h, field::BASE_TIMESTAMP),
            max_timestamp: i64_at(h, field::MAX_TIMESTAMP),
            producer_id: i64_at(h, field::PRODUCER_ID),
            producer_epoch: i16_at(h, field::PRODUCER_EPOCH),
            base_sequence: i32_at(h, field::BASE_SEQUENCE),
            record_count: i32_at(h, field::RECORD_COUNT),
        })
    }

    /// The header as it lies on disk.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut h = [0u8; HEADER_SIZE];
        put(&mut h, field::BASE_OFFSET, self.base_offset.to_be_bytes());
        put(&mut h, field::BATCH_LENGTH, self.batch_length.to_be_bytes());
        put(
            &mut h,
            field::PARTITION_LEADER_EPOCH,
            self.partition_leader_epoch.to_be_bytes(),
        );
        put(&mut h, field::MAGIC, self.magic.to_be_bytes());
        put(&mut h, field::CRC, self.crc.to_be_bytes());
        put(&mut h, field::ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(
            &mut h,
            field::LAST_OFFSET_DELTA,
            self.last_offset_delta.to_be_bytes(),
        );
        put(&mut h, field::BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(&mut h, field::MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(&mut h, field::PRODUCER_ID, self.producer_id.to_be_bytes());
        put(&mut h, field::PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        put(&mut h, field::BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(&mut h, field::RECORD_COUNT, self.record_count.to_be_bytes());
        h
    }

    /// What the cleaner leaves of a batch that lost all records but is still needed for its last offset, or for its
    /// producer's last sequence: a batch that is a header only (`DefaultRecordBatch.writeEmptyHeader`).
    pub fn emptied(&self) -> [u8; HEADER_SIZE] {
        let mut header = BatchHeader {
            batch_length: (HEADER_SIZE - LOG_OVERHEAD) as i32,
            attributes: self.attributes.without_records(),
            base_timestamp: NO_TIMESTAMP,
            record_count: 0,
            ..*self
        };
        header.crc = crc32c::crc32c(&header.to_bytes()[field::ATTRIBUTES..]);
        header.to_bytes()
    }

    /// Offset of the last record the batch was written with.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Size of the whole batch in bytes; 0 when the length field is negative.
    pub fn size_in_bytes(&self) -> usize {
        usize::try_from(self.batch_length).map_or(0, |length| length.saturating_add(LOG_OVERHEAD))
    }

    /// Whether an idempotent producer wrote it.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// Sequence of the last record, [`NO_SEQUENCE`] when there is none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            add_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// The delete horizon (KIP-534), when the cleaner has set one.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    /// Timestamp of a record of this batch, given its delta.
    #[inline]
    pub fn timestamp(&self, delta: i64) -> i64 {
        match self.attributes.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

/// Sequence numbers run from 0 to 2^31 - 1 and wrap to 0 (`DefaultRecordBatch.incrementSequence`).
pub fn add_sequence(sequence: i32, increment: i32) -> i32 {
    (i64::from(sequence) + i64::from(increment)).rem_euclid(1 << 31) as i32
}

fn i64_at(h: &[u8; HEADER_SIZE], at: usize) -> i64 {
    i64::from_be_bytes(take(h, at))
}

fn i32_at(h: &[u8; HEADER_SIZE], at: usize) -> i32 {
    i32::from_be_bytes(take(h, at))
}

fn i16_at(h: &[u8; HEADER_SIZE], at: usize) -> i16 {
    i16::from_be_bytes(take(h, at))
}

/// Positions are constants of [`field`], so the bounds check folds away.
#[inline(always)]
fn take<const N: usize>(h: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(&h[at..at + N]);
    out
}

fn put<const N: usize>(h: &mut [u8], at: usize, value: [u8; N]) {
    h[at..at + N].copy_from_slice(&value);
}

/// In-place rewrites. Each takes the bytes of one whole batch, as `BatchRef::bytes` bounds them.
pub mod patch {
    use super::{Attributes, BatchError, BatchHeader, HEADER_SIZE, TimestampType, field, put};

    fn head(batch: &mut [u8]) -> Result<&mut [u8; HEADER_SIZE], BatchError> {
        let have = batch.len();
        batch.first_chunk_mut().ok_or(BatchError::Truncated {
            need: HEADER_SIZE,
            have,
        })
    }

    /// Sets the base offset; it lies outside the CRC.
    pub fn base_offset(batch: &mut [u8], offset: i64) -> Result<(), BatchError> {
        put(head(batch)?, field::BASE_OFFSET, offset.to_be_bytes());
        Ok(())
    }

    /// Sets the partition leader epoch; it lies outside the CRC.
    pub fn leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), BatchError> {
        put(head(batch)?, field::PARTITION_LEADER_EPOCH, epoch.to_be_bytes());
        Ok(())
    }

    /// Sets timestamp type and max timestamp and brings the CRC along. Nothing happens when both are as
    /// asked for already.
    ///
    /// The new CRC comes from the old one and the 40 header bytes it covers, because CRC-32C is linear:
    /// the body is not read again, and a batch that was damaged before stays detectably damaged.
    pub fn timestamps(batch: &mut [u8], kind: TimestampType, max_timestamp: i64) -> Result<(), BatchError> {
        let body = batch.len().saturating_sub(HEADER_SIZE);
        let head = head(batch)?;
        let Some(header) = BatchHeader::parse(head) else {
            return Ok(());
        };
        let attributes: Attributes = header.attributes.with_timestamp_type(kind);
        if attributes == header.attributes && max_timestamp == header.max_timestamp {
            return Ok(());
        }
        let before = crc32c::crc32c(&head[field::ATTRIBUTES..]);
        put(head, field::ATTRIBUTES, attributes.0.to_be_bytes());
        put(head, field::MAX_TIMESTAMP, max_timestamp.to_be_bytes());
        let after = crc32c::crc32c(&head[field::ATTRIBUTES..]);
        let crc = header.crc ^ crc32c::crc32c_combine(before ^ after, 0, body);
        put(head, field::CRC, crc.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_at_two_to_the_31() {
        assert_eq!(add_sequence(0, 5), 5);
        assert_eq!(add_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 2, 5), 2);
    }

    #[test]
    fn parse_and_to_bytes_are_inverse() {
        let bytes: Vec<u8> = (0..61u8).map(|i| i.wrapping_mul(37).wrapping_add(11)).collect();
        let header = BatchHeader::parse(&bytes).expect("61 bytes");
        assert_eq!(header.to_bytes().as_slice(), bytes.as_slice());
        assert_eq!(BatchHeader::parse(&bytes[..60]), None);
    }

    #[test]
    fn attribute_bits_are_kafkas() {
        let all = Attributes(0x7c);
        assert_eq!(all.codec(), Ok(Codec::Zstd));
        assert_eq!(all.timestamp_type(), TimestampType::LogAppendTime);
        assert!(all.is_transactional() && all.is_control() && all.has_delete_horizon());
        assert_eq!(Attributes(5).codec(), Err(5));
        let made = Attributes::new(Codec::Lz4, TimestampType::LogAppendTime, true, true);
        assert_eq!(made, Attributes(0x3b));
        assert_eq!(
            made.with_timestamp_type(TimestampType::CreateTime),
            Attributes(0x33)
        );
    }
}
