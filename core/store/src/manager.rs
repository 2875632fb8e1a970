//! All log directories of one node: opening them, finding and placing partitions, checkpoints, the clean stop.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use ottla_io::{Env, Rng};
use ottla_log::LogConfig;
use ottla_log::format::file_name::{DirState, PartitionDir};
use ottla_types::{NodeId, Time, TopicPartition, Uuid};

use crate::checkpoint;
use crate::errors::{CreateError, LoadError, OpenError, StorageError, StoreError};
use crate::files;
use crate::folder;
use crate::load::{self, Terms};
use crate::log_dir::{FullDisk, LogDir, Written};
use crate::names;
use crate::open::{open_dir, random};
use crate::writer::LogWriter;

/// What a node's storage is opened with.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `log.dirs`.
    pub dirs: Vec<PathBuf>,
    /// `node.id`; must be the directories'.
    pub node_id: NodeId,
    /// `file.delete.delay.ms`: how long files that are put aside wait for their last readers.
    pub delete_delay_ms: u64,
}

impl StoreConfig {
    /// Kafka's defaults for these directories.
    pub fn new(dirs: Vec<PathBuf>, node_id: NodeId) -> Self {
        StoreConfig {
            dirs,
            node_id,
            delete_delay_ms: 60_000,
        }
    }
}

/// A log directory as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its path.
    pub path: PathBuf,
    /// Its id.
    pub id: Uuid,
    /// Whether it is in use; an offline one stays so until the node restarts.
    pub online: bool,
    /// Why it is offline, if it is.
    pub offline: Option<Arc<str>>,
    /// The last write that its disk had no room for.
    pub full: Option<FullDisk>,
}

/// All log directories of one node.
pub struct LogManager {
    dirs: Vec<Arc<LogDir>>,
    cluster_id: String,
    broker_epoch: i64,
    delete_delay_ms: u64,
    env: Env,
    /// For ids and the names of folders that are put aside: one generator, so that no draw comes twice.
    rng: Mutex<Rng>,
}

