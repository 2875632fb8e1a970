//! Formatting a log directory (`kafka-storage format`).

use std::io;
use std::path::Path;

use bytes::Bytes;
use ottla_io::Env;
use ottla_types::{NodeId, Uuid};

use crate::errors::FormatError;
use crate::files;
use crate::meta_properties::MetaProperties;
use crate::names;

/// What formatting a log directory needs to know.
#[derive(Debug, Clone)]
pub struct Format {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node.
    pub node_id: NodeId,
    /// The directory's id.
    pub directory_id: Uuid,
    /// Content of `bootstrap.checkpoint`: the records that a fresh cluster begins with; none in directories without metadata.
    pub bootstrap: Option<Bytes>,
}

/// Creates a directory and makes its name durable, and those of the ones above it that were missing: a log directory that a power
/// loss takes away takes everything in it away.
async fn create_durably(env: &Env, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors().filter(|a| !a.as_os_str().is_empty()) {
        if env.disk.entry(ancestor).await?.is_some() {
            break;
        }
        missing.push(ancestor);
    }
    env.disk.create_dir_all(path).await?;
    for created in missing.iter().rev() {
        let parent = created
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        env.disk.sync_dir(parent).await?;
    }
    Ok(())
}

/// Formats a log directory (`kafka-storage format`): `meta.properties` last, so that a crash leaves one that isn't formatted.
pub async fn format_dir(env: &Env, path: &Path, format: Format) -> Result<(), FormatError> {
    let disk = &*env.disk;
    let io = |e: io::Error| FormatError::Io(path.to_path_buf(), e);
    create_durably(env, path).await.map_err(io)?;
    if disk
        .entry(&path.join(names::META_PROPERTIES))
        .await
        .map_err(io)?
        .is_some()
    {
        return Err(FormatError::AlreadyFormatted(path.to_path_buf()));
    }
    if let Some(bootstrap) = format.bootstrap {
        files::replace(disk, &path.join(names::BOOTSTRAP), bootstrap)
            .await
            .map_err(io)?;
    }
    let Format {
        cluster_id,
        node_id,
        directory_id,
        ..
    } = format;
    let meta = MetaProperties {
        cluster_id,
        node_id,
        directory_id: Some(directory_id),
    };
    files::replace(disk, &path.join(names::META_PROPERTIES), meta.to_text().into())
        .await
        .map_err(io)
}
