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

/// Formats a log directory (`kafka-storage format`): `meta.properties` last, so that a crash leaves one that isn't formatted.
pub async fn format_dir(env: &Env, path: &Path, format: Format) -> Result<(), FormatError> {
    let disk = &*env.disk;
    let io = |e: io::Error| FormatError::Io(path.to_path_buf(), e);
    disk.create_dir_all(path).await.map_err(io)?;
    files::sync_way_to(disk, path).await.map_err(io)?;
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