impl LogManager {
    /// Locks the directories, reads what they say of themselves, and takes the clean-shutdown markers off: from here on a stop that
    /// nobody announces is a crash.
    pub async fn open(env: &Env, cfg: StoreConfig) -> Result<LogManager, OpenError> {
        let mut manager = LogManager {
            dirs: Vec::new(),
            cluster_id: String::new(),
            broker_epoch: -1,
            delete_delay_ms: cfg.delete_delay_ms,
            env: env.clone(),
            rng: Mutex::new(env.entropy.stream("directories")),
        };
        let mut paths = cfg.dirs.clone();
        paths.sort();
        if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(OpenError::Twice(twice[0].clone()));
        }
        let mut epochs = Vec::new();
        for path in cfg.dirs {
            let (dir, cluster_id, epoch) = open_dir(env, &path, cfg.node_id, &manager.rng).await?;
            if let Some(twin) = manager.dirs.iter().find(|other| other.id == dir.id) {
                return Err(OpenError::SameDirectoryId {
                    dir: path,
                    other: twin.path.clone(),
                });
            }
            if !manager.dirs.is_empty() && cluster_id != manager.cluster_id {
                return Err(OpenError::ClusterMismatch {
                    dir: path,
                    found: cluster_id,
                    expected: manager.cluster_id,
                });
            }
            manager.cluster_id = cluster_id;
            epochs.push(epoch);
            manager.dirs.push(Arc::new(dir));
        }
        // One directory without the marker, or with another incarnation's, makes the whole stop an unclean one (KIP-966).
        let first = epochs.first().copied().ok_or(OpenError::NoDirectories)?;
        manager.broker_epoch = if epochs.iter().all(|e| *e == first) {
            first.unwrap_or(-1)
        } else {
            -1
        };
        Ok(manager)
    }

    pub(crate) fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The broker epoch that was stopped cleanly; −1 after a crash.
    pub fn previous_broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    /// Whether every directory was stopped cleanly.
    pub fn was_clean(&self) -> bool {
        self.dirs.iter().all(|dir| dir.clean)
    }

    /// The directories.
    pub fn directories(&self) -> Vec<Directory> {
        let show = |d: &Arc<LogDir>| {
            let offline = d.check().err().map(|error| error.reason);
            Directory {
                path: d.path.clone(),
                id: d.id,
                online: offline.is_none(),
                offline,
                full: d.full(),
            }
        };
        self.dirs.iter().map(show).collect()
    }

    /// Partition folders that were found and are not loaded.
    pub fn unloaded(&self) -> Vec<TopicPartition> {
        self.dirs.iter().flat_map(|dir| dir.unloaded()).collect()
    }

    /// The folder of a partition that has one.
    pub fn folder_of(&self, tp: &TopicPartition) -> Option<PathBuf> {
        self.dirs
            .iter()
            .find(|dir| dir.holds(tp))
            .map(|dir| dir.folder(tp))
    }

    /// Loads a partition's log; `None` if no directory has one.
    pub async fn load(
        &self,
        tp: &TopicPartition,
        cfg: LogConfig,
        now: Time,
    ) -> Result<Option<(Uuid, LogWriter)>, LoadError> {
        let mut holders = self.dirs.iter().filter(|dir| dir.holds(tp));
        let Some(dir) = holders.next() else {
            return Ok(None);
        };
        if let Some(other) = holders.next() {
            let dirs = [dir.path.clone(), other.path.clone()];
            return Err(LoadError::InTwoDirectories {
                partition: tp.clone(),
                dirs,
            });
        }
        if folder::is_unfinished(dir, tp).await? {
            dir.forget(tp).await?;
            dir.io(
                "removing an unfinished folder",
                dir.disk().remove_dir_all(&dir.folder(tp)).await,
            )?;
            dir.io("syncing a log directory", dir.disk().sync_dir(&dir.path).await)?;
            return Ok(None);
        }
        load::load(dir, tp, self.terms(cfg, now)).await.map(Some)
    }

    /// Creates a partition's log in the online directory that holds the fewest. Its topic id is durable before it takes a batch.
    pub async fn create(
        &self,
        tp: &TopicPartition,
        topic_id: Uuid,
        cfg: LogConfig,
        now: Time,
    ) -> Result<LogWriter, CreateError> {
        if let Some(folder) = self.folder_of(tp) {
            return Err(CreateError::Exists(folder));
        }
        let online = self.dirs.iter().filter(|dir| dir.check().is_ok());
        let Some(dir) = online.min_by_key(|dir| dir.count()) else {
            let offline = self.dirs.first().map(|dir| dir.check());
            let nothing = StorageError {
                dir: PathBuf::new(),
                reason: "there is no log directory".into(),
            };
            return Err(CreateError::Storage(
                offline.and_then(Result::err).unwrap_or(nothing),
            ));
        };
        match create_in(dir, tp, topic_id, self.terms(cfg, now)).await {
            Err(full @ StoreError::DiskFull { .. }) => {
                let removed = dir.disk().remove_dir_all(&dir.folder(tp)).await;
                let removed = removed.or_else(|e| match e.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(e),
                });
                dir.io("removing an unfinished folder", removed)?;
                Err(full.into())
            }
            other => Ok(other?),
        }
    }

    fn terms(&self, cfg: LogConfig, now: Time) -> Terms {
        Terms {
            cfg,
            now,
            delete_delay_ms: self.delete_delay_ms,
        }
    }

    /// Puts the log of a deleted topic aside; [`LogManager::maintain`] removes it when its last readers are gone.
    pub async fn delete(&self, writer: LogWriter) -> Result<(), StoreError> {
        let home = writer.shared.home.clone();
        home.dir.check()?;
        writer.shared.gone.store(true, Ordering::Release);
        let tp = writer.partition().clone();
        match self.put_aside(&home.dir, &tp, DirState::Delete).await {
            Ok(aside) => {
                home.moved(aside.clone());
                let now = self.env.clock.wall();
                home.dir
                    .doom(Time(now.0.saturating_add(self.delete_delay_ms)), aside);
                Ok(())
            }
            // The directory had no room for a longer name: then at once.
            Err(StoreError::DiskFull { .. }) => {
                home.dir.forget(&tp).await?;
                let removed = home.disk().remove_dir_all(&home.folder()).await;
                home.dir.io("removing a folder", removed)?;
                let synced = home.disk().sync_dir(&home.dir.path).await;
                Ok(home.dir.io("syncing a log directory", synced)?)
            }
            Err(error) => Err(error),
        }
    }

    /// Renames the folder of a partition that nobody knows to `-stray`, as Kafka does. Nothing is deleted.
    pub async fn stray(&self, tp: &TopicPartition) -> Result<(), StoreError> {
        for dir in self.dirs.iter().filter(|dir| dir.holds(tp)) {
            self.put_aside(dir, tp, DirState::Stray).await?;
        }
        Ok(())
    }

    async fn put_aside(
        &self,
        dir: &LogDir,
        tp: &TopicPartition,
        state: DirState,
    ) -> Result<PathBuf, StoreError> {
        // Before the folder goes: its rows must not outlive it. Those that a full disk keeps, the next start drops, or whoever
        // creates a log of this name.
        let found = dir.found(tp).unwrap_or_default();
        dir.forget(tp).await?;
        let aside = dir.path.join(PartitionDir::renamed(tp, state, random(&self.rng)));
        let renamed = dir.disk().rename(&dir.folder(tp), &aside).await;
        let renamed = dir.io_or_full("renaming a folder", renamed);
        if let Err(StoreError::DiskFull { .. }) = renamed {
            dir.remember(tp, found);
        }
        renamed?;
        dir.io("syncing a log directory", dir.disk().sync_dir(&dir.path).await)?;
        Ok(aside)
    }

    /// Writes the checkpoints that have changed. Those that a full disk has no room for are left for the next time.
    pub async fn checkpoint(&self) -> Result<(), StorageError> {
        let mut result = Ok(());
        for dir in self.dirs.iter().filter(|dir| dir.check().is_ok()) {
            result = result.and(dir.write_checkpoints().await.map(drop));
        }
        result
    }

    /// Removes what has been put aside for long enough.
    pub async fn maintain(&self, now: Time) {
        for dir in self.dirs.iter().filter(|dir| dir.check().is_ok()) {
            // A failure takes the directory offline, which is how it is told.
            let _ = dir.remove_doomed(now).await;
        }
    }

    /// A clean stop: logs flushed and closed, checkpoints, then the marker. A directory where something fails, or with a log in use
    /// that is not among `writers`, gets no marker: the next start checks its logs.
    pub async fn close(&self, writers: Vec<LogWriter>, broker_epoch: i64) -> Result<(), StoreError> {
        let mut result = Ok(());
        let now = self.env.clock.wall();
        let mut failed: Vec<PathBuf> = Vec::new();
        for mut writer in writers {
            let dir = writer.shared.home.dir.clone();
            match writer.close(now).await {
                Ok(()) => dir.closed(&writer.shared),
                Err(error) => {
                    failed.push(dir.path.clone());
                    result = result.and(Err(error));
                }
            }
        }
        for dir in &self.dirs {
            let closed = match dir.check() {
                Ok(()) if !failed.contains(&dir.path) => close_dir(dir, broker_epoch).await,
                other => other.map_err(StoreError::from),
            };
            result = result.and(closed);
            dir.unlock();
        }
        result
    }
}

