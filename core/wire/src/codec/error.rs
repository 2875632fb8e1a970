//! What can be wrong with bytes that came in ([`DecodeError`]) and with a value on its way out ([`EncodeError`]).

use std::fmt;

/// Bytes that are not what they should be, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// How many bytes into the input it was found.
    pub offset: usize,
}

/// What is wrong with bytes that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The input ends before the value does.
    Truncated {
        /// How many bytes the value needs.
        needed: usize,
        /// How many were left.
        left: usize,
    },
    /// A length that no value of this field can have.
    InvalidLength {
        /// The schema's field name.
        field: &'static str,
        /// The length on the wire.
        length: i64,
    },
    /// A null in a field that this version does not allow to be null.
    NullNotAllowed {
        /// The schema's field name.
        field: &'static str,
    },
    /// An array that claims more elements than the rest of the input could hold.
    CountExceedsInput {
        /// The claimed number of elements.
        count: usize,
        /// How many bytes were left.
        left: usize,
    },
    /// The decoded value would take more memory than an input of this size may ask for.
    AllocationExceeded,
    /// A variable-length integer that does not fit its type.
    VarintTooLong,
    /// A string that is not UTF-8.
    InvalidUtf8 {
        /// The schema's field name.
        field: &'static str,
    },
    /// A version that this message does not have.
    UnsupportedVersion {
        /// The schema's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A known tagged field whose value is shorter than its announced size.
    TaggedFieldSize {
        /// The tag.
        tag: u32,
        /// How many bytes were left over.
        left: usize,
    },
    /// Bytes follow after the end of the value.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A frame version of a metadata record that is not 1.
    UnsupportedFrameVersion {
        /// The version found.
        version: u32,
    },
    /// A record type that this release of Kafka does not have.
    UnknownRecord {
        /// The type's number.
        id: i64,
    },
    /// An API key that this release of Kafka does not have.
    UnknownApiKey {
        /// The key.
        key: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DecodeErrorKind::*;
        match self.kind {
            Truncated { needed, left } => write!(f, "{needed} bytes needed, {left} left"),
            InvalidLength { field, length } => write!(f, "field {field} has the invalid length {length}"),
            NullNotAllowed { field } => write!(f, "field {field} is null, which this version does not allow"),
            CountExceedsInput { count, left } => {
                write!(
                    f,
                    "an array claims {count} elements, but only {left} bytes are left"
                )
            }
            AllocationExceeded => write!(f, "decoding would take too much memory for an input of this size"),
            VarintTooLong => write!(f, "a variable-length integer is too long"),
            InvalidUtf8 { field } => write!(f, "field {field} is not UTF-8"),
            UnsupportedVersion { message, version } => write!(f, "{message} has no version {version}"),
            TaggedFieldSize { tag, left } => {
                write!(
                    f,
                    "the value of tagged field {tag} ends {left} bytes before its announced size"
                )
            }
            TrailingBytes { count } => write!(f, "{count} bytes follow after the end"),
            UnsupportedFrameVersion { version } => {
                write!(f, "frame version {version} of a metadata record, expected 1")
            }
            UnknownRecord { id } => write!(f, "unknown record type {id}"),
            UnknownApiKey { key } => write!(f, "unknown API key {key}"),
        }?;
        write!(f, " (at byte {})", self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A value that cannot be written in the chosen version. Always a mistake of the caller, never of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// A version that this message does not have.
    UnsupportedVersion {
        /// The schema's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A null in a field that this version does not allow to be null.
    NullNotAllowed {
        /// The schema's field name.
        field: &'static str,
    },
    /// A field that this version cannot carry and that a peer must not miss holds something other than its default.
    FieldNotInVersion {
        /// The schema's field name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string over 32,767 bytes, which Kafka refuses in every version; or bytes or an array over 2^31-1.
    TooLong {
        /// The schema's field name.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// A message was to be written around its records, with more or fewer lengths than it has places for records.
    RecordLengths {
        /// How many lengths were given.
        given: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
            EncodeError::NullNotAllowed { field } => {
                write!(f, "field {field} is null, which this version does not allow")
            }
            EncodeError::FieldNotInVersion { field, version } => {
                write!(f, "field {field} is set, but version {version} cannot carry it")
            }
            EncodeError::TooLong { field, length } => {
                write!(f, "field {field} is too long to be written: {length}")
            }
            EncodeError::RecordLengths { given } => {
                write!(
                    f,
                    "{given} lengths of records do not match the message's places for records"
                )
            }
        }
    }
}

impl std::error::Error for EncodeError {}
