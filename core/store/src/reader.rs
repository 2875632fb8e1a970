//! Reading a log: fetches as file ranges, and the look-ups of ListOffsets and OffsetForLeaderEpoch. Many readers at a time, beside
//! the writer; none sees a byte that isn't completely written.
//!
//! A segment may be deleted or cut while it is read. Who holds its file reads on (the name is gone, not the bytes); a file that can't
//! be opened any more sends the reader back to the view, which says what is left.

use std::io;
use std::sync::Arc;

use ottla_io::File;
use ottla_log::format::txn_index::{self, AbortedTxn};
use ottla_log::{EpochCache, EpochEnd};
use ottla_types::{Epoch, Offset, TopicPartition, Uuid};

use crate::errors::{ReadError, StorageError};
use crate::scan::Place;
use crate::segment::Segment;
use crate::shared::{Offsets, Shared};

/// How often a reader looks again after a segment vanished under it.
const RETRIES: usize = 8;

/// Up to where a read may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upto {
    /// Everything: followers.
    LogEnd,
    /// What is replicated: consumers.
    HighWatermark,
    /// What is replicated and decided: consumers with `isolation.level=read_committed`.
    LastStable,
}

/// What a read found: a range of a segment's file, of whole batches but for the last, which `max_bytes` may cut.
#[derive(Clone)]
pub struct Slice {
    /// The segment's file; `None` if there is nothing to read, `len` is 0 then.
    pub file: Option<Arc<dyn File>>,
    /// Where the range begins.
    pub position: u64,
    /// Its length.
    pub len: usize,
    /// Offset of the first record in the range; the offset asked for if the range is empty.
    pub first_offset: Offset,
    /// The aborted transactions that readers of committed records must skip; only under [`Upto::LastStable`].
    pub aborted: Vec<AbortedTxn>,
    /// The log's offsets at the time of the read.
    pub offsets: Offsets,
}

impl Slice {
    fn empty(from: Offset, offsets: Offsets) -> Self {
        Slice {
            file: None,
            position: 0,
            len: 0,
            first_offset: from,
            aborted: Vec::new(),
            offsets,
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slice")
            .field("position", &self.position)
            .field("len", &self.len)
            .field("first_offset", &self.first_offset)
            .field("aborted", &self.aborted.len())
            .finish_non_exhaustive()
    }
}

/// A reader of one log. Clones are cheap.
#[derive(Clone)]
pub struct LogReader {
    pub(crate) shared: Arc<Shared>,
}

/// What a read is after, from one look at the view.
struct Plan {
    segment: Arc<Segment>,
    next: Option<Offset>,
    offsets: Offsets,
    /// How often the log had been cut.
    cuts: u64,
    /// Readable bytes of the segment.
    size: u64,
    first: Option<Place>,
    /// Position of the limit if it lies in this segment and is known.
    limit: Limit,
}

/// Where in the segment a read has to stop.
enum Limit {
    Position(u64),
    /// Before the batch that holds this offset.
    Offset(Offset),
}

impl LogReader {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.shared.partition
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.shared.topic_id
    }

    /// The id of the log directory.
    pub fn directory(&self) -> Uuid {
        self.shared.home.dir.id
    }

    /// The log directory.
    pub fn directory_path(&self) -> &std::path::Path {
        &self.shared.home.dir.path
    }

    /// Refuses if the log directory is offline.
    pub fn check(&self) -> Result<(), StorageError> {
        self.shared.home.dir.check()
    }

    /// The log's offsets.
    pub fn offsets(&self) -> Offsets {
        self.shared.view().offsets
    }

    /// Bytes of all segments' logs.
    pub fn size_bytes(&self) -> u64 {
        self.shared.view().size
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.shared.view().segments.len()
    }

    /// The leader epochs.
    pub fn epochs(&self) -> Arc<EpochCache> {
        self.shared.view().epochs.clone()
    }

    /// The answer to OffsetForLeaderEpoch.
    pub fn end_offset_for_epoch(&self, epoch: Epoch) -> EpochEnd {
        let view = self.shared.view();
        view.epochs.end_offset_for(epoch, view.offsets.end)
    }

    /// Puts everything below `to` on the platter, beside the writer's appends, and returns the recovery point. Flushes of one log
    /// run one at a time; one that finds its work done returns at once.
    pub async fn flush_to(&self, to: Offset) -> Result<Offset, StorageError> {
        self.shared.flush_to(to).await
    }

