//! The log cleaner's part of `/metrics`.

use std::fmt::Error;

use super::Snapshot;
use super::page::{Families, Labels};

impl Snapshot {
    pub(super) fn cleaner(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let c = &self.cleaner;
        for (name, help, value) in [
            (
                "cleaner_cleaner_recopy_percent",
                "Of what the last rounds of cleaning have read, how much they wrote again",
                c.recopy_percent,
            ),
            (
                "cleaner_max_clean_time_secs",
                "Seconds that the longest of the last rounds took",
                c.max_clean_secs,
            ),
            (
                "cleaner_max_buffer_utilization_percent",
                "How full the offset map of the last rounds was at most",
                c.max_map_percent,
            ),
            (
                "cleaner_max_compaction_delay_secs",
                "Seconds that a log of the last rounds was beyond max.compaction.lag.ms at most",
                c.max_delay_secs,
            ),
            (
                "cleanermanager_max_dirty_percent",
                "How dirty the dirtiest compacted log was when one was last looked for",
                c.max_dirty_percent,
            ),
            (
                "cleanermanager_time_since_last_run_ms",
                "Milliseconds since a log to clean was last looked for",
                c.since_last_look_ms,
            ),
        ] {
            out.gauge(&format!("kafka_log_log{name}"), help, value)?;
        }
        out.gauges(
            "kafka_log_logcleanermanager_uncleanable_partitions_count",
            "Logs that can't be cleaned until the next start",
            c.uncleanable
                .iter()
                .map(|(dir, count, _)| (Labels::Directory(dir), *count)),
        )?;
        out.gauges(
            "kafka_log_logcleanermanager_uncleanable_bytes",
            "Their bytes that wait to be cleaned",
            c.uncleanable
                .iter()
                .map(|(dir, _, bytes)| (Labels::Directory(dir), *bytes)),
        )?;
        for (name, help, value) in [
            ("rounds", "Rounds of cleaning that came to their end", c.rounds),
            (
                "failed_rounds",
                "Rounds of cleaning that did not: the log changed, the disk was full or failed, or the log is damaged",
                c.failed_rounds,
            ),
            (
                "read_bytes",
                "Bytes of batches that rounds have read to clean them",
                c.bytes_read,
            ),
            (
                "written_bytes",
                "Bytes of batches that rounds have written",
                c.bytes_written,
            ),
        ] {
            out.counters(
                &format!("ottla_log_cleaner_{name}"),
                help,
                [(Labels::None, value)],
            )?;
        }
        Ok(())
    }
}
