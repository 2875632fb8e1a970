//! Record batches from raw bytes: cut apart, validated, iterated, decompressed. Whatever a body claims, what comes out is bounded;
//! what passes validation can be read record by record; and the records of a batch survive being built anew in every codec.

use ottla_wire::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchRef, BatchSummary, Batches, Codec, Compressor,
    Decompressor, HEADER_SIZE, Header, Limits, Origin, Rules, TimestampType, validate_for_append,
};

use crate::env::NOW;
use crate::input::Input;

/// What may come out of one body here.
const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_records: 10_000,
};

/// The first byte's bits: repair length and checksum of every batch, so that a fuzzer gets past them.
const REPAIR: u8 = 1;

/// The target: a byte of flags, then batches.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let mut bytes = input.rest().to_vec();
    if flags & REPAIR != 0 {
        repair(&mut bytes);
    }
    let mut scratch = Decompressor::new(LIMITS);
    check_cutting(&bytes);
    for batch in Batches::new(&bytes).take(50).flatten() {
        let read = read_records(&batch, &mut scratch);
        for rules in rules(flags) {
            if let Ok(summary) = validate_for_append(&batch, &rules, &mut scratch) {
                let opened = rules.inspect_compressed || rules.key_required || summary.codec == Codec::None;
                if opened {
                    let records = read.as_ref().expect("what passes validation can be read");
                    check_summary(&batch, &rules, &summary, records);
                }
            }
        }
        if let Some(records) = &read {
            check_uncompressed(&batch, records);
            check_rebuilt(records, &mut scratch);
        }
        check_body(&batch, &mut scratch);
    }
}

/// Gives every batch its checksum, and the last one the length that is left.
fn repair(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..) {
        let Some(mut header) = BatchHeader::parse(rest) else {
            return;
        };
        if header.size_in_bytes() < HEADER_SIZE || header.size_in_bytes() > rest.len() {
            header.batch_length = (rest.len() - 12) as i32;
        }
        header.magic = 2;
        let size = header.size_in_bytes();
        rest[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
        header.crc = crc32c::crc32c(&rest[21..size]);
        rest[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
        at += size;
    }
}

/// Batches follow each other without a gap; a tolerant reader gets the same ones, and only a cut last one makes a difference.
fn check_cutting(bytes: &[u8]) {
    let (mut strict, mut at, mut failed) = (Batches::new(bytes), 0, false);
    for batch in strict.by_ref() {
        match batch {
            Ok(batch) => {
                assert!(batch.size_in_bytes() >= HEADER_SIZE);
                assert_eq!(batch.bytes(), &bytes[at..at + batch.size_in_bytes()]);
                at += batch.size_in_bytes();
            }
            Err(_) => failed = true,
        }
    }
    assert_eq!((strict.position(), failed), (at, at < bytes.len()));
    let mut tolerant = Batches::tolerant(bytes);
    let count = tolerant.by_ref().filter(Result::is_ok).count();
    assert_eq!(tolerant.position(), at, "after {count} batches");
}

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    offset_delta: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Every record of a batch; `None` if anything is wrong with one of them. What came out of the body is bounded.
fn read_records(batch: &BatchRef<'_>, scratch: &mut Decompressor) -> Option<Vec<Owned>> {
    let (mut records, mut total, mut sound) = (Vec::new(), 0u64, true);
    let mut stream = batch.records_with(scratch).ok()?;
    while let Some(record) = stream.next_record() {
        let Ok(record) = record else {
            sound = false;
            continue;
        };
        let headers: Result<Vec<_>, _> = record
            .headers()
            .map(|h| h.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))))
            .collect();
        let Ok(headers) = headers else {
            sound = false;
            continue;
        };
        let owned = Owned {
            timestamp: batch.header().base_timestamp.wrapping_add(record.timestamp_delta),
            offset_delta: record.offset_delta,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        };
        total +=
            owned.key.as_ref().map_or(0, Vec::len) as u64 + owned.value.as_ref().map_or(0, Vec::len) as u64;
        records.push(owned);
        assert!(
            total <= LIMITS.max_bytes && records.len() <= LIMITS.max_records as usize,
            "a bomb went off"
        );
    }
    assert!(
        scratch.window_bytes() as u64 <= 4 * LIMITS.max_bytes,
        "the window took {} bytes",
        scratch.window_bytes()
    );
    (sound && records.len() == batch.header().record_count as usize).then_some(records)
}

