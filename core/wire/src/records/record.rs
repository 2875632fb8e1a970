//! One record inside a batch, borrowed from the bytes it lies in, and its headers.
//!
//! Layout: length, attributes, timestamp delta, offset delta, key, value, headers; `DefaultRecord` in
//! Kafka's clients. A negative length means null, as there.

use super::error::RecordError;
use super::varint;

/// A record in place. Its headers were not looked at yet; [`RecordRef::check_headers`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Attribute bits; none is used.
    pub attributes: i8,
    /// Timestamp minus the batch's base timestamp; `BatchHeader::timestamp` adds them up.
    pub timestamp_delta: i64,
    /// Offset minus the batch's base offset.
    pub offset_delta: i32,
    /// The key; `None` is null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    header_bytes: &'a [u8],
}

/// A header of a record. Kafka's keys are UTF-8 by convention only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordRef<'a> {
    /// Reads a record from `body`, the bytes that its length field counts.
    #[inline(always)]
    pub(crate) fn parse(mut body: &'a [u8]) -> Result<Self, RecordError> {
        let input = &mut body;
        let attributes = match *input {
            [first, rest @ ..] => {
                *input = rest;
                *first as i8
            }
            [] => return Err(RecordError::LengthMismatch),
        };
        let timestamp_delta = varint::read_i64(input)?;
        let offset_delta = varint::read_i32(input)?;
        let key = read_bytes(input)?;
        let value = read_bytes(input)?;
        let header_count = varint::read_i32(input)?;
        // A header takes two bytes at least, so a count can't announce more than there is.
        if header_count < 0 || header_count as usize > input.len() {
            return Err(RecordError::BadHeaderCount { count: header_count });
        }
        if header_count == 0 && !input.is_empty() {
            return Err(RecordError::LengthMismatch);
        }
        Ok(RecordRef {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            header_count,
            header_bytes: body,
        })
    }

    /// Number of headers the record announces; never more than its bytes can hold.
    pub fn header_count(&self) -> usize {
        self.header_count as usize
    }

    /// The headers' bytes, of which nothing but their number was looked at.
    pub(crate) fn header_bytes(&self) -> &'a [u8] {
        self.header_bytes
    }

    /// The headers, read as they are asked for.
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            left: self.header_count,
            bytes: self.header_bytes,
        }
    }

    /// Walks the headers and checks that they fill the record exactly.
    #[inline]
    pub fn check_headers(&self) -> Result<(), RecordError> {
        if self.header_count == 0 {
            return Ok(());
        }
        for header in self.headers() {
            header?;
        }
        Ok(())
    }
}

