//! What validating a batch costs: `cargo run --release -p ottla-wire --example batch_cost`.
//!
//! Prints, for each size of batch and record, nanoseconds a record and a batch and gigabytes a second (of
//! the batch as it travels), for the CRC alone and for the whole validation with the CRC in it; then the
//! same for compressed bodies opened and left closed.

use ottla_wire::records::{
    BatchBuilder, BatchOptions, BatchRef, Codec, Compressor, Decompressor, Rules, validate_for_append,
};
use std::hint::black_box;

const NOW: i64 = 1_700_000_000_000;

/// A batch of about `batch` bytes with records whose values have `value` bytes, half of them random.
fn batch(batch: usize, value: usize, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut payload = vec![b'x'; value];
    while builder.size_in_bytes() < batch {
        for byte in payload.iter_mut().step_by(2) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
        let timestamp = NOW + i64::from(builder.record_count() / 50);
        builder
            .append(timestamp, None, Some(&payload), &[])
            .expect("fits");
    }
    let options = BatchOptions::default().with_codec(codec);
    builder.finish(&options, &mut Compressor::new()).expect("a batch")
}

/// Nanoseconds a call: the best of several rounds.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]
fn time(bytes: usize, mut call: impl FnMut()) -> f64 {
    let calls = (64 << 20) / bytes.max(1) + 1;
    let rounds = (0..7).map(|_| {
        let start = std::time::Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn row(name: &str, bytes: usize, records: i32, nanos: f64) {
    let per_record = nanos / f64::from(records);
    println!(
        "{name:<44} {per_record:>9.1} {nanos:>12.0} {:>8.2}",
        bytes as f64 / nanos
    );
}

fn main() {
    println!("{:<44} {:>9} {:>12} {:>8}", "", "ns/record", "ns/batch", "GB/s");
    let mut scratch = Decompressor::default();
    let rules = Rules::new(NOW);
    let closed = Rules {
        inspect_compressed: false,
        ..rules
    };
    for size in [16 << 10, 1 << 20] {
        for value in [1024, 100] {
            for codec in Codec::ALL {
                let bytes = batch(size, value, codec);
                let parsed = BatchRef::first(&bytes).expect("a batch");
                let count = parsed.header().record_count;
                let plain = batch(size, value, Codec::None).len();
                let name = format!("{} KiB of {value} B, {}", size >> 10, codec.name());
                let mut validate = |rules: &Rules| {
                    time(plain, || {
                        validate_for_append(black_box(&parsed), rules, &mut scratch).expect("valid");
                    })
                };
                if codec == Codec::None {
                    let crc = time(plain, || black_box(&parsed).verify_crc().expect("intact"));
                    row(&format!("{name}: CRC alone"), bytes.len(), count, crc);
                    row(&format!("{name}: validate"), bytes.len(), count, validate(&rules));
                } else {
                    row(&format!("{name}: opened"), bytes.len(), count, validate(&rules));
                    row(&format!("{name}: closed"), bytes.len(), count, validate(&closed));
                }
            }
        }
    }
}
