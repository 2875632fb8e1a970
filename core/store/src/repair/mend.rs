//! Making a damaged log servable, in steps that a crash may come between:
//!
//! 1. What is given up is copied to `ottla-lost-N`, with an account; stretches behind a damage are copied to files of their own
//!    (`.repaired`). All of it is synced. Nothing has changed for a node.
//! 2. A file says that the stretches are whole, from here on they are part of the log. The clean-shutdown marker goes. Damaged
//!    segments are cut, those of which nothing stays are removed, with their indexes. The stretches take their names.
//! 3. Indexes are written; an empty segment keeps the offsets of lost records from being given out again; the recovery point
//!    says what is synced.
//!
//! After a crash in 1 the log is as damaged as it was; what 2 leaves, the next run brings to its end; without 3 the next run
//! finds offsets missing, and does 3.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use ottla_io::{Disk, Env, File, OpenOptions, write_all_at};
use ottla_log::format::file_name::{FileKind, FileName};
use ottla_log::format::txn_index;
use ottla_log::recovery::{Carried, ScanConfig, SegmentScan};
use ottla_log::repair::{Plan, SegmentPlan, plan};
use ottla_log::{EpochCache, LogConfig, Producers, SegmentState};
use ottla_types::{Offset, Time, TopicPartition};

use super::look::{self, COMMITTED, REPAIRED, Seen, SegmentFile};
use super::{RepairError, Terms};
use crate::checkpoint;
use crate::files;
use crate::names;

/// Bytes copied at once.
const CHUNK: u64 = 1 << 20;

/// Repairs a log; returns where what was given up is kept, if anything was.
pub(super) async fn mend(
    env: &Env,
    root: &Path,
    tp: &TopicPartition,
    folder: &Path,
    terms: &Terms,
) -> Result<Option<PathBuf>, RepairError> {
    let disk = &*env.disk;
    let mut kept_in = None;
    if disk.entry(&folder.join(COMMITTED)).await?.is_some() {
        kept_in = resume(env, tp, folder, terms).await?;
    }
    drop_unfinished(disk, folder).await?;
    let seen = look::see(env, tp, folder, terms).await?;
    let Some(plan) = plan(&seen.surveyed, seen.marks, look::policy(tp)).plan else {
        return Ok(kept_in);
    };
    room(disk, folder, &plan).await?;
    let kept_in = Some(keep_lost(disk, &seen, &plan, tp, folder).await?);
    for change in &plan.segments {
        if let Some(file) = seen.file(change.base) {
            write_pieces(disk, folder, file, change).await?;
        }
    }
    sync_logs(disk, &seen, plan.recovery_point).await?;
    disk.sync_dir(folder).await?;
    if plan.segments.iter().any(|change| !change.pieces.is_empty()) {
        files::write_new(disk, &folder.join(COMMITTED), Bytes::new()).await?;
        disk.sync_dir(folder).await?;
    }
    files::remove(disk, &root.join(names::CLEAN_SHUTDOWN)).await?;
    disk.sync_dir(root).await?;
    for change in &plan.segments {
        if let Some(file) = seen.file(change.base) {
            cut(disk, folder, file, change).await?;
        }
    }
    take_names(disk, folder).await?;
    complete(disk, folder, &plan).await?;
    set_recovery_point(disk, root, tp, plan.recovery_point).await?;
    Ok(kept_in)
}

/// Brings what a crash interrupted to its end: the stretches are whole, and what else their segments hold goes.
async fn resume(
    env: &Env,
    tp: &TopicPartition,
    folder: &Path,
    terms: &Terms,
) -> Result<Option<PathBuf>, RepairError> {
    let disk = &*env.disk;
    let seen = look::see(env, tp, folder, terms).await?;
    let mut kept_in = None;
    if let Some(plan) = plan(&seen.surveyed, seen.marks, look::policy(tp)).plan {
        kept_in = Some(keep_lost(disk, &seen, &plan, tp, folder).await?);
        // A segment that is damaged anew waits until the stretches are in their places.
        for change in plan.segments.iter().filter(|change| change.pieces.is_empty()) {
            if let Some(file) = seen.file(change.base) {
                cut(disk, folder, file, change).await?;
            }
        }
    }
    take_names(disk, folder).await?;
    Ok(kept_in)
}

/// Removes stretches that may not be whole.
async fn drop_unfinished(disk: &dyn Disk, folder: &Path) -> Result<(), RepairError> {
    for entry in disk.list(folder).await? {
        if entry.name.ends_with(REPAIRED) {
            files::remove(disk, &folder.join(&entry.name)).await?;
        }
    }
    Ok(())
}

