//! Producer snapshots and the text files of partitions and directories.

use std::path::Path;

use ottla_io::Env;
use ottla_log::format::producer_snapshot::{self, SnapshotEntry};
use ottla_types::{Offset, Uuid};
use serde_json::json;

use super::Report;
use crate::context;
use crate::output::show_time;
use crate::storage::Meta;

/// Prints a producer snapshot.
pub async fn producers(
    env: &Env,
    path: &Path,
    offset: Offset,
    report: &mut Report<'_, '_>,
) -> Result<(), String> {
    let bytes = context::read(env, path).await?;
    let entries = match producer_snapshot::decode(&bytes) {
        Ok(entries) => entries,
        Err(error) => {
            report.damage(error.to_string());
            Vec::new()
        }
    };
    for entry in &entries {
        producer(entry, report);
        if entry.last_offset >= offset || entry.current_txn_first_offset >= offset {
            report.damage(format!(
                "producer {}: it knows offsets from {offset} on, which came later",
                entry.producer_id
            ));
        }
    }
    report.end(&format!("{} producers as of offset {offset}", entries.len()));
    Ok(())
}

fn producer(e: &SnapshotEntry, report: &mut Report<'_, '_>) {
    let text = || {
        let mut text = format!(
            "producer {} epoch {} last sequence {} last offset {} offset delta {} time {}",
            e.producer_id,
            e.producer_epoch,
            e.last_sequence,
            e.last_offset,
            e.offset_delta,
            show_time(e.timestamp)
        );
        if e.coordinator_epoch >= 0 {
            text += &format!(" coordinator epoch {}", e.coordinator_epoch);
        }
        if e.current_txn_first_offset >= 0 {
            text += &format!(" open transaction from {}", e.current_txn_first_offset);
        }
        text
    };
    report.item(text, || {
        json!({
            "kind": "producer",
            "producer_id": e.producer_id,
            "producer_epoch": e.producer_epoch,
            "last_sequence": e.last_sequence,
            "last_offset": e.last_offset,
            "offset_delta": e.offset_delta,
            "timestamp": e.timestamp,
            "coordinator_epoch": e.coordinator_epoch,
            "open_transaction_from": e.current_txn_first_offset,
        })
    });
}

/// Prints a text file, by its name.
pub async fn text(env: &Env, path: &Path, name: &str, report: &mut Report<'_, '_>) -> Result<(), String> {
    let show: fn(&str, &mut Report<'_, '_>) -> Result<String, String> = match name {
        "leader-epoch-checkpoint" => epochs,
        "recovery-point-offset-checkpoint"
        | "log-start-offset-checkpoint"
        | "replication-offset-checkpoint"
        | "cleaner-offset-checkpoint" => offsets,
        "partition.metadata" => partition_metadata,
        "meta.properties" => meta_properties,
        "quorum-state" | ".kafka_cleanshutdown" => json_file,
        _ => {
            return Err(format!(
                "{}: not a file of a log; there are .log, .index, .timeindex, .txnindex, .snapshot, .checkpoint and the \
                 checkpoints of partitions and directories",
                path.display()
            ));
        }
    };
    let text = context::read_text(env, path).await?;
    match show(&text, report) {
        Ok(held) => report.end(&held),
        Err(damage) => {
            report.damage(damage);
            report.end("unreadable");
        }
    }
    Ok(())
}

/// The rows of a checkpoint: version 0, their number, and they (Kafka class `CheckpointFile`). An empty file has none.
fn rows(text: &str) -> Result<Vec<Vec<&str>>, String> {
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        None => return Ok(Vec::new()),
        Some("0") => {}
        Some(other) => return Err(format!("version `{other}` is not known, only 0 is")),
    }
    let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
    let count = count.ok_or("line 2 holds no number of rows")?;
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    if rows.len() == count {
        Ok(rows)
    } else {
        Err(format!("it announces {count} rows and holds {}", rows.len()))
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn epochs(text: &str, report: &mut Report<'_, '_>) -> Result<String, String> {
    let rows = rows(text)?;
    let mut last: Option<(i64, i64)> = None;
    for row in &rows {
        let [epoch, start] = row.as_slice() else {
            return Err(format!("`{}` is not `epoch offset`", row.join(" ")));
        };
        let (epoch, start) = (number(epoch)?, number(start)?);
        report.item(
            || format!("epoch {epoch} from offset {start}"),
            || json!({"kind": "epoch", "epoch": epoch, "start": start}),
        );
        if last.is_some_and(|(e, s)| epoch <= e || start <= s) {
            report.damage(format!("epoch {epoch} from {start} does not ascend"));
        }
        last = Some((epoch, start));
    }
    Ok(format!("{} epochs", rows.len()))
}

fn offsets(text: &str, report: &mut Report<'_, '_>) -> Result<String, String> {
    let rows = rows(text)?;
    for row in &rows {
        let [topic, partition, offset] = row.as_slice() else {
            return Err(format!("`{}` is not `topic partition offset`", row.join(" ")));
        };
        let (partition, offset) = (number(partition)?, number(offset)?);
        report.item(
            || format!("{topic}-{partition} offset {offset}"),
            || json!({"kind": "checkpoint", "topic": topic, "partition": partition, "offset": offset}),
        );
    }
    Ok(format!("{} partitions", rows.len()))
}

fn partition_metadata(text: &str, report: &mut Report<'_, '_>) -> Result<String, String> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("version: 0") {
        return Err("line 1 is not `version: 0`".into());
    }
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id: "));
    let id: Uuid = id
        .ok_or("line 2 is not `topic_id: ...`")?
        .trim()
        .parse()
        .map_err(|e| format!("{e}"))?;
    report.item(
        || format!("topic id {id}"),
        || json!({"kind": "partition", "topic_id": id.to_string()}),
    );
    Ok("a topic id".into())
}

fn meta_properties(text: &str, report: &mut Report<'_, '_>) -> Result<String, String> {
    let Meta {
        cluster_id,
        node_id,
        directory_id,
    } = Meta::parse(text)?;
    let id = directory_id.as_deref().unwrap_or("none");
    report.item(
        || format!("cluster {cluster_id} node {node_id} directory {id}"),
        || json!({"kind": "directory", "cluster_id": cluster_id, "node_id": node_id, "directory_id": directory_id}),
    );
    Ok("a directory's identity".into())
}

fn json_file(text: &str, report: &mut Report<'_, '_>) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    report.item(|| value.to_string(), || json!({"kind": "state", "state": value}));
    Ok("a state".into())
}
