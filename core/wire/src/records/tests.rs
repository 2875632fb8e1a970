//! Properties of batches that need builder, reader and validation together. The golden bytes that Java
//! wrote are in `tests/records_golden.rs`.

mod cleaned;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record with its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

const NOW: i64 = 1_700_000_000_000;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..max),
        (any::<u8>(), 0..max * 8).prop_map(|(b, n)| vec![b; n])
    ]
}

fn record() -> impl Strategy<Value = Owned> {
    let headers = vec((bytes(12), proptest::option::of(bytes(20))), 0..4);
    let time = prop_oneof![4 => NOW - 100_000..NOW, 1 => Just(-1), 1 => 0..NOW];
    (
        time,
        proptest::option::of(bytes(20)),
        proptest::option::of(bytes(200)),
        headers,
    )
        .prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

fn build(records: &[Owned], options: &BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for r in records {
        let headers: Vec<Header<'_>> = r
            .headers
            .iter()
            .map(|(key, value)| Header {
                key,
                value: value.as_deref(),
            })
            .collect();
        let (key, value) = (r.key.as_deref(), r.value.as_deref());
        let size = builder.size_of(r.timestamp, key, value, &headers);
        let before = builder.size_in_bytes();
        builder
            .append(r.timestamp, key, value, &headers)
            .expect("small record");
        assert_eq!(builder.size_in_bytes(), before + size);
    }
    builder
        .finish(options, &mut Compressor::new())
        .expect("small batch")
}

fn owned(header: &BatchHeader, record: &RecordRef<'_>) -> Owned {
    let headers = record.headers().map(|h| {
        let h = h.expect("intact header");
        (h.key.to_vec(), h.value.map(<[u8]>::to_vec))
    });
    Owned {
        timestamp: header.timestamp(record.timestamp_delta),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers.collect(),
    }
}

/// Reads everything there is; whatever the bytes, it must neither panic nor run away.
fn read(batch: &BatchRef<'_>, scratch: &mut Decompressor) -> Result<Vec<Owned>, RecordError> {
    let mut out = Vec::new();
    let mut records = batch.records_with(scratch)?;
    while let Some(record) = records.next_record() {
        let record = record?;
        record.check_headers()?;
        out.push(owned(batch.header(), &record));
    }
    Ok(out)
}

fn rules() -> Rules {
    Rules::new(NOW)
}

/// The same bytes with a CRC that fits.
fn reseal(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[field::ATTRIBUTES..]);
    batch[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn validate(batch: &[u8], rules: &Rules) -> Result<BatchSummary, InvalidBatch> {
    validate_for_append(&BatchRef::first(batch)?, rules, &mut Decompressor::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn round_trip(records in vec(record(), 1..30), codec in codec(), pid in 0..9i64, sequence in 0..i32::MAX) {
        let options = BatchOptions {
            producer_id: pid, producer_epoch: 3, base_sequence: sequence, transactional: true,
            ..BatchOptions::default()
        };
        let batch = build(&records, &options.with_codec(codec));
        let parsed = BatchRef::first(&batch).expect("a batch");
        let mut scratch = Decompressor::default();
        prop_assert_eq!(parsed.size_in_bytes(), batch.len());
        prop_assert_eq!(read(&parsed, &mut scratch), Ok(records.clone()));
        if codec == Codec::None {
            let direct: Vec<Owned> = parsed.records().map(|r| owned(parsed.header(), &r.expect("record"))).collect();
            prop_assert_eq!(&direct, &records);
        } else {
            prop_assert_eq!(parsed.records().collect::<Vec<_>>(), vec![Err(RecordError::Compressed)]);
        }
        let summary = validate_for_append(&parsed, &rules(), &mut scratch).expect("valid");
        let max = records.iter().map(|r| r.timestamp).max().unwrap_or(-1);
        let at = records.iter().position(|r| r.timestamp == max).filter(|_| max >= 0).map_or(-1, |i| i as i32);
        prop_assert_eq!(summary.max_timestamp, max);
        prop_assert_eq!(summary.max_timestamp_offset_delta, at);
        prop_assert_eq!(summary.record_count as usize, records.len());
        prop_assert_eq!(summary.last_sequence, add_sequence(sequence, records.len() as i32 - 1));
        prop_assert!(!summary.rewrite_timestamps && summary.transactional && !summary.control);
    }

    #[test]
    fn every_flip_under_the_crc_is_found(records in vec(record(), 1..6), codec in codec(), at: prop::sample::Index, bit in 0..8u8) {
        let mut batch = build(&records, &BatchOptions::default().with_codec(codec));
        let at = field::CRC + at.index(batch.len() - field::CRC);
        batch[at] ^= 1 << bit;
        let found = validate(&batch, &rules());
        prop_assert!(matches!(found, Err(InvalidBatch::Batch(BatchError::CrcMismatch { .. }))), "{found:?}");
    }

    #[test]
    fn damage_with_a_good_crc_never_panics(records in vec(record(), 1..6), codec in codec(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut batch = build(&records, &BatchOptions::default().with_codec(codec));
        for (at, byte) in flips {
            let at = field::ATTRIBUTES + at.index(batch.len() - field::ATTRIBUTES);
            batch[at] = byte;
        }
        let batch = reseal(batch);
        let limits = Limits { max_bytes: 1 << 20, max_records: 10_000 };
        let parsed = BatchRef::first(&batch).expect("length and magic are whole");
        let mut scratch = Decompressor::new(limits);
        let checked = validate_for_append(&parsed, &rules(), &mut scratch);
        let read = read(&parsed, &mut scratch);
        // What passes validation can be read, with as many records as it says.
        if let Ok(summary) = checked {
            prop_assert_eq!(read.map(|r| r.len()), Ok(summary.record_count as usize));
        }
        let _ = parsed.records().count();
    }

    #[test]
    fn truncation_is_an_error(records in vec(record(), 1..6), codec in codec(), cut: prop::sample::Index) {
        let batch = build(&records, &BatchOptions::default().with_codec(codec));
        let short = &batch[..cut.index(batch.len())];
        prop_assert!(short.is_empty() || Batches::new(short).any(|b| b.is_err()));
        prop_assert_eq!(Batches::tolerant(short).count(), 0);
        // The body cut, and the header made to agree.
        if short.len() >= HEADER_SIZE {
            let mut short = short.to_vec();
            let length = (short.len() - LOG_OVERHEAD) as i32;
            short[field::BATCH_LENGTH..LOG_OVERHEAD].copy_from_slice(&length.to_be_bytes());
            let found = validate(&reseal(short), &rules());
            prop_assert!(found.is_err(), "{found:?}");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), codec in codec(), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() > HEADER_SIZE {
            let length = (bytes.len() - LOG_OVERHEAD) as i32;
            bytes[field::BATCH_LENGTH..LOG_OVERHEAD].copy_from_slice(&length.to_be_bytes());
            bytes[field::MAGIC] = 2;
            bytes = reseal(bytes);
        }
        for batch in Batches::new(&bytes).flatten() {
            let _ = validate_for_append(&batch, &rules(), &mut Decompressor::default());
            let _ = batch.records().count();
        }
        let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
        let _ = Decompressor::new(limits).decompress(codec, &bytes, &mut Vec::new());
    }

    #[test]
    fn timestamps_are_patched_with_a_right_crc(records in vec(record(), 1..10), time in any::<i64>(), log: bool) {
        let mut batch = build(&records, &BatchOptions::default());
        let kind = if log { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        patch::base_offset(&mut batch, 77).expect("whole");
        patch::leader_epoch(&mut batch, 5).expect("whole");
        patch::timestamps(&mut batch, kind, time).expect("whole");
        let parsed = BatchRef::first(&batch).expect("a batch");
        prop_assert_eq!(parsed.verify_crc(), Ok(()));
        let header = parsed.header();
        prop_assert_eq!((header.base_offset, header.partition_leader_epoch, header.max_timestamp), (77, 5, time));
        prop_assert_eq!(header.attributes.timestamp_type(), kind);
        prop_assert_eq!(header.last_offset(), 76 + records.len() as i64);
        // A batch that was broken stays broken.
        batch[field::PRODUCER_ID] ^= 1;
        patch::timestamps(&mut batch, kind, time ^ 1).expect("whole");
        prop_assert!(BatchRef::first(&batch).expect("a batch").verify_crc().is_err());
    }
}

#[test]
fn batches_follow_each_other_and_the_last_may_be_cut() {
    let one = build(&[sample(1)], &BatchOptions::default());
    let two = build(
        &[sample(2), sample(3)],
        &BatchOptions::default().with_codec(Codec::Zstd),
    );
    let all = [one.clone(), two.clone()].concat();
    let sizes = |b: Batches<'_>| b.map(|b| b.map(|b| b.size_in_bytes())).collect::<Vec<_>>();
    assert_eq!(sizes(Batches::new(&all)), vec![Ok(one.len()), Ok(two.len())]);
    let cut = &all[..all.len() - 1];
    let truncated = BatchError::Truncated {
        need: two.len(),
        have: two.len() - 1,
    };
    assert_eq!(sizes(Batches::new(cut)), vec![Ok(one.len()), Err(truncated)]);
    let mut tolerant = Batches::tolerant(cut);
    assert_eq!(tolerant.by_ref().count(), 1);
    assert_eq!(tolerant.position(), one.len());
    let limit = one.len() - 1;
    let too_large = BatchError::TooLarge {
        size: one.len(),
        limit,
    };
    assert_eq!(
        sizes(Batches::tolerant(&all).with_max_size(limit)),
        vec![Err(too_large)]
    );
    let mut old = one.clone();
    old[field::MAGIC] = 1;
    assert_eq!(
        sizes(Batches::tolerant(&old)),
        vec![Err(BatchError::UnsupportedMagic { magic: 1 })]
    );
    let mut small = one;
    small[field::BATCH_LENGTH..LOG_OVERHEAD].copy_from_slice(&48i32.to_be_bytes());
    assert_eq!(
        sizes(Batches::new(&small)),
        vec![Err(BatchError::LengthTooSmall { length: 48 })]
    );
}

fn sample(n: u8) -> Owned {
    Owned {
        timestamp: NOW - 5,
        key: Some(vec![n]),
        value: Some(vec![n; 9]),
        headers: vec![(vec![n], None)],
    }
}

fn two(codec: Codec) -> Vec<u8> {
    build(
        &[sample(1), sample(2)],
        &BatchOptions::default().with_codec(codec),
    )
}

/// The batch with a header field replaced and a CRC that fits.
fn with<const N: usize>(mut batch: Vec<u8>, at: usize, value: [u8; N]) -> Vec<u8> {
    batch[at..at + N].copy_from_slice(&value);
    reseal(batch)
}

#[test]
fn the_header_must_make_sense() {
    let range = |count, last_offset_delta| {
        Err(InvalidBatch::OffsetRange {
            count,
            last_offset_delta,
        })
    };
    for codec in Codec::ALL {
        let good = two(codec);
        let check = |batch: Vec<u8>| validate(&batch, &rules());
        let put4 = |at, v: i32| with(good.clone(), at, v.to_be_bytes());
        assert!(check(good.clone()).is_ok());
        assert_eq!(check(put4(field::RECORD_COUNT, 3)), range(3, 1));
        assert_eq!(check(put4(field::RECORD_COUNT, 0)), range(0, 1));
        assert_eq!(check(put4(field::LAST_OFFSET_DELTA, -1)), range(2, -1));
        assert_eq!(
            check(put4(field::LAST_OFFSET_DELTA, i32::MAX)),
            range(2, i32::MAX)
        );
        let base = with(good.clone(), field::BASE_OFFSET, 4i64.to_be_bytes());
        assert_eq!(check(base), Err(InvalidBatch::BaseOffset(4)));
        let bits = |bits: i16| with(good.clone(), field::ATTRIBUTES, (codec.id() | bits).to_be_bytes());
        assert_eq!(check(bits(0x20)), Err(InvalidBatch::Control));
        assert_eq!(check(bits(0x08)), Err(InvalidBatch::LogAppendTime));
        assert_eq!(check(bits(0x40)), Err(InvalidBatch::DeleteHorizon));
        assert!(matches!(check(bits(0x10)), Err(InvalidBatch::Producer { .. })));
        let unknown = check(with(good.clone(), field::ATTRIBUTES, 6i16.to_be_bytes()));
        assert_eq!(
            unknown.map_err(|e| e.kind()),
            Err(ErrorKind::UnsupportedCompressionType)
        );
        let id = with(good.clone(), field::PRODUCER_ID, 9i64.to_be_bytes());
        assert!(matches!(
            check(id),
            Err(InvalidBatch::Producer { producer_id: 9, .. })
        ));
    }
}

#[test]
fn counts_and_offsets_of_the_body_must_match() {
    for codec in Codec::ALL {
        let more = with(two(codec), field::RECORD_COUNT, 3i32.to_be_bytes());
        let more = with(more, field::LAST_OFFSET_DELTA, 2i32.to_be_bytes());
        let error = RecordError::CountMismatch {
            announced: 3,
            found: 2,
        };
        assert_eq!(
            validate(&more, &rules()),
            Err(InvalidBatch::Record { index: 2, error })
        );
        let less = with(two(codec), field::RECORD_COUNT, 1i32.to_be_bytes());
        let less = with(less, field::LAST_OFFSET_DELTA, 0i32.to_be_bytes());
        let error = RecordError::TrailingBytes;
        assert_eq!(
            validate(&less, &rules()),
            Err(InvalidBatch::Record { index: 1, error })
        );

        let mut gap = BatchBuilder::new();
        gap.append_at(0, NOW, None, None, &[]).expect("first");
        gap.append_at(2, NOW, None, None, &[]).expect("third");
        assert_eq!(
            gap.append_at(2, NOW, None, None, &[]),
            Err(BuildError::OffsetDelta { delta: 2 })
        );
        let options = BatchOptions {
            last_offset_delta: Some(1),
            ..BatchOptions::default()
        };
        let gap = gap
            .finish(&options.with_codec(codec), &mut Compressor::new())
            .expect("batch");
        assert_eq!(
            validate(&gap, &rules()),
            Err(InvalidBatch::OffsetDelta { index: 1, delta: 2 })
        );
    }
}

#[test]
fn topics_have_their_rules() {
    for codec in Codec::ALL {
        let batch = |key: Option<&[u8]>, time| {
            let record = Owned {
                timestamp: time,
                key: key.map(<[u8]>::to_vec),
                ..sample(1)
            };
            build(&[sample(1), record], &BatchOptions::default().with_codec(codec))
        };
        let compacted = Rules {
            key_required: true,
            inspect_compressed: false,
            ..rules()
        };
        assert!(validate(&batch(Some(b""), NOW), &compacted).is_ok());
        let missing = validate(&batch(None, NOW), &compacted);
        assert_eq!(missing, Err(InvalidBatch::MissingKey { index: 1 }));
        assert!(validate(&batch(None, NOW), &rules()).is_ok());

        let tight = Rules {
            before_max_ms: 1_000,
            after_max_ms: 10,
            ..rules()
        };
        for (time, fine) in [
            (NOW - 1_000, true),
            (NOW - 1_001, false),
            (NOW + 10, true),
            (NOW + 11, false),
            (-1, true),
        ] {
            let found = validate(&batch(None, time), &tight);
            assert_eq!(found.is_ok(), fine, "{codec:?} {time}: {found:?}");
            if let Err(error) = found {
                assert_eq!(
                    (error.kind(), error.record_index()),
                    (ErrorKind::InvalidTimestamp, Some(1))
                );
            }
            let append_time = Rules {
                timestamp_type: TimestampType::LogAppendTime,
                ..tight
            };
            let summary = validate(&batch(None, time), &append_time).expect("time of the broker");
            assert_eq!(
                (summary.max_timestamp, summary.max_timestamp_offset_delta),
                (NOW, 1)
            );
            assert!(summary.rewrite_timestamps);
        }
        let closed = Rules {
            inspect_compressed: false,
            ..tight
        };
        assert!(validate(&batch(None, NOW + 11), &closed).is_err());
    }
}

#[test]
fn bombs_are_bounded() {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_records: 100,
    };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        // One record of 16 MiB of zeros, honest and with its length field claiming more.
        let zeros = vec![0; 16 << 20];
        let mut builder = BatchBuilder::new();
        builder.append(NOW, None, Some(&zeros), &[]).expect("fits");
        let options = BatchOptions::default().with_codec(codec);
        let bomb = builder.finish(&options, &mut Compressor::new()).expect("batch");
        let mut scratch = Decompressor::new(limits);
        let found = validate_for_append(&BatchRef::first(&bomb).expect("batch"), &rules(), &mut scratch);
        let over = || {
            Err(InvalidBatch::Record {
                index: 0,
                error: CodecError::TooManyBytes { limit: 1 << 20 }.into(),
            })
        };
        assert_eq!(found, over());
        assert_eq!(found.map_err(|e| e.kind()), Err(ErrorKind::MessageTooLarge));
        // Zeros behind the last record: the window must not grow with them.
        let mut records = vec![0x0c, 0, 0, 0, 1, 1, 0];
        records.extend_from_slice(&zeros);
        let tail = build(
            &[Owned {
                key: None,
                value: None,
                headers: vec![],
                timestamp: NOW,
            }],
            &BatchOptions::default(),
        );
        let mut tail = tail[..HEADER_SIZE].to_vec();
        Compressor::new()
            .compress(codec, options.level, &records, &mut tail)
            .expect("compress");
        let length = (tail.len() - LOG_OVERHEAD) as i32;
        let tail = with(tail, field::BATCH_LENGTH, length.to_be_bytes());
        let tail = with(tail, field::ATTRIBUTES, codec.id().to_be_bytes());
        let found = validate_for_append(&BatchRef::first(&tail).expect("batch"), &rules(), &mut scratch);
        assert_eq!(
            found,
            Err(InvalidBatch::Record {
                index: 1,
                error: RecordError::TrailingBytes
            })
        );
        // Many small records.
        let many = build(&vec![sample(0); 101], &options);
        let found = validate_for_append(&BatchRef::first(&many).expect("batch"), &rules(), &mut scratch);
        let error = RecordError::Codec(CodecError::TooManyRecords { limit: 100 });
        assert_eq!(found, Err(InvalidBatch::Record { index: 0, error }));
        assert!(
            scratch.window_bytes() <= 6 << 20,
            "window of {} bytes",
            scratch.window_bytes()
        );
        let mut out = Vec::new();
        assert!(scratch.decompress(codec, &bomb[HEADER_SIZE..], &mut out).is_err());
        assert!(out.len() <= 1 << 20);
    }
}

#[test]
fn claims_allocate_nothing() {
    let mut scratch = Decompressor::default();
    // A raw snappy block that claims 4 GiB, and an xerial block that is longer than what is left.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let framed = [
        &[
            0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
        ][..],
        &[0x7f, 0xff, 0xff, 0xff],
    ]
    .concat();
    assert!(
        scratch
            .decompress(Codec::Snappy, &claim, &mut Vec::new())
            .is_err()
    );
    assert_eq!(
        scratch.decompress(Codec::Snappy, &framed, &mut Vec::new()),
        Err(CodecError::Truncated)
    );
    assert_eq!(scratch.window_bytes(), 0);
    // A record that claims 1 GiB inside a tiny body.
    let mut body = Vec::new();
    varint::write_i32(&mut body, 1 << 30);
    let mut batch = two(Codec::Zstd)[..HEADER_SIZE].to_vec();
    Compressor::new()
        .compress(Codec::Zstd, 3, &body, &mut batch)
        .expect("compress");
    let length = (batch.len() - LOG_OVERHEAD) as i32;
    let batch = with(batch, field::BATCH_LENGTH, length.to_be_bytes());
    let found = validate_for_append(&BatchRef::first(&batch).expect("batch"), &rules(), &mut scratch);
    assert!(
        matches!(
            found,
            Err(InvalidBatch::Record {
                index: 0,
                error: RecordError::Codec(_)
            })
        ),
        "{found:?}"
    );
    assert!(scratch.window_bytes() <= 256 << 10);
}

#[test]
fn end_transaction_markers_round_trip() {
    for committed in [true, false] {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 12,
        };
        let batch = marker.to_batch(NOW, 4000, 7, 100, 3).expect("small");
        let parsed = BatchRef::first(&batch).expect("a batch");
        assert_eq!(parsed.verify_crc(), Ok(()));
        assert!(parsed.header().attributes.is_control() && parsed.header().attributes.is_transactional());
        let record = parsed.records().next().expect("one").expect("intact");
        let (key, value) = (record.key.expect("key"), record.value.expect("value"));
        assert_eq!(EndTxnMarker::from_record(key, value), Some(marker));
        assert_eq!(EndTxnMarker::from_record(key, &value[..5]), None);
        assert_eq!(
            EndTxnMarker::from_record(&ControlType::LeaderChange.key(), value),
            None
        );
        let broker = Rules {
            origin: Origin::Broker,
            ..rules()
        };
        assert!(validate(&batch, &broker).is_ok_and(|summary| summary.control));
        assert_eq!(validate(&batch, &rules()), Err(InvalidBatch::BaseOffset(100)));
    }
}
