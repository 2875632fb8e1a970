//! A round of the log cleaner, beside the log's writer: it reads closed segments, writes `.cleaned` files, and touches nothing else.
//! What is due and what stays is decided in `ottla_log::clean`; [`LogWriter::swap_in`] puts what comes out in its place.
//!
//! Decompressing, hashing and writing anew runs on the pool, a chunk at a time; between chunks the round waits if it was faster than
//! `log.cleaner.io.max.bytes.per.second`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{File, Mono, OpenOptions, read_exact_at, run_blocking, write_all_at};
use ottla_log::clean::{
    CleanConfig, CleanError, CleanedSegment, Extent, Filter, Finished, Indexed, LastRecords, OffsetMap,
    Range, Stats, Terms, Transactions, group, index_batch,
};
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::format::txn_index::{self, AbortedTxn};
use ottla_log::{LogConfig, SegmentState};
use ottla_types::{Offset, Time};
use ottla_wire::records::{BatchHeader, Batches, Decompressor, HEADER_SIZE};

use crate::errors::StoreError;
use crate::files;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::writer::LogWriter;

/// What a round goes by, beside the log's own settings.
#[derive(Debug, Clone, Copy)]
pub struct CleanTerms {
    /// The topic's settings.
    pub config: CleanConfig,
    /// Bytes of the offset map: `log.cleaner.dedupe.buffer.size` by `log.cleaner.threads`.
    pub map_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`: bytes read at once.
    pub buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`, read and written; `None` for no limit.
    pub bytes_per_second: Option<u64>,
}

impl Default for CleanTerms {
    /// Kafka's.
    fn default() -> Self {
        CleanTerms {
            config: CleanConfig::default(),
            map_bytes: 128 << 20,
            load_factor: 0.9,
            buffer_bytes: 512 << 10,
            bytes_per_second: None,
        }
    }
}

/// Why a round ends early. The log is readable and whole; groups that were swapped in stay.
#[derive(Debug)]
pub enum CleaningError {
    /// The log holds what can't be cleaned: leave it alone until somebody has looked at it.
    Uncleanable(CleanError),
    /// Its segments were deleted or cut meanwhile: begin anew.
    Changed,
    /// The disk is full, or broken.
    Store(StoreError),
}

