//! Framings that other clients than Java's write, and what of them a broker must refuse.

use super::super::{
    BatchOptions, BatchRef, CodecError, HEADER_SIZE, InvalidBatch, LOG_OVERHEAD, Rules, field,
    validate_for_append,
};
use super::*;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::io::Write;

/// Bytes with both runs and noise, longer than any window.
fn sample(size: usize) -> Vec<u8> {
    let mut state = 7u32;
    let noise = move |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if (i / 100).is_multiple_of(2) {
            (state >> 24) as u8
        } else {
            (i / 1000) as u8
        }
    };
    (0..size).map(noise).collect()
}

fn read(codec: Codec, input: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    Decompressor::default()
        .decompress(codec, input, &mut out)
        .map(|()| out)
}

fn packed(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new()
        .compress(codec, codec.default_level(), input, &mut out)
        .expect("compress");
    out
}

fn lz4(info: FrameInfo, input: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(input).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn streams_in_a_row_are_one() {
    let (one, two) = (sample(100_000), sample(70_000));
    for codec in Codec::ALL {
        let input = [packed(codec, &one), packed(codec, &two)].concat();
        assert!(
            read(codec, &input) == Ok([one.as_slice(), &two].concat()),
            "{codec:?}"
        );
        for cut in [1, 3, 7, 9, 2000] {
            let short = read(codec, &input[..input.len() - cut]);
            assert_eq!(
                short.is_ok(),
                codec == Codec::None,
                "{codec:?} without its last {cut} bytes"
            );
        }
        // A gzip stream has a member at least; the others may be empty.
        let nothing = if codec == Codec::Gzip {
            Err(CodecError::Truncated)
        } else {
            Ok(Vec::new())
        };
        assert_eq!(read(codec, &[]), nothing, "{codec:?} of nothing");
    }
}

#[test]
fn a_decompressor_is_as_good_as_new_after_an_error() {
    let mut scratch = Decompressor::default();
    let data = sample(300_000);
    for codec in Codec::ALL {
        let good = packed(codec, &data);
        for _ in 0..2 {
            let mut bad = good.clone();
            bad.truncate(good.len() / 2);
            assert_eq!(
                scratch.decompress(codec, &bad, &mut Vec::new()).is_ok(),
                codec == Codec::None
            );
            let mut out = Vec::new();
            assert_eq!(scratch.decompress(codec, &good, &mut out), Ok(()));
            assert!(out == data, "{codec:?}");
        }
    }
}

#[test]
fn raw_snappy_is_read() {
    let data = sample(200_000);
    let raw = snap::raw::Encoder::new().compress_vec(&data).expect("compress");
    assert!(read(Codec::Snappy, &raw) == Ok(data));
}

#[test]
fn gzip_headers_may_carry_names_and_checksums_are_checked() {
    let data = sample(5000);
    let builder = flate2::GzBuilder::new()
        .filename("name")
        .comment("why")
        .extra(vec![1, 2, 3])
        .mtime(5);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&data).expect("in memory");
    let mut input = encoder.finish().expect("in memory");
    assert!(read(Codec::Gzip, &input) == Ok(data));
    let crc = input.len() - 8;
    input[crc] ^= 1;
    assert_eq!(read(Codec::Gzip, &input), Err(CodecError::Checksum));
}

#[test]
fn any_lz4_frame_is_read() {
    let data = sample(700_000);
    for size in [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for sums in [false, true] {
                let info = FrameInfo::new().block_size(size).block_mode(mode);
                let info = info.block_checksums(sums).content_checksum(sums);
                let info = info.content_size(sums.then_some(data.len() as u64));
                let frame = lz4(info, &data);
                let skippable = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9], frame.as_slice()].concat();
                assert!(
                    read(Codec::Lz4, &skippable) == Ok(data.clone()),
                    "{size:?} {mode:?} {sums}"
                );
                if sums {
                    let mut wrong = frame.clone();
                    let last = wrong.len() - 1;
                    wrong[last] ^= 1;
                    assert_eq!(read(Codec::Lz4, &wrong), Err(CodecError::Checksum));
                    let mut wrong = frame;
                    wrong[1000] ^= 1;
                    assert_eq!(read(Codec::Lz4, &wrong), Err(CodecError::Checksum));
                }
            }
        }
    }
}

#[test]
fn lz4_that_java_cannot_read_stays_out_of_the_log() {
    let mut builder = super::super::BatchBuilder::new();
    builder
        .append(0, None, Some(&sample(100_000)), &[])
        .expect("fits");
    let plain = builder
        .finish(&BatchOptions::default(), &mut Compressor::new())
        .expect("batch");
    let body = &plain[HEADER_SIZE..];
    let independent = FrameInfo::new().block_mode(BlockMode::Independent);
    let linked = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max64KB);
    let (front, back) = body.split_at(500);
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0],
        lz4(independent.clone(), body).as_slice(),
    ]
    .concat();
    let frames = [
        (lz4(independent.clone(), body), true),
        (skippable, false),
        (lz4(linked, body), false),
        (
            [lz4(independent.clone(), front), lz4(independent, back)].concat(),
            false,
        ),
    ];
    for (frame, fine) in frames {
        let mut batch = plain[..HEADER_SIZE].to_vec();
        batch.extend_from_slice(&frame);
        let length = (batch.len() - LOG_OVERHEAD) as i32;
        batch[field::BATCH_LENGTH..LOG_OVERHEAD].copy_from_slice(&length.to_be_bytes());
        batch[field::ATTRIBUTES + 1] = Codec::Lz4.id() as u8;
        let crc = crc32c::crc32c(&batch[field::ATTRIBUTES..]);
        batch[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        let mut scratch = Decompressor::default();
        let rules = Rules::new(0);
        let found = validate_for_append(&BatchRef::first(&batch).expect("batch"), &rules, &mut scratch);
        let want = if fine {
            Ok(1)
        } else {
            Err(InvalidBatch::UnreadableForJava)
        };
        assert_eq!(found.map(|summary| summary.record_count), want);
    }
}
