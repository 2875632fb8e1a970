//! Writing primitives: plain functions that append to a `Vec<u8>`, so that callers can mix in bytes of their own.

use super::error::EncodeError;
use ottla_types::Uuid;

macro_rules! fixed {
    ($($name:ident $ty:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline]
        pub fn $name(w: &mut Vec<u8>, value: $ty) {
            w.extend_from_slice(&value.to_be_bytes());
        }
    )*};
}

fixed! {
    put_i8 i8, "Appends an int8.";
    put_i16 i16, "Appends an int16.";
    put_u16 u16, "Appends a uint16.";
    put_i32 i32, "Appends an int32.";
    put_u32 u32, "Appends a uint32.";
    put_i64 i64, "Appends an int64.";
    put_f64 f64, "Appends a float64.";
}

macro_rules! arrays {
    ($($one:ident $many:ident $ty:ty, $doc:literal;)*) => {$(
        #[doc = concat!("Appends an array of ", $doc, ".")]
        pub fn $many(w: &mut Vec<u8>, items: &[$ty], flexible: bool, field: &'static str) -> Result<(), EncodeError> {
            put_count(w, items.len(), flexible, field)?;
            w.reserve(size_of_val(items));
            for item in items {
                $one(w, *item);
            }
            Ok(())
        }
    )*};
}

arrays! {
    put_i8 put_i8s i8, "int8";
    put_i16 put_i16s i16, "int16";
    put_i32 put_i32s i32, "int32";
    put_i64 put_i64s i64, "int64";
    put_uuid put_uuids Uuid, "uuid";
}

/// Appends a bool.
#[inline]
pub fn put_bool(w: &mut Vec<u8>, value: bool) {
    w.push(u8::from(value));
}

/// Appends a uuid.
#[inline]
pub fn put_uuid(w: &mut Vec<u8>, value: Uuid) {
    w.extend_from_slice(value.as_bytes());
}

/// Appends an unsigned variable-length integer.
#[inline]
pub fn put_uvarint(w: &mut Vec<u8>, value: u32) {
    put_uvarlong(w, u64::from(value));
}

/// Appends an unsigned variable-length integer of 64 bits.
#[inline]
pub fn put_uvarlong(w: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        w.push(value as u8 | 0x80);
        value >>= 7;
    }
    w.push(value as u8);
}

/// Appends a signed (zigzag) variable-length integer.
pub fn put_varint(w: &mut Vec<u8>, value: i32) {
    put_uvarint(w, (value << 1 ^ value >> 31) as u32);
}

/// Appends a signed (zigzag) variable-length integer of 64 bits.
pub fn put_varlong(w: &mut Vec<u8>, value: i64) {
    put_uvarlong(w, (value << 1 ^ value >> 63) as u64);
}

/// How many bytes [`put_uvarint`] appends.
pub fn uvarint_len(value: u32) -> usize {
    (31 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// Appends the number of elements of an array.
pub fn put_count(
    w: &mut Vec<u8>,
    count: usize,
    flexible: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    let length = i32::try_from(count).map_err(|_| EncodeError::TooLong { field, length: count })?;
    if flexible {
        put_uvarint(w, length as u32 + 1);
    } else {
        put_i32(w, length);
    }
    Ok(())
}

/// Appends a null array, or null bytes.
pub fn put_null(
    w: &mut Vec<u8>,
    flexible: bool,
    allowed: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    if !allowed {
        return Err(EncodeError::NullNotAllowed { field });
    }
    if flexible {
        w.push(0);
    } else {
        put_i32(w, -1);
    }
    Ok(())
}

/// Appends a string. Kafka refuses more than 32,767 bytes in the compact form too.
pub fn put_string(
    w: &mut Vec<u8>,
    value: &str,
    flexible: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    let length = i16::try_from(value.len()).map_err(|_| EncodeError::TooLong {
        field,
        length: value.len(),
    })?;
    if flexible {
        put_uvarint(w, length as u32 + 1);
    } else {
        put_i16(w, length);
    }
    w.extend_from_slice(value.as_bytes());
    Ok(())
}

/// Appends a string that may be null where `null_allowed`.
pub fn put_nullable_string(
    w: &mut Vec<u8>,
    value: Option<&str>,
    flexible: bool,
    null_allowed: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    match value {
        Some(text) => put_string(w, text, flexible, field),
        None if !null_allowed => Err(EncodeError::NullNotAllowed { field }),
        None if flexible => {
            w.push(0);
            Ok(())
        }
        None => {
            put_i16(w, -1);
            Ok(())
        }
    }
}

/// Appends an array of strings.
pub fn put_strings(
    w: &mut Vec<u8>,
    items: &[&str],
    flexible: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    put_count(w, items.len(), flexible, field)?;
    for item in items {
        put_string(w, item, flexible, field)?;
    }
    Ok(())
}

/// Appends bytes.
pub fn put_bytes(
    w: &mut Vec<u8>,
    value: &[u8],
    flexible: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    put_count(w, value.len(), flexible, field)?;
    w.extend_from_slice(value);
    Ok(())
}

/// Appends bytes that may be null where `null_allowed`.
pub fn put_nullable_bytes(
    w: &mut Vec<u8>,
    value: Option<&[u8]>,
    flexible: bool,
    null_allowed: bool,
    field: &'static str,
) -> Result<(), EncodeError> {
    match value {
        Some(bytes) => put_bytes(w, bytes, flexible, field),
        None => put_null(w, flexible, null_allowed, field),
    }
}

/// Appends a tag and returns where its value starts; append the value, then call [`end_tag`].
pub fn begin_tag(w: &mut Vec<u8>, tag: u32) -> usize {
    put_uvarint(w, tag);
    w.len()
}

/// Puts the size of a tagged field in front of its value, which begins at `start`.
pub fn end_tag(w: &mut Vec<u8>, start: usize) {
    let size = w.len() - start;
    put_uvarint(w, size as u32);
    w[start..].rotate_right(uvarint_len(size as u32));
}

/// The places of a message's records while it is written around them.
#[derive(Debug)]
pub(crate) struct Holes<'l> {
    lengths: &'l [usize],
    places: Vec<usize>,
}

impl<'l> Holes<'l> {
    pub(crate) fn new(lengths: &'l [usize]) -> Self {
        Holes {
            lengths,
            places: Vec::with_capacity(lengths.len()),
        }
    }

    /// Appends the length of the next records and notes where they belong.
    pub(crate) fn put(
        &mut self,
        w: &mut Vec<u8>,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let Some(length) = self.lengths.get(self.places.len()) else {
            return Err(EncodeError::RecordLengths {
                given: self.lengths.len(),
            });
        };
        put_count(w, *length, flexible, field)?;
        self.places.push(w.len());
        Ok(())
    }

    /// The places, one for each length.
    pub(crate) fn finish(self) -> Result<Vec<usize>, EncodeError> {
        if self.places.len() == self.lengths.len() {
            return Ok(self.places);
        }
        Err(EncodeError::RecordLengths {
            given: self.lengths.len(),
        })
    }
}
