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
        for segment in &segments {
            if segment.max_timestamp().timestamp < timestamp {
                continue;
            }
            let found = first_record(segment, timestamp, start).await;
            if let Some(found) = found.map_err(|e| self.failed(e))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp; `None` if the log has no timestamps.
    pub async fn max_timestamp(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.check()?;
        let (segments, start) = self.segments();
        let mut largest = -1;
        for segment in &segments {
            // Only the first segment can hold records below the log's start.
            let of_segment = if segment.base < start {
                largest_from(segment, start).await.map_err(|e| self.failed(e))?
            } else {
                segment.max_timestamp().timestamp
            };
            largest = largest.max(of_segment);
        }
        if largest < 0 {
            return Ok(None);
        }
        self.offset_for_timestamp(largest).await
    }

    fn segments(&self) -> (Vec<Arc<Segment>>, Offset) {
        let view = self.shared.view();
        (view.segments.clone(), view.offsets.start)
    }
}

/// The first record of a segment at or after `timestamp` and at or above `start`. Batches whose largest timestamp is lower are not
/// opened.
async fn first_record(
    segment: &Segment,
    timestamp: i64,
    start: Offset,
) -> io::Result<Option<TimestampOffset>> {
    let from = segment.offset_for_time(timestamp).await?.max(start);
    let position = segment.position_at_or_below(from).await?;
    let mut scan = Scan::new(segment.file().await?, position, segment.size());
    while let Some((place, header)) = scan.next().await? {
        if header.max_timestamp < timestamp || place.last < start {
            continue;
        }
        let mut found = None;
        each_record(segment, place, |record| {
            let wanted = record.timestamp >= timestamp && record.offset >= start;
            found = wanted.then_some(record);
            !wanted
        })
        .await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The largest timestamp of a segment's records from `start` on; −1 for none.
async fn largest_from(segment: &Segment, start: Offset) -> io::Result<i64> {
    let position = segment.position_at_or_below(start).await?;
    let mut scan = Scan::new(segment.file().await?, position, segment.size());
    let mut largest = -1;
    while let Some((place, header)) = scan.next().await? {
        if place.base >= start {
            largest = largest.max(header.max_timestamp);
        } else if place.last >= start {
            each_record(segment, place, |record| {
                if record.offset >= start {
                    largest = largest.max(record.timestamp);
                }
                true
            })
            .await?;
        }
    }
    Ok(largest)
}

/// Shows the records of a batch until `next` says no.
async fn each_record(
    segment: &Segment,
    place: Place,
    mut next: impl FnMut(TimestampOffset) -> bool,
) -> io::Result<()> {
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
    // All records of a batch with append times have one.
    let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut records = batch.records_with(&mut decompressor).map_err(|e| bad(&e))?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|e| bad(&e))?;
        let of_record = header.base_timestamp.saturating_add(record.timestamp_delta);
        let shown = TimestampOffset {
            timestamp: if append_time {
                header.max_timestamp
            } else {
                of_record
            },
            offset: header.base_offset.saturating_add(i64::from(record.offset_delta)),
        };
        if !next(shown) {
            break;
        }
    }
    Ok(())
}
