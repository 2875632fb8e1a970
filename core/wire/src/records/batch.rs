//! Batches in a byte sequence (a Produce request's records, a Fetch response's, a log segment) and the
//! records of an uncompressed batch, all in place. Compressed bodies are read through `stream`.

use super::codec::{Codec, Decompressor};
use super::error::{BatchError, RecordError};
use super::header::{BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC_V2, field};
use super::record::{RecordRef, split_record};
use super::stream::RecordStream;

/// One whole batch in place: magic 2, and exactly as many bytes as its length says. Nothing else is
/// known about it until [`BatchRef::verify_crc`] and `validate_for_append`.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchRef<'a> {
    /// Takes the first batch off `bytes`, which may hold more behind it.
    pub fn first(bytes: &'a [u8]) -> Result<Self, BatchError> {
        Self::first_within(bytes, usize::MAX)
    }

    fn first_within(bytes: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        let have = bytes.len();
        let Some(header) = BatchHeader::parse(bytes) else {
            return Err(short_head(bytes));
        };
        if header.magic != MAGIC_V2 {
            return Err(BatchError::UnsupportedMagic { magic: header.magic });
        }
        let size = header.size_in_bytes();
        if size < HEADER_SIZE {
            return Err(BatchError::LengthTooSmall {
                length: header.batch_length,
            });
        }
        if size > limit {
            return Err(BatchError::TooLarge { size, limit });
        }
        let bytes = bytes
            .get(..size)
            .ok_or(BatchError::Truncated { need: size, have })?;
        Ok(BatchRef { header, bytes })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size of the whole batch, what `max.message.bytes` bounds.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they lie there, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(field::RECORDS..).unwrap_or_default()
    }

    /// Computes the CRC-32C over the batch, once per call, and compares it with the stored one.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(self.bytes.get(field::ATTRIBUTES..).unwrap_or_default());
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch {
                stored: self.header.crc,
                computed,
            })
        }
    }

    /// The records of an uncompressed batch. A compressed one gives a single error: see
    /// [`BatchRef::records_with`].
    pub fn records(&self) -> Records<'a> {
        let state = match self.header.attributes.codec() {
            Ok(Codec::None) => Ok(()),
            Ok(_) => Err(RecordError::Compressed),
            Err(id) => Err(RecordError::UnknownCodec { id }),
        };
        Records::new(self.body(), self.header.record_count, state)
    }

    /// The records of any batch. `scratch` holds what a codec needs, for reuse, and the limits.
    pub fn records_with<'d>(
        &self,
        scratch: &'d mut Decompressor,
    ) -> Result<RecordStream<'d, 'a>, RecordError> {
        let codec = self
            .header
            .attributes
            .codec()
            .map_err(|id| RecordError::UnknownCodec { id })?;
        RecordStream::new(scratch, codec, self.body(), self.header.record_count)
    }
}

/// Says of fewer than 61 bytes what is wrong with them, as far as they tell.
fn short_head(bytes: &[u8]) -> BatchError {
    let have = bytes.len();
    if let Some(magic) = bytes.get(field::MAGIC)
        && *magic as i8 != MAGIC_V2
    {
        return BatchError::UnsupportedMagic { magic: *magic as i8 };
    }
    let length = bytes
        .get(field::BATCH_LENGTH..LOG_OVERHEAD)
        .and_then(<[u8]>::first_chunk::<4>);
    match length.map(|b| i32::from_be_bytes(*b)) {
        Some(length) if length < (HEADER_SIZE - LOG_OVERHEAD) as i32 => BatchError::LengthTooSmall { length },
        Some(length) => BatchError::Truncated {
            need: LOG_OVERHEAD + length as usize,
            have,
        },
        None => BatchError::Truncated {
            need: HEADER_SIZE,
            have,
        },
    }
}

/// Iterates over consecutive batches; after the first error it ends.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    limit: usize,
    tolerant: bool,
    position: usize,
}

impl<'a> Batches<'a> {
    /// Every byte must belong to a batch: Produce requests, logs.
    pub fn new(bytes: &'a [u8]) -> Self {
        Batches {
            rest: bytes,
            limit: usize::MAX,
            tolerant: false,
            position: 0,
        }
    }

    /// The last batch may be cut: a broker fills a Fetch response to the byte. A cut batch ends the
    /// iteration without an error; [`Batches::position`] says where.
    pub fn tolerant(bytes: &'a [u8]) -> Self {
        Batches {
            tolerant: true,
            ..Self::new(bytes)
        }
    }

    /// Refuses batches larger than `limit` bytes.
    #[must_use]
    pub fn with_max_size(self, limit: usize) -> Self {
        Batches { limit, ..self }
    }

    /// Bytes of the whole batches given out so far.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchRef::first_within(self.rest, self.limit) {
            Ok(batch) => {
                self.rest = self.rest.get(batch.size_in_bytes()..).unwrap_or_default();
                self.position += batch.size_in_bytes();
                Some(Ok(batch))
            }
            Err(error) => {
                self.rest = &[];
                let cut = self.tolerant && matches!(error, BatchError::Truncated { .. });
                (!cut).then_some(Err(error))
            }
        }
    }
}

/// Iterates over the records of an uncompressed body without allocating. It gives exactly the announced
/// number of records or ends with an error; bytes behind the last one are an error too.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    announced: i32,
    found: i32,
    failed: Option<RecordError>,
    done: bool,
}

impl<'a> Records<'a> {
    pub(crate) fn new(body: &'a [u8], announced: i32, state: Result<(), RecordError>) -> Self {
        let state = state.and(if announced < 0 {
            Err(RecordError::NegativeCount { count: announced })
        } else {
            Ok(())
        });
        Records {
            rest: body,
            announced,
            found: 0,
            failed: state.err(),
            done: false,
        }
    }

    #[inline(always)]
    fn read(&mut self) -> Result<RecordRef<'a>, RecordError> {
        if self.rest.is_empty() {
            return Err(RecordError::CountMismatch {
                announced: self.announced,
                found: self.found,
            });
        }
        let record = RecordRef::parse(split_record(&mut self.rest)?)?;
        self.found += 1;
        Ok(record)
    }

    #[cold]
    fn finish(&mut self) -> Option<Result<RecordRef<'a>, RecordError>> {
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        (!self.rest.is_empty()).then_some(Err(RecordError::TrailingBytes))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.found == self.announced || self.done || self.failed.is_some() {
            return self.finish();
        }
        let record = self.read();
        self.done = record.is_err();
        Some(record)
    }
}
