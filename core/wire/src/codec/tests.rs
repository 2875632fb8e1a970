//! Primitives: known encodings, limits, and that reading undoes writing.

use super::*;
use proptest::prelude::*;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut w = Vec::new();
    write(&mut w);
    w
}

fn kind<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> DecodeErrorKind {
    result.unwrap_err().kind
}

#[test]
fn varints_are_kafkas() {
    for (value, bytes) in [
        (0u32, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (300, &[0xac, 2]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(written(|w| put_uvarint(w, value)), bytes);
        assert_eq!(uvarint_len(value), bytes.len());
        assert_eq!(Reader::new(bytes).uvarint(), Ok(value));
    }
    for (value, bytes) in [
        (0i32, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
    ] {
        assert_eq!(written(|w| put_varint(w, value)), bytes);
        assert_eq!(Reader::new(bytes).varint(), Ok(value));
    }
}

#[test]
fn a_varint_ends_where_its_type_does() {
    assert_eq!(
        kind(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint()),
        DecodeErrorKind::VarintTooLong
    );
    assert_eq!(
        kind(Reader::new(&[0x80; 9]).uvarint()),
        DecodeErrorKind::VarintTooLong
    );
    assert_eq!(
        kind(Reader::new(&[0x80; 11]).uvarlong()),
        DecodeErrorKind::VarintTooLong
    );
    assert_eq!(
        kind(Reader::new(&[0x80]).uvarint()),
        DecodeErrorKind::Truncated { needed: 1, left: 0 }
    );
    // Longer than needed, but of the right value: Kafka reads it, too.
    assert_eq!(Reader::new(&[0x80, 0]).uvarint(), Ok(0));
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let length = |field, length| DecodeErrorKind::InvalidLength { field, length };
    assert_eq!(
        kind(Reader::new(&[0xff, 0xfe]).nullable_string(false, "S")),
        length("S", -2)
    );
    assert_eq!(
        kind(Reader::new(&[0xff, 0xff, 0xff, 0xfe]).nullable_bytes(false, "B")),
        length("B", -2)
    );
    let mut long = written(|w| put_uvarint(w, 32_768 + 1));
    long.extend([b'a'; 32_768]);
    assert_eq!(kind(Reader::new(&long).string(true, "S")), length("S", 32_768));
    let truncated = DecodeErrorKind::Truncated { needed: 5, left: 1 };
    assert_eq!(kind(Reader::new(&[0, 5, b'a']).string(false, "S")), truncated);
    assert_eq!(kind(Reader::new(&[0, 0, 0, 5, 1]).bytes(false, "B")), truncated);
}

#[test]
fn null_is_told_from_empty() {
    assert_eq!(Reader::new(&[0]).nullable_string(true, "S"), Ok(None));
    assert_eq!(Reader::new(&[1]).nullable_string(true, "S"), Ok(Some("")));
    assert_eq!(
        kind(Reader::new(&[0]).string(true, "S")),
        DecodeErrorKind::NullNotAllowed { field: "S" }
    );
    assert_eq!(
        kind(Reader::new(&[0]).strings(true, "A")),
        DecodeErrorKind::NullNotAllowed { field: "A" }
    );
    assert_eq!(Reader::new(&[0xff; 4]).nullable_i32s(false), Ok(None));
}

#[test]
fn text_must_be_utf8() {
    assert_eq!(
        kind(Reader::new(&[2, 0xff]).string(true, "S")),
        DecodeErrorKind::InvalidUtf8 { field: "S" }
    );
}

#[test]
fn a_count_must_fit_the_input() {
    let mut r = Reader::new(&[0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        kind(r.i32s(false, "A")),
        DecodeErrorKind::CountExceedsInput { count: 3, left: 8 }
    );
    let mut r = Reader::new(&[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(r.i32s(false, "A"), Ok(vec![1, 2]));
}

#[test]
fn all_arrays_of_an_input_share_one_limit() {
    let input: Vec<u8> = std::iter::repeat_n(2, 100).collect();
    let mut r = Reader::new(&input);
    let limit = input.len() * ALLOCATION_FACTOR + ALLOCATION_FLOOR;
    assert_eq!(r.nullable_count(true, 1, limit - 10), Ok(Some(1)));
    assert_eq!(r.nullable_count(true, 1, 10), Ok(Some(1)));
    assert_eq!(
        kind(r.nullable_count(true, 1, 1)),
        DecodeErrorKind::AllocationExceeded
    );
    // Also through tagged fields, whose readers borrow what is left of the limit.
    let mut r = Reader::new(&[0, 2, 2, 0, 0, 2, 2, 0]);
    let limit = 8 * ALLOCATION_FACTOR + ALLOCATION_FLOOR;
    let (tag, mut value) = r.tag().unwrap();
    assert_eq!(value.nullable_count(true, 1, limit), Ok(Some(1)));
    value.raw(1).unwrap();
    r.end_tag(tag, &value).unwrap();
    let (_, mut value) = r.tag().unwrap();
    assert_eq!(
        kind(value.nullable_count(true, 1, 1)),
        DecodeErrorKind::AllocationExceeded
    );
}

#[test]
fn tagged_values_keep_to_their_size() {
    let mut r = Reader::new(&[7, 2, 0xaa, 0xbb, 9]);
    let (tag, mut value) = r.tag().unwrap();
    assert_eq!((tag, value.remaining(), r.remaining()), (7, 2, 1));
    value.i8().unwrap();
    let error = r.end_tag(tag, &value).unwrap_err();
    assert_eq!(
        error,
        DecodeError {
            kind: DecodeErrorKind::TaggedFieldSize { tag: 7, left: 1 },
            offset: 3
        }
    );
    assert_eq!(
        kind(Reader::new(&[1, 7, 3, 0]).skip_tags()),
        DecodeErrorKind::Truncated { needed: 3, left: 1 }
    );
}

#[test]
fn the_size_of_a_tagged_field_is_put_in_front_of_it() {
    let bytes = written(|w| {
        let start = begin_tag(w, 1);
        w.extend([7; 200]);
        end_tag(w, start);
    });
    assert_eq!(bytes[..3], [1, 0xc8, 1]);
    assert_eq!(bytes[3..], [7; 200]);
}

#[test]
fn writing_refuses_what_kafka_refuses() {
    let long = "a".repeat(32_768);
    let too_long = Err(EncodeError::TooLong {
        field: "S",
        length: 32_768,
    });
    assert_eq!(put_string(&mut Vec::new(), &long, false, "S"), too_long);
    assert_eq!(put_string(&mut Vec::new(), &long, true, "S"), too_long);
    let null = Err(EncodeError::NullNotAllowed { field: "S" });
    assert_eq!(put_nullable_string(&mut Vec::new(), None, true, false, "S"), null);
    assert_eq!(put_null(&mut Vec::new(), true, false, "S"), null);
}

#[test]
fn errors_say_where() {
    let mut r = Reader::new(&[0, 1, 2]);
    r.i16().unwrap();
    let error = r.i32().unwrap_err();
    assert_eq!(error.to_string(), "4 bytes needed, 1 left (at byte 2)");
    assert_eq!(
        r.finish().unwrap_err().to_string(),
        "1 bytes follow after the end (at byte 2)"
    );
}

proptest! {
    #[test]
    fn varints_survive(a: u32, b: i32, c: u64, d: i64) {
        let bytes = written(|w| {
            put_uvarint(w, a);
            put_varint(w, b);
            put_uvarlong(w, c);
            put_varlong(w, d);
        });
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(r.uvarint(), Ok(a));
        prop_assert_eq!(r.varint(), Ok(b));
        prop_assert_eq!(r.uvarlong(), Ok(c));
        prop_assert_eq!(r.varlong(), Ok(d));
        prop_assert_eq!(r.finish(), Ok(()));
    }

    #[test]
    fn strings_bytes_and_arrays_survive(
        text: Option<String>,
        bytes: Option<Vec<u8>>,
        items: Vec<i64>,
        flexible: bool,
    ) {
        let encoded = written(|w| {
            put_nullable_string(w, text.as_deref(), flexible, true, "S").unwrap();
            put_nullable_bytes(w, bytes.as_deref(), flexible, true, "B").unwrap();
            put_i64s(w, &items, flexible, "A").unwrap();
        });
        let mut r = Reader::new(&encoded);
        prop_assert_eq!(r.nullable_string(flexible, "S"), Ok(text.as_deref()));
        prop_assert_eq!(r.nullable_bytes(flexible, "B"), Ok(bytes.as_deref()));
        prop_assert_eq!(r.i64s(flexible, "A"), Ok(items));
    }
}
