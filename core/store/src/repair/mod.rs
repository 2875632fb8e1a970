//! Checking and repairing a log directory that no node uses: what `ottla_log::repair` finds and plans, carried out on `Disk`.
//!
//! - [`check`] reads only. `look`: one partition's folder.
//! - [`repair`] makes each damaged log servable. `mend`: in which steps, and what a crash between them leaves.

mod error;
mod look;
mod mend;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ottla_io::{Disk, EntryKind, Env, Lock};
use ottla_log::format::file_name::{DirState, PartitionDir};
use ottla_log::repair::Findings;
use ottla_types::{Offset, TopicPartition};

use crate::checkpoint;
use crate::files;
use crate::names;

pub use error::RepairError;

/// What a log directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryReport {
    /// The directory.
    pub path: PathBuf,
    /// Who uses it, as far as the file system tells: what is being written looks damaged.
    pub holder: Option<String>,
    /// What is wrong with the directory itself.
    pub problems: Vec<String>,
    /// Its logs.
    pub partitions: Vec<PartitionReport>,
}

impl DirectoryReport {
    /// The logs that are to be repaired.
    pub fn damaged(&self) -> impl Iterator<Item = &PartitionReport> {
        self.partitions.iter().filter(|p| p.findings.plan.is_some())
    }
}

/// What a log's folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: TopicPartition,
    /// Its folder.
    pub folder: PathBuf,
    /// Segments found.
    pub segments: usize,
    /// Sound batches.
    pub batches: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first offset.
    pub start: Offset,
    /// The offset after the last sound batch.
    pub end: Offset,
    /// The recovery point, if a checkpoint names one: everything below had been flushed.
    pub recovery_point: Option<Offset>,
    /// Bytes that the disk could not read; they count as damaged.
    pub unreadable: u64,
    /// What is wrong with the batches, and what a repair does.
    pub findings: Findings,
    /// What is wrong beside them; a repair leaves it.
    pub problems: Vec<String>,
    /// After a repair: where the bytes that were given up are kept.
    pub kept_in: Option<PathBuf>,
}

/// Looks at all logs of a log directory, or at one partition's folder in it. Changes nothing.
pub async fn check(env: &Env, path: &Path) -> Result<DirectoryReport, RepairError> {
    let place = Place::find(&*env.disk, path).await?;
    let lock_file = place.root.join(names::LOCK);
    let there = env.disk.entry(&lock_file).await?.is_some();
    let holder = match there {
        true => env.disk.lock(&lock_file).await.err(),
        false => None,
    };
    let holder = holder.filter(|e| e.kind() == io::ErrorKind::WouldBlock);
    place.report(env, holder.map(|e| e.to_string())).await
}

/// Repairs all damaged logs of a log directory, or the one whose folder `path` is. Gives up what [`check`] calls lost; its bytes are
/// kept in a folder within the partition's. Interrupted at any point, it can be run again.
pub async fn repair(env: &Env, path: &Path) -> Result<DirectoryReport, RepairError> {
    let place = Place::find(&*env.disk, path).await?;
    let _held = place.lock(&*env.disk).await?;
    let mut report = place.report(env, None).await?;
    let terms = place.terms(&*env.disk).await?;
    for found in &mut report.partitions {
        let folder = found.folder.clone();
        if found.findings.plan.is_none() && !look::has_leftovers(&*env.disk, &folder).await? {
            continue;
        }
        // The account stays that of what was found.
        found.kept_in = mend::mend(env, &place.root, &found.partition, &folder, &terms).await?;
        let again = look::look(env, &found.partition, &folder, &place.terms(&*env.disk).await?).await?;
        if again.findings.plan.is_some() {
            return Err(RepairError::StillDamaged(folder));
        }
    }
    Ok(report)
}

/// A log directory, and which of its folders are meant.
struct Place {
    root: PathBuf,
    folders: Vec<(TopicPartition, PathBuf)>,
    problems: Vec<String>,
}

/// What the directory's files say of its logs.
struct Terms {
    clean: bool,
    recovery_points: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
}

impl Place {
    async fn find(disk: &dyn Disk, path: &Path) -> Result<Place, RepairError> {
        if !matches!(disk.entry(path).await?, Some(entry) if entry.kind == EntryKind::Dir) {
            return Err(RepairError::NoDirectory(path.to_path_buf()));
        }
        let live = |name: &str| PartitionDir::parse(name).filter(|dir| dir.state == DirState::Live);
        let name = path.file_name().and_then(|name| name.to_str());
        let formatted = disk.entry(&path.join(names::META_PROPERTIES)).await?.is_some();
        if let Some(dir) = name.and_then(live).filter(|_| !formatted) {
            return Ok(Place {
                root: path.parent().map_or_else(PathBuf::new, Path::to_path_buf),
                folders: vec![(dir.partition, path.to_path_buf())],
                problems: Vec::new(),
            });
        }
        let entries = disk.list(path).await?;
        let folders: Vec<_> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Dir)
            .filter_map(|entry| Some((live(&entry.name)?.partition, path.join(&entry.name))))
            .collect();
        let mut problems = Vec::new();
        if !formatted {
            if folders.is_empty() {
                return Err(RepairError::NoLogDirectory(path.to_path_buf()));
            }
            problems.push("there is no meta.properties: restore it, a node does not start without".into());
        }
        Ok(Place {
            root: path.to_path_buf(),
            folders,
            problems,
        })
    }

    async fn lock(&self, disk: &dyn Disk) -> Result<Box<dyn Lock>, RepairError> {
        let held = disk.lock(&self.root.join(names::LOCK)).await;
        held.map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => RepairError::InUse {
                dir: self.root.clone(),
                holder: e.to_string(),
            },
            _ => RepairError::Io(e),
        })
    }

    async fn terms(&self, disk: &dyn Disk) -> Result<Terms, RepairError> {
        let clean = disk
            .entry(&self.root.join(names::CLEAN_SHUTDOWN))
            .await?
            .is_some();
        Ok(Terms {
            clean,
            recovery_points: offsets(disk, &self.root.join(names::RECOVERY_POINTS)).await?,
            high_watermarks: offsets(disk, &self.root.join(names::HIGH_WATERMARKS)).await?,
        })
    }

    async fn report(self: &Place, env: &Env, holder: Option<String>) -> Result<DirectoryReport, RepairError> {
        let terms = self.terms(&*env.disk).await?;
        let mut partitions = Vec::new();
        for (partition, folder) in &self.folders {
            partitions.push(look::look(env, partition, folder, &terms).await?);
        }
        Ok(DirectoryReport {
            path: self.root.clone(),
            holder,
            problems: self.problems.clone(),
            partitions,
        })
    }
}

/// An offset checkpoint; one that can't be read is as good as none, as at a start.
async fn offsets(disk: &dyn Disk, path: &Path) -> Result<BTreeMap<TopicPartition, Offset>, RepairError> {
    let text = match files::read_text(disk, path).await {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => None,
        other => other?,
    };
    let read = text.and_then(|text| checkpoint::read_offsets(&text).ok());
    Ok(read.unwrap_or_default())
}
