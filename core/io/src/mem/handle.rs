//! The disk as one incarnation of a process sees it.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};

use super::lock;
use super::tree::{DirData, Fs, Ino, Inode, View};
use crate::{Disk, Entry, EntryKind, File, FileId, Lock, Op, OpenOptions, ReadResult, WriteResult};

/// What every part of an incarnation shares.
#[derive(Clone)]
struct Access {
    fs: Arc<Mutex<Fs>>,
    incarnation: u64,
}

impl Access {
    fn fs(&self) -> io::Result<MutexGuard<'_, Fs>> {
        let fs = lock(&self.fs);
        if fs.incarnation == self.incarnation {
            Ok(fs)
        } else {
            Err(dead())
        }
    }
}

fn dead() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "this handle belongs to an incarnation that has died",
    )
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// [`Disk`] of one incarnation.
pub(super) struct MemHandle {
    access: Access,
}

impl MemHandle {
    pub(super) fn new(fs: Arc<Mutex<Fs>>) -> Self {
        let incarnation = lock(&fs).incarnation;
        MemHandle {
            access: Access { fs, incarnation },
        }
    }

    /// Runs `work` on the file system if this incarnation lives; its error gets the path.
    fn with<T>(&self, path: &Path, work: impl FnOnce(&mut Fs) -> io::Result<T>) -> io::Result<T> {
        self.access
            .fs()
            .and_then(|mut fs| work(&mut fs))
            .map_err(|e| named(path, e))
    }

    fn open_file(&self, path: &Path, how: OpenOptions) -> io::Result<Arc<dyn File>> {
        let ino = self.with(path, |fs| {
            let place = fs.place(path)?;
            let ino = match (place.ino, how) {
                (Some(_), OpenOptions::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
                (Some(ino), _) => ino,
                (None, OpenOptions::Read | OpenOptions::Write) => return Err(io::ErrorKind::NotFound.into()),
                (None, _) => fs.create(place.dir, place.name, Inode::File(Box::default()))?,
            };
            fs.file(ino)?;
            if how == OpenOptions::Truncate {
                resize(fs, ino, 0)?;
            }
            *fs.open.entry(ino).or_default() += 1;
            Ok(ino)
        })?;
        Ok(Arc::new(MemFile {
            access: self.access.clone(),
            ino,
            path: path.to_path_buf(),
            writable: how != OpenOptions::Read,
            appends: how == OpenOptions::Append,
        }))
    }
}

fn resize(fs: &mut Fs, ino: Ino, len: u64) -> io::Result<()> {
    let seq = fs.seq();
    let file = fs.file_mut(ino)?;
    let before = file.cache.allocated();
    file.set_len(seq, len);
    let after = file.cache.allocated();
    fs.used = (fs.used + after).saturating_sub(before);
    Ok(())
}

fn entry(fs: &Fs, name: &str, ino: Ino) -> Entry {
    let (kind, len) = match fs.inodes.get(&ino) {
        Some(Inode::File(file)) => (EntryKind::File, file.cache.len()),
        _ => (EntryKind::Dir, 0),
    };
    Entry {
        name: name.to_string(),
        kind,
        len,
    }
}

impl Disk for MemHandle {
    fn open(&self, path: &Path, how: OpenOptions) -> Op<io::Result<Arc<dyn File>>> {
        Op::ready(self.open_file(path, how))
    }

    fn create_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        Op::ready(self.with(path, |fs| fs.create_dirs(path).map(|_| ())))
    }

    fn list(&self, dir: &Path) -> Op<io::Result<Vec<Entry>>> {
        Op::ready(self.with(dir, |fs| {
            let DirData { cache, .. } = fs.dir(fs.find(dir, View::Cache)?)?;
            Ok(cache.iter().map(|(name, ino)| entry(fs, name, *ino)).collect())
        }))
    }

