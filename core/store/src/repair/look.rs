//! One partition's folder, read and surveyed.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use ottla_io::{Disk, Env, File, OpenOptions, read_exact_at};
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::format::offset_index;
use ottla_log::repair::{Extent, Marks, Policy, Surveyed, Walk, Walked, plan, survey};
use ottla_types::{Offset, TopicPartition};

use super::{PartitionReport, RepairError, Terms};
use crate::checkpoint;
use crate::files;
use crate::names;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// What is read at once where the disk refuses more: the unit in which disks lose data.
const BLOCK: usize = 4096;
/// A stretch of sound batches that waits to take its name.
pub(super) const REPAIRED: &str = ".repaired";
/// While this file is there, all stretches are whole, and the segments that they were taken from may be cut already.
pub(super) const COMMITTED: &str = "ottla-repair-committed";

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentFile {
    pub(super) base: Offset,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// A folder's segments, surveyed.
pub(super) struct Seen {
    pub(super) files: Vec<SegmentFile>,
    pub(super) surveyed: Vec<Surveyed>,
    pub(super) marks: Marks,
    /// Blocks that can't be read, by file.
    pub(super) unreadable: Vec<(PathBuf, u64)>,
}

/// Whether records of the partition build upon those before them.
pub(super) fn policy(tp: &TopicPartition) -> Policy {
    if &*tp.topic == "__cluster_metadata" {
        Policy::Prefix
    } else {
        Policy::Holes
    }
}

/// Looks at a folder.
pub(super) async fn look(
    env: &Env,
    tp: &TopicPartition,
    folder: &Path,
    terms: &Terms,
) -> Result<PartitionReport, RepairError> {
    let seen = see(env, tp, folder, terms).await?;
    let (mut batches, mut records, mut bytes) = (0, 0, 0);
    for segment in &seen.surveyed {
        let (b, r, n) = segment.sound();
        (batches, records, bytes) = (batches + b, records + r, bytes + n);
    }
    let first = seen.surveyed.first();
    Ok(PartitionReport {
        partition: tp.clone(),
        folder: folder.to_path_buf(),
        segments: seen.files.len(),
        batches,
        records,
        bytes,
        start: first.map_or(0, |s| s.kept.first().map_or(s.extent.base, |run| run.base)),
        end: seen.surveyed.last().map_or(0, Surveyed::end),
        recovery_point: terms.recovery_points.get(tp).copied(),
        unreadable: seen.unreadable.len() as u64 * BLOCK as u64,
        findings: plan(&seen.surveyed, seen.marks, policy(tp)),
        problems: problems(&*env.disk, folder, &seen).await?,
        kept_in: None,
    })
}

/// Reads all segments of a folder.
pub(super) async fn see(
    env: &Env,
    tp: &TopicPartition,
    folder: &Path,
    terms: &Terms,
) -> Result<Seen, RepairError> {
    let disk = &*env.disk;
    let files = segments(disk, folder).await?;
    let (mut walked, mut unreadable) = (Vec::new(), Vec::new());
    for (i, file) in files.iter().enumerate() {
        let extent = Extent {
            base: file.base,
            next: files.get(i + 1).map(|next| next.base),
        };
        let anchors = anchors(disk, folder, file.base).await;
        let (found, blocks) = walk(disk, file, extent, anchors).await?;
        walked.push(found);
        unreadable.extend(blocks.into_iter().map(|block| (file.path.clone(), block)));
    }
    let known = terms.high_watermarks.get(tp).copied().unwrap_or(0);
    Ok(Seen {
        files,
        surveyed: survey(walked),
        marks: Marks {
            recovery_point: terms.recovery_points.get(tp).copied().unwrap_or(0),
            known_end: known.max(newest_snapshot(disk, folder).await?),
            clean: terms.clean,
        },
        unreadable,
    })
}

/// Whether an interrupted repair left something.
pub(super) async fn has_leftovers(disk: &dyn Disk, folder: &Path) -> Result<bool, RepairError> {
    let names = disk.list(folder).await?;
    Ok(names
        .iter()
        .any(|e| e.name.ends_with(REPAIRED) || e.name == COMMITTED))
}

/// The segments of a folder as a start will find them, once a repair that was interrupted has come to its end.
async fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<SegmentFile>, RepairError> {
    let (mut live, mut swaps) = (Vec::new(), Vec::new());
    let entries = disk.list(folder).await?;
    let committed = entries.iter().any(|entry| entry.name == COMMITTED);
    for entry in entries {
        let name = match entry.name.strip_suffix(REPAIRED) {
            Some(_) if !committed => continue,
            Some(name) => name,
            None => &entry.name,
        };
        let Some(name) = FileName::parse(name).filter(|name| name.kind == FileKind::Log) else {
            continue;
        };
        let file = SegmentFile {
            base: name.offset,
            path: folder.join(&entry.name),
            len: entry.len,
        };
        match name.state {
            FileState::Live => live.push(file),
            FileState::Swap => swaps.push(file),
            FileState::Cleaned | FileState::Deleted => {}
        }
    }
    // What the cleaner has finished takes the place of what it was made from.
    for swap in swaps {
        let extent = Extent {
            base: swap.base,
            next: None,
        };
        let (found, _) = walk(disk, &swap, extent, Vec::new()).await?;
        let end = survey(vec![found]).first().map_or(swap.base, Surveyed::end);
        live.retain(|file| file.base < swap.base || file.base >= end.max(swap.base + 1));
        live.push(swap);
    }
    // Of a piece and the segment it was taken from, which have one base, the piece is the newer.
    live.sort_by_key(|file| (file.base, !file.path.to_string_lossy().ends_with(REPAIRED)));
    live.dedup_by_key(|file| file.base);
    Ok(live)
}

/// Where batches begin, by the offset index. An index that is damaged too names places where none begins, which does no harm.
async fn anchors(disk: &dyn Disk, folder: &Path, base: Offset) -> Vec<u32> {
    let path = folder.join(FileName::new(base, FileKind::Index).to_string());
    let bytes = files::read(disk, &path).await.ok().flatten().unwrap_or_default();
    let entries =
        (0..bytes.len() / offset_index::ENTRY_SIZE).filter_map(|n| offset_index::entry(&bytes, base, n));
    let mut anchors: Vec<u32> = entries.map(|entry| entry.position).collect();
    anchors.sort_unstable();
    anchors.dedup();
    anchors
}

/// Walks over a file. Blocks that can't be read are taken for zeros, which no batch is.
async fn walk(
    disk: &dyn Disk,
    segment: &SegmentFile,
    extent: Extent,
    anchors: Vec<u32>,
) -> Result<(Walked, BTreeSet<u64>), RepairError> {
    let file = disk.open(&segment.path, OpenOptions::Read).await?;
    let mut walk = Walk::new(extent, segment.len, anchors);
    let mut unreadable = BTreeSet::new();
    let mut buf = BytesMut::new();
    while let Some((at, least)) = walk.wants() {
        let len = usize::try_from(segment.len - at).unwrap_or(usize::MAX).min(CHUNK);
        buf = read(&*file, at, len, buf, &mut unreadable).await;
        if buf.len() < least {
            let text = format!("{} became shorter while it was read", segment.path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
        walk.feed(&buf);
    }
    Ok((Walked::new(extent, segment.len, walk), unreadable))
}

/// Reads `len` bytes from `at`; blocks that can't be read are noted, and zeros.
pub(super) async fn read(
    file: &dyn File,
    at: u64,
    len: usize,
    mut buf: BytesMut,
    unreadable: &mut BTreeSet<u64>,
) -> BytesMut {
    buf.clear();
    let (done, mut buf) = read_exact_at(file, at, buf, len).await;
    if done.is_ok() {
        return buf;
    }
    buf.clear();
    while buf.len() < len {
        let (have, position) = (buf.len(), at + buf.len() as u64);
        let to_edge = BLOCK - (position % BLOCK as u64) as usize;
        let count = to_edge.min(len - have);
        let (done, back) = read_exact_at(file, position, buf, count).await;
        buf = back;
        match done {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => {
                unreadable.insert(position / BLOCK as u64);
                buf.resize(have + count, 0);
            }
        }
    }
    buf
}

/// The newest producer snapshot's offset: the log reached it once.
async fn newest_snapshot(disk: &dyn Disk, folder: &Path) -> Result<Offset, RepairError> {
    let names = disk.list(folder).await?;
    let snapshots = names.iter().filter_map(|e| FileName::parse(&e.name));
    let live = snapshots.filter(|n| n.kind == FileKind::Snapshot && n.state == FileState::Live);
    Ok(live.map(|n| n.offset).max().unwrap_or(0))
}

/// What a repair leaves as it is.
async fn problems(disk: &dyn Disk, folder: &Path, seen: &Seen) -> Result<Vec<String>, RepairError> {
    let mut problems = Vec::new();
    let text = match files::read_text(disk, &folder.join(names::PARTITION_METADATA)).await {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Some(String::new()),
        other => other?,
    };
    let id = text
        .ok_or_else(|| "it is missing".to_string())
        .and_then(|text| checkpoint::read_partition_metadata(&text));
    if let Err(reason) = id
        && seen.files.iter().any(|file| file.len > 0)
    {
        problems.push(format!(
            "partition.metadata can't be used ({reason}): a start puts the folder aside; restore the file with the topic's id first"
        ));
    }
    if seen
        .files
        .iter()
        .any(|file| file.path.extension().is_some_and(|e| e == "swap"))
    {
        problems.push("the cleaner was interrupted while it replaced segments: a start finishes that".into());
    }
    if has_leftovers(disk, folder).await? {
        problems.push(
            "a repair was interrupted: run `ottla log repair --accept-loss` again before a start".into(),
        );
    }
    Ok(problems)
}