impl fmt::Display for CleaningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncleanable(error) => error.fmt(f),
            Self::Changed => write!(
                f,
                "the log was cut or deleted while it was cleaned; the next round begins anew"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CleaningError {}

impl From<CleanError> for CleaningError {
    fn from(error: CleanError) -> Self {
        Self::Uncleanable(error)
    }
}

/// A cleaned segment in `.cleaned` files, durable but for their names, and what it is to replace.
#[derive(Debug)]
pub struct CleanedGroup {
    pub(crate) sources: Vec<SegmentState>,
    pub(crate) finished: Finished,
}

/// A segment as it was when the round began.
type Source = (SegmentState, Arc<Segment>);

/// One round over one log.
pub struct Cleaning {
    shared: Arc<Shared>,
    cfg: LogConfig,
    terms: CleanTerms,
    now: Time,
    range: Range,
    /// All closed segments below [`Range::first_uncleanable`].
    sources: Vec<Source>,
    groups: std::vec::IntoIter<std::ops::Range<usize>>,
    filter: Option<Filter>,
    producers: LastRecords,
    seed: u64,
    began: Mono,
    bytes: u64,
}

impl LogWriter {
    /// The parts of the log that are clean, dirty and out of reach; everything below `checkpoint` was cleaned.
    pub fn cleanable(&self, checkpoint: Option<Offset>, config: &CleanConfig, now: Time) -> Range {
        Range::of(Extent::from(&self.log), checkpoint, config, now)
    }

    /// Begins a round. It holds nothing of the writer.
    pub fn begin_cleaning(&self, checkpoint: Option<Offset>, terms: CleanTerms, now: Time) -> Cleaning {
        let range = self.cleanable(checkpoint, &terms.config, now);
        let view = self.shared.view();
        let source = |state: &SegmentState| {
            let found = view.segments.iter().find(|s| s.base == state.base);
            found.map(|segment| (*state, segment.clone()))
        };
        let list = self.log.segments().list().iter();
        let sources = list
            .take_while(|s| s.base < range.first_uncleanable)
            .map_while(source)
            .collect();
        Cleaning {
            shared: self.shared.clone(),
            cfg: self.cfg.clone(),
            terms,
            now,
            range,
            sources,
            groups: Vec::new().into_iter(),
            filter: None,
            producers: LastRecords::from(self.log.producers()),
            seed: self.env.entropy.stream("log-cleaner").next_u64(),
            began: self.env.clock.now(),
            bytes: 0,
        }
    }
}

/// What indexing needs on the pool.
struct Index {
    map: OffsetMap,
    txns: Transactions,
    scratch: Decompressor,
    from: Offset,
}

impl Cleaning {
    /// What the round is about.
    pub fn range(&self) -> &Range {
        &self.range
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.filter.as_ref().map_or_else(Stats::default, Filter::stats)
    }

    /// Where the log is clean up to, once every group was swapped in: the next checkpoint. `None` before [`Cleaning::index`].
    pub fn end(&self) -> Option<Offset> {
        self.filter.as_ref().map(|f| f.map().latest().saturating_add(1))
    }

    /// Reads the keys of the dirty part, until the map is full, and plans the groups. Comes first.
    pub async fn index(&mut self) -> Result<(), CleaningError> {
        let from = self.range.first_dirty;
        let aborted = self.aborted().await?;
        let mut index = Index {
            map: OffsetMap::new(self.terms.map_bytes, self.terms.load_factor, self.seed, from),
            txns: Transactions::new(from, aborted.iter().copied()),
            scratch: Decompressor::default(),
            from,
        };
        let first = self
            .sources
            .partition_point(|(s, _)| s.base <= from)
            .saturating_sub(1);
        for (state, segment) in self.sources.clone().into_iter().skip(first) {
            let mut chunks = self.chunks(&segment, state.size).await?;
            let mut full = false;
            while !full && let Some(buf) = self.next(&mut chunks).await? {
                let (back, took, is_full) = self.on_pool(move || index_chunk(index, &buf)).await??;
                (index, full) = (back, is_full);
                chunks.took(took)?;
            }
            if full {
                break;
            }
            // What a gap at its end would have held needs no second look.
            let next = self.sources.iter().find(|(s, _)| s.base > state.base);
            let end = next.map_or(self.range.first_uncleanable, |(s, _)| s.base);
            index.map.advance(end.saturating_sub(1));
        }
        let list: Vec<SegmentState> = self.sources.iter().map(|(s, _)| *s).collect();
        let groups = group(
            &list,
            index.map.latest().saturating_add(1),
            self.range.first_uncleanable,
            self.cfg.segment_bytes,
            self.cfg.index_bytes,
        );
        self.groups = groups.into_iter();
        let terms = Terms {
            now: self.now,
            delete_retention_ms: self.terms.config.delete_retention_ms,
            first_uncleanable: self.range.first_uncleanable,
        };
        let begin = list.first().map_or(0, |s| s.base);
        let txns = Transactions::new(begin, aborted);
        let producers = std::mem::take(&mut self.producers);
        self.filter = Some(Filter::new(index.map, terms, producers, txns, index.scratch));
        Ok(())
    }

    /// Writes the next group's segment. `None` when there is no more. Groups are to be swapped in in their order.
    pub async fn next_group(&mut self) -> Result<Option<CleanedGroup>, CleaningError> {
        let Some(group) = self.groups.next() else {
            return Ok(None);
        };
        let sources = self.sources.get(group).unwrap_or_default().to_vec();
        let (Some((first, _)), Some((last, _))) = (sources.first(), sources.last()) else {
            return Ok(None);
        };
        let base = first.base;
        let segment = CleanedSegment::new(&self.cfg, base, last.modified);
        match self.write_group(&sources, segment).await {
            Ok(finished) => Ok(Some(CleanedGroup {
                sources: sources.into_iter().map(|(state, _)| state).collect(),
                finished,
            })),
            Err(error) => {
                discard(&self.shared, base).await;
                Err(error)
            }
        }
    }

    async fn write_group(
        &mut self,
        sources: &[Source],
        mut segment: CleanedSegment,
    ) -> Result<Finished, CleaningError> {
        let Some((first, _)) = sources.first() else {
            return Err(CleaningError::Changed);
        };
        let name = |kind| {
            FileName::new(first.base, kind)
                .with_state(FileState::Cleaned)
                .to_string()
        };
        let (shared, folder) = (self.shared.clone(), self.shared.home.folder());
        let disk = shared.home.disk();
        let opened = disk
            .open(&folder.join(name(FileKind::Log)), OpenOptions::Truncate)
            .await;
        let file = self.io("writing a cleaned segment", opened)?;
        for (state, source) in sources {
            let mut chunks = self.chunks(source, state.size).await?;
            while let Some(buf) = self.next(&mut chunks).await? {
                let filter = self.filter.take().ok_or(CleaningError::Changed)?;
                let (filter, took, out) = self.on_pool(move || filter_chunk(filter, &buf)).await??;
                self.filter = Some(filter);
                chunks.took(took)?;
                let at = u64::from(segment.size());
                self.bytes += out.len() as u64;
                for batch in Batches::new(&out) {
                    let batch = batch.map_err(|error| CleanError::Batch {
                        offset: state.base,
                        error,
                    })?;
                    segment.append(batch.header())?;
                }
                let written = write_all_at(&*file, at, vec![Bytes::from(out)]).await.0;
                self.io("writing a cleaned segment", written)?;
            }
        }
        if let Some(filter) = &mut self.filter {
            filter
                .take_aborted()
                .into_iter()
                .for_each(|txn| segment.aborted(txn));
        }
        self.io("flushing a cleaned segment", file.sync_data().await)?;
        let finished = segment.finish();
        for (kind, bytes) in [
            (FileKind::Index, &finished.index),
            (FileKind::TimeIndex, &finished.time_index),
            (FileKind::TxnIndex, &finished.txn_index),
        ] {
            if kind != FileKind::TxnIndex || !bytes.is_empty() {
                let (path, bytes) = (folder.join(name(kind)), Bytes::copy_from_slice(bytes));
                let written = files::write_new(disk, &path, bytes).await;
                self.io("writing a cleaned index", written)?;
            }
        }
        Ok(finished)
    }

    /// The entries of all transaction indexes.
    async fn aborted(&self) -> Result<Vec<AbortedTxn>, CleaningError> {
        let segments = self.shared.view().segments.clone();
        let mut found = Vec::new();
        for segment in segments.iter().filter(|s| s.txn_index.count() > 0) {
            let path = || segment.path(FileKind::TxnIndex);
            let bytes = segment.txn_index.all(self.shared.home.disk(), path).await;
            let bytes = self.io("reading a transaction index", bytes)?;
            for entry in txn_index::entries(&bytes) {
                let corrupt =
                    |e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path().display()));
                found.push(self.io("reading a transaction index", entry.map_err(corrupt))?);
            }
        }
        Ok(found)
    }

    async fn chunks(&self, segment: &Segment, size: u32) -> Result<Chunks, CleaningError> {
        Ok(Chunks {
            file: self.io("opening a segment", segment.file().await)?,
            at: 0,
            end: u64::from(size),
            usual: self.terms.buffer_bytes.max(HEADER_SIZE),
            want: self.terms.buffer_bytes.max(HEADER_SIZE),
        })
    }

    async fn next(&mut self, chunks: &mut Chunks) -> Result<Option<BytesMut>, CleaningError> {
        self.throttle().await;
        let read = self.io("reading a segment", chunks.next().await)?;
        self.bytes += read.as_ref().map_or(0, |buf| buf.len() as u64);
        Ok(read)
    }

    /// Waits until what was read and written is no more than the limit allows.
    async fn throttle(&self) {
        if let Some(limit) = self.terms.bytes_per_second {
            let clock = &self.shared.home.dir.env.clock;
            let due = self.bytes.saturating_mul(1000) / limit.max(1);
            let due = self.began.after(Duration::from_millis(due));
            if due > clock.now() {
                clock.sleep_until(due).await;
            }
        }
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CleaningError> {
        let tasks = &*self.shared.home.dir.env.tasks;
        run_blocking(tasks, "clean", work)
            .await
            .ok_or(CleaningError::Changed)
    }

    /// Without room the round ends; a file that is gone means the log changed; anything else takes the directory offline.
    fn io<T>(&self, what: &'static str, result: io::Result<T>) -> Result<T, CleaningError> {
        match result {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                Err(CleaningError::Changed)
            }
            other => self
                .shared
                .home
                .dir
                .io_or_full(what, other)
                .map_err(CleaningError::Store),
        }
    }
}