/// Indexes for the segments that changed, and the empty one at the end.
async fn complete(disk: &dyn Disk, folder: &Path, plan: &Plan) -> Result<(), RepairError> {
    for change in &plan.segments {
        let stays = (!change.gone).then_some(change.base);
        let pieces = change.pieces.iter().map(|piece| piece.base);
        for base in stays
            .into_iter()
            .chain(pieces.filter(|base| *base != change.base))
        {
            index(disk, folder, base).await?;
        }
    }
    if let Some(base) = plan.new_segment {
        for kind in [FileKind::Index, FileKind::TimeIndex, FileKind::Log] {
            let path = folder.join(FileName::new(base, kind).to_string());
            files::write_new(disk, &path, Bytes::new()).await?;
        }
    }
    Ok(disk.sync_dir(folder).await?)
}

impl Seen {
    fn file(&self, base: Offset) -> Option<&SegmentFile> {
        self.files.iter().find(|file| file.base == base)
    }
}

async fn next_folder(disk: &dyn Disk, folder: &Path) -> Result<PathBuf, RepairError> {
    for n in 1.. {
        let path = folder.join(format!("ottla-lost-{n}"));
        if disk.entry(&path).await?.is_none() {
            return Ok(path);
        }
    }
    Ok(folder.join("ottla-lost"))
}

/// Refuses before anything is written if the copies would fill the disk.
async fn room(disk: &dyn Disk, folder: &Path, plan: &Plan) -> Result<(), RepairError> {
    let pieces = plan.segments.iter().flat_map(|s| &s.pieces);
    let needed = plan.lost_bytes() + pieces.map(|piece| piece.bytes).sum::<u64>();
    let free = disk.free_space(folder).await?;
    match needed <= free {
        true => Ok(()),
        false => Err(RepairError::NoRoom { needed, free }),
    }
}

/// Copies what is given up, and writes the account.
async fn keep_lost(
    disk: &dyn Disk,
    seen: &Seen,
    plan: &Plan,
    tp: &TopicPartition,
    folder: &Path,
) -> Result<PathBuf, RepairError> {
    let kept_in = next_folder(disk, folder).await?;
    disk.create_dir_all(&kept_in).await?;
    let mut account = format!("{tp}: offsets and bytes that a repair gave up, and where they were\n");
    for lost in &plan.lost {
        let log = FileName::new(lost.segment, FileKind::Log);
        let next = lost
            .next
            .map_or("the log's end".to_string(), |next| next.to_string());
        let _ = writeln!(
            account,
            "{log} byte {} to {}: from offset {} up to {next}: {}",
            lost.position,
            lost.position + lost.bytes,
            lost.first,
            lost.why
        );
        let Some(file) = seen.file(lost.segment).filter(|_| lost.bytes > 0) else {
            continue;
        };
        let from = disk.open(&file.path, OpenOptions::Read).await?;
        let path = kept_in.join(format!("{log}@{}", lost.position));
        copy(disk, &*from, lost.position, lost.bytes, &path).await?;
    }
    files::write_new(disk, &kept_in.join("account.txt"), account.into()).await?;
    disk.sync_dir(&kept_in).await?;
    Ok(kept_in)
}

/// Copies a range to a new file, synced; blocks that can't be read become zeros.
async fn copy(
    disk: &dyn Disk,
    from: &dyn File,
    position: u64,
    bytes: u64,
    path: &Path,
) -> Result<(), RepairError> {
    let to = disk.open(path, OpenOptions::Truncate).await?;
    let (mut done, mut unreadable) = (0, BTreeSet::new());
    while done < bytes {
        let len = (bytes - done).min(CHUNK) as usize;
        let read = look::read(from, position + done, len, BytesMut::new(), &mut unreadable).await;
        if read.is_empty() {
            break;
        }
        let count = read.len() as u64;
        write_all_at(&*to, done, vec![read.freeze()]).await.0?;
        done += count;
    }
    Ok(to.sync_data().await?)
}

/// Writes the stretches behind damages to files of their own, with their share of the aborted transactions.
async fn write_pieces(
    disk: &dyn Disk,
    folder: &Path,
    segment: &SegmentFile,
    change: &SegmentPlan,
) -> Result<(), RepairError> {
    let from = disk.open(&segment.path, OpenOptions::Read).await?;
    let aborted = aborted(disk, folder, segment.base).await?;
    for piece in &change.pieces {
        let log = folder.join(FileName::new(piece.base, FileKind::Log).to_string());
        let beside = files::with_suffix(&log, REPAIRED);
        copy(disk, &*from, piece.position, piece.bytes, &beside).await?;
        let (low, high) = (
            txn_index::bytes_below(&aborted, piece.base),
            txn_index::bytes_below(&aborted, piece.end),
        );
        // An index without a log, as a crash leaves it, is removed by a start.
        if low < high && piece.base != segment.base {
            let index = folder.join(FileName::new(piece.base, FileKind::TxnIndex).to_string());
            files::write_new(
                disk,
                &index,
                Bytes::copy_from_slice(aborted.get(low..high).unwrap_or_default()),
            )
            .await?;
        }
    }
    Ok(())
}

