//! [`Reader`]: a bounded cursor over bytes that nobody has vouched for.
//!
//! Two limits stand between a peer's claim and an allocation. An array must fit: its count times the least size of an
//! element may not exceed what is left of the input. And all arrays of one input together may take at most
//! [`ALLOCATION_FACTOR`] times its length plus [`ALLOCATION_FLOOR`] bytes; the limit counts what was ever reserved, so it
//! also holds for an input that turns out to be bad halfway. Strings and bytes are borrowed and cost nothing.

use super::error::{DecodeError, DecodeErrorKind};
use ottla_types::Uuid;

/// Decoded arrays may take this many times the bytes of the input. The largest ratio that a well-formed message of Kafka 4.3
/// reaches, every element being empty, is under 32; a test computes it.
pub const ALLOCATION_FACTOR: usize = 64;

/// What even the smallest input may allocate.
pub const ALLOCATION_FLOOR: usize = 4096;

/// Kafka's limit for strings, also in the compact form, whose length prefix could say more.
const MAX_STRING: usize = i16::MAX as usize;

/// A cursor over the bytes of one message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the start of the outermost input, for error messages.
    end: usize,
    /// How many bytes decoded arrays may still take.
    budget: usize,
}

macro_rules! fixed {
    ($($name:ident $ty:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            Ok(<$ty>::from_be_bytes(self.take()?))
        }
    )*};
}

