//! Counting, the line each second on stderr, and the result.

use std::time::Duration;

use ottla_io::Mono;
use serde_json::{Value, json};

use super::histogram::Histogram;

const MIB: f64 = 1_048_576.0;

/// The shares that are told, under the names that people use.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    latencies: Histogram,
}

impl Counts {
    fn rates(&self, time: Duration) -> (f64, f64) {
        let seconds = time.as_secs_f64().max(1e-9);
        (self.records as f64 / seconds, self.bytes as f64 / MIB / seconds)
    }
}

/// What was measured.
#[derive(Debug)]
pub struct Meter {
    begun: Mono,
    tick: Mono,
    last_tick: Mono,
    ended: Mono,
    all: Counts,
    recent: Counts,
    /// Records that failed.
    pub failed: u64,
    quiet: bool,
}

impl Meter {
    /// Begins now.
    pub fn new(now: Mono, quiet: bool) -> Self {
        Meter {
            begun: now,
            tick: now.after(Duration::from_secs(1)),
            last_tick: now,
            ended: now,
            all: Counts::default(),
            recent: Counts::default(),
            failed: 0,
            quiet,
        }
    }

    /// A record is there, at `now`.
    pub fn record(&mut self, bytes: usize, latency: Option<Duration>, now: Mono) {
        self.ended = self.ended.max(now);
        for counts in [&mut self.all, &mut self.recent] {
            counts.records += 1;
            counts.bytes += bytes as u64;
            if let Some(latency) = latency {
                counts.latencies.add(latency);
            }
        }
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.all.records
    }

    /// When the next line is due.
    pub fn next_tick(&self) -> Mono {
        self.tick
    }

    /// Prints the line if it is due.
    pub fn tick(&mut self, now: Mono) {
        if now < self.tick {
            return;
        }
        let recent = std::mem::take(&mut self.recent);
        let (records, mib) = recent.rates(now.since(self.last_tick));
        self.last_tick = now;
        while self.tick <= now {
            self.tick = self.tick.after(Duration::from_secs(1));
        }
        if !self.quiet {
            let seconds = now.since(self.begun).as_secs();
            let latency = latencies(&recent.latencies);
            eprintln!("{seconds:>4} s  {records:>10.0} records/s  {mib:>8.1} MiB/s{latency}");
        }
    }

    /// The result for people.
    pub fn text(&self) -> String {
        let time = self.ended.since(self.begun);
        let (records, mib) = self.all.rates(time);
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!(
            "{} records ({:.1} MiB) in {:.2} s{failed}: {records:.0} records/s, {mib:.1} MiB/s{}",
            self.all.records,
            self.all.bytes as f64 / MIB,
            time.as_secs_f64(),
            latencies(&self.all.latencies)
        )
    }

    /// The result for machines.
    pub fn json(&self) -> Value {
        let time = self.ended.since(self.begun);
        let (records, mib) = self.all.rates(time);
        let latencies = &self.all.latencies;
        let millis = |d: Duration| d.as_secs_f64() * 1e3;
        let shares = SHARES.map(|(name, share)| (name.to_owned(), json!(latencies.at(share).map(millis))));
        let mut shares: serde_json::Map<String, Value> = shares.into_iter().collect();
        shares.insert(
            "max".to_owned(),
            json!(latencies.at(1.0).map(|_| millis(latencies.max()))),
        );
        json!({
            "records": self.all.records, "bytes": self.all.bytes, "failed": self.failed, "seconds": time.as_secs_f64(),
            "records_per_second": records, "mib_per_second": mib, "latency_ms": shares,
        })
    }
}

fn latencies(histogram: &Histogram) -> String {
    if histogram.len() == 0 {
        return String::new();
    }
    let share = |(name, share)| {
        let at: Duration = histogram.at(share).unwrap_or_default();
        format!("{name} {:.2} ms", at.as_secs_f64() * 1e3)
    };
    format!("  latency {}", SHARES.map(share).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_for_people_and_for_machines() {
        let mut meter = Meter::new(Mono(0), true);
        for i in 1..=100u64 {
            meter.record(1 << 20, Some(Duration::from_millis(i)), Mono(i * 20_000_000));
        }
        meter.tick(Mono(1_500_000_000));
        assert_eq!(meter.next_tick(), Mono(2_000_000_000));
        let text = meter.text();
        assert!(
            text.starts_with("100 records (100.0 MiB) in 2.00 s: 50 records/s, 50.0 MiB/s  latency p50 50."),
            "{text}"
        );
        let json = meter.json();
        assert_eq!((&json["records"], &json["failed"]), (&json!(100), &json!(0)));
        assert_eq!(json["latency_ms"]["max"], json!(100.0));
        assert_eq!(Meter::new(Mono(0), true).json()["latency_ms"]["p99"], Value::Null);
    }
}
