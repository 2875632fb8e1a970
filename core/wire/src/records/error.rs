//! What can be wrong with a batch, a record or a compressed body. How a broker answers a producer for
//! it is in `validate`.

use std::fmt;

/// A batch that can't be cut out of a byte sequence, or whose checksum is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Fewer bytes are left than the batch needs.
    Truncated {
        /// Bytes the batch (or its header) takes.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// The length field can't hold a batch header.
    LengthTooSmall {
        /// The length field.
        length: i32,
    },
    /// The batch is larger than the reader allows.
    TooLarge {
        /// Bytes the batch takes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A format version other than 2.
    UnsupportedMagic {
        /// The version found.
        magic: i8,
    },
    /// The stored checksum is not that of the bytes.
    CrcMismatch {
        /// CRC-32C in the header.
        stored: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { need, have } => {
                write!(f, "batch takes {need} bytes, only {have} are left")
            }
            Self::LengthTooSmall { length } => {
                write!(f, "batch length {length} can't hold a batch header")
            }
            Self::TooLarge { size, limit } => {
                write!(f, "batch of {size} bytes is over the limit of {limit}")
            }
            Self::UnsupportedMagic { magic } => {
                write!(f, "record format version {magic}, only 2 is supported")
            }
            Self::CrcMismatch { stored, computed } => {
                write!(
                    f,
                    "batch is corrupt: stored CRC {stored:#010x}, computed {computed:#010x}"
                )
            }
        }
    }
}

impl std::error::Error for BatchError {}

/// A body that doesn't hold the records its header announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A record, or a field in it, ends after the bytes do.
    Truncated,
    /// A variable-length integer has more bytes than its type allows.
    VarintTooLong,
    /// The record's fields don't end where its length says.
    LengthMismatch,
    /// A negative record length.
    NegativeLength {
        /// The length.
        length: i32,
    },
    /// More headers than bytes, or fewer than none.
    BadHeaderCount {
        /// The count.
        count: i32,
    },
    /// A header without a key.
    NullHeaderKey,
    /// The batch announces a negative number of records.
    NegativeCount {
        /// The count.
        count: i32,
    },
    /// The body ends before the announced number of records.
    CountMismatch {
        /// Records announced.
        announced: i32,
        /// Records there are.
        found: i32,
    },
    /// Bytes follow the last announced record.
    TrailingBytes,
    /// The codec id is unknown, so the body can't be read.
    UnknownCodec {
        /// The id.
        id: u8,
    },
    /// The body is compressed and was read as if it weren't.
    Compressed,
    /// Decompression failed or hit a limit.
    Codec(CodecError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "record ends after its batch"),
            Self::VarintTooLong => write!(f, "variable-length integer is too long"),
            Self::LengthMismatch => write!(f, "record's fields don't match its length"),
            Self::NegativeLength { length } => write!(f, "record length {length}"),
            Self::BadHeaderCount { count } => {
                write!(f, "impossible number of record headers {count}")
            }
            Self::NullHeaderKey => write!(f, "record header without a key"),
            Self::NegativeCount { count } => write!(f, "batch announces {count} records"),
            Self::CountMismatch { announced, found } => {
                write!(f, "batch announces {announced} records and holds {found}")
            }
            Self::TrailingBytes => write!(f, "bytes follow the last announced record"),
            Self::UnknownCodec { id } => write!(f, "unknown compression codec {id}"),
            Self::Compressed => write!(f, "compressed body needs a decompressor"),
            Self::Codec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<CodecError> for RecordError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// A compressed body that can't be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// Not what the codec's format allows; says where it broke.
    Corrupt(&'static str),
    /// The compressed bytes end too early.
    Truncated,
    /// A checksum inside the codec's framing is wrong.
    Checksum,
    /// More than [`super::Limits::max_bytes`] come out.
    TooManyBytes {
        /// Bytes allowed.
        limit: u64,
    },
    /// The batch announces more than [`super::Limits::max_records`].
    TooManyRecords {
        /// Records allowed.
        limit: u32,
    },
    /// The compression library couldn't allocate a context, or refused the input to compress.
    Library(&'static str),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(what) => write!(f, "compressed records are corrupt: {what}"),
            Self::Truncated => write!(f, "compressed records are cut off"),
            Self::Checksum => write!(f, "checksum inside the compressed records is wrong"),
            Self::TooManyBytes { limit } => {
                write!(f, "records decompress to more than {limit} bytes")
            }
            Self::TooManyRecords { limit } => {
                write!(f, "batch announces more than {limit} records")
            }
            Self::Library(what) => write!(f, "compression library: {what}"),
        }
    }
}

impl std::error::Error for CodecError {}
