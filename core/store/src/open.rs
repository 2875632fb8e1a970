//! Opening one log directory: whose it is, its lock, how it was stopped, what lies in it.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use ottla_io::{Env, Rng};
use ottla_log::format::file_name::{DirState, PartitionDir};
use ottla_types::{NodeId, Time, Uuid};

use crate::checkpoint;
use crate::errors::OpenError;
use crate::files;
use crate::log_dir::{LogDir, lock};
use crate::meta_properties::MetaProperties;
use crate::names;

/// A directory, its cluster, and the broker epoch of its clean-shutdown marker.
pub(crate) async fn open_dir(
    env: &Env,
    path: &Path,
    node_id: NodeId,
    rng: &Mutex<Rng>,
) -> Result<(LogDir, String, Option<i64>), OpenError> {
    let disk = &*env.disk;
    let bad = |reason: String| OpenError::BadMetaProperties {
        dir: path.to_path_buf(),
        reason,
    };
    let io = |e: io::Error| OpenError::Unusable {
        dir: path.to_path_buf(),
        reason: e.to_string(),
    };
    let meta_path = path.join(names::META_PROPERTIES);
    if disk.entry(&meta_path).await.map_err(io)?.is_none() {
        return Err(OpenError::NotFormatted(path.to_path_buf()));
    }
    let held = disk
        .lock(&path.join(names::LOCK))
        .await
        .map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked {
                dir: path.to_path_buf(),
                holder: e.to_string(),
            },
            _ => io(e),
        })?;
    files::sync_way_to(disk, path).await.map_err(io)?;
    let text = files::read_text(disk, &meta_path)
        .await
        .map_err(io)?
        .unwrap_or_default();
    let mut meta = MetaProperties::parse(&text).map_err(bad)?;
    if meta.node_id != node_id {
        return Err(OpenError::NodeMismatch {
            dir: path.to_path_buf(),
            found: meta.node_id,
            expected: node_id,
        });
    }
    let id = match meta.directory_id {
        Some(id) => id,
        // Formatted before directories had ids (KIP-858): it gets one now.
        None => {
            let id = random(rng);
            meta.directory_id = Some(id);
            files::replace(disk, &meta_path, meta.to_text().into())
                .await
                .map_err(io)?;
            id
        }
    };
    let marker_path = path.join(names::CLEAN_SHUTDOWN);
    let marker = files::read(disk, &marker_path).await.map_err(io)?;
    let clean = marker.is_some();
    if clean {
        files::remove(disk, &marker_path).await.map_err(io)?;
        disk.sync_dir(path).await.map_err(io)?;
    }
    let dir = LogDir::new(env.clone(), path.to_path_buf(), id, clean, Some(held));
    let mut folders = Vec::new();
    for entry in disk.list(path).await.map_err(io)? {
        match PartitionDir::parse(&entry.name) {
            Some(folder) if folder.state == DirState::Live => folders.push(folder.partition),
            Some(folder) if folder.state == DirState::Delete => dir.doom(Time(0), path.join(&entry.name)),
            _ => {}
        }
    }
    dir.read_checkpoints(&folders)
        .await
        .map_err(|e| OpenError::Unusable {
            dir: e.dir,
            reason: e.reason.to_string(),
        })?;
    Ok((
        dir,
        meta.cluster_id,
        marker.map(|bytes| checkpoint::read_clean_shutdown(&String::from_utf8_lossy(&bytes))),
    ))
}

/// A random id that Kafka accepts.
pub(crate) fn random(rng: &Mutex<Rng>) -> Uuid {
    let mut rng = lock(rng);
    loop {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        if let Some(id) = Uuid::from_random(bytes) {
            return id;
        }
    }
}
