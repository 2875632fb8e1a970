//! The indexes of a segment, and whether they agree with the segment if it lies beside them.

use std::path::Path;

use ottla_io::Env;
use ottla_log::format::{offset_index, time_index, txn_index};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, HEADER_SIZE};
use serde_json::json;

use super::Report;
use super::window::Window;
use crate::context;
use crate::output::show_time;

/// Prints an offset index.
pub async fn offsets(
    env: &Env,
    path: &Path,
    base: Offset,
    report: &mut Report<'_, '_>,
) -> Result<(), String> {
    let bytes = context::read(env, path).await?;
    let entries = offset_index::valid_entries(&bytes);
    let mut segment = beside(env, path).await?;
    let mut last: Option<offset_index::OffsetEntry> = None;
    for n in 0..entries {
        let Some(entry) = offset_index::entry(&bytes, base, n) else {
            break;
        };
        let (offset, position) = (entry.offset, entry.position);
        report.item(
            || format!("offset {offset} position {position}"),
            || json!({"kind": "offset", "offset": offset, "position": position}),
        );
        if offset < base || last.is_some_and(|last| offset <= last.offset || position <= last.position) {
            report.damage(format!(
                "entry {n}: offset {offset}, position {position} do not ascend"
            ));
        }
        if let Some(segment) = &mut segment {
            let head = segment.at(position.into(), HEADER_SIZE as u64).await?;
            // An entry may name a later offset than the batch's own: Kafka before 4 made one entry for a whole append.
            match BatchHeader::parse(head) {
                Some(h) if h.base_offset >= base && h.base_offset <= offset && h.batch_length > 0 => {}
                Some(h) => report.damage(format!(
                    "entry {n}: offset {offset} at position {position}, where the segment has {}",
                    h.base_offset
                )),
                None => report.damage(format!(
                    "entry {n}: position {position} is behind the segment's {} bytes",
                    segment.len()
                )),
            }
        }
        last = Some(entry);
    }
    finish(
        bytes.len(),
        offset_index::ENTRY_SIZE,
        entries,
        segment.is_some(),
        report,
    );
    Ok(())
}

/// Prints a time index.
pub async fn times(env: &Env, path: &Path, base: Offset, report: &mut Report<'_, '_>) -> Result<(), String> {
    let bytes = context::read(env, path).await?;
    let entries = time_index::valid_entries(&bytes);
    let mut batches = beside(env, path).await?.map(|window| Times {
        window,
        position: 0,
        current: None,
    });
    let mut last: Option<time_index::TimeEntry> = None;
    for n in 0..entries {
        let Some(entry) = time_index::entry(&bytes, base, n) else {
            break;
        };
        let (timestamp, offset) = (entry.timestamp, entry.offset);
        report.item(
            || format!("time {} offset {offset}", show_time(timestamp)),
            || json!({"kind": "time", "timestamp": timestamp, "offset": offset}),
        );
        if offset < base || last.is_some_and(|last| timestamp < last.timestamp || offset < last.offset) {
            report.damage(format!(
                "entry {n}: time {timestamp}, offset {offset} do not ascend"
            ));
        } else if let Some(batches) = &mut batches {
            match batches.of(offset).await? {
                Some(found) if found == timestamp => {}
                Some(found) => report.damage(format!(
                    "entry {n}: offset {offset} has time {timestamp}, in the segment {found}"
                )),
                None => report.damage(format!("entry {n}: offset {offset} is not in the segment")),
            }
        }
        last = Some(entry);
    }
    finish(
        bytes.len(),
        time_index::ENTRY_SIZE,
        entries,
        batches.is_some(),
        report,
    );
    Ok(())
}

/// Prints a transaction index.
pub async fn transactions(
    env: &Env,
    path: &Path,
    base: Offset,
    report: &mut Report<'_, '_>,
) -> Result<(), String> {
    let bytes = context::read(env, path).await?;
    let mut count = 0u64;
    for entry in txn_index::entries(&bytes).map_while(Result::ok) {
        let txn_index::AbortedTxn {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset,
        } = entry;
        report.item(
            || format!("aborted: producer {producer_id} offsets {first_offset}..={last_offset} last stable {last_stable_offset}"),
            || json!({"kind": "aborted", "producer_id": producer_id, "first_offset": first_offset, "last_offset": last_offset, "last_stable_offset": last_stable_offset}),
        );
        if first_offset > last_offset {
            report.damage(format!(
                "producer {producer_id}: a transaction from {first_offset} that ends at {last_offset}"
            ));
        }
        count += 1;
    }
    if let Err(error) = txn_index::sanity_check(&bytes, base) {
        report.damage(error.to_string());
    }
    report.end(&format!("{count} aborted transactions"));
    Ok(())
}

fn finish(len: usize, entry: usize, entries: usize, compared: bool, report: &mut Report<'_, '_>) {
    if !len.is_multiple_of(entry) {
        report.damage(format!("{len} bytes are no whole number of entries of {entry}"));
    }
    let spare = len.saturating_sub(entries.saturating_mul(entry));
    let spare = if spare > 0 {
        format!(", {spare} bytes to spare as in an open segment")
    } else {
        String::new()
    };
    let compared = if compared {
        ""
    } else {
        ", not compared: the segment is not beside it"
    };
    report.end(&format!("{entries} entries{spare}{compared}"));
}

/// The segment that an index belongs to, if it is there.
async fn beside(env: &Env, index: &Path) -> Result<Option<Window>, String> {
    let path = index.with_extension("log");
    match env.disk.entry(&path).await.map_err(|e| e.to_string())? {
        Some(_) => Window::open(env, &path).await.map(Some),
        None => Ok(None),
    }
}

/// The batches' largest timestamps, in the order of their offsets.
struct Times {
    window: Window,
    position: u64,
    current: Option<BatchHeader>,
}

impl Times {
    /// The timestamp of the batch that holds `offset`; offsets must not descend from call to call.
    async fn of(&mut self, offset: Offset) -> Result<Option<i64>, String> {
        loop {
            if let Some(h) = self.current.filter(|h| h.last_offset() >= offset) {
                return Ok((h.base_offset <= offset).then_some(h.max_timestamp));
            }
            let head = self.window.at(self.position, HEADER_SIZE as u64).await?;
            match BatchHeader::parse(head) {
                Some(h) if h.size_in_bytes() >= HEADER_SIZE => {
                    self.position += h.size_in_bytes() as u64;
                    self.current = Some(h);
                }
                _ => return Ok(None),
            }
        }
    }
}
