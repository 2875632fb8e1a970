//! A round of the log cleaner, beside the log's writer: it reads closed segments, writes `.cleaned` files, and touches nothing else.
//! What is due and what stays is decided in `ottla_log::clean`; [`LogWriter::swap_in`] puts what comes out in its place.
//!
//! Decompressing, hashing and writing anew runs on the pool, a chunk at a time; between chunks the round waits if it was faster than
//! `log.cleaner.io.max.bytes.per.second`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{OpenOptions, run_blocking, write_all_at};
use ottla_log::clean::{
    CleanConfig, CleanError, CleanedSegment, Extent, Filter, Finished, LastRecords, OffsetMap, Range, Stats,
    Terms, Transactions, group,
};
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::format::txn_index::{self, AbortedTxn};
use ottla_log::{LogConfig, SegmentState};
use ottla_types::{Event, Offset, Time};
use ottla_wire::records::{Batches, Decompressor};

use crate::chunks::{Chunks, Index, filter_chunk, index_chunk};
use crate::errors::StoreError;
use crate::files;
use crate::log_dir::{Checkpoint, Written};
use crate::reader::LogReader;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::throttle::Throttle;
use crate::writer::LogWriter;

/// What a round goes by, beside the log's own settings.
#[derive(Debug, Clone)]
pub struct CleanTerms {
    /// The topic's settings.
    pub config: CleanConfig,
    /// Bytes of the offset map: `log.cleaner.dedupe.buffer.size` by `log.cleaner.threads`.
    pub map_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`: bytes read at once.
    pub buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`, read and written by all rounds together.
    pub throttle: Arc<Throttle>,
    /// Set, it lets the round end at its next step, with [`CleaningError::Changed`].
    pub stop: Arc<AtomicBool>,
}

impl Default for CleanTerms {
    /// Kafka's.
    fn default() -> Self {
        CleanTerms {
            config: CleanConfig::default(),
            map_bytes: 128 << 20,
            load_factor: 0.9,
            buffer_bytes: 512 << 10,
            throttle: Arc::default(),
            stop: Arc::default(),
        }
    }
}

/// Why a round ends early. The log is readable and whole; groups that were swapped in stay.
#[derive(Debug)]
pub enum CleaningError {
    /// The log holds what can't be cleaned: leave it alone until somebody has looked at it.
    Uncleanable(CleanError),
    /// Its segments were deleted or cut meanwhile, or somebody asked the round to end: begin anew.
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

/// How long a round sleeps before it looks whether it is to end.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

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
    /// Bytes read and written that the throttle has not heard of.
    uncharged: u64,
}

impl LogWriter {
    /// The parts of the log that are clean, dirty and out of reach.
    pub fn cleanable(&self, config: &CleanConfig, now: Time) -> Range {
        Range::of(Extent::from(&self.log), self.shared.cleaned(), config, now)
    }

    /// Begins a round. It holds nothing of the writer.
    pub fn begin_cleaning(&self, terms: CleanTerms, now: Time) -> Cleaning {
        let range = self.cleanable(&terms.config, now);
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
        drop(view);
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
            uncharged: 0,
        }
    }
}

impl LogReader {
    /// Below it the log is clean; `None` if no round has ever begun. It stands in `cleaner-offset-checkpoint`.
    pub fn cleaned(&self) -> Option<Offset> {
        self.shared.cleaned()
    }
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

    /// Before anything goes: what is newer, and lets it go, must be on the platter, or a loss of power would take the one after the
    /// cleaner took the other. And the log gets its row in the checkpoint: one that has it may have gaps, whatever its topic's
    /// policy is by the time it is recovered.
    async fn prepare(&self) -> Result<(), CleaningError> {
        let (shared, range) = (&self.shared, &self.range);
        let flushed = shared.flush_to(range.first_uncleanable).await;
        flushed.map_err(|error| CleaningError::Store(error.into()))?;
        if range.checkpoint_is_stale || shared.cleaned().is_none() {
            self.checkpoint(range.first_dirty).await?;
        }
        let (from, to) = (range.first_dirty, range.first_uncleanable);
        shared.home.dir.env.observe(|| Event::CleaningBegan {
            partition: shared.partition.clone(),
            from,
            to,
        });
        Ok(())
    }

    async fn checkpoint(&self, offset: Offset) -> Result<(), CleaningError> {
        let (shared, before) = (&self.shared, self.shared.cleaned());
        let dir = &shared.home.dir;
        shared.set_cleaned(Some(offset));
        let written = dir.write_checkpoint(Checkpoint::Cleaned).await;
        match written.map_err(|error| CleaningError::Store(error.into()))? {
            Written::Yes => Ok(()),
            Written::NoRoom => {
                shared.set_cleaned(before);
                Err(CleaningError::Store(StoreError::DiskFull {
                    dir: dir.path.clone(),
                }))
            }
        }
    }

    /// Every group was swapped in: the log is clean up to [`Cleaning::end`], and the checkpoint says so.
    pub async fn finish(&self) -> Result<Offset, CleaningError> {
        let end = self.end().ok_or(CleaningError::Changed)?;
        self.checkpoint(end).await?;
        self.shared.home.dir.env.observe(|| Event::Cleaned {
            partition: self.shared.partition.clone(),
            end,
        });
        Ok(end)
    }

    /// How full the offset map is, from 0 to 1.
    pub fn map_use(&self) -> f64 {
        let used = |f: &Filter| f.map().len() as f64 / f.map().capacity() as f64;
        self.filter.as_ref().map_or(0.0, used)
    }

    /// Reads the keys of the dirty part, until the map is full, and plans the groups. Comes first.
    pub async fn index(&mut self) -> Result<(), CleaningError> {
        self.prepare().await?;
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

    /// Throws a group away instead of having it swapped in.
    pub async fn discard(&self, group: CleanedGroup) {
        discard(&self.shared, group.finished.state.base).await;
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
                self.uncharged += out.len() as u64;
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
        let file = self.io("opening a segment", segment.file().await)?;
        Ok(Chunks::new(file, u64::from(size), self.terms.buffer_bytes))
    }

    async fn next(&mut self, chunks: &mut Chunks) -> Result<Option<BytesMut>, CleaningError> {
        self.throttle().await?;
        let read = self.io("reading a segment", chunks.next().await)?;
        self.uncharged += read.as_ref().map_or(0, |buf| buf.len() as u64);
        Ok(read)
    }

    /// Waits until what was read and written is no more than the limit allows. Ends the round if somebody asked.
    async fn throttle(&mut self) -> Result<(), CleaningError> {
        let clock = &self.shared.home.dir.env.clock;
        let bytes = std::mem::take(&mut self.uncharged);
        let due = self.terms.throttle.charge(clock.now(), bytes);
        loop {
            let stop = [&*self.terms.stop, &self.shared.gone];
            if stop.iter().any(|flag| flag.load(Ordering::Acquire)) {
                return Err(CleaningError::Changed);
            }
            let now = clock.now();
            if now >= due {
                return Ok(());
            }
            clock.sleep_until(due.min(now.after(LONGEST_WAIT))).await;
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
