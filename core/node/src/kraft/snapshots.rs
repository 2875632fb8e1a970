//! The snapshots in the metadata log's folder: which are there, which one a start begins from, writing one, and which are not
//! needed any more (Kafka class `KafkaRaftLog`).
//!
//! A snapshot is written beside its name, synced, renamed, and its name synced; only then may the log before it be cut. So
//! whatever a crash leaves, there is a whole snapshot at or above the log's start, or the log begins at 0.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_io::Env;
use ottla_metadata::snapshot::{FileName, Head, SnapshotError, SnapshotState, write};
use ottla_metadata::{MetadataImage, Quorum, Snapshot, SnapshotId};
use ottla_types::{Offset, Time};

use super::files;
use crate::start::StartError;

/// A snapshot that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its file's length.
    pub bytes: u64,
    /// The append time of the last record that it contains.
    pub newest: Time,
}

/// How much of the past is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// `metadata.max.retention.bytes`: of log and snapshots together. `None` for no bound.
    pub bytes: Option<u64>,
    /// `metadata.max.retention.ms`: by the newest record of a snapshot. `None` for no bound.
    pub ms: Option<u64>,
}

/// The snapshots of one folder.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    kept: BTreeMap<SnapshotId, Kept>,
}

impl Snapshots {
    /// Looks through the folder of a log that begins at `start`: removes what a crash left half done and what lies before the log,
    /// and reads the newest snapshot that is whole. One that is damaged is put aside, if an older one or the log can stand in.
    pub async fn open(
        env: &Env,
        folder: &Path,
        start: Offset,
    ) -> Result<(Snapshots, Option<(SnapshotId, Snapshot)>), StartError> {
        let io = |e: std::io::Error| StartError::MetadataLog(e.to_string());
        let (mut found, mut useless) = (Vec::new(), Vec::new());
        for entry in env.disk.list(folder).await.map_err(io)? {
            match FileName::parse(&entry.name) {
                Some(file) if file.state == SnapshotState::Whole && file.id.offset >= start => {
                    found.push((file.id, entry.len));
                }
                Some(_) => useless.push(folder.join(&entry.name)),
                None => {}
            }
        }
        found.sort_unstable();
        let mut snapshots = Snapshots {
            folder: folder.to_path_buf(),
            kept: BTreeMap::new(),
        };
        let (mut newest, mut damaged) = (None, Vec::new());
        for (id, bytes) in found.into_iter().rev() {
            let path = snapshots.path(id, SnapshotState::Whole);
            // Behind the newest, an older one is only there until it is removed: its age is all that matters.
            let timestamp = if newest.is_some() {
                let begin = files::read_begin(env, &path).await.map_err(io)?;
                Snapshot::read_timestamp(&begin).unwrap_or(0)
            } else {
                let bytes = files::read(env, &path).await.map_err(io)?.unwrap_or_default();
                match Snapshot::read(&bytes) {
                    Ok(snapshot) => newest.insert((id, snapshot)).1.last_contained_timestamp,
                    Err(error) => {
                        damaged.push((id, error));
                        continue;
                    }
                }
            };
            let newest = Time(u64::try_from(timestamp).unwrap_or(0));
            snapshots.kept.insert(id, Kept { bytes, newest });
        }
        if newest.is_none() && start > 0 {
            let damaged: Vec<String> = damaged.iter().map(|(id, e)| format!(" ({id}: {e})")).collect();
            return Err(missing(start, folder, &damaged.concat()));
        }
        for (id, error) in damaged {
            snapshots.put_aside(env, id, &error).await.map_err(io)?;
        }
        for path in useless {
            files::remove(env, &path).await.map_err(io)?;
        }
        Ok((snapshots, newest))
    }

    /// Kafka would fall over it, and nobody reads it: it gets a name that is none of a snapshot's.
    async fn put_aside(&self, env: &Env, id: SnapshotId, error: &SnapshotError) -> std::io::Result<()> {
        let path = self.path(id, SnapshotState::Whole);
        let mut aside = path.clone().into_os_string();
        aside.push(".damaged");
        tracing::error!(
            snapshot = %path.display(), %error,
            "the snapshot is damaged: it is renamed to .damaged, and the start goes on from what is before it"
        );
        env.disk.rename(&path, Path::new(&aside)).await?;
        env.disk.sync_dir(&self.folder).await
    }

    /// Where a snapshot's file is.
    pub fn path(&self, id: SnapshotId, state: SnapshotState) -> PathBuf {
        self.folder.join(FileName { id, state }.to_string())
    }