    fn entry(&self, path: &Path) -> Op<io::Result<Option<Entry>>> {
        Op::ready(self.with(path, |fs| match fs.find(path, View::Cache) {
            Ok(ino) => {
                let name = path
                    .file_name()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
                Ok(Some(entry(fs, &name, ino)))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Op<io::Result<()>> {
        Op::ready(self.with(from, |fs| {
            let (from, to) = (fs.place(from)?, fs.place(to)?);
            fs.rename(from, to)
        }))
    }

    fn remove_file(&self, path: &Path) -> Op<io::Result<()>> {
        Op::ready(self.with(path, |fs| {
            let place = fs.place(path)?;
            fs.file(place.ino.ok_or(io::ErrorKind::NotFound)?)?;
            fs.remove(place.dir, &place.name)
        }))
    }

    fn remove_dir_all(&self, path: &Path) -> Op<io::Result<()>> {
        Op::ready(self.with(path, |fs| {
            let place = fs.place(path)?;
            fs.dir(place.ino.ok_or(io::ErrorKind::NotFound)?)?;
            fs.remove(place.dir, &place.name)
        }))
    }

    fn sync_dir(&self, dir: &Path) -> Op<io::Result<()>> {
        Op::ready(self.with(dir, |fs| fs.sync_dir(fs.find(dir, View::Cache)?)))
    }

    fn free_space(&self, path: &Path) -> Op<io::Result<u64>> {
        Op::ready(self.with(path, |fs| {
            fs.find(path, View::Cache)?;
            // Without a limit, an amount that a real disk could report and sums cannot overflow.
            Ok(fs
                .capacity
                .map_or(1 << 50, |capacity| capacity.saturating_sub(fs.used)))
        }))
    }

    fn lock(&self, path: &Path) -> Op<io::Result<Box<dyn Lock>>> {
        Op::ready(self.with(path, |fs| {
            let place = fs.place(path)?;
            let ino = match place.ino {
                Some(ino) => ino,
                None => fs.create(place.dir, place.name, Inode::File(Box::default()))?,
            };
            fs.file(ino)?;
            if !fs.locks.insert(ino) {
                let holder = format!("already locked by process {}", fs.incarnation);
                return Err(io::Error::new(io::ErrorKind::WouldBlock, holder));
            }
            Ok(Box::new(MemLock {
                access: self.access.clone(),
                ino,
            }) as Box<dyn Lock>)
        }))
    }
}

struct MemLock {
    access: Access,
    ino: Ino,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        if let Ok(mut fs) = self.access.fs() {
            fs.locks.remove(&self.ino);
        }
    }
}

/// An open file of a [`MemDisk`](super::MemDisk). A wrapper that injects faults finds it by [`File::handle`].
pub struct MemFile {
    access: Access,
    ino: Ino,
    path: PathBuf,
    writable: bool,
    appends: bool,
}

impl MemFile {
    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a failed `sync_data` leaves: the dirty pages are marked clean and the platter keeps its old content, while reads
    /// still show the new one. The next sync succeeds and does not write them. Returns whether there was anything to lose.
    pub fn fail_sync(&self) -> bool {
        self.with(|fs, ino| {
            let file = fs.file_mut(ino)?;
            let any = !file.dirty.is_empty();
            file.fail_sync();
            Ok(any)
        })
        .unwrap_or(false)
    }

    /// The kernel drops this file's clean pages: what a failed sync has lost now reads as the platter has it.
    pub fn evict(&self) {
        let _dead_handles_have_nothing_to_evict =
            self.with(|fs, ino| fs.file_mut(ino).map(|file| file.evict()));
    }

    /// Whether a loss of power could change it.
    pub fn is_pending(&self) -> bool {
        self.with(|fs, ino| Ok(fs.file(ino)?.is_pending()))
            .unwrap_or(false)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Fs, Ino) -> io::Result<T>) -> io::Result<T> {
        self.access
            .fs()
            .and_then(|mut fs| work(&mut fs, self.ino))
            .map_err(|e| named(&self.path, e))
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "opened for reading",
            ))
        }
    }

    fn write(&self, offset: u64, bufs: &[Bytes]) -> io::Result<usize> {
        self.with(|fs, ino| {
            self.check_writable()?;
            let offset = match self.appends {
                true => fs.file(ino)?.cache.len(),
                false => offset,
            };
            let wanted: u64 = bufs.iter().map(|b| b.len() as u64).sum();
            offset
                .checked_add(wanted)
                .filter(|end| *end <= i64::MAX as u64)
                .ok_or(io::ErrorKind::FileTooLarge)?;
            let room = fs.capacity.map_or(u64::MAX, |c| c.saturating_sub(fs.used));
            let seq = fs.seq();
            let file = fs.file_mut(ino)?;
            let before = file.cache.allocated();
            // What a write adds is at most its length past the old end; rewriting in place needs no room.
            let inside = file.cache.len().saturating_sub(offset).min(wanted);
            let fits = inside.saturating_add(room).min(wanted);
            if fits == 0 && wanted > 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let (mut at, mut rest) = (offset, fits as usize);
            for buf in bufs {
                let now = &buf[..buf.len().min(rest)];
                if !now.is_empty() {
                    file.write(seq, at, now);
                }
                (at, rest) = (at + now.len() as u64, rest - now.len());
            }
            let after = file.cache.allocated();
            fs.used = (fs.used + after).saturating_sub(before);
            Ok(fits as usize)
        })
    }
}

impl File for MemFile {
    fn read_at(&self, offset: u64, mut buf: BytesMut, len: usize) -> Op<ReadResult> {
        let result = self.with(|fs, ino| Ok(fs.file(ino)?.cache.read(offset, &mut buf, len)));
        Op::ready((result, buf))
    }

    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult> {
        let result = self.write(offset, &bufs);
        Op::ready((result, bufs))
    }

    fn len(&self) -> Op<io::Result<u64>> {
        Op::ready(self.with(|fs, ino| Ok(fs.file(ino)?.cache.len())))
    }

    fn set_len(&self, len: u64) -> Op<io::Result<()>> {
        Op::ready(self.with(|fs, ino| {
            self.check_writable()?;
            resize(fs, ino, len)
        }))
    }

    fn sync_data(&self) -> Op<io::Result<()>> {
        Op::ready(self.with(|fs, ino| {
            fs.file_mut(ino)?.sync();
            Ok(())
        }))
    }

    fn id(&self) -> FileId {
        FileId {
            device: 0,
            inode: self.ino,
        }
    }

    fn handle(&self) -> &dyn Any {
        self
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        if let Ok(mut fs) = self.access.fs() {
            fs.close(self.ino);
        }
    }
}
