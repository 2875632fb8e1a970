//! Names and directories. Cheap calls happen inline; what may take long (listing, removing much, syncing) goes to the pool.
#![allow(unsafe_code, reason = "statvfs(3)")]

use std::ffi::CString;
use std::fs::{self, File as StdFile, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_io::{Disk, Entry, EntryKind, File, Lock, Op, OpenOptions};
use tokio::runtime::Handle;

use crate::file::{Abilities, OsFile};
use crate::lock::Guarded;
use crate::{error, lock};

/// Removing a file of more bytes than this can keep a worker for milliseconds.
const LARGE: u64 = 8 << 20;

/// The machine's file systems.
pub(crate) struct OsDisk {
    handle: Handle,
    /// By device; a handful at most.
    systems: Mutex<Vec<(u64, Arc<Abilities>)>>,
}

impl OsDisk {
    pub(crate) fn new(handle: Handle) -> Self {
        OsDisk {
            handle,
            systems: Mutex::new(Vec::new()),
        }
    }

    fn abilities(&self, device: u64) -> Arc<Abilities> {
        let mut systems = self.systems.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, abilities)) = systems.iter().find(|(d, _)| *d == device) {
            return abilities.clone();
        }
        let abilities = Arc::new(Abilities::default());
        systems.push((device, abilities.clone()));
        abilities
    }

    fn open_file(&self, path: &Path, how: OpenOptions) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(how != OpenOptions::Read);
        match how {
            OpenOptions::Read | OpenOptions::Write => {}
            OpenOptions::Create => _ = options.create(true),
            OpenOptions::CreateNew => _ = options.create_new(true),
            OpenOptions::Truncate => _ = options.create(true).truncate(true),
            OpenOptions::Append => _ = options.create(true).append(true),
        }
        let file = options.open(path)?;
        let meta = file.metadata()?;
        let guarded = Guarded::new(file, (meta.dev(), meta.ino()));
        if meta.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(OsFile::new(
            guarded,
            how == OpenOptions::Append,
            self.abilities(meta.dev()),
            self.handle.clone(),
            path,
        )))
    }

    /// Runs `work` in the pool.
    fn pool<T: Send + 'static>(
        &self,
        path: &Path,
        operation: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Op<io::Result<T>> {
        let path = path.to_owned();
        let work = self
            .handle
            .spawn_blocking(move || work(&path).map_err(|e| error::at(&path, operation, e)));
        Op::pending(async move { work.await.unwrap_or_else(|_| Err(error::stopping())) })
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, how: OpenOptions) -> Op<io::Result<Arc<dyn File>>> {
        Op::ready(self.open_file(path, how).map_err(|e| error::at(path, "open", e)))
    }

    fn create_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        Op::ready(fs::create_dir_all(path).map_err(|e| error::at(path, "create the directory", e)))
    }

    fn list(&self, dir: &Path) -> Op<io::Result<Vec<Entry>>> {
        self.pool(dir, "list", list)
    }

    fn entry(&self, path: &Path) -> Op<io::Result<Option<Entry>>> {
        Op::ready(match fs::metadata(path) {
            Ok(meta) => Ok(Some(entry(path, &meta))),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(error::at(path, "look up", e)),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Op<io::Result<()>> {
        Op::ready(fs::rename(from, to).map_err(|e| error::between(from, to, "rename", e)))
    }

    fn remove_file(&self, path: &Path) -> Op<io::Result<()>> {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_file() && meta.len() > LARGE => {
                self.pool(path, "remove", |path| fs::remove_file(path))
            }
            _ => Op::ready(fs::remove_file(path).map_err(|e| error::at(path, "remove", e))),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        self.pool(path, "remove the directory", |path| fs::remove_dir_all(path))
    }

    fn sync_dir(&self, dir: &Path) -> Op<io::Result<()>> {
        self.pool(dir, "sync the directory", |dir| StdFile::open(dir)?.sync_all())
    }

    fn free_space(&self, path: &Path) -> Op<io::Result<u64>> {
        Op::ready(free_space(path).map_err(|e| error::at(path, "look up the free space at", e)))
    }

    fn lock(&self, path: &Path) -> Op<io::Result<Box<dyn Lock>>> {
        Op::ready(lock::lock(path))
    }
}

fn entry(path: &Path, meta: &Metadata) -> Entry {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match meta.is_dir() {
        true => Entry {
            name,
            kind: EntryKind::Dir,
            len: 0,
        },
        false => Entry {
            name,
            kind: EntryKind::File,
            len: meta.len(),
        },
    }
}

fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in fs::read_dir(dir)? {
        let path = name?.path();
        match fs::metadata(&path) {
            Ok(meta) => entries.push(entry(&path, &meta)),
            // Removed since it was listed, or a link to nothing.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(error::at(&path, "look up", e)),
        }
    }
    entries.sort();
    Ok(entries)
}

fn free_space(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is a plain C struct for which all zeros is valid.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte and `stats` is a valid, writable statvfs.
    if unsafe { libc::statvfs(path.as_ptr(), &mut stats) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stats.f_bavail.saturating_mul(stats.f_frsize))
}
