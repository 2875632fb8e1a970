//! Looking into an index file without reading it: most of a large log's indexes is never needed at a start.

use std::io;

use bytes::BytesMut;
use ottla_io::{OpenOptions, read_exact_at};
use ottla_log::format::file_name::FileKind;
use ottla_log::format::offset_index::{self, OffsetEntry};
use ottla_types::Offset;

use crate::errors::StorageError;
use crate::segment::Home;

/// How many index entries before the end a clean log's headers are read. An entry stands for `index.interval.bytes` of small
/// batches, or one larger batch, so that this bounds the reads of a start: 16 to 32 of a page each, for logs with producers.
const RECALLED_ENTRIES: u32 = 16;

/// An index by its first and last entry.
pub(crate) struct Ends {
    pub(crate) entries: u32,
    /// The two; one or none if there are no more.
    pub(crate) ends: BytesMut,
}

/// What a trusted segment's index begins and ends with; `None` if it can't be one. Most of a large log's indexes is never
/// needed, so it isn't read.
pub(crate) async fn ends<const N: usize>(
    home: &Home,
    base: Offset,
    kind: FileKind,
) -> Result<Option<Ends>, StorageError> {
    let path = home.file(base, kind);
    let peeked = async {
        let file = match home.disk().open(&path, OpenOptions::Read).await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let len = file.len().await?;
        let entries = u32::try_from(len / N as u64)
            .ok()
            .filter(|_| len.is_multiple_of(N as u64));
        let Some(entries) = entries else { return Ok(None) };
        let (read, mut ends) = read_exact_at(&*file, 0, BytesMut::with_capacity(2 * N), N).await;
        read?;
        if entries > 1 {
            let (read, both) = read_exact_at(&*file, len - N as u64, ends, N).await;
            read?;
            ends = both;
        }
        Ok(Some(Ends { entries, ends }))
    };
    home.dir.io("reading an index", peeked.await)
}

/// The index entry from which on a trusted last segment's headers are read: some entries before the last one, so that the
/// batches that producers may still retry are found again. `None`: from its begin.
pub(crate) async fn entry_before(
    home: &Home,
    base: Offset,
    entries: u32,
) -> Result<Option<OffsetEntry>, StorageError> {
    const SIZE: usize = offset_index::ENTRY_SIZE;
    let Some(n) = entries.checked_sub(RECALLED_ENTRIES) else {
        return Ok(None);
    };
    let path = home.file(base, FileKind::Index);
    let read = async {
        let file = home.disk().open(&path, OpenOptions::Read).await?;
        let at = u64::from(n) * SIZE as u64;
        let (read, bytes) = read_exact_at(&*file, at, BytesMut::with_capacity(SIZE), SIZE).await;
        read.map(|_| bytes)
    };
    let bytes = home.dir.io("reading an index", read.await)?;
    Ok(offset_index::entry(&bytes, base, 0))
}