/// Iterates over a record's headers; after the first error it ends.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    left: i32,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> Result<Header<'a>, RecordError> {
        let key = read_bytes(&mut self.bytes)?.ok_or(RecordError::NullHeaderKey)?;
        let value = read_bytes(&mut self.bytes)?;
        self.left -= 1;
        if self.left == 0 && !self.bytes.is_empty() {
            return Err(RecordError::LengthMismatch);
        }
        Ok(Header { key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        let header = self.read();
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

/// What validation wants to know of a record whose structure is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) has_key: bool,
}

impl Scan {
    /// Checks the record whose body this is. It says the same as [`RecordRef::parse`] and
    /// [`RecordRef::check_headers`] (a property shows it); the usual record, short integers and no headers,
    /// takes a path that reads its first fields as one word.
    #[inline(always)]
    pub(crate) fn read(body: &[u8]) -> Result<Self, RecordError> {
        match Self::usual(body) {
            Some(scan) => Ok(scan),
            None => Self::any(body),
        }
    }

    #[inline(always)]
    fn usual(body: &[u8]) -> Option<Self> {
        let mut word = Word {
            bits: u64::from_le_bytes(*body.first_chunk()?) >> 8,
            used: 1,
        };
        let timestamp_delta = word.varint()?;
        let offset_delta = word.varint()? as i32;
        let key = word.varint()?;
        let at = word.used + usize::try_from(key).unwrap_or(0);
        let (value, at) = match *body.get(at..)? {
            [a, ..] if a < 0x80 => (u32::from(a), at + 1),
            [a, b, ..] if b < 0x80 => (u32::from(a & 0x7f) | u32::from(b) << 7, at + 2),
            _ => return None,
        };
        let value = if value & 1 == 0 { value as usize >> 1 } else { 0 };
        // The last byte is the number of headers: none.
        let usual = at + value + 1 == body.len() && body.last() == Some(&0);
        usual.then_some(Scan {
            timestamp_delta,
            offset_delta,
            has_key: key >= 0,
        })
    }

    #[inline(never)]
    fn any(body: &[u8]) -> Result<Self, RecordError> {
        let record = RecordRef::parse(body)?;
        record.check_headers()?;
        let (timestamp_delta, offset_delta) = (record.timestamp_delta, record.offset_delta);
        Ok(Scan {
            timestamp_delta,
            offset_delta,
            has_key: record.key.is_some(),
        })
    }
}

/// Up to seven bytes in a register: three integers of one or two bytes.
struct Word {
    bits: u64,
    used: usize,
}

impl Word {
    /// The next integer if it has one or two bytes.
    #[inline(always)]
    fn varint(&mut self) -> Option<i64> {
        let bits = self.bits;
        let raw = if bits & 0x80 == 0 {
            self.bits >>= 8;
            self.used += 1;
            bits & 0x7f
        } else if bits & 0x8000 == 0 {
            self.bits >>= 16;
            self.used += 2;
            bits & 0x7f | bits >> 1 & 0x3f80
        } else {
            return None;
        };
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }
}

/// Bytes behind their length; a negative length is null.
#[inline(always)]
fn read_bytes<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    let length = varint::read_i32(input)?;
    if length < 0 {
        return Ok(None);
    }
    match input.split_at_checked(length as usize) {
        Some((bytes, rest)) => {
            *input = rest;
            Ok(Some(bytes))
        }
        None => Err(RecordError::Truncated),
    }
}

/// Cuts the next record's body out of `input`.
#[inline(always)]
pub(crate) fn split_record<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    let length = varint::read_i32(input)?;
    if length < 0 {
        return Err(RecordError::NegativeLength { length });
    }
    match input.split_at_checked(length as usize) {
        Some((body, rest)) => {
            *input = rest;
            Ok(body)
        }
        None => Err(RecordError::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn both_paths_agree(
            head in vec(prop_oneof![0..4u8, Just(0x80), any::<u8>()], 4..8),
            key in 0..20usize, value in 0..200usize, tail in vec(0..3u8, 0..3), cut: bool,
        ) {
            // Near-miss records: small fields, sizes that mostly fit, an end that mostly is one.
            let mut body = head;
            varint::write_i32(&mut body, key as i32 - 1);
            body.resize(body.len() + key.saturating_sub(1), 7);
            varint::write_i32(&mut body, value as i32 - 1);
            body.resize(body.len() + value.saturating_sub(1) - usize::from(cut && value > 1), 9);
            body.extend_from_slice(&tail);
            if let Some(usual) = Scan::usual(&body) {
                prop_assert_eq!(Scan::any(&body), Ok(usual));
            }
            prop_assert_eq!(Scan::read(&body), Scan::any(&body));
        }

        #[test]
        fn the_usual_path_is_taken(timestamp in -8192..8192i64, offset in -8192..8192i32, key in 0..300usize, value in 0..300usize) {
            let mut body = vec![0];
            varint::write_i64(&mut body, timestamp);
            varint::write_i32(&mut body, offset);
            for size in [key, value] {
                varint::write_i32(&mut body, size as i32 - 1);
                body.resize(body.len() + size.saturating_sub(1), 7);
            }
            body.push(0);
            let usual = Scan::usual(&body);
            prop_assert_eq!(usual, Scan::any(&body).ok().filter(|_| body.len() >= 8));
        }
    }
}
