//! Whole files beside the metadata log's segments.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, OpenOptions, read_exact_at, write_all_at};

/// No snapshot is larger: the records of millions of partitions fit.
const LARGEST: u64 = 4 << 30;

/// Writes `path` anew and syncs its bytes, not its name.
pub async fn write_new(env: &Env, path: &Path, content: Bytes) -> io::Result<()> {
    let file = env.disk.open(path, OpenOptions::Truncate).await?;
    write_all_at(file.as_ref(), 0, vec![content]).await.0?;
    file.sync_data().await
}

/// All of `path`; `None` if there is no such file.
pub async fn read(env: &Env, path: &Path) -> io::Result<Option<Bytes>> {
    let file = match env.disk.open(path, OpenOptions::Read).await {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = file.len().await?;
    if len > LARGEST {
        let text = format!("{}: {len} bytes are too many", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let (done, bytes) = read_exact_at(file.as_ref(), 0, BytesMut::with_capacity(len), len).await;
    done?;
    Ok(Some(bytes.freeze()))
}

/// The begin of `path`, 4 KiB at most; nothing if there is no such file.
pub async fn read_begin(env: &Env, path: &Path) -> io::Result<Bytes> {
    let file = match env.disk.open(path, OpenOptions::Read).await {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        Err(e) => return Err(e),
    };
    let (done, bytes) = read_exact_at(file.as_ref(), 0, BytesMut::new(), 4096).await;
    done?;
    Ok(bytes.freeze())
}

/// Removes `path`; no error if it is gone already.
pub async fn remove(env: &Env, path: &Path) -> io::Result<()> {
    match env.disk.remove_file(path).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
