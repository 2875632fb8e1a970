//! The batches that a round of the cleaner reads: chunks of a segment's file, and what is done with each on the pool.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{File, read_exact_at};
use ottla_log::clean::{CleanError, Filter, Indexed, OffsetMap, Transactions, index_batch};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, Batches, Decompressor, HEADER_SIZE};

use crate::clean::CleaningError;

/// What indexing needs on the pool.
pub(crate) struct Index {
    pub(crate) map: OffsetMap,
    pub(crate) txns: Transactions,
    pub(crate) scratch: Decompressor,
    pub(crate) from: Offset,
}

/// A segment's batches, as many at once as the buffer takes, one at least.
pub(crate) struct Chunks {
    file: Arc<dyn File>,
    at: u64,
    end: u64,
    usual: usize,
    want: usize,
}

impl Chunks {
    /// Of the first `end` bytes of `file`, `bytes` at once.
    pub(crate) fn new(file: Arc<dyn File>, end: u64, bytes: usize) -> Self {
        let usual = bytes.max(HEADER_SIZE);
        Chunks {
            file,
            at: 0,
            end,
            usual,
            want: usual,
        }
    }

    /// The next bytes, which begin with a batch; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        if self.at >= self.end {
            return Ok(None);
        }
        loop {
            let len = usize::try_from(self.end - self.at).map_or(self.want, |left| left.min(self.want));
            let (done, buf) = read_exact_at(&*self.file, self.at, BytesMut::new(), len).await;
            if done? < len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let first = BatchHeader::parse(&buf).map_or(0, |h| h.size_in_bytes());
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            if first <= len || first > left {
                return Ok(Some(buf));
            }
            self.want = first;
        }
    }

    /// Goes on behind the `count` bytes of whole batches that were there.
    pub(crate) fn took(&mut self, count: usize) -> Result<(), CleaningError> {
        if count == 0 {
            return Err(CleaningError::Changed);
        }
        (self.at, self.want) = (self.at + count as u64, self.usual);
        Ok(())
    }
}

/// Indexes the whole batches of a chunk. Returns how many bytes they are, and whether the map is full.
pub(crate) fn index_chunk(mut index: Index, buf: &[u8]) -> Result<(Index, usize, bool), CleanError> {
    let mut batches = Batches::tolerant(buf);
    while let Some(batch) = batches.next() {
        let batch = batch.map_err(|error| CleanError::Batch {
            offset: index.map.latest(),
            error,
        })?;
        if batch.header().last_offset() < index.from {
            continue;
        }
        let Index {
            map,
            txns,
            scratch,
            from,
        } = &mut index;
        if index_batch(map, txns, &batch, *from, scratch)? == Indexed::Full {
            return Ok((index, batches.position(), true));
        }
    }
    Ok((index, batches.position(), false))
}

/// Passes the whole batches of a chunk. Returns how many bytes they are, and what stays.
pub(crate) fn filter_chunk(mut filter: Filter, buf: &[u8]) -> Result<(Filter, usize, Vec<u8>), CleanError> {
    let mut out = Vec::with_capacity(buf.len());
    let mut batches = Batches::tolerant(buf);
    for batch in batches.by_ref() {
        let batch = batch.map_err(|error| CleanError::Batch {
            offset: filter.map().latest(),
            error,
        })?;
        filter.pass(&batch, &mut out)?;
    }
    Ok((filter, batches.position(), out))
}