macro_rules! arrays {
    ($($one:ident $many:ident $nullable:ident $ty:ty, $min:literal, $doc:literal;)*) => {$(
        #[doc = concat!("An array of ", $doc, ".")]
        pub fn $many(&mut self, flexible: bool, field: &'static str) -> Result<Vec<$ty>, DecodeError> {
            self.$nullable(flexible)?.ok_or_else(|| self.null(field))
        }

        #[doc = concat!("An array of ", $doc, " that may be null.")]
        pub fn $nullable(&mut self, flexible: bool) -> Result<Option<Vec<$ty>>, DecodeError> {
            let Some(count) = self.nullable_count(flexible, $min, size_of::<$ty>())? else { return Ok(None) };
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                items.push(self.$one()?);
            }
            Ok(Some(items))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        let budget = input
            .len()
            .saturating_mul(ALLOCATION_FACTOR)
            .saturating_add(ALLOCATION_FLOOR);
        Reader {
            rest: input,
            end: input.len(),
            budget,
        }
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes of the outermost input have been read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Fails when bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(self.error(DecodeErrorKind::TrailingBytes { count })),
        }
    }

    /// An error at the current offset.
    #[cold]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            kind,
            offset: self.offset(),
        }
    }

    /// The error for a null where none is allowed.
    #[cold]
    pub fn null(&self, field: &'static str) -> DecodeError {
        self.error(DecodeErrorKind::NullNotAllowed { field })
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        self.error(DecodeErrorKind::Truncated {
            needed,
            left: self.rest.len(),
        })
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.truncated(N)),
        }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.truncated(count)),
        }
    }

    fixed! {
        i8 i8, "An int8.";
        i16 i16, "An int16.";
        u16 u16, "A uint16.";
        i32 i32, "An int32.";
        u32 u32, "A uint32.";
        i64 i64, "An int64.";
        f64 f64, "A float64.";
    }

    /// A bool: any byte but zero is true, as in Kafka.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.take()?))
    }

    /// An unsigned variable-length integer of 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*byte))
            }
            _ => Ok(self.long_uvarint(32)? as u32),
        }
    }

    /// An unsigned variable-length integer of 64 bits.
    pub fn uvarlong(&mut self) -> Result<u64, DecodeError> {
        self.long_uvarint(64)
    }

    /// A signed (zigzag) variable-length integer of 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A signed (zigzag) variable-length integer of 64 bits.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.uvarlong()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn long_uvarint(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let [byte] = self.take()?;
            let low = u64::from(byte & 0x7f);
            // The last byte may carry only the bits that are left of the type.
            if shift >= bits || (bits - shift < 7 && low >> (bits - shift) != 0) {
                return Err(self.error(DecodeErrorKind::VarintTooLong));
            }
            value |= low << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// The length of a nullable compact value: one less than what is written, zero being null.
    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    /// The length of a value whose prefix is an int32, -1 being null.
    #[inline]
    fn int32_len(&mut self, field: &'static str) -> Result<Option<usize>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(self.error(DecodeErrorKind::InvalidLength {
                    field,
                    length: length.into(),
                })),
            },
        }
    }

    /// A string.
    pub fn string(&mut self, flexible: bool, field: &'static str) -> Result<&'a str, DecodeError> {
        match self.nullable_string(flexible, field)? {
            Some(text) => Ok(text),
            None => Err(self.null(field)),
        }
    }

    /// A string that may be null.
    pub fn nullable_string(
        &mut self,
        flexible: bool,
        field: &'static str,
    ) -> Result<Option<&'a str>, DecodeError> {
        let length = if flexible {
            self.compact_len()?
        } else {
            match self.i16()? {
                -1 => None,
                length => match usize::try_from(length) {
                    Ok(length) => Some(length),
                    Err(_) => {
                        return Err(self.error(DecodeErrorKind::InvalidLength {
                            field,
                            length: length.into(),
                        }));
                    }
                },
            }
        };
        let Some(length) = length else { return Ok(None) };
        if length > MAX_STRING {
            return Err(self.error(DecodeErrorKind::InvalidLength {
                field,
                length: length as i64,
            }));
        }
        match std::str::from_utf8(self.raw(length)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(DecodeErrorKind::InvalidUtf8 { field })),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, flexible: bool, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.nullable_bytes(flexible, field)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.null(field)),
        }
    }

    /// Bytes that may be null.
    pub fn nullable_bytes(
        &mut self,
        flexible: bool,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        match if flexible {
            self.compact_len()?
        } else {
            self.int32_len(field)?
        } {
            Some(length) => Ok(Some(self.raw(length)?)),
            None => Ok(None),
        }
    }

    /// The number of elements of an array; see [`Reader::nullable_count`].
    pub fn count(
        &mut self,
        flexible: bool,
        field: &'static str,
        min_wire: usize,
        memory: usize,
    ) -> Result<usize, DecodeError> {
        match self.nullable_count(flexible, min_wire, memory)? {
            Some(count) => Ok(count),
            None => Err(self.null(field)),
        }
    }

    /// The number of elements of an array that may be null, each of which takes at least `min_wire` bytes on the wire and
    /// `memory` bytes decoded. A count that is returned is safe to reserve.
    pub fn nullable_count(
        &mut self,
        flexible: bool,
        min_wire: usize,
        memory: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let count = if flexible {
            self.compact_len()?
        } else {
            self.int32_len("array")?
        };
        let Some(count) = count else { return Ok(None) };
        if count > self.rest.len() / min_wire.max(1) {
            return Err(self.error(DecodeErrorKind::CountExceedsInput {
                count,
                left: self.rest.len(),
            }));
        }
        match self.budget.checked_sub(count.saturating_mul(memory)) {
            Some(budget) => self.budget = budget,
            None => return Err(self.error(DecodeErrorKind::AllocationExceeded)),
        }
        Ok(Some(count))
    }

    arrays! {
        i8 i8s nullable_i8s i8, 1, "int8";
        i16 i16s nullable_i16s i16, 2, "int16";
        i32 i32s nullable_i32s i32, 4, "int32";
        i64 i64s nullable_i64s i64, 8, "int64";
        uuid uuids nullable_uuids Uuid, 16, "uuid";
    }

    /// An array of strings.
    pub fn strings(&mut self, flexible: bool, field: &'static str) -> Result<Vec<&'a str>, DecodeError> {
        match self.nullable_strings(flexible, field)? {
            Some(items) => Ok(items),
            None => Err(self.null(field)),
        }
    }

    /// An array of strings that may be null.
    pub fn nullable_strings(
        &mut self,
        flexible: bool,
        field: &'static str,
    ) -> Result<Option<Vec<&'a str>>, DecodeError> {
        let min_wire = if flexible { 1 } else { 2 };
        let Some(count) = self.nullable_count(flexible, min_wire, size_of::<&str>())? else {
            return Ok(None);
        };
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.string(flexible, field)?);
        }
        Ok(Some(items))
    }

    /// Whether a nullable structure is there (KIP-893): an int8, negative for null.
    pub fn present(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? >= 0)
    }

    /// One tagged field: its tag, and a reader over its value alone. Hand it back to [`Reader::end_tag`] once read; a value
    /// nobody wants needs nothing more.
    pub fn tag(&mut self) -> Result<(u32, Reader<'a>), DecodeError> {
        let tag = self.uvarint()?;
        let size = self.uvarint()? as usize;
        let value = self.raw(size)?;
        Ok((
            tag,
            Reader {
                rest: value,
                end: self.offset(),
                budget: self.budget,
            },
        ))
    }

    /// Closes a known tagged field, which must have been read to its end.
    pub fn end_tag(&mut self, tag: u32, value: &Reader<'a>) -> Result<(), DecodeError> {
        self.budget = value.budget;
        match value.rest.len() {
            0 => Ok(()),
            left => Err(value.error(DecodeErrorKind::TaggedFieldSize { tag, left })),
        }
    }

    /// Skips the tagged fields of a structure that knows none.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            self.tag()?;
        }
        Ok(())
    }
}
