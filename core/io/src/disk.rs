//! Files and directories, with what is durable when.
//!
//! Durability, as on Linux and as the simulated disk enforces it:
//! - A write is visible to every later read at once, and survives the death of the process. It survives a loss of power only
//!   after [`File::sync_data`] has returned success; until then any part of it, by sectors, may be missing, in any order.
//! - `sync_data` makes the file's bytes and length durable, not its name. A created, renamed or removed name is durable after
//!   [`Disk::sync_dir`] of its parent. A rename over an existing name is atomic: readers and a crash see the old or the new file.
//! - After a failed `sync_data` the file is not to be trusted: the kernel may have dropped the dirty pages and
//!   will report success next time. The caller must stop using the log directory.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Op;

/// Bytes read, and the buffer they were appended to.
pub type ReadResult = (io::Result<usize>, BytesMut);
/// Bytes written, and the buffers given back.
pub type WriteResult = (io::Result<usize>, Vec<Bytes>);

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOptions {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// Created if it is missing; reads and writes.
    Create,
    /// Must not exist; reads and writes.
    CreateNew,
    /// Created, or emptied if it exists; reads and writes.
    Truncate,
    /// Created if it is missing; reads, and writes at its end: [`File::write_at`] appends in one step, whatever offset it is given
    /// and whoever else appends.
    Append,
}

/// Which file it is, whatever names it has: two handles of the same file have equal identities. While a handle is open no other
/// file has its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// The file within it.
    pub inode: u64,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// File or directory.
    pub kind: EntryKind,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
}

/// A node's file system. Errors name the path. A handle of a node's dead incarnation fails every call.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: OpenOptions) -> Op<io::Result<Arc<dyn File>>>;
    /// Creates a directory and the missing ones above it; no error if it exists.
    fn create_dir_all(&self, path: &Path) -> Op<io::Result<()>>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> Op<io::Result<Vec<Entry>>>;
    /// What `path` names, or `None`.
    fn entry(&self, path: &Path) -> Op<io::Result<Option<Entry>>>;
    /// Gives a file or directory a new name, replacing a file there.
    fn rename(&self, from: &Path, to: &Path) -> Op<io::Result<()>>;
    /// Removes a file's name. Open handles keep working.
    fn remove_file(&self, path: &Path) -> Op<io::Result<()>>;
    /// Removes a directory and all below it.
    fn remove_dir_all(&self, path: &Path) -> Op<io::Result<()>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Op<io::Result<()>>;
    /// Bytes that may still be written on the file system that holds `path`.
    fn free_space(&self, path: &Path) -> Op<io::Result<u64>>;
    /// Takes the exclusive lock that a JVM broker takes too (fcntl over the whole file, created if missing). Held by somebody
    /// else: `ErrorKind::WouldBlock`, with the holder's pid in the message where it is known. Released when dropped.
    fn lock(&self, path: &Path) -> Op<io::Result<Box<dyn Lock>>>;
}

/// A lock that is held until it is dropped.
pub trait Lock: Send + Sync {}

/// An open file. Calls on one file may overlap; writes that overlap in range are the caller's mistake.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length is an effect that can fail, not a collection's size"
)]
pub trait File: Send + Sync {
    /// Appends at most `len` bytes from `offset` to `buf`. May be short; 0 only at the end of the file (or `len` 0).
    fn read_at(&self, offset: u64, buf: BytesMut, len: usize) -> Op<ReadResult>;
    /// Writes `bufs` one behind the other from `offset`; a gap below reads as zeros. May be short: the count says how much.
    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult>;
    /// Length in bytes.
    fn len(&self) -> Op<io::Result<u64>>;
    /// Cuts or extends (with zeros) to `len`.
    fn set_len(&self, len: u64) -> Op<io::Result<()>>;
    /// Makes bytes and length durable.
    fn sync_data(&self) -> Op<io::Result<()>>;
    /// Which file it is; tells whether a name still names this file (by opening the name again).
    fn id(&self) -> FileId;
    /// The back end's own handle, which only its [`crate::Stream`]s understand: it lets a stream send a range of the file
    /// without a copy.
    fn handle(&self) -> &dyn Any;
}

/// Writes all of `bufs` from `offset`. After an error, or a short write that could not be continued, the file holds an
/// unknown part of them. Gives the buffers back.
pub async fn write_all_at(
    file: &dyn File,
    offset: u64,
    mut bufs: Vec<Bytes>,
) -> (io::Result<()>, Vec<Bytes>) {
    let mut offset = offset;
    let mut rest: usize = bufs.iter().map(Bytes::len).sum();
    loop {
        let (result, back) = file.write_at(offset, bufs).await;
        bufs = back;
        match result {
            Ok(n) if n >= rest => return (Ok(()), bufs),
            Ok(0) => {
                return (
                    Err(io::Error::new(
                        io::ErrorKind::WriteZero,
                        "the disk took no more bytes",
                    )),
                    bufs,
                );
            }
            Ok(n) => {
                (offset, rest) = (offset + n as u64, rest - n);
                skip(&mut bufs, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (Err(e), bufs),
        }
    }
}

fn skip(bufs: &mut Vec<Bytes>, mut n: usize) {
    bufs.retain_mut(|b| {
        let cut = n.min(b.len());
        n -= cut;
        let _ = b.split_to(cut);
        !b.is_empty()
    });
}

/// Reads `len` bytes from `offset` and appends them to `buf`; fewer at the end of the file. Returns how many.
pub async fn read_exact_at(file: &dyn File, offset: u64, mut buf: BytesMut, len: usize) -> ReadResult {
    let mut done = 0;
    while done < len {
        let (result, back) = file.read_at(offset + done as u64, buf, len - done).await;
        buf = back;
        match result {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (Err(e), buf),
        }
    }
    (Ok(done), buf)
}
