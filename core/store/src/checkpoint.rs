//! The text files of a log directory that hold an offset per partition, `partition.metadata` and the clean-shutdown marker: their
//! exact formats as pure functions. Sources: `CheckpointFile`, `OffsetCheckpointFile`, `PartitionMetadataFile`,
//! `CleanShutdownFileHandler`.

use std::collections::BTreeMap;
use std::fmt::Write;

use ottla_types::{Offset, TopicPartition, Uuid};

/// An offset per partition.
pub type Offsets = BTreeMap<TopicPartition, Offset>;

/// The text of an offset checkpoint: version, number of rows, rows `topic partition offset`.
pub fn write_offsets<'a>(rows: impl ExactSizeIterator<Item = (&'a TopicPartition, Offset)>) -> String {
    let mut text = String::with_capacity(16 + 40 * rows.len());
    let _ = writeln!(text, "0\n{}", rows.len());
    for (tp, offset) in rows {
        let _ = writeln!(text, "{} {} {offset}", tp.topic, tp.partition);
    }
    text
}

/// Reads an offset checkpoint. The error says which line is wrong.
pub fn read_offsets(text: &str) -> Result<Offsets, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        Some(other) => return Err(format!("version `{other}` is not known, only 0 is")),
        None => return Ok(Offsets::new()),
    }
    let count = lines
        .next()
        .and_then(|line| line.trim().parse::<usize>().ok())
        .ok_or("line 2 holds no number of rows")?;
    let mut offsets = Offsets::new();
    let mut rows = 0;
    for line in lines {
        let (tp, offset) = row(line).ok_or_else(|| format!("`{line}` is not `topic partition offset`"))?;
        offsets.insert(tp, offset);
        rows += 1;
    }
    if rows == count {
        Ok(offsets)
    } else {
        Err(format!("it announces {count} rows and holds {rows}"))
    }
}

fn row(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_whitespace();
    let tp = TopicPartition::new(words.next()?, words.next()?.parse().ok()?);
    let offset = words.next()?.parse().ok()?;
    words.next().is_none().then_some((tp, offset))
}

/// The text of `partition.metadata`.
pub fn write_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Reads `partition.metadata`.
pub fn read_partition_metadata(text: &str) -> Result<Uuid, String> {
    let mut lines = text.lines();
    let mut value = |key: &str| {
        lines
            .next()
            .and_then(|line| line.split_once(": "))
            .filter(|(k, _)| *k == key)
            .map(|(_, v)| v.trim())
    };
    match value("version") {
        Some("0") => {}
        Some(other) => return Err(format!("version `{other}` is not known, only 0 is")),
        None => return Err("line 1 is not `version: 0`".into()),
    }
    let id = value("topic_id").ok_or("line 2 is not `topic_id: ...`")?;
    let id: Uuid = id.parse().map_err(|e| format!("{e}"))?;
    if id.is_zero() {
        Err("the topic id is zero".into())
    } else {
        Ok(id)
    }
}

/// The text of `.kafka_cleanshutdown`.
pub fn write_clean_shutdown(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

/// The broker epoch in a `.kafka_cleanshutdown`: −1 when it holds none that can be read, as in Kafka. That the file exists is what
/// makes the stop a clean one; older Kafkas left it empty.
pub fn read_clean_shutdown(text: &str) -> i64 {
    let number = |key: &str| {
        let rest = text
            .split_once(&format!("\"{key}\""))?
            .1
            .trim_start()
            .strip_prefix(':')?
            .trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '-')
            .unwrap_or(rest.len());
        rest.get(..end)?.parse::<i64>().ok()
    };
    if number("version") == Some(0) {
        number("brokerEpoch").unwrap_or(-1)
    } else {
        -1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_golden() {
        let offsets = Offsets::from([
            (TopicPartition::new("orders", 12), 5_000_000_000),
            (TopicPartition::new("a", 0), 0),
        ]);
        let text = write_offsets(offsets.iter().map(|(tp, o)| (tp, *o)));
        assert_eq!(text, "0\n2\na 0 0\norders 12 5000000000\n");
        assert_eq!(read_offsets(&text), Ok(offsets));
        assert_eq!(
            write_offsets(Offsets::new().iter().map(|(tp, o)| (tp, *o))),
            "0\n0\n"
        );
    }

    #[test]
    fn bad_offsets_are_refused() {
        for (text, part) in [
            ("1\n0\n", "version"),
            ("0\n", "line 2"),
            ("0\n2\na 0 0\n", "announces 2"),
            ("0\n1\na 0\n", "`a 0`"),
            ("0\n1\na 0 1 2\n", "`a 0 1 2`"),
        ] {
            let error = read_offsets(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(
            read_offsets(""),
            Ok(Offsets::new()),
            "a file that was created and never written"
        );
    }

    #[test]
    fn partition_metadata_golden() {
        let id: Uuid = "5L6g3nShT-eMCtK--X86sw".parse().unwrap();
        assert_eq!(
            write_partition_metadata(id),
            "version: 0\ntopic_id: 5L6g3nShT-eMCtK--X86sw"
        );
        assert_eq!(read_partition_metadata(&write_partition_metadata(id)), Ok(id));
        assert!(read_partition_metadata("").is_err());
        assert!(read_partition_metadata("version: 1\ntopic_id: 5L6g3nShT-eMCtK--X86sw").is_err());
        assert!(read_partition_metadata("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA").is_err());
    }

    #[test]
    fn clean_shutdown_golden() {
        assert_eq!(write_clean_shutdown(42), "{\"version\":0,\"brokerEpoch\":42}");
        assert_eq!(read_clean_shutdown(&write_clean_shutdown(42)), 42);
        assert_eq!(
            read_clean_shutdown(" { \"brokerEpoch\" : 7 , \"version\" : 0 } "),
            7
        );
        for unreadable in ["", "{}", "{\"version\":1,\"brokerEpoch\":4}", "garbage"] {
            assert_eq!(read_clean_shutdown(unreadable), -1, "{unreadable}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,60}") {
            let _ = read_offsets(&text);
            let _ = read_partition_metadata(&text);
            let _ = read_clean_shutdown(&text);
        }
    }
}