fn rules(flags: u8) -> [Rules; 2] {
    let strict = Rules::new(NOW.as_millis());
    let other = Rules {
        origin: if flags & 2 == 0 {
            Origin::Client
        } else {
            Origin::Broker
        },
        timestamp_type: if flags & 4 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        before_max_ms: if flags & 8 == 0 { i64::MAX } else { 1000 },
        key_required: flags & 16 != 0,
        inspect_compressed: flags & 32 != 0,
        ..strict
    };
    [strict, other]
}

/// What validation says of a batch is what its records say.
fn check_summary(batch: &BatchRef<'_>, rules: &Rules, summary: &BatchSummary, records: &[Owned]) {
    batch.verify_crc().expect("a valid batch has its checksum");
    assert_eq!(summary.record_count as usize, records.len());
    let deltas = records.iter().map(|r| r.offset_delta);
    assert!(
        deltas.eq(0..summary.record_count),
        "offset deltas are 0, 1, 2 ..."
    );
    assert_eq!(summary.last_offset_delta, summary.record_count - 1);
    assert!(!rules.key_required || records.iter().all(|r| r.key.is_some()));
    let largest = records.iter().map(|r| r.timestamp).max().unwrap_or(-1).max(-1);
    let expected = match rules.timestamp_type {
        TimestampType::CreateTime => largest,
        TimestampType::LogAppendTime => rules.now,
    };
    assert_eq!(summary.max_timestamp, expected);
}

/// An uncompressed body reads the same in place.
fn check_uncompressed(batch: &BatchRef<'_>, records: &[Owned]) {
    if batch.header().attributes.codec() == Ok(Codec::None) {
        let in_place = batch.records().map(|r| r.expect("it was read before"));
        assert!(
            in_place
                .map(|r| r.offset_delta)
                .eq(records.iter().map(|r| r.offset_delta))
        );
    }
}

/// The records survive in every codec.
fn check_rebuilt(records: &[Owned], scratch: &mut Decompressor) {
    let ascending = records
        .windows(2)
        .all(|pair| pair[0].offset_delta < pair[1].offset_delta);
    let total: usize = records
        .iter()
        .filter_map(|r| r.value.as_ref())
        .map(Vec::len)
        .sum();
    if records.is_empty() || !ascending || records[0].offset_delta < 0 || total > 1 << 14 {
        return;
    }
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new();
        for record in records {
            let headers: Vec<Header<'_>> = record
                .headers
                .iter()
                .map(|(key, value)| Header {
                    key,
                    value: value.as_deref(),
                })
                .collect();
            builder
                .append_at(
                    record.offset_delta,
                    record.timestamp,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    &headers,
                )
                .expect("small records fit");
        }
        let options = BatchOptions::default().with_codec(codec);
        let bytes = builder
            .finish(&options, &mut Compressor::new())
            .expect("it can be compressed");
        let batch = BatchRef::first(&bytes).expect("a whole batch");
        batch.verify_crc().expect("its checksum");
        assert_eq!(
            read_records(&batch, scratch).as_deref(),
            Some(records),
            "{codec:?}"
        );
    }
}

/// The body alone, as tools open it: bounded as well.
fn check_body(batch: &BatchRef<'_>, scratch: &mut Decompressor) {
    let Ok(codec) = batch.header().attributes.codec() else {
        return;
    };
    let mut out = Vec::new();
    let _ = scratch.decompress(codec, batch.body(), &mut out);
    assert!(
        out.len() as u64 <= LIMITS.max_bytes,
        "{} bytes came out",
        out.len()
    );
}
