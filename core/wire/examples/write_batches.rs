//! Writes to standard output the batch that `tests/data/records/RecordsFixtures.java read` expects, with the
//! codec (and level) named: `cargo run -p ottla-wire --example write_batches -- lz4 > DIR/lz4.bin`.

use ottla_wire::records::{BatchBuilder, BatchOptions, Codec, Compressor, Header};
use std::io::Write;

const BASE: i64 = 1_700_000_000_000;
const SIZES: [usize; 10] = [0, 1, 10, 100, 1000, 70_000, 63, 64, 8191, 8192];

fn pattern(i: usize, size: usize) -> Vec<u8> {
    (0..size).map(|j| (j / 64 * 7 + i * 31) as u8).collect()
}

/// The record `i` of `RecordsFixtures.java`.
fn append(builder: &mut BatchBuilder, i: usize) -> Result<(), Box<dyn std::error::Error>> {
    let key = match i % 3 {
        0 => None,
        1 => Some(format!("key-{i}").into_bytes()),
        _ => Some(Vec::new()),
    };
    let value = (i % 7 != 6).then(|| pattern(i, SIZES[i % SIZES.len()]));
    let headers: Vec<(String, Option<Vec<u8>>)> = (0..i % 4)
        .map(|h| (format!("hé{h}"), (h != 1).then(|| pattern(h, h * 40))))
        .collect();
    let headers: Vec<Header<'_>> = headers
        .iter()
        .map(|(k, v)| Header {
            key: k.as_bytes(),
            value: v.as_deref(),
        })
        .collect();
    let timestamp = if i == 5 {
        -1
    } else {
        BASE + (i as i64 * 7919 % 5000) - 2000
    };
    Ok(builder.append(timestamp, key.as_deref(), value.as_deref(), &headers)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let codec = arguments.next().unwrap_or_else(|| "none".to_owned());
    let codec = Codec::from_name(&codec).ok_or("codec: none, gzip, snappy, lz4 or zstd")?;
    let level = arguments
        .next()
        .map_or(Ok(codec.default_level()), |level| level.parse())?;
    let mut builder = BatchBuilder::new();
    for i in 0..12 {
        append(&mut builder, i)?;
    }
    let options = BatchOptions {
        codec,
        level,
        producer_id: 4000,
        producer_epoch: 3,
        base_sequence: i32::MAX - 4,
        transactional: true,
        ..BatchOptions::default()
    };
    std::io::stdout().write_all(&builder.finish(&options, &mut Compressor::new())?)?;
    Ok(())
}