    /// Whether it is there.
    pub fn contains(&self, id: SnapshotId) -> bool {
        self.kept.contains_key(&id)
    }

    /// A snapshot was written.
    pub fn insert(&mut self, id: SnapshotId, kept: Kept) {
        self.kept.insert(id, kept);
    }

    /// The snapshot before which nothing is needed any more: the second oldest, when log and snapshots are too large or the oldest is too
    /// old. The newest stays in any case.
    pub fn next_start(&self, retention: Retention, log_bytes: u64, now: Time) -> Option<SnapshotId> {
        let mut ids = self.kept.iter();
        let ((_, oldest), (next, _)) = (ids.next()?, ids.next()?);
        let total: u64 = log_bytes.saturating_add(self.kept.values().map(|kept| kept.bytes).sum());
        let large = retention.bytes.is_some_and(|most| total > most);
        let old = retention
            .ms
            .is_some_and(|most| now.0.saturating_sub(oldest.newest.0) > most);
        (large || old).then_some(*next)
    }

    /// Removes the snapshots before `id`, of which the log has no need any more.
    pub async fn remove_before(&mut self, env: &Env, id: SnapshotId) -> std::io::Result<()> {
        let kept = self.kept.split_off(&id);
        for old in std::mem::replace(&mut self.kept, kept).into_keys() {
            files::remove(env, &self.path(old, SnapshotState::Whole)).await?;
        }
        Ok(())
    }
}

/// A log that begins where no snapshot says what was before.
pub fn missing(start: Offset, folder: &Path, damaged: &str) -> StartError {
    StartError::MetadataLog(format!(
        "it begins at offset {start}, and there is no whole snapshot of what came before{damaged}: bring back a *.checkpoint file of {} from \
         a backup",
        folder.display()
    ))
}

/// Writes the snapshot that a log which has never been written to begins from, into a log directory that is not formatted yet. One that is
/// there already is that of an attempt that did not come to its end, or the directory is formatted and keeps it.
pub async fn write_first(env: &Env, root: &Path, content: Bytes) -> std::io::Result<()> {
    if env.disk.entry(&root.join("meta.properties")).await?.is_some() {
        return Ok(());
    }
    let folder = root.join(format!("{}-0", super::TOPIC));
    env.disk.create_dir_all(&folder).await?;
    env.disk.sync_dir(root).await?;
    let id = SnapshotId { offset: 0, epoch: 0 };
    let path = |state| folder.join(FileName { id, state }.to_string());
    let (part, whole) = (path(SnapshotState::Partial), path(SnapshotState::Whole));
    files::write_new(env, &part, content).await?;
    env.disk.rename(&part, &whole).await?;
    env.disk.sync_dir(&folder).await
}

/// A snapshot to be written, off the controller's path.
pub struct Job {
    /// Its name.
    pub id: SnapshotId,
    /// What it holds.
    pub image: MetadataImage,
    /// What it says of the quorum.
    pub quorum: Quorum,
    /// The append time of the last record that it contains.
    pub newest: Time,
    /// Its path while it is written, and its path.
    pub paths: (PathBuf, PathBuf),
}

impl Job {
    /// Writes it, crash-safe. After an error there is nothing of it, or its whole file with a name that may not be durable.
    pub async fn run(self, env: &Env) -> Result<(SnapshotId, Kept), String> {
        let id = self.id;
        let (image, quorum, newest) = (self.image, self.quorum, self.newest);
        let now = env.clock.wall();
        let make = move || {
            let records = image.to_records().map_err(|e| format!("{e:?}"))?;
            let head = Head {
                id,
                now: now.as_millis(),
                last_contained_timestamp: newest.as_millis(),
                quorum: &quorum,
            };
            write(&head, &records).map_err(|e| e.to_string())
        };
        // As long as all of the metadata is large: not on a worker that serves.
        let bytes = ottla_io::run_blocking(&*env.tasks, "snapshot", make).await;
        let bytes = bytes.ok_or("the node stops")??;
        let kept = Kept {
            bytes: bytes.len() as u64,
            newest,
        };
        let (part, whole) = &self.paths;
        let written = async {
            files::write_new(env, part, bytes.into()).await?;
            env.disk.rename(part, whole).await?;
            env.disk.sync_dir(whole.parent().unwrap_or(Path::new("/"))).await
        };
        if let Err(error) = written.await {
            let _ = files::remove(env, part).await;
            return Err(error.to_string());
        }
        Ok((id, kept))
    }
}