async fn aborted(disk: &dyn Disk, folder: &Path, base: Offset) -> Result<Bytes, RepairError> {
    let path = folder.join(FileName::new(base, FileKind::TxnIndex).to_string());
    Ok(files::read(disk, &path).await?.unwrap_or_default())
}

/// Syncs the logs that may hold what no sync has seen: the new recovery point vouches for them.
async fn sync_logs(disk: &dyn Disk, seen: &Seen, below: Offset) -> Result<(), RepairError> {
    for file in seen.files.iter().filter(|file| file.base < below) {
        disk.open(&file.path, OpenOptions::Write)
            .await?
            .sync_data()
            .await?;
    }
    Ok(())
}

/// Leaves of a damaged segment its sound front.
async fn cut(
    disk: &dyn Disk,
    folder: &Path,
    segment: &SegmentFile,
    change: &SegmentPlan,
) -> Result<(), RepairError> {
    if change.front == segment.len {
        return Ok(());
    }
    let path = |kind| folder.join(FileName::new(segment.base, kind).to_string());
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        files::remove(disk, &path(kind)).await?;
    }
    disk.sync_dir(folder).await?;
    if change.gone {
        files::remove(disk, &segment.path).await?;
        files::remove(disk, &path(FileKind::TxnIndex)).await?;
    } else if change.pieces.iter().all(|piece| piece.base != segment.base) {
        let file = disk.open(&segment.path, OpenOptions::Write).await?;
        file.set_len(change.front).await?;
        file.sync_data().await?;
        let aborted = aborted(disk, folder, segment.base).await?;
        let keep = txn_index::bytes_below(&aborted, change.front_end);
        if keep < aborted.len() {
            files::replace(disk, &path(FileKind::TxnIndex), aborted.slice(..keep)).await?;
        }
    }
    Ok(disk.sync_dir(folder).await?)
}

/// Lets the stretches take their names.
async fn take_names(disk: &dyn Disk, folder: &Path) -> Result<(), RepairError> {
    for entry in disk.list(folder).await? {
        let Some(name) = entry.name.strip_suffix(REPAIRED).and_then(FileName::parse) else {
            continue;
        };
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            files::remove(disk, &folder.join(FileName::new(name.offset, kind).to_string())).await?;
        }
        disk.sync_dir(folder).await?;
        disk.rename(&folder.join(&entry.name), &folder.join(name.to_string()))
            .await?;
    }
    disk.sync_dir(folder).await?;
    files::remove(disk, &folder.join(COMMITTED)).await?;
    Ok(disk.sync_dir(folder).await?)
}

/// Writes a segment's indexes anew. That of its aborted transactions stays: it also knows those whose marker is lost.
async fn index(disk: &dyn Disk, folder: &Path, base: Offset) -> Result<(), RepairError> {
    let path = |kind| folder.join(FileName::new(base, kind).to_string());
    let file = disk.open(&path(FileKind::Log), OpenOptions::Read).await?;
    let len = file.len().await?;
    let carried = Carried::new(EpochCache::default(), Producers::new(Offset::MAX));
    let cfg = ScanConfig {
        gaps: true,
        ..ScanConfig::rebuild(&LogConfig::default())
    };
    let mut scan = SegmentScan::new(cfg, SegmentState::new(base, Time(0)), len, 0, carried);
    let (mut buf, mut unreadable) = (BytesMut::new(), BTreeSet::new());
    while let Some(at) = scan.wants() {
        let count = (len - at).min(CHUNK) as usize;
        buf = look::read(&*file, at, count, buf, &mut unreadable).await;
        // No producer is looked at, so there is nothing that could contradict itself.
        if buf.is_empty() || scan.feed(&buf).is_err() {
            scan.ended();
        }
    }
    let report = scan.finish();
    files::replace(disk, &path(FileKind::Index), report.index.into()).await?;
    Ok(files::replace(disk, &path(FileKind::TimeIndex), report.time_index.into()).await?)
}

async fn set_recovery_point(
    disk: &dyn Disk,
    root: &Path,
    tp: &TopicPartition,
    offset: Offset,
) -> Result<(), RepairError> {
    let path = root.join(names::RECOVERY_POINTS);
    let mut offsets = super::offsets(disk, &path).await?;
    if offsets.insert(tp.clone(), offset) == Some(offset) {
        return Ok(());
    }
    let rows = offsets.iter().map(|(tp, offset)| (tp, *offset));
    Ok(files::replace(disk, &path, checkpoint::write_offsets(rows).into()).await?)
}
