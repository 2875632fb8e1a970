//! What became of the records: where they went, and which failed.

use std::collections::BTreeMap;

use ottla_client::RecordMetadata;

/// How many kinds of failure are told one by one.
const TOLD: usize = 10;

#[derive(Debug, Default)]
struct Partition {
    records: u64,
    offsets: Option<(i64, i64)>,
}

/// Lines that failed for the same reason, one after the other.
#[derive(Debug)]
struct Failure {
    first: u64,
    last: u64,
    count: u64,
    why: String,
}

/// Counts of a run.
#[derive(Debug, Default)]
pub struct Summary {
    bytes: u64,
    partitions: BTreeMap<i32, Partition>,
    failures: Vec<Failure>,
    failed: u64,
    untold: u64,
}

impl Summary {
    /// A record was delivered.
    pub fn delivered(&mut self, metadata: &RecordMetadata, bytes: usize) {
        self.bytes += bytes as u64;
        let partition = self.partitions.entry(metadata.partition).or_default();
        partition.records += 1;
        if metadata.offset >= 0 {
            let (first, last) = partition.offsets.unwrap_or((metadata.offset, metadata.offset));
            partition.offsets = Some((first.min(metadata.offset), last.max(metadata.offset)));
        }
    }

    /// A record has failed.
    pub fn failed(&mut self, line: u64, why: String) {
        self.failed += 1;
        if let Some(same) = self.failures.iter_mut().find(|f| f.why == why) {
            (same.first, same.last) = (same.first.min(line), same.last.max(line));
            same.count += 1;
        } else if self.failures.len() < TOLD {
            self.failures.push(Failure {
                first: line,
                last: line,
                count: 1,
                why,
            });
        } else {
            self.untold += 1;
        }
    }

    /// Whether any record has failed.
    pub fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// What failed since this was last asked, a line each.
    pub fn take_failures(&mut self) -> Option<String> {
        let mut lines: Vec<String> = self.failures.drain(..).map(|f| f.to_string()).collect();
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            lines.push(format!("{untold} more records failed, for other reasons"));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The run in one line.
    pub fn line(&self, topic: &str) -> String {
        let records: u64 = self.partitions.values().map(|p| p.records).sum();
        let mut line = format!("{} ({} bytes) to `{topic}`", counted(records), self.bytes);
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        let places = self.partitions.iter().map(|(number, p)| match p.offsets {
            Some((first, last)) if first == last => format!("partition {number} offset {first}"),
            Some((first, last)) => format!("partition {number} offsets {first}..{last}"),
            None => format!("partition {number}"),
        });
        let places: Vec<String> = places.take(TOLD).collect();
        if !places.is_empty() {
            line.push_str(&format!(": {}", places.join(", ")));
        }
        if self.partitions.len() > TOLD {
            line.push_str(&format!(" and {} more partitions", self.partitions.len() - TOLD));
        }
        line
    }
}

/// `1 record`, `2 records`.
pub fn counted(records: u64) -> String {
    let plural = if records == 1 { "" } else { "s" };
    format!("{records} record{plural}")
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.count {
            1 => write!(f, "line {}: {}", self.first, self.why),
            count => write!(
                f,
                "{count} records between lines {} and {}: {}",
                self.first, self.last, self.why
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> RecordMetadata {
        RecordMetadata {
            topic: "t".into(),
            partition,
            offset,
            timestamp: 0,
        }
    }

    #[test]
    fn a_run_is_summed_up_in_a_line() {
        let mut summary = Summary::default();
        assert_eq!(summary.line("t"), "0 records (0 bytes) to `t`");
        for (partition, offset) in [(0, 7), (0, 8), (2, 0), (3, -1)] {
            summary.delivered(&at(partition, offset), 10);
        }
        summary.failed(9, "no".into());
        assert_eq!(
            summary.line("t"),
            "4 records (40 bytes) to `t`, 1 failed: partition 0 offsets 7..8, partition 2 offset 0, partition 3"
        );
    }

    #[test]
    fn failures_are_named_and_bounded() {
        let mut summary = Summary::default();
        for line in [4, 6, 5] {
            summary.failed(line, "late".into());
        }
        for line in 10..40 {
            summary.failed(line, format!("reason {line}"));
        }
        let told = summary.take_failures().unwrap();
        assert!(
            told.starts_with("3 records between lines 4 and 6: late\nline 10: reason 10\n"),
            "{told}"
        );
        assert_eq!(told.lines().count(), TOLD + 1);
        assert!(
            told.ends_with("21 more records failed, for other reasons"),
            "{told}"
        );
        assert!(summary.has_failures() && summary.take_failures().is_none());
    }
}