async fn create_in(
    dir: &Arc<LogDir>,
    tp: &TopicPartition,
    topic_id: Uuid,
    terms: Terms,
) -> Result<LogWriter, StoreError> {
    // The operator may have removed the folder of an earlier log by hand.
    if dir.forget(tp).await? == Written::NoRoom {
        return Err(dir.found_full("writing a checkpoint"));
    }
    let folder = dir.folder(tp);
    let created = dir.disk().create_dir_all(&folder).await;
    dir.io_or_full("creating a folder", created)?;
    folder::write_partition_metadata(dir, &folder, topic_id).await?;
    dir.io("syncing a log directory", dir.disk().sync_dir(&dir.path).await)?;
    folder::create(dir, tp, topic_id, terms).await
}

async fn close_dir(dir: &LogDir, broker_epoch: i64) -> Result<(), StoreError> {
    if dir.write_checkpoints().await? == Written::NoRoom {
        return Err(dir.found_full("writing a checkpoint"));
    }
    if !dir.all_closed() {
        // A log that was not closed, or not even looked at since a crash.
        return Ok(());
    }
    let marker = checkpoint::write_clean_shutdown(broker_epoch);
    dir.io_or_full(
        "writing the clean-shutdown marker",
        files::replace(dir.disk(), &dir.path.join(names::CLEAN_SHUTDOWN), marker.into()).await,
    )
}