/// Removes the `.cleaned` files of a group. What is left after an error goes at the next start.
pub(crate) async fn discard(shared: &Shared, base: Offset) {
    let folder = shared.home.folder();
    for kind in FileKind::ALL
        .into_iter()
        .filter(|kind| *kind != FileKind::Snapshot)
    {
        let name = FileName::new(base, kind).with_state(FileState::Cleaned);
        let _ = files::remove(shared.home.disk(), &folder.join(name.to_string())).await;
    }
}

/// A segment's batches, as many at once as the buffer takes, one at least.
struct Chunks {
    file: Arc<dyn File>,
    at: u64,
    end: u64,
    usual: usize,
    want: usize,
}

impl Chunks {
    /// The next bytes, which begin with a batch; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<BytesMut>> {
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
    fn took(&mut self, count: usize) -> Result<(), CleaningError> {
        if count == 0 {
            return Err(CleaningError::Changed);
        }
        (self.at, self.want) = (self.at + count as u64, self.usual);
        Ok(())
    }
}

/// Indexes the whole batches of a chunk. Returns how many bytes they are, and whether the map is full.
fn index_chunk(mut index: Index, buf: &[u8]) -> Result<(Index, usize, bool), CleanError> {
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
fn filter_chunk(mut filter: Filter, buf: &[u8]) -> Result<(Filter, usize, Vec<u8>), CleanError> {
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
