//! Before anything is touched: can this node make sense of the metadata that is there? A log of a newer Kafka, or of one that runs
//! at a newer level, is refused as it is, so that whoever wrote it can go on with it.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use ottla_io::{Env, OpenOptions, read_exact_at};
use ottla_metadata::snapshot::{FileName, SnapshotState};
use ottla_metadata::{Snapshot, SnapshotId};
use ottla_types::config::BrokerConfig;
use ottla_types::{NodeId, Offset};
use ottla_wire::records::{BatchError, BatchHeader, BatchRef, Decompressor, HEADER_SIZE};

use super::replay::Replayed;
use super::{TOPIC, files, snapshots, voters};
use crate::features::SUPPORTED;
use crate::format;
use crate::start::StartError;

/// Larger batches are damage.
const LARGEST_BATCH: usize = 64 << 20;
/// How much is read at once.
const READ: usize = 1 << 20;

/// Replays what is there, without changing a byte, and refuses what can't be replayed or asks for features that this node does not
/// have. What a crash has left at the log's end is no reason: recovery decides about it.
pub async fn preflight(env: &Env, broker: &BrokerConfig) -> Result<(), StartError> {
    let root = PathBuf::from(broker.metadata_log_dir());
    let there = |path: PathBuf| async move { matches!(env.disk.entry(&path).await, Ok(Some(_))) };
    if !there(root.join("meta.properties")).await {
        return Ok(());
    }
    // Whoever else holds it would write while we read; opening the directory tells who that is.
    let Ok(_held) = env.disk.lock(&root.join(".lock")).await else {
        return Ok(());
    };
    let refuse = |error: StartError| StartError::Refusal {
        dir: root.clone(),
        reason: match error {
            StartError::Violation(v) => format!("{} ({})", v.detail, v.invariant),
            other => other.to_string(),
        },
    };
    let folder = root.join(format!("{TOPIC}-0"));
    let mut replayed = match there(folder.clone()).await {
        true => look(env, &folder).await.map_err(&refuse)?,
        false => Replayed::new(),
    };
    if replayed.loader.image().is_empty() {
        for (offset, record) in (0..).zip(format::bootstrap(env, broker).await?) {
            let replayed = replayed.loader.replay(&record, offset);
            replayed.map_err(StartError::from).map_err(&refuse)?;
        }
    }
    voters::check_ids(&replayed.quorum, NodeId(broker.node_id()))?;
    for (name, level) in replayed.loader.image().features() {
        let known = SUPPORTED.iter().find(|f| f.name == name);
        if known.is_none_or(|f| !(f.min..=f.max).contains(level)) {
            let range = known.map_or("not at all".to_string(), |f| format!("at {} to {}", f.min, f.max));
            return Err(refuse(StartError::Unsupported(format!(
                "the cluster runs at {name} {level}, which this release knows {range}"
            ))));
        }
    }
    Ok(())
}

/// The newest whole snapshot, and the log behind it.
async fn look(env: &Env, folder: &Path) -> Result<Replayed, StartError> {
    let io = |e: std::io::Error| StartError::MetadataLog(e.to_string());
    let (mut ids, mut segments) = (Vec::new(), Vec::new());
    for entry in env.disk.list(folder).await.map_err(io)? {
        if let Some(base) = entry.name.strip_suffix(".log") {
            segments.extend(base.parse::<Offset>().ok());
        } else if let Some(file) = FileName::parse(&entry.name)
            && file.state == SnapshotState::Whole
        {
            ids.push(file.id);
        }
    }
    ids.sort_unstable();
    segments.sort_unstable();
    let mut replayed = Replayed::new();
    let mut from = 0;
    for id in ids.into_iter().rev() {
        let file = FileName {
            id,
            state: SnapshotState::Whole,
        };
        let bytes = files::read(env, &folder.join(file.to_string()))
            .await
            .map_err(io)?;
        if let Some(snapshot) = whole(&bytes.unwrap_or_default())? {
            from = load(&mut replayed, id, &snapshot)?;
            break;
        }
    }
    if let Some(first) = segments.first().filter(|first| from < **first) {
        return Err(snapshots::missing(*first, folder, ""));
    }
    for (at, base) in segments.iter().enumerate() {
        if segments.get(at + 1).is_some_and(|next| *next <= from) {
            continue;
        }
        let path = folder.join(format!("{base:020}.log"));
        if !segment(env, &path, from, &mut replayed).await? {
            break;
        }
    }
    Ok(replayed)
}

/// A snapshot, or nothing when it is damaged. One that says what nobody knows is not damaged.
fn whole(bytes: &[u8]) -> Result<Option<Snapshot>, StartError> {
    match Snapshot::read(bytes) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(ottla_metadata::snapshot::SnapshotError::Quorum(violation)) => Err(violation.into()),
        Err(_) => Ok(None),
    }
}

fn load(replayed: &mut Replayed, id: SnapshotId, snapshot: &Snapshot) -> Result<Offset, StartError> {
    let values: Vec<&[u8]> = snapshot.values().collect();
    replayed.loader.load_snapshot(values, id.offset - 1)?;
    replayed.quorum = snapshot.quorum.clone();
    Ok(id.offset)
}

/// One segment's batches from `from` on; `false` when the log ends in it.
async fn segment(env: &Env, path: &Path, from: Offset, replayed: &mut Replayed) -> Result<bool, StartError> {
    let io = |e: std::io::Error| StartError::MetadataLog(e.to_string());
    let file = env.disk.open(path, OpenOptions::Read).await.map_err(io)?;
    let mut decompressor = Decompressor::default();
    let (mut at, mut want) = (0_u64, READ);
    loop {
        let (read, bytes) = read_exact_at(file.as_ref(), at, BytesMut::new(), want).await;
        let read = read.map_err(io)?;
        let mut rest = &bytes[..];
        while let Ok(batch) = BatchRef::first(rest) {
            if batch.verify_crc().is_err() {
                return Ok(false);
            }
            if batch.header().base_offset >= from {
                replayed.take(&batch, &mut decompressor)?;
            }
            rest = rest.get(batch.size_in_bytes()..).unwrap_or_default();
        }
        at += (bytes.len() - rest.len()) as u64;
        if read < want {
            return Ok(rest.is_empty());
        }
        want = match BatchRef::first(rest) {
            Err(BatchError::Truncated { .. }) => {
                BatchHeader::parse(rest).map_or(HEADER_SIZE, |header| header.size_in_bytes())
            }
            _ => return Ok(false),
        };
        if want > LARGEST_BATCH {
            return Ok(false);
        }
        want = want.max(READ);
    }
}
