//! The bytes of one file, in chunks that are shared copy-on-write: between page cache and platter, and between forks.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

/// Large enough that a log has few chunks, small enough that the first write after a sync copies little.
pub(super) const CHUNK: u64 = 16 * 1024;

/// A sparse sequence of bytes. A chunk that is absent, or shorter than [`CHUNK`], reads as zeros.
/// No byte at or past `len` is other than zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    chunks: Vec<Option<Arc<Vec<u8>>>>,
    len: u64,
    allocated: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that chunks hold.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Appends up to `len` bytes from `offset` to `out`; returns how many.
    pub(super) fn read(&self, offset: u64, out: &mut BytesMut, len: usize) -> usize {
        let len = (len as u64).min(self.len.saturating_sub(offset));
        out.reserve(len as usize);
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let within = (at % CHUNK) as usize;
            let n = (CHUNK - at % CHUNK).min(end - at) as usize;
            let chunk = self.chunk(at / CHUNK);
            let stored = chunk.get(within..chunk.len().min(within + n)).unwrap_or(&[]);
            out.put_slice(stored);
            out.put_bytes(0, n - stored.len());
            at += n as u64;
        }
        len as usize
    }

    /// The bytes of `start..end`, cut at the length.
    pub(super) fn copy(&self, start: u64, end: u64) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.read(start, &mut out, end.saturating_sub(start) as usize);
        out.into()
    }

    /// Puts `bytes` at `offset`, growing the file if they reach past its end.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len() as u64);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = (at % CHUNK) as usize;
            let (now, later) = rest.split_at(rest.len().min(CHUNK as usize - within));
            let slot = self.slot(at / CHUNK);
            let chunk = Arc::make_mut(slot.get_or_insert_default());
            let grown = (within + now.len()).saturating_sub(chunk.len());
            if within >= chunk.len() {
                chunk.resize(within, 0);
                chunk.extend_from_slice(now);
            } else {
                chunk.resize(chunk.len() + grown, 0);
                chunk[within..within + now.len()].copy_from_slice(now);
            }
            self.allocated += grown as u64;
            (at, rest) = (at + now.len() as u64, later);
        }
    }

    /// Cuts, or extends with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let keep = len.div_ceil(CHUNK) as usize;
            for chunk in self.chunks.drain(keep.min(self.chunks.len())..).flatten() {
                self.allocated -= chunk.len() as u64;
            }
            let within = (len % CHUNK) as usize;
            if within > 0
                && let Some(Some(last)) = self.chunks.get_mut(keep - 1)
                && last.len() > within
            {
                self.allocated -= (last.len() - within) as u64;
                Arc::make_mut(last).truncate(within);
            }
        }
        self.len = len;
    }

    /// Takes the whole chunks that hold `start..end` from `other`, sharing them. The length does not change: the caller
    /// sets it afterwards.
    pub(super) fn share_chunks(&mut self, other: &Content, start: u64, end: u64) {
        for index in start / CHUNK..end.div_ceil(CHUNK) {
            let chunk = other.chunks.get(index as usize).cloned().flatten();
            let size = |c: &Option<Arc<Vec<u8>>>| c.as_ref().map_or(0, |c| c.len() as u64);
            if chunk.is_none() && index as usize >= self.chunks.len() {
                continue;
            }
            let new = size(&chunk);
            let slot = self.slot(index);
            let old = size(&std::mem::replace(slot, chunk));
            self.allocated = self.allocated + new - old;
        }
    }

    fn chunk(&self, index: u64) -> &[u8] {
        match self.chunks.get(index as usize) {
            Some(Some(chunk)) => chunk,
            _ => &[],
        }
    }

    fn slot(&mut self, index: u64) -> &mut Option<Arc<Vec<u8>>> {
        let index = index as usize;
        if self.chunks.len() <= index {
            self.chunks.resize(index + 1, None);
        }
        &mut self.chunks[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_write_reads_zeros_before_it() {
        let mut c = Content::default();
        c.write(CHUNK * 2 - 2, b"abcd");
        assert_eq!(c.len(), CHUNK * 2 + 2);
        assert_eq!(c.copy(CHUNK * 2 - 4, u64::MAX), b"\0\0abcd");
        assert_eq!(c.copy(0, 3), [0; 3]);
    }

    #[test]
    fn a_cut_and_extended_file_reads_zeros_past_the_cut() {
        let mut c = Content::default();
        c.write(0, &[7; 40_000]);
        let copy = c.clone();
        c.set_len(20_000);
        c.set_len(50_000);
        assert_eq!(c.copy(19_999, 20_001), [7, 0]);
        assert_eq!(c.copy(39_999, 40_001), [0, 0]);
        assert_eq!(c.allocated(), 20_000);
        assert_eq!(
            copy.copy(39_999, 40_001),
            [7],
            "the shared chunks of the copy are untouched"
        );
    }

    #[test]
    fn a_shared_chunk_is_copied_when_written() {
        let mut cache = Content::default();
        cache.write(0, b"old");
        let mut platter = Content::default();
        platter.share_chunks(&cache, 0, 3);
        platter.set_len(3);
        cache.write(0, b"new");
        assert_eq!(platter.copy(0, 9), b"old");
        assert_eq!(platter.allocated(), 3);
    }
}
