//! Zigzag variable-length integers as records use them (`ByteUtils.readVarint`, `writeVarlong`).

use super::error::RecordError;

/// Reads an i32 and moves `input` behind it. One and two bytes, nearly all there are, take the fast path.
#[inline(always)]
pub(crate) fn read_i32(input: &mut &[u8]) -> Result<i32, RecordError> {
    match *input {
        [a, rest @ ..] if *a < 0x80 => {
            *input = rest;
            Ok(zigzag32(u32::from(*a)))
        }
        [a, b, rest @ ..] if *b < 0x80 => {
            *input = rest;
            Ok(zigzag32(u32::from(*a & 0x7f) | u32::from(*b) << 7))
        }
        bytes => {
            let (raw, used) = read_slow(bytes, 5)?;
            *input = bytes.get(used..).unwrap_or_default();
            Ok(zigzag32(raw as u32))
        }
    }
}

/// Reads an i64 and moves `input` behind it.
#[inline(always)]
pub(crate) fn read_i64(input: &mut &[u8]) -> Result<i64, RecordError> {
    match *input {
        [a, rest @ ..] if *a < 0x80 => {
            *input = rest;
            Ok(zigzag64(u64::from(*a)))
        }
        [a, b, rest @ ..] if *b < 0x80 => {
            *input = rest;
            Ok(zigzag64(u64::from(*a & 0x7f) | u64::from(*b) << 7))
        }
        bytes => {
            let (raw, used) = read_slow(bytes, 10)?;
            *input = bytes.get(used..).unwrap_or_default();
            Ok(zigzag64(raw))
        }
    }
}

/// Up to `max` bytes: the value and how many it took. Bits beyond the type's width fall off, as in Java.
/// It takes the slice by value, so that a caller's cursor can stay in registers.
#[inline(never)]
fn read_slow(input: &[u8], max: usize) -> Result<(u64, usize), RecordError> {
    let mut raw = 0u64;
    for (index, byte) in input.iter().take(max).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Ok((raw, index + 1));
        }
    }
    Err(if input.len() < max {
        RecordError::Truncated
    } else {
        RecordError::VarintTooLong
    })
}

#[inline(always)]
fn zigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline(always)]
fn zigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Appends an i32 (an i64 of the same value has the same bytes).
pub(crate) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_i64(out, i64::from(value));
}

/// Appends an i64.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that an i64 (or i32) takes.
pub(crate) fn size(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn i64_round_trip(value: i64) {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            prop_assert_eq!(out.len(), size(value));
            let mut input = out.as_slice();
            prop_assert_eq!(read_i64(&mut input), Ok(value));
            prop_assert!(input.is_empty());
            for cut in 0..out.len() {
                prop_assert_eq!(read_i64(&mut &out[..cut]), Err(RecordError::Truncated));
            }
        }

        #[test]
        fn i32_round_trip(value: i32) {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            prop_assert_eq!(out.len(), size(i64::from(value)));
            prop_assert_eq!(read_i32(&mut out.as_slice()), Ok(value));
        }
    }

    #[test]
    fn known_bytes() {
        for (value, bytes) in [
            (0i32, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
        ] {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            assert_eq!(out, bytes);
        }
        assert_eq!(read_i32(&mut &[0xff; 6][..]), Err(RecordError::VarintTooLong));
        assert_eq!(read_i64(&mut &[0xff; 11][..]), Err(RecordError::VarintTooLong));
    }
}
