//! Walking over the batch headers of a segment, from a position on, without reading the batches' bodies.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{File, read_exact_at};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, HEADER_SIZE, MAGIC_V2};

/// Bytes that are read at once. Small batches come several at a time, of large ones only the header's page is touched.
const CHUNK: usize = 4096;

/// Where a batch lies in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) position: u64,
    pub(crate) size: u32,
}

/// A walk over `[position, end)` of a segment's log.
pub(crate) struct Scan {
    file: Arc<dyn File>,
    position: u64,
    end: u64,
    buf: BytesMut,
    buf_at: u64,
}

impl Scan {
    pub(crate) fn new(file: Arc<dyn File>, position: u64, end: u64) -> Self {
        Scan {
            file,
            position,
            end,
            buf: BytesMut::new(),
            buf_at: position,
        }
    }

    /// The next batch; `None` at the end. What is no batch is an [`io::ErrorKind::InvalidData`].
    pub(crate) async fn next(&mut self) -> io::Result<Option<(Place, BatchHeader)>> {
        if self.position >= self.end {
            return Ok(None);
        }
        if self.buffered().len() < HEADER_SIZE {
            self.fill().await?;
        }
        let header = BatchHeader::parse(self.buffered());
        let Some(header) = header.filter(|h| {
            h.magic == MAGIC_V2 && h.size_in_bytes() >= HEADER_SIZE && h.last_offset() >= h.base_offset
        }) else {
            return Err(self.bad("no batch begins there"));
        };
        let size = header.size_in_bytes() as u64;
        if size > self.end - self.position {
            return Err(self.bad("the batch there is longer than the segment"));
        }
        let place = Place {
            base: header.base_offset,
            last: header.last_offset(),
            position: self.position,
            size: size as u32,
        };
        self.position += size;
        Ok(Some((place, header)))
    }

    fn buffered(&self) -> &[u8] {
        let skip = self.position.saturating_sub(self.buf_at);
        usize::try_from(skip)
            .ok()
            .and_then(|skip| self.buf.get(skip..))
            .unwrap_or_default()
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        let len = (self.end - self.position).min(CHUNK as u64) as usize;
        let (done, buf) = read_exact_at(&*self.file, self.position, buf, len).await;
        (self.buf, self.buf_at) = (buf, self.position);
        done.map(|_| ())
    }

    fn bad(&self, what: &str) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("position {}: {what}", self.position),
        )
    }
}
