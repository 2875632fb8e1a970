//! Batches that Apache Kafka 4.3.1 wrote (`tests/data/records`): read equal, valid, and the uncompressed
//! ones built again byte for byte.

use ottla_wire::records::{
    BatchBuilder, BatchOptions, BatchRef, Batches, Codec, Compressor, Decompressor, EndTxnMarker, Header,
    Origin, Rules, TimestampType, validate_for_append,
};

const BASE: i64 = 1_700_000_000_000;

const BATCHES: [(Codec, &[u8]); 5] = [
    (Codec::None, include_bytes!("data/records/java-none.bin")),
    (Codec::Gzip, include_bytes!("data/records/java-gzip.bin")),
    (Codec::Snappy, include_bytes!("data/records/java-snappy.bin")),
    (Codec::Lz4, include_bytes!("data/records/java-lz4.bin")),
    (Codec::Zstd, include_bytes!("data/records/java-zstd.bin")),
];
const LOG_APPEND_TIME: &[u8] = include_bytes!("data/records/java-log-append-time.bin");
const MARKERS: &[u8] = include_bytes!("data/records/java-markers.bin");

/// Timestamp, key, value, headers.
type Sample = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

fn pattern(i: usize, size: usize) -> Vec<u8> {
    (0..size).map(|j| (j / 64 * 7 + i * 31) as u8).collect()
}

/// The records that `RecordsFixtures.java` writes.
fn sample(i: usize) -> Sample {
    const SIZES: [usize; 10] = [0, 1, 10, 100, 1000, 70_000, 63, 64, 8191, 8192];
    let key = match i % 3 {
        0 => None,
        1 => Some(format!("key-{i}").into_bytes()),
        _ => Some(Vec::new()),
    };
    let value = (i % 7 != 6).then(|| pattern(i, SIZES[i % SIZES.len()]));
    let headers = (0..i % 4)
        .map(|h| (format!("hé{h}"), (h != 1).then(|| pattern(h, h * 40))))
        .collect();
    let timestamp = if i == 5 {
        -1
    } else {
        BASE + (i as i64 * 7919 % 5000) - 2000
    };
    (timestamp, key, value, headers)
}

fn build(count: usize, options: &BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (timestamp, key, value, headers) in (0..count).map(sample) {
        let headers: Vec<Header<'_>> = headers
            .iter()
            .map(|(k, v)| Header {
                key: k.as_bytes(),
                value: v.as_deref(),
            })
            .collect();
        builder
            .append(timestamp, key.as_deref(), value.as_deref(), &headers)
            .expect("fits");
    }
    builder.finish(options, &mut Compressor::new()).expect("a batch")
}

fn idempotent() -> BatchOptions {
    BatchOptions {
        producer_id: 4000,
        producer_epoch: 3,
        base_sequence: i32::MAX - 4,
        transactional: true,
        ..BatchOptions::default()
    }
}

fn read(batch: &BatchRef<'_>) -> Vec<Sample> {
    let mut scratch = Decompressor::default();
    let mut records = batch.records_with(&mut scratch).expect("known codec");
    let mut out = Vec::new();
    while let Some(record) = records.next_record() {
        let record = record.expect("intact");
        assert_eq!(record.offset_delta as usize, out.len());
        let headers = record.headers().map(|h| h.expect("intact header"));
        let headers = headers.map(|h| {
            (
                String::from_utf8_lossy(h.key).into_owned(),
                h.value.map(<[u8]>::to_vec),
            )
        });
        out.push((
            batch.header().timestamp(record.timestamp_delta),
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
            headers.collect(),
        ));
    }
    out
}

#[test]
fn every_codec_of_java_reads_equal() {
    let want: Vec<Sample> = (0..12).map(sample).collect();
    for (codec, bytes) in BATCHES {
        let batch = BatchRef::first(bytes).expect("a batch");
        assert_eq!(batch.size_in_bytes(), bytes.len());
        assert_eq!(batch.header().attributes.codec(), Ok(codec));
        assert!(read(&batch) == want, "{codec:?} differs");
        let checked = validate_for_append(&batch, &Rules::new(BASE), &mut Decompressor::default());
        let summary = checked.expect("valid");
        assert_eq!(
            (summary.record_count, summary.producer_id, summary.producer_epoch),
            (12, 4000, 3)
        );
        assert_eq!((summary.base_sequence, summary.last_sequence), (i32::MAX - 4, 6));
        assert_eq!(summary.max_timestamp, batch.header().max_timestamp);
        let latest = &want[summary.max_timestamp_offset_delta as usize];
        assert_eq!(latest.0, summary.max_timestamp);
        assert!(summary.transactional && !summary.rewrite_timestamps);
    }
}

#[test]
fn uncompressed_batches_are_javas_byte_for_byte() {
    assert!(build(12, &idempotent()) == BATCHES[0].1);
    let options = BatchOptions {
        base_offset: 1_234_567_890_123,
        leader_epoch: 17,
        log_append_time: Some(BASE + 99),
        ..BatchOptions::default()
    };
    assert!(build(5, &options) == LOG_APPEND_TIME);
    let batch = BatchRef::first(LOG_APPEND_TIME).expect("a batch");
    assert_eq!(
        batch.header().attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert!(read(&batch).iter().all(|record| record.0 == BASE + 99));
}

#[test]
fn what_is_built_with_a_codec_reads_equal() {
    let want: Vec<Sample> = (0..12).map(sample).collect();
    for codec in Codec::ALL {
        for level in [
            *codec.levels().start(),
            codec.default_level(),
            *codec.levels().end(),
        ] {
            let bytes = build(
                12,
                &BatchOptions {
                    codec,
                    level,
                    ..idempotent()
                },
            );
            assert!(
                read(&BatchRef::first(&bytes).expect("a batch")) == want,
                "{codec:?} {level}"
            );
        }
    }
}

#[test]
fn markers_are_javas() {
    let mut bytes = Vec::new();
    for (offset, committed) in [(100, true), (101, false)] {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 12,
        };
        bytes.extend(marker.to_batch(BASE, 4000, 7, offset, 3).expect("small"));
    }
    assert_eq!(bytes, MARKERS);
    let rules = Rules {
        origin: Origin::Broker,
        ..Rules::new(BASE)
    };
    for batch in Batches::new(MARKERS) {
        let batch = batch.expect("a batch");
        assert!(validate_for_append(&batch, &rules, &mut Decompressor::default()).is_ok());
    }
}
