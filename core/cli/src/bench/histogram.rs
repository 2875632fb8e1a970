//! Durations counted by size, in buckets that are at most 1/64 of their value wide.

use std::time::Duration;

/// Bits of a value that are kept below its highest one.
const BITS: u32 = 6;

/// A histogram of durations in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// One more duration.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// The largest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// The duration that `share` (0 to 1) of all do not exceed, rounded up to its bucket's end; `None` without any.
    pub fn at(&self, share: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Some(Duration::from_micros(
            found.map_or(self.max, last_of).min(self.max),
        ))
    }
}

/// Values below 2^(BITS+1) have a bucket each; above, each power of two has 2^BITS.
fn bucket(value: u64) -> usize {
    let shift = (63 - value.max(1).leading_zeros()).saturating_sub(BITS);
    (u64::from(shift) * (1 << BITS) + (value >> shift)) as usize
}

/// The largest value in a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1);
    let top = bucket - shift * (1 << BITS);
    (top << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.at(0.5), None);
        for i in 1..=1000u64 {
            histogram.add(Duration::from_micros(i * 100));
        }
        for (share, micros) in [
            (0.5, 50_000f64),
            (0.99, 99_000.0),
            (0.999, 99_900.0),
            (1.0, 100_000.0),
        ] {
            let found = histogram.at(share).unwrap().as_micros() as f64;
            assert!((micros..=micros * 1.016).contains(&found), "{share}: {found}");
        }
        assert_eq!(
            (histogram.max(), histogram.len()),
            (Duration::from_millis(100), 1000)
        );
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in any::<u64>().prop_map(|v| v >> (v % 60))) {
            let bucket = bucket(value);
            let last = last_of(bucket);
            prop_assert!(last >= value && last - value <= value >> BITS);
            prop_assert!(bucket == 0 || last_of(bucket - 1) < value);
            prop_assert!(bucket < 60 << BITS);
        }
    }
}
