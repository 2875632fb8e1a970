//! The worker's offset file (`offset.storage.file.filename`), in Kafka's own format, so that either can take over from the other.
//! Kafka rewrites it in place and reads what a crash left of it as empty; here a new file takes the old one's name once it is
//! durable.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{BoxFuture, Disk, Env, OpenOptions, read_exact_at, write_all_at};
use tokio::sync::Mutex;

use super::{OffsetKey, OffsetStore, java};
use crate::connector::{ConnectError, Result};

/// The largest file that is read.
const LARGEST: u64 = 256 << 20;

/// Offsets in a file. One worker owns it.
pub struct FileOffsetStore {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    offsets: BTreeMap<OffsetKey, Vec<u8>>,
    /// What the file holds beside offsets of this form: kept as it is.
    others: java::Entries,
}

impl FileOffsetStore {
    /// Reads the file; a missing or empty one holds nothing. One that is not understood is an error and stays untouched.
    pub async fn open(env: &Env, path: &Path) -> Result<Self> {
        let bytes = read_file(&*env.disk, path).await.map_err(|e| {
            ConnectError::Fatal(format!(
                "the offset file can't be read: {e}; check offset.storage.file.filename"
            ))
        })?;
        let entries = if bytes.is_empty() {
            Vec::new()
        } else {
            java::read(&bytes).map_err(|e| {
                let path = path.display();
                ConnectError::Fatal(format!(
                    "{path} is {e}: set offset.storage.file.filename to another file, or move this one away to read all \
                     sources from their beginning"
                ))
            })?
        };
        let (mut offsets, mut others) = (BTreeMap::new(), Vec::new());
        for (key, value) in entries {
            match (OffsetKey::from_bytes(&key), value) {
                (Some(key), Some(value)) => _ = offsets.insert(key, value),
                (Some(_), None) => {}
                (None, value) => others.push((key, value)),
            }
        }
        Ok(FileOffsetStore {
            disk: env.disk.clone(),
            path: path.to_owned(),
            state: Mutex::new(State { offsets, others }),
        })
    }

    async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = self.path.with_file_name(name);
        let file = self.disk.open(&temporary, OpenOptions::Truncate).await?;
        write_all_at(&*file, 0, vec![bytes.into()]).await.0?;
        file.sync_data().await?;
        self.disk.rename(&temporary, &self.path).await?;
        self.disk.sync_dir(directory(&self.path)).await
    }
}

/// The directory of a file: the present one for a bare name.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

async fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<BytesMut> {
    let file = match disk.open(path, OpenOptions::Read).await {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BytesMut::new()),
        opened => opened?,
    };
    let len = file.len().await?;
    if len > LARGEST {
        let text = format!("{} has {len} bytes, too many for offsets", path.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let (read, bytes) = read_exact_at(&*file, 0, BytesMut::new(), len as usize).await;
    read.map(|_| bytes)
}

impl OffsetStore for FileOffsetStore {
    fn get<'a>(&'a self, key: &'a OffsetKey) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(self.state.lock().await.offsets.get(key).cloned()) })
    }

    fn set<'a>(&'a self, values: BTreeMap<Arc<OffsetKey>, Option<Vec<u8>>>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let mut offsets = state.offsets.clone();
            for (key, value) in values {
                match value {
                    Some(value) => _ = offsets.insert((*key).clone(), value),
                    None => _ = offsets.remove(&*key),
                }
            }
            let mut entries = state.others.clone();
            entries.extend(
                offsets
                    .iter()
                    .map(|(key, value)| (key.to_bytes(), Some(value.clone()))),
            );
            // Whether it failed or not, the lock keeps others from writing the same temporary file.
            let written = self.write(java::write(&entries)).await;
            written.map_err(|e| {
                ConnectError::Retriable(format!(
                    "offsets can't be written: {e}; make room, or check offset.storage.file.filename and its permissions"
                ))
            })?;
            state.offsets = offsets;
            Ok(())
        })
    }
}
