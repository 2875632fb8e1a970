//! The lock that a JVM broker takes too: `FileChannel.tryLock` is a POSIX write lock over the whole file. Such locks belong to a
//! process, not to a descriptor: a second one in the same process would be granted, and closing *any* descriptor of the file drops
//! them. Hence the registry of what this process holds, and [`Guarded`], which every file of this crate is closed through.
#![allow(unsafe_code, reason = "fcntl(2) with F_SETLK and F_GETLK")]

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ottla_io::Lock;

use crate::error;

/// Device and inode: what POSIX locks go by.
pub(crate) type FileId = (u64, u64);

/// The locked files of this process; a handful at most.
static HELD: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

fn registry() -> MutexGuard<'static, Vec<FileId>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open file that isn't closed while this process holds the lock on it.
pub(crate) struct Guarded {
    file: ManuallyDrop<File>,
    id: FileId,
}

impl Guarded {
    pub(crate) fn new(file: File, id: FileId) -> Self {
        Guarded {
            file: ManuallyDrop::new(file),
            id,
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A descriptor that stays open for good is the lesser evil: nobody opens a lock file but by mistake.
        if !registry().contains(&self.id) {
            // SAFETY: the value is dropped here and never used again.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

struct Held {
    file: ManuallyDrop<File>,
    id: FileId,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = registry();
        held.retain(|id| *id != self.id);
        // Closed under the registry's mutex, so that a lock taken right after this one is not dropped by it.
        // SAFETY: the value is dropped here and never used again.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

fn id_of(file: &File) -> io::Result<FileId> {
    file.metadata().map(|m| (m.dev(), m.ino()))
}

/// Takes the lock, creating the file if it is missing.
pub(crate) fn lock(path: &Path) -> io::Result<Box<dyn Lock>> {
    try_lock(path).map_err(|e| error::at(path, "lock", e))
}

fn try_lock(path: &Path) -> io::Result<Box<dyn Lock>> {
    let mut held = registry();
    // Looked up before it is opened: closing it again would drop the lock that is held.
    if let Ok(meta) = std::fs::metadata(path)
        && held.contains(&(meta.dev(), meta.ino()))
    {
        return Err(taken(Some(i64::from(std::process::id()))));
    }
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let id = id_of(&file)?;
    if held.contains(&id) {
        // Renamed to this name since the look above.
        std::mem::forget(file);
        return Err(taken(Some(i64::from(std::process::id()))));
    }
    let whole = whole_file();
    // SAFETY: the descriptor is open and `whole` is a valid flock, only read.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &whole) } == 0 {
        held.push(id);
        return Ok(Box::new(Held {
            file: ManuallyDrop::new(file),
            id,
        }));
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        // POSIX allows both.
        Some(libc::EAGAIN | libc::EACCES) => Err(taken(holder(&file))),
        _ => Err(e),
    }
}

fn whole_file() -> libc::flock {
    // SAFETY: flock is a plain C struct for which all zeros is valid (some targets have padding fields).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // Start 0, length 0: to the end, however far it grows.
    lock
}

/// The process that holds a conflicting lock, if it still does and the kernel knows it (not over NFS, not for OFD locks).
fn holder(file: &File) -> Option<i64> {
    let mut lock = whole_file();
    // SAFETY: the descriptor is open and `lock` is a valid, writable flock.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) };
    (done == 0 && lock.l_type != libc::F_UNLCK as libc::c_short && lock.l_pid > 0)
        .then(|| i64::from(lock.l_pid))
}

fn taken(pid: Option<i64>) -> io::Error {
    let message = match pid {
        Some(pid) if pid == i64::from(std::process::id()) => format!("held by this process ({pid})"),
        Some(pid) => format!("held by process {pid}"),
        None => "held by another process".to_owned(),
    };
    io::Error::new(io::ErrorKind::WouldBlock, message)
}
