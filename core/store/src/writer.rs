//! The one writer of a log: appends. What follows from an append is decided by `ottla_log::Log`, which orders effects; how each is
//! carried out is in `effects`, the rarer operations are in `upkeep`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, write_all_at};
use ottla_log::{
    AppendInfo, Appended, BatchMeta, Effect, EndTxn, Log, LogConfig, Origin, SegmentState, Truncation,
};
use ottla_types::{Epoch, Event, Offset, Time, TopicPartition, Uuid};
use ottla_wire::records::{BatchRef, EndTxnMarker, HEADER_SIZE, patch};

use crate::errors::{AppendError, StorageError, StoreError};
use crate::files;
use crate::log_dir::{LogDir, Written};
use crate::reader::LogReader;
use crate::scan::Place;
use crate::segment::Segment;
use crate::shared::Shared;

/// Free bytes beside a batch's own that a disk must have before it counts as not full any more.
const ROOM: u64 = 1 << 20;

/// What an append came to.
#[derive(Debug)]
pub struct Append {
    /// The offsets given, or those of the original.
    pub appended: Appended,
    /// `flush.messages` was reached, or a segment was closed: [`LogReader::flush_to`] is due up to here.
    pub flush_to: Option<Offset>,
    /// The buffer, for reuse, if nobody else holds it.
    pub buffer: Option<BytesMut>,
}

/// What recovery had to give up at load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossReport {
    /// The log's end after it.
    pub end: Offset,
    /// Bytes removed.
    pub bytes: u64,
    /// Segments removed wholly.
    pub segments: usize,
    /// What was wrong at the cut.
    pub reason: String,
}

/// A batch whose offsets are given and whose bytes are not written yet.
pub(crate) struct Queued {
    bytes: Bytes,
    batch: BatchMeta,
    /// The log before it: its end and active segment.
    end: Offset,
    active: SegmentState,
}

/// Queued batches that go into one segment in one write. Invariant: they follow each other from `position` on.
#[derive(Default)]
pub(crate) struct Group {
    segment: Offset,
    position: u64,
    /// How many of the queue's front.
    count: usize,
}

/// The writer of one log.
pub struct LogWriter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) env: Env,
    pub(crate) log: Log,
    pub(crate) cfg: LogConfig,
    pub(crate) active: Arc<Segment>,
    /// Offset of the newest producer snapshot file.
    pub(crate) last_snapshot: Offset,
    /// Files that are put aside wait this long (`file.delete.delay.ms`).
    pub(crate) delete_delay_ms: u64,
    pub(crate) clean: bool,
    pub(crate) loss: Option<LossReport>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) queue: Vec<Queued>,
    pub(crate) group: Group,
    pub(crate) bufs: Vec<Bytes>,
    pub(crate) flush_wanted: Option<Offset>,
    pub(crate) index_write_due: bool,
    /// An operation is under way. Found set at the begin of the next one, it was abandoned half-way.
    busy: bool,
    /// The disk was full; free space is asked for before the next append.
    full: bool,
}

