//! `leader-epoch-checkpoint`: version, number of rows, rows `epoch startOffset` (Kafka class `LeaderEpochCheckpointFile`).
//!
//! On the platter before the first batch of a new epoch is written, as in Kafka: recovery takes a batch whose epoch is above the one
//! that this file names for its offset for a torn one, because no checksum covers a batch's epoch.

use std::fmt::Write;

use ottla_log::{EpochCache, EpochEntry};

/// The file's text.
pub(crate) fn write(epochs: &EpochCache) -> String {
    let entries = epochs.entries();
    let mut text = format!("0\n{}\n", entries.len());
    for e in entries {
        let _ = writeln!(text, "{} {}", e.epoch, e.start);
    }
    text
}

/// Reads the file's text; the error says what is wrong.
pub(crate) fn read(text: &str) -> Result<EpochCache, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        Some(other) => return Err(format!("version `{other}` is not known, only 0 is")),
        None => return Ok(EpochCache::default()),
    }
    let count = lines
        .next()
        .and_then(|line| line.trim().parse::<usize>().ok())
        .ok_or("line 2 holds no number of rows")?;
    let mut rows = Vec::new();
    for line in lines {
        let row = line.split_once(' ').and_then(|(epoch, start)| {
            Some(EpochEntry {
                epoch: epoch.parse().ok()?,
                start: start.trim().parse().ok()?,
            })
        });
        rows.push(row.ok_or_else(|| format!("`{line}` is not `epoch offset`"))?);
    }
    if rows.len() == count {
        Ok(EpochCache::load(rows))
    } else {
        Err(format!("it announces {count} rows and holds {}", rows.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let epochs = EpochCache::load([
            EpochEntry { epoch: 0, start: 0 },
            EpochEntry {
                epoch: 7,
                start: 5_000_000_000,
            },
        ]);
        assert_eq!(write(&epochs), "0\n2\n0 0\n7 5000000000\n");
        assert_eq!(read(&write(&epochs)), Ok(epochs));
        assert_eq!(write(&EpochCache::default()), "0\n0\n");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("1\n0\n", "version"),
            ("0\nx\n", "line 2"),
            ("0\n1\n", "announces 1"),
            ("0\n1\n3\n", "`3`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
