//! ListOffsets by time: the first record at or after a timestamp, and the record with the largest one. Indexes lead to the segment
//! and the batch; the record itself is found in the batch, compressed or not.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::read_exact_at;
use ottla_types::Offset;
use ottla_wire::records::{BatchRef, Decompressor, Limits, TimestampType};

use crate::errors::ReadError;
use crate::reader::LogReader;
use crate::scan::{Place, Scan};
use crate::segment::Segment;

/// A record's timestamp and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The timestamp in milliseconds.
    pub timestamp: i64,
    /// The offset.
    pub offset: Offset,
}

impl LogReader {
    /// The first record whose timestamp is at least `timestamp`, in the order of offsets; `None` if there is none.
    pub async fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, ReadError> {
        self.check()?;
        let (segments, start) = self.segments();
        for segment in segments
            .iter()
            .filter(|s| s.max_timestamp().timestamp >= timestamp)
        {
            let from = segment
                .offset_for_time(timestamp)
                .await
                .map_err(|e| self.failed(e))?;
            let wanted = |at: i64, offset: Offset| at >= timestamp && offset >= start;
            let found = first_record(segment, from, timestamp, &wanted)
                .await
                .map_err(|e| self.failed(e))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp; `None` if the log has no timestamps.
    pub async fn max_timestamp(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.check()?;
        let (segments, start) = self.segments();
        // The first of equals: `max_by_key` would take the last.
        let best = segments.iter().rev().max_by_key(|s| s.max_timestamp().timestamp);
        let Some(segment) = best.filter(|s| s.max_timestamp().timestamp >= 0) else {
            return Ok(None);
        };
        let timestamp = segment.max_timestamp().timestamp;
        let from = segment
            .offset_for_time(timestamp)
            .await
            .map_err(|e| self.failed(e))?;
        let wanted = |at: i64, offset: Offset| at >= timestamp && offset >= start;
        first_record(segment, from, timestamp, &wanted)
            .await
            .map_err(|e| self.failed(e))
    }

    fn segments(&self) -> (Vec<Arc<Segment>>, Offset) {
        let view = self.shared.view();
        (view.segments.clone(), view.offsets.start)
    }
}

/// The first wanted record of a segment from `from` on. Batches whose largest timestamp is below `timestamp` are not opened.
async fn first_record(
    segment: &Segment,
    from: Offset,
    timestamp: i64,
    wanted: &(dyn Fn(i64, Offset) -> bool + Sync),
) -> io::Result<Option<TimestampOffset>> {
    let position = segment.position_at_or_below(from).await?;
    let mut scan = Scan::new(segment.file().await?, position, segment.size());
    while let Some((place, header)) = scan.next().await? {
        if header.max_timestamp >= timestamp
            && let Some(found) = in_batch(segment, place, wanted).await?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn in_batch(
    segment: &Segment,
    place: Place,
    wanted: &(dyn Fn(i64, Offset) -> bool + Sync),
) -> io::Result<Option<TimestampOffset>> {
    let file = segment.file().await?;
    let (read, bytes) = read_exact_at(&*file, place.position, BytesMut::new(), place.size as usize).await;
    read?;
    let bad = |e: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("position {}: {e}", place.position),
        )
    };
    let batch = BatchRef::first(&bytes).map_err(|e| bad(&e))?;
    let header = *batch.header();
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        // All records of such a batch have one time.
        let offset = header.base_offset;
        return Ok(wanted(header.max_timestamp, offset).then_some(TimestampOffset {
            timestamp: header.max_timestamp,
            offset,
        }));
    }
    let mut decompressor = Decompressor::new(Limits::default());
    let mut records = batch.records_with(&mut decompressor).map_err(|e| bad(&e))?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|e| bad(&e))?;
        let at = header.base_timestamp.saturating_add(record.timestamp_delta);
        let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
        if wanted(at, offset) {
            return Ok(Some(TimestampOffset {
                timestamp: at,
                offset,
            }));
        }
    }
    Ok(None)
}
