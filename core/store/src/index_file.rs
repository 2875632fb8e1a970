//! An index file: entries of one size, in order. What one append adds stays in memory until a block of it is worth a write; a lookup
//! sees both. What entries mean is in `ottla_log::format`; when they are added, in `ottla_log`.
//!
//! Nothing here is durable before [`IndexFile::sync`]. An index of a segment at or above the recovery point may be lost or torn by a
//! crash: recovery makes it anew from the log.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use ottla_io::{Disk, OpenOptions, read_exact_at, write_all_at};

use crate::handle::Handle;
use crate::log_dir::lock;

/// Pending bytes that are worth a write of their own.
const BLOCK: usize = 4096;
/// A range of entries that is read whole instead of being halved further.
const SMALL: u32 = 64;

/// Invariant: the file holds at least the first `written` entries; `pending` follow them.
#[derive(Default)]
struct Entries {
    written: u32,
    pending: Vec<u8>,
}

/// A file of entries of `N` bytes.
#[derive(Default)]
pub(crate) struct IndexFile<const N: usize> {
    handle: Handle,
    entries: Mutex<Entries>,
    dirty: AtomicBool,
}

impl<const N: usize> IndexFile<N> {
    /// A file that holds `count` entries already.
    pub(crate) fn with_entries(count: u32) -> Self {
        let entries = Mutex::new(Entries {
            written: count,
            pending: Vec::new(),
        });
        IndexFile {
            handle: Handle::default(),
            entries,
            dirty: AtomicBool::new(false),
        }
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> u32 {
        let entries = lock(&self.entries);
        entries.written + (entries.pending.len() / N) as u32
    }

    /// Adds an entry, in memory. Returns whether [`IndexFile::write`] is due.
    pub(crate) fn push(&self, entry: [u8; N]) -> bool {
        let mut entries = lock(&self.entries);
        entries.pending.extend_from_slice(&entry);
        entries.pending.len() >= BLOCK
    }

    /// Writes what is in memory only; creates the file if that is something. One caller at a time: the log's writer.
    pub(crate) async fn write(&self, disk: &dyn Disk, path: impl Fn() -> PathBuf) -> io::Result<()> {
        let (at, bytes) = {
            let entries = lock(&self.entries);
            if entries.pending.is_empty() {
                return Ok(());
            }
            (
                u64::from(entries.written) * N as u64,
                Bytes::copy_from_slice(&entries.pending),
            )
        };
        let file = self.handle.get(disk, &path, OpenOptions::Create).await?;
        self.dirty.store(true, Ordering::Release);
        let len = bytes.len();
        let written = write_all_at(&*file, at, vec![bytes]).await.0;
        // Once more: a sync that ran meanwhile need not have seen these bytes.
        self.dirty.store(true, Ordering::Release);
        written?;
        let mut entries = lock(&self.entries);
        entries.written += (len / N) as u32;
        entries.pending.drain(..len);
        if entries.pending.is_empty() {
            entries.pending = Vec::new();
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) async fn sync(&self, disk: &dyn Disk, path: impl Fn() -> PathBuf) -> io::Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.handle
            .get(disk, &path, OpenOptions::Write)
            .await?
            .sync_data()
            .await
    }

    /// Keeps the first `count` entries.
    pub(crate) async fn truncate(
        &self,
        disk: &dyn Disk,
        path: impl Fn() -> PathBuf,
        count: u32,
    ) -> io::Result<()> {
        let on_disk = {
            let mut entries = lock(&self.entries);
            let keep = (count.saturating_sub(entries.written) as usize * N).min(entries.pending.len());
            entries.pending.truncate(keep);
            let had = entries.written;
            entries.written = had.min(count);
            (entries.written < had).then_some(entries.written)
        };
        let Some(written) = on_disk else { return Ok(()) };
        self.dirty.store(true, Ordering::Release);
        let file = self.handle.get(disk, &path, OpenOptions::Create).await?;
        file.set_len(u64::from(written) * N as u64).await
    }

    /// The last entry for which `at_most` holds, and its number, in a file whose entries it holds for up to some point. `None` if it
    /// holds for none, or the file was truncated meanwhile.
    pub(crate) async fn last_at_most(
        &self,
        disk: &dyn Disk,
        path: impl Fn() -> PathBuf,
        at_most: impl Fn(&[u8; N]) -> bool,
    ) -> io::Result<Option<(u32, [u8; N])>> {
        let written = {
            let entries = lock(&self.entries);
            let (pending, _) = entries.pending.as_chunks::<N>();
            let below = pending.partition_point(&at_most);
            if let Some((n, entry)) = below.checked_sub(1).and_then(|n| Some((n, pending.get(n)?))) {
                return Ok(Some((entries.written + n as u32, *entry)));
            }
            entries.written
        };
        if written == 0 {
            return Ok(None);
        }
        let file = self.handle.get(disk, &path, OpenOptions::Write).await?;
        let (mut low, mut high) = (0, written);
        let mut buf = BytesMut::with_capacity(SMALL as usize * N);
        while high - low > SMALL {
            let middle = low + (high - low) / 2;
            buf.clear();
            let (done, back) = read_exact_at(&*file, u64::from(middle) * N as u64, buf, N).await;
            done?;
            buf = back;
            let Some(entry) = buf.first_chunk::<N>() else {
                return Ok(None);
            };
            if at_most(entry) {
                low = middle
            } else {
                high = middle
            }
        }
        buf.clear();
        let (done, buf) =
            read_exact_at(&*file, u64::from(low) * N as u64, buf, (high - low) as usize * N).await;
        done?;
        let (block, _) = buf.as_chunks::<N>();
        let below = block.partition_point(at_most);
        Ok(below
            .checked_sub(1)
            .and_then(|n| Some((low + n as u32, *block.get(n)?))))
    }

    /// Entry `n`.
    pub(crate) async fn entry(
        &self,
        disk: &dyn Disk,
        path: impl Fn() -> PathBuf,
        n: u32,
    ) -> io::Result<Option<[u8; N]>> {
        {
            let entries = lock(&self.entries);
            if let Some(n) = n.checked_sub(entries.written) {
                return Ok(entries.pending.as_chunks::<N>().0.get(n as usize).copied());
            }
        }
        let file = self.handle.get(disk, &path, OpenOptions::Write).await?;
        let (done, buf) = read_exact_at(&*file, u64::from(n) * N as u64, BytesMut::with_capacity(N), N).await;
        done?;
        Ok(buf.first_chunk::<N>().copied())
    }

    /// Opens the file, if there is one.
    pub(crate) async fn open(&self, disk: &dyn Disk, path: impl Fn() -> PathBuf) -> io::Result<()> {
        if lock(&self.entries).written > 0 {
            self.handle.get(disk, &path, OpenOptions::Write).await?;
        }
        Ok(())
    }

    /// All entries, one behind the other.
    pub(crate) async fn all(&self, disk: &dyn Disk, path: impl Fn() -> PathBuf) -> io::Result<BytesMut> {
        let (written, pending) = {
            let entries = lock(&self.entries);
            (entries.written, Bytes::copy_from_slice(&entries.pending))
        };
        let len = written as usize * N;
        let mut buf = BytesMut::with_capacity(len + pending.len());
        if len > 0 {
            let file = self.handle.get(disk, &path, OpenOptions::Write).await?;
            let (done, back) = read_exact_at(&*file, 0, buf, len).await;
            done?;
            buf = back;
        }
        buf.extend_from_slice(&pending);
        Ok(buf)
    }

    /// Replaces the content, in memory until [`IndexFile::write`]; the file is emptied.
    pub(crate) async fn replace(
        &self,
        disk: &dyn Disk,
        path: impl Fn() -> PathBuf,
        content: Vec<u8>,
    ) -> io::Result<()> {
        let file = self.handle.get(disk, &path, OpenOptions::Create).await?;
        file.set_len(0).await?;
        self.dirty.store(true, Ordering::Release);
        *lock(&self.entries) = Entries {
            written: 0,
            pending: content,
        };
        Ok(())
    }

    /// Closes the file if nobody used it since the last call. One that was not synced stays open: only an open file is sure to hear
    /// of a failed write-back.
    pub(crate) fn close_if_idle(&self) {
        if !self.dirty.load(Ordering::Acquire) {
            self.handle.close_if_idle();
        }
    }
}
