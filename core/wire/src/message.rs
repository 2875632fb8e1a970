//! What generated messages have in common: [`Message`], and [`Request`] with its response.

use crate::ApiKey;
use crate::codec::{DecodeError, DecodeErrorKind, EncodeError, Reader};

/// A message or record that can be read and written in a range of versions.
pub trait Message<'a>: Sized {
    /// The API it belongs to; `None` for headers and records.
    const API_KEY: Option<ApiKey>;
    /// The schema's name.
    const NAME: &'static str;
    /// The first and last stable version of Kafka 4.3.1.
    const VERSIONS: (i16, i16);
    /// The first version with compact lengths and tagged fields; `i16::MAX` when there is none.
    const FLEXIBLE_SINCE: i16;

    /// Reads it. Bytes that follow are left in the reader.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Appends it; appends nothing when that fails.
    fn encode(&self, w: &mut Vec<u8>, version: i16) -> Result<(), EncodeError>;
}

/// A request.
pub trait Request<'a>: Message<'a> {
    /// What answers it, in the same version.
    type Response<'b>: Message<'b>;
}

/// A message with records in it, which can be written around them: what it holds as records is ignored, and their bytes
/// stay where they are, in a file or in a batch that several answers share.
pub trait EncodeAround<'a>: Message<'a> {
    /// Appends everything but the records. `lengths` says how many bytes of records each place has, in the order of
    /// the places in the message, one for each; none can be null. Returns where in `w` they belong, in the same order.
    /// Appends nothing when that fails.
    fn encode_around(
        &self,
        w: &mut Vec<u8>,
        version: i16,
        lengths: &[usize],
    ) -> Result<Vec<usize>, EncodeError>;
}

/// Refuses a version that a message does not have.
pub(crate) fn check_decode(
    r: &Reader<'_>,
    message: &'static str,
    version: i16,
    low: i16,
    high: i16,
) -> Result<(), DecodeError> {
    if low <= version && version <= high {
        return Ok(());
    }
    Err(r.error(DecodeErrorKind::UnsupportedVersion { message, version }))
}

/// Refuses a version that a message does not have.
pub(crate) fn check_encode(
    message: &'static str,
    version: i16,
    low: i16,
    high: i16,
) -> Result<(), EncodeError> {
    if low <= version && version <= high {
        return Ok(());
    }
    Err(EncodeError::UnsupportedVersion { message, version })
}