impl LogWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: Log,
        cfg: LogConfig,
        active: Arc<Segment>,
        delete_delay_ms: u64,
    ) -> Self {
        LogWriter {
            env: shared.home.dir.env.clone(),
            shared,
            log,
            cfg,
            active,
            last_snapshot: -1,
            delete_delay_ms,
            clean: true,
            loss: None,
            effects: Vec::new(),
            queue: Vec::new(),
            group: Group::default(),
            bufs: Vec::new(),
            flush_wanted: None,
            index_write_due: false,
            busy: false,
            full: false,
        }
    }

    /// A reader of this log.
    pub fn reader(&self) -> LogReader {
        LogReader {
            shared: self.shared.clone(),
        }
    }

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

    /// The log's state: segments, epochs, producers, offsets.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether the log was shut down cleanly before it was loaded; a new one was.
    pub fn was_clean(&self) -> bool {
        self.clean
    }

    /// What recovery had to give up at load.
    pub fn loss(&self) -> Option<&LossReport> {
        self.loss.as_ref()
    }

    /// Appends one validated batch. Base offset and leader epoch are patched in place after the log has given the offsets; the
    /// bytes go to the disk without a copy.
    pub async fn append(&mut self, batch: BytesMut, info: AppendInfo) -> Result<Append, AppendError> {
        self.begin(batch.len()).await?;
        let appended = self.step(batch, &info);
        let appended = match appended {
            Ok((appended @ Appended::Duplicate { .. }, buffer)) => {
                self.busy = false;
                return Ok(Append {
                    appended,
                    flush_to: None,
                    buffer,
                });
            }
            Ok((appended, _)) => appended,
            Err(error) => {
                self.busy = false;
                return Err(error);
            }
        };
        self.write_queue(info.now).await.1?;
        let buffer = self.bufs.pop().and_then(|bytes| bytes.try_into_mut().ok());
        self.bufs.clear();
        Ok(Append {
            appended,
            flush_to: self.flush_wanted.take(),
            buffer,
        })
    }

    /// Appends batches whose offsets and epochs are set: what a follower fetched, or the metadata log's leader wrote. Checksums are
    /// verified. A cut last batch, as a Fetch response may end with, is left out. Returns the new log end.
    pub async fn append_as_is(
        &mut self,
        batches: BytesMut,
        epoch: Epoch,
        now: Time,
    ) -> Result<Append, AppendError> {
        let mut bytes = batches;
        self.begin(bytes.len()).await?;
        let mut last = None;
        let mut refused = None;
        while bytes.len() >= HEADER_SIZE {
            match self.take_batch(&mut bytes, epoch, now) {
                Ok(Some(appended)) => last = Some(appended),
                Ok(None) => break,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let result = match (&refused, last.is_some()) {
            (Some(AppendError::Violation(_)), _) => Ok(()),
            _ => self.write_queue(now).await.1,
        };
        self.bufs.clear();
        result?;
        match (refused, last) {
            (Some(error), _) => Err(error),
            (None, Some(appended)) => Ok(Append {
                appended,
                flush_to: self.flush_wanted.take(),
                buffer: None,
            }),
            (None, None) => Err(AppendError::Invalid("there is no whole batch to append".into())),
        }
    }

    /// Queues the first batch of `bytes`; `None` if it isn't whole.
    fn take_batch(
        &mut self,
        bytes: &mut BytesMut,
        epoch: Epoch,
        now: Time,
    ) -> Result<Option<Appended>, AppendError> {
        let batch = match BatchRef::first(bytes) {
            Ok(batch) => batch,
            Err(ottla_wire::records::BatchError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(AppendError::Invalid(error.to_string())),
        };
        batch
            .verify_crc()
            .map_err(|e| AppendError::Invalid(e.to_string()))?;
        let meta = BatchMeta::from_header(batch.header(), marker(&batch));
        let one = bytes.split_to(batch.size_in_bytes());
        let info = AppendInfo {
            batch: meta,
            origin: Origin::Replication,
            leader_epoch: epoch,
            now,
            verification: None,
        };
        self.step(one, &info).map(|(appended, _)| Some(appended))
    }

    /// Checks that the log can be written.
    pub(crate) async fn begin(&mut self, bytes: usize) -> Result<(), AppendError> {
        self.enter()?;
        if self.shared.epochs_unwritten.load(Ordering::Acquire)
            && self.shared.write_epochs().await? == Written::NoRoom
        {
            self.busy = false;
            return Err(AppendError::DiskFull {
                dir: self.shared.home.dir.path.clone(),
            });
        }
        if self.full {
            let dir = &self.shared.home.dir;
            let free = dir.io("asking for free space", dir.disk().free_space(&dir.path).await);
            match free {
                Ok(free) if free >= bytes as u64 + ROOM => self.full = false,
                other => {
                    self.busy = false;
                    other?;
                    dir.found_full("writing to a segment");
                    return Err(AppendError::DiskFull {
                        dir: dir.path.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Begins an operation: refuses if the directory is offline, or if an earlier operation was abandoned half-way.
    pub(crate) fn enter(&mut self) -> Result<(), StorageError> {
        let dir = &self.shared.home.dir;
        dir.check()?;
        if self.busy {
            return Err(dir.fail(format!(
                "a write to {} was abandoned half-way",
                self.shared.partition
            )));
        }
        self.busy = true;
        self.log.flushed(self.shared.view().offsets.recovery_point);
        Ok(())
    }

    /// Ends an operation.
    pub(crate) fn leave(&mut self) {
        self.busy = false;
    }

    /// Lets the log give the batch its offsets, and queues it for writing. Gives the buffer of a duplicate back.
    pub(crate) fn step(
        &mut self,
        mut bytes: BytesMut,
        info: &AppendInfo,
    ) -> Result<(Appended, Option<BytesMut>), AppendError> {
        if bytes.len() != info.batch.size as usize || bytes.len() < HEADER_SIZE {
            let text = format!(
                "{} bytes are not the batch of {} bytes that was announced",
                bytes.len(),
                info.batch.size
            );
            return Err(AppendError::Invalid(text));
        }
        let (end, active) = (
            self.log.end(),
            *self.log.active().map_err(AppendError::Violation)?,
        );
        let appended = self.log.append(&self.cfg, info, &mut self.effects)?;
        let Appended::Written {
            base_offset,
            last_offset,
            leader_epoch,
            ..
        } = appended
        else {
            return Ok((appended, Some(bytes)));
        };
        let patched = patch::base_offset(&mut bytes, base_offset)
            .and_then(|()| patch::leader_epoch(&mut bytes, leader_epoch));
        patched.map_err(|e| AppendError::Invalid(e.to_string()))?;
        let batch = BatchMeta {
            base_offset,
            last_offset,
            leader_epoch,
            ..info.batch
        };
        self.queue.push(Queued {
            bytes: bytes.freeze(),
            batch,
            end,
            active,
        });
        Ok((appended, None))
    }

    /// Carries out the effects of the queued batches. Returns how many of them are written, and why not all.
    pub(crate) async fn write_queue(&mut self, now: Time) -> (usize, Result<(), AppendError>) {
        let mut written = self.queue.len();
        let result = match self.carry_out(now).await {
            Ok(()) => self.write_group().await,
            Err(error) => Err(error),
        };
        let result = match result {
            Err(WriteError::Full) => {
                written -= self.queue.len();
                self.take_back(now).await
            }
            Err(WriteError::Store(error)) => Err(error.into()),
            Ok(()) => self.write_due_indexes().await.map_err(AppendError::from),
        };
        self.queue.clear();
        self.group = Group::default();
        if !matches!(result, Err(AppendError::Storage(_) | AppendError::Violation(_))) {
            self.publish();
            self.busy = false;
        }
        (written, result)
    }

    /// The next queued batch goes to the end of the group.
    pub(crate) fn enqueue(&mut self, segment: Offset, position: u32) {
        if self.group.count == 0 {
            self.group = Group {
                segment,
                position: u64::from(position),
                count: 0,
            };
        }
        self.group.count += 1;
    }

    /// Writes the group, and shows it to readers as far as the log's end allows.
    pub(crate) async fn write_group(&mut self) -> Result<(), WriteError> {
        let count = self.group.count;
        if count == 0 {
            return Ok(());
        }
        let dir = self.shared.home.dir.clone();
        let segment = self.active.clone();
        let file = match segment.file().await {
            Ok(file) => file,
            Err(e) => return Err(WriteError::from_io(&dir, "opening a segment", e)),
        };
        segment.touched();
        let mut bufs = std::mem::take(&mut self.bufs);
        bufs.clear();
        bufs.extend(
            self.queue
                .iter_mut()
                .take(count)
                .map(|q| std::mem::take(&mut q.bytes)),
        );
        let (result, bufs) = write_all_at(&*file, self.group.position, bufs).await;
        self.bufs = bufs;
        segment.touched();
        if let Err(e) = result {
            return Err(WriteError::from_io(&dir, "writing to a segment", e));
        }
        self.show_group(&segment);
        Ok(())
    }

    fn show_group(&mut self, segment: &Arc<Segment>) {
        let state = self.log.segments().containing(self.group.segment).copied();
        let mut position = self.group.position;
        let mut view = self.shared.view();
        for queued in self.queue.iter().take(self.group.count) {
            let batch = &queued.batch;
            view.recent.push(Place {
                base: batch.base_offset,
                last: batch.last_offset,
                position,
                size: batch.size,
            });
            position += u64::from(batch.size);
            // In the same look as the segment's new size: a reader that finds bytes beyond the end would take them for replicated.
            view.offsets.end = batch.last_offset + 1;
            view.offsets.epoch = batch.leader_epoch;
        }
        if let Some(state) = state {
            segment.publish(&state);
        }
        drop(view);
        for queued in self.queue.drain(..self.group.count) {
            let batch = queued.batch;
            self.env.observe(|| Event::Appended {
                partition: self.shared.partition.clone(),
                base: batch.base_offset,
                last: batch.last_offset,
                epoch: batch.leader_epoch,
                producer: batch.has_producer_id().then_some((
                    batch.producer_id,
                    batch.producer_epoch,
                    batch.base_sequence,
                )),
            });
        }
        self.group.count = 0;
    }

    /// Shows readers the log as it is now.
    pub(crate) fn publish(&self) {
        let mut view = self.shared.view();
        view.size = self.log.segments().size();
        view.show(&self.log);
    }

    /// After a failed write: cuts file and log back to the last batch that was written.
    async fn take_back(&mut self, now: Time) -> Result<(), AppendError> {
        self.full = true;
        self.effects.clear();
        self.index_write_due = false;
        let full = AppendError::DiskFull {
            dir: self.shared.home.dir.path.clone(),
        };
        let first = self.queue.first().map(|first| (first.end, first.active));
        self.queue.clear();
        self.group = Group::default();
        let Some((end, active)) = first else {
            return Err(full);
        };
        let segment = match active {
            // The second: a replicated batch beyond a gap had opened a segment of its own, which goes.
            state if state.base == self.active.base || self.active.base > end => state,
            _ => SegmentState::new(self.active.base, now),
        };
        let producers = self.producers_at(end, &segment).await?;
        self.cut(
            Truncation {
                end,
                segment,
                producers,
            },
            now,
        )
        .await?;
        Err(full)
    }
}

/// Why effects were not all carried out.
pub(crate) enum WriteError {
    /// The disk took not all bytes of a group: it can be taken back.
    Full,
    /// Anything else.
    Store(StoreError),
}

impl WriteError {
    /// Takes the directory offline if `result` is an error, unless the disk only had no room.
    pub(crate) fn check<T>(dir: &LogDir, what: &'static str, result: io::Result<T>) -> Result<T, Self> {
        result.map_err(|e| WriteError::from_io(dir, what, e))
    }

    fn from_io(dir: &LogDir, what: &'static str, error: io::Error) -> Self {
        if files::is_full(&error) {
            dir.found_full(what);
            return WriteError::Full;
        }
        WriteError::Store(StoreError::Storage(dir.fail(format!("{what}: {error}"))))
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        WriteError::Store(error)
    }
}

impl From<StorageError> for WriteError {
    fn from(error: StorageError) -> Self {
        WriteError::Store(StoreError::Storage(error))
    }
}

/// The transaction marker in a control batch. Kafka writes control batches uncompressed, with one record.
pub(crate) fn marker(batch: &BatchRef<'_>) -> Option<EndTxn> {
    let header = batch.header();
    if !header.attributes.is_control() || !header.has_producer_id() {
        return None;
    }
    let record = batch.records().next()?.ok()?;
    let marker = EndTxnMarker::from_record(record.key?, record.value?)?;
    Some(EndTxn {
        commit: marker.committed,
        coordinator_epoch: marker.coordinator_epoch,
    })
}