    /// The batches from the one that holds `from` on, at most `max_bytes` of them: a file range that lies in one segment. The first
    /// batch comes whole if `at_least_one`, however large it is; else a first batch that doesn't fit gives an empty range. A range
    /// may begin before `from`, inside of whose batch it lies, and end inside a batch.
    pub async fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        upto: Upto,
        at_least_one: bool,
    ) -> Result<Slice, ReadError> {
        self.check()?;
        let mut from_now = from;
        let mut vanished = 0;
        while vanished < RETRIES {
            let Some(plan) = self.plan(from_now, from, upto)? else {
                return Ok(Slice::empty(from, self.offsets()));
            };
            let (next, cuts) = (plan.next, plan.cuts);
            match self
                .carry_out(plan, from_now, max_bytes, upto, at_least_one)
                .await
            {
                Ok(Some(slice)) => return Ok(slice),
                // Nothing left in this segment at or above the offset: a gap that compaction or a roll left behind. There may be any
                // number of such segments; each time the offset goes up.
                Ok(None) => match next {
                    Some(next) => from_now = next,
                    None => return Ok(Slice::empty(from, self.offsets())),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => vanished += 1,
                // The log was cut while it was read: what was found there says nothing.
                Err(e) if e.kind() == io::ErrorKind::InvalidData && self.shared.view().cuts != cuts => {
                    vanished += 1;
                }
                Err(e) => return Err(self.failed(e)),
            }
        }
        let offsets = self.offsets();
        if self.shared.gone.load(std::sync::atomic::Ordering::Acquire) {
            return Err(ReadError::OutOfRange {
                offset: from,
                start: offsets.start,
                end: offsets.end,
            });
        }
        Err(self.failed(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no file holds offset {from}"),
        )))
    }

    /// Looks at the view. `None` if there is nothing to read below the limit. `asked` is the offset for messages.
    fn plan(&self, from: Offset, asked: Offset, upto: Upto) -> Result<Option<Plan>, ReadError> {
        let view = self.shared.view();
        let offsets = view.offsets;
        if from < offsets.start || from > offsets.end {
            return Err(ReadError::OutOfRange {
                offset: asked,
                start: offsets.start,
                end: offsets.end,
            });
        }
        let limit = match upto {
            Upto::LogEnd => offsets.end,
            Upto::HighWatermark => offsets.high_watermark,
            Upto::LastStable => offsets.last_stable,
        };
        if from >= limit {
            return Ok(None);
        }
        let Some((segment, next)) = view.segment_of(from) else {
            return Ok(None);
        };
        let active = next.is_none();
        let size = segment.size();
        let first = if active { view.recent.locate(from) } else { None };
        let limit = if next.is_some_and(|next| next <= limit) || limit == offsets.end {
            Limit::Position(size)
        } else {
            match view.recent.locate(limit).filter(|_| active) {
                Some(place) => Limit::Position(place.position),
                None => Limit::Offset(limit),
            }
        };
        Ok(Some(Plan {
            segment,
            next,
            offsets,
            cuts: view.cuts,
            size,
            first,
            limit,
        }))
    }

    async fn carry_out(
        &self,
        plan: Plan,
        from: Offset,
        max_bytes: usize,
        upto: Upto,
        at_least_one: bool,
    ) -> io::Result<Option<Slice>> {
        let Plan {
            segment,
            offsets,
            size,
            first,
            limit,
            next,
            ..
        } = plan;
        let file = segment.file().await?;
        let first = match first {
            Some(place) => place,
            None => match segment.locate(from, size).await? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        let stop = match limit {
            Limit::Position(position) => position,
            Limit::Offset(offset) => segment
                .locate(offset, size)
                .await?
                .map_or(size, |place| place.position),
        };
        if stop <= first.position {
            return Ok(Some(Slice::empty(from, offsets)));
        }
        let available = usize::try_from(stop - first.position).unwrap_or(usize::MAX);
        let whole = first.size as usize;
        let len = match (max_bytes < whole, at_least_one) {
            (true, true) => whole.min(available),
            (true, false) => return Ok(Some(Slice::empty(from, offsets))),
            (false, _) => max_bytes.min(available),
        };
        let aborted = match upto {
            Upto::LastStable => {
                self.aborted(&segment, next, first.position + len as u64, from, offsets)
                    .await?
            }
            _ => Vec::new(),
        };
        Ok(Some(Slice {
            file: Some(file),
            position: first.position,
            len,
            first_offset: first.base,
            aborted,
            offsets,
        }))
    }

    /// The aborted transactions with records in a slice that begins at `from` and ends at `stop` in `segment`.
    async fn aborted(
        &self,
        segment: &Arc<Segment>,
        next: Option<Offset>,
        stop: u64,
        from: Offset,
        offsets: Offsets,
    ) -> io::Result<Vec<AbortedTxn>> {
        let later: Vec<Arc<Segment>> = {
            let view = self.shared.view();
            let first = view.segments.partition_point(|s| s.base < segment.base);
            view.segments
                .iter()
                .skip(first)
                .filter(|s| s.txn_index.count() > 0)
                .cloned()
                .collect()
        };
        let mut found = Vec::new();
        if later.is_empty() {
            return Ok(found);
        }
        let to = segment.offset_bound(stop).await?.or(next).unwrap_or(offsets.end);
        for segment in later {
            let path = || segment.path(ottla_log::format::file_name::FileKind::TxnIndex);
            let bytes = segment.txn_index.all(self.shared.home.disk(), path).await?;
            let more = txn_index::collect(&bytes, from, to, &mut found);
            if !more.map_err(|e| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path().display()))
            })? {
                break;
            }
        }
        Ok(found)
    }

    /// What a failed read of a file means: wrong bytes are damage in one log, all else takes the directory offline, as in Kafka.
    pub(crate) fn failed(&self, error: io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::InvalidData {
            return ReadError::Corrupt {
                partition: self.shared.partition.clone(),
                reason: error.to_string(),
            };
        }
        ReadError::Storage(
            self.shared
                .home
                .dir
                .fail(format!("reading {}: {error}", self.shared.partition)),
        )
    }
}
