//! Times in fixed bins: an addition to observe one, quantiles by interpolation when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds; one bin more is for what is longer.
pub const BOUNDS: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];
const BINS: usize = BOUNDS.len() + 1;

/// A histogram that many threads add to.
#[derive(Debug, Default)]
pub struct Histogram {
    bins: [AtomicU64; BINS],
    nanos: AtomicU64,
}

/// A histogram's state at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bins {
    counts: [u64; BINS],
    nanos: u64,
}

impl Histogram {
    /// Adds one.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bin = BOUNDS.partition_point(|bound| bound * 1_000 < nanos);
        if let Some(bin) = self.bins.get(bin) {
            bin.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What it holds now.
    pub fn bins(&self) -> Bins {
        Bins {
            counts: std::array::from_fn(|n| self.bins[n].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

impl Bins {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// Upper bounds in seconds, the last without end, each with how many lie between it and the one before.
    pub fn rows(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS
            .iter()
            .map(|micros| *micros as f64 / 1e6)
            .chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }

    /// What came after `before`, an earlier state of the same histogram.
    pub fn since(&self, before: &Bins) -> Bins {
        Bins {
            counts: std::array::from_fn(|n| self.counts[n].saturating_sub(before.counts[n])),
            nanos: self.nanos.saturating_sub(before.nanos),
        }
    }

    /// The time, in milliseconds, that a share `q` of all did not exceed, as straight lines within the bins have it. Beyond
    /// the last bound it is that bound; zero when there is nothing.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = q * self.count() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in self.counts.iter().zip(BOUNDS) {
            let (count, upper) = (*count as f64, upper as f64 / 1e3);
            if count > 0.0 && below + count >= rank {
                return lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0);
            }
            below += count;
            lower = upper;
        }
        if self.count() == 0 { 0.0 } else { lower }
    }
}
