//! Batches and records of a segment, or of a snapshot of the metadata, which is made of batches too.

use std::path::Path;

use ottla_io::Env;
use ottla_types::Offset;
use ottla_wire::control_records::ControlRecord;
use ottla_wire::metadata_records::decode_versioned_record;
use ottla_wire::records::{
    BatchHeader, BatchRef, ControlType, Decompressor, HEADER_SIZE, LOG_OVERHEAD, Limits, RecordRef,
};
use serde_json::{Value, json};

use super::Report;
use super::window::Window;
use crate::output::show_time;

/// How much of a batch is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The header and the checksum.
    Batches,
    /// Records too.
    Records,
    /// Records too, as those of `__cluster_metadata`.
    Metadata,
}

/// Prints the batches of a file that begins at offset `base`, if its name says so.
pub async fn dump(
    env: &Env,
    path: &Path,
    base: Option<Offset>,
    depth: Depth,
    report: &mut Report<'_, '_>,
) -> Result<(), String> {
    let mut window = Window::open(env, path).await?;
    let mut scratch = Decompressor::new(Limits::default());
    let (mut position, mut batches, mut records) = (0, 0u64, 0i64);
    let mut next = base.unwrap_or(0);
    while position < window.len() && report.is_open() {
        let bytes = batch_bytes(&mut window, position).await?;
        let batch = match BatchRef::first(bytes) {
            Ok(batch) => batch,
            Err(error) => {
                report.damage(tail(&mut window, position, &error.to_string()).await?);
                break;
            }
        };
        let header = *batch.header();
        report.item(|| batch_text(&header, position), || batch_json(&header, position));
        if let Err(error) = batch.verify_crc() {
            // The length stands outside of the checksum, so what follows can still be looked at.
            report.damage(format!("position {position}: {error}"));
        } else if depth > Depth::Batches {
            print_records(&batch, position, depth, &mut scratch, report);
        }
        if header.base_offset < next || header.last_offset_delta < 0 {
            let (first, last) = (header.base_offset, header.last_offset());
            report.damage(format!(
                "position {position}: offsets {first} to {last} where {next} or more must follow"
            ));
        }
        next = header.next_offset().max(next);
        position += batch.size_in_bytes() as u64;
        batches += 1;
        records += i64::from(header.record_count);
    }
    report.end(&format!(
        "{batches} batches, {records} records, next offset {next}, {} bytes",
        window.len()
    ));
    Ok(())
}

/// The bytes of the batch at `position`, as far as they are there.
pub async fn batch_bytes(window: &mut Window, position: u64) -> Result<&[u8], String> {
    let head = window.at(position, HEADER_SIZE as u64).await?;
    let size = BatchHeader::parse(head).map_or(0, |header| header.size_in_bytes());
    window.at(position, size.max(HEADER_SIZE) as u64).await
}

/// What to say of an end that is no batch.
async fn tail(window: &mut Window, position: u64, error: &str) -> Result<String, String> {
    let rest = window.len() - position;
    Ok(if window.is_zero_from(position).await? {
        format!(
            "position {position}: the last {rest} bytes are zeros: preallocated, or lost with the power; recovery cuts them off"
        )
    } else {
        format!("position {position}: {error}; the last {rest} bytes hold no batch; recovery cuts them off")
    })
}

fn batch_text(h: &BatchHeader, position: u64) -> String {
    let mut text = format!(
        "batch {}..={} position {position} size {} records {} epoch {} codec {} {} {}",
        h.base_offset,
        h.last_offset(),
        h.batch_length as i64 + LOG_OVERHEAD as i64,
        h.record_count,
        h.partition_leader_epoch,
        codec(h),
        time_name(h),
        show_time(h.max_timestamp),
    );
    if h.has_producer_id() {
        let (id, epoch) = (h.producer_id, h.producer_epoch);
        text += &format!(
            " producer {id} epoch {epoch} sequence {}..={}",
            h.base_sequence,
            h.last_sequence()
        );
    }
    if h.attributes.is_transactional() {
        text += " transactional";
    }
    if h.attributes.is_control() {
        text += " control";
    }
    if let Some(horizon) = h.delete_horizon() {
        text += &format!(" delete-horizon {}", show_time(horizon));
    }
    text
}

fn codec(h: &BatchHeader) -> String {
    h.attributes
        .codec()
        .map_or_else(|id| format!("unknown-{id}"), |codec| codec.name().to_string())
}

fn time_name(h: &BatchHeader) -> &'static str {
    match h.attributes.timestamp_type() {
        ottla_wire::records::TimestampType::CreateTime => "create-time",
        ottla_wire::records::TimestampType::LogAppendTime => "append-time",
    }
}

fn batch_json(h: &BatchHeader, position: u64) -> Value {
    json!({
        "kind": "batch",
        "base_offset": h.base_offset,
        "last_offset": h.last_offset(),
        "position": position,
        "size": h.batch_length as i64 + LOG_OVERHEAD as i64,
        "records": h.record_count,
        "leader_epoch": h.partition_leader_epoch,
        "codec": codec(h),
        "timestamp_type": time_name(h),
        "max_timestamp": h.max_timestamp,
        "producer_id": h.producer_id,
        "producer_epoch": h.producer_epoch,
        "base_sequence": h.base_sequence,
        "last_sequence": h.last_sequence(),
        "transactional": h.attributes.is_transactional(),
        "control": h.attributes.is_control(),
        "delete_horizon": h.delete_horizon(),
        "crc": h.crc,
    })
}

fn print_records(
    batch: &BatchRef<'_>,
    position: u64,
    depth: Depth,
    scratch: &mut Decompressor,
    report: &mut Report<'_, '_>,
) {
    let header = *batch.header();
    let mut records = match batch.records_with(scratch) {
        Ok(records) => records,
        Err(error) => return report.damage(format!("position {position}: {error}")),
    };
    let mut last = -1;
    while let Some(record) = records.next_record() {
        let record = match record {
            Ok(record) => record,
            Err(error) => return report.damage(format!("position {position}: {error}")),
        };
        print_record(&header, &record, depth, report);
        if record.offset_delta <= last || record.offset_delta > header.last_offset_delta {
            let delta = record.offset_delta;
            report.damage(format!(
                "position {position}: offset delta {delta} after {last}, in a batch whose last is {}",
                header.last_offset_delta
            ));
        }
        last = record.offset_delta;
    }
}

fn print_record(header: &BatchHeader, record: &RecordRef<'_>, depth: Depth, report: &mut Report<'_, '_>) {
    let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
    let time = header.timestamp(record.timestamp_delta);
    let decoded = match (header.attributes.is_control(), depth) {
        (true, _) => Some(control(record)),
        (false, Depth::Metadata) => Some(metadata(record)),
        _ => None,
    };
    match decoded {
        Some(Ok((name, fields))) => report.item(
            || format!("  {offset} {} {fields}", show_time(time)),
            || json!({"kind": "record", "offset": offset, "timestamp": time, "type": name, "fields": fields}),
        ),
        Some(Err(reason)) => report.damage(format!("offset {offset}: {reason}")),
        None => {
            let headers: Result<Vec<_>, _> = record.headers().collect();
            let headers = match headers {
                Ok(headers) => headers,
                Err(error) => return report.damage(format!("offset {offset}: {error}")),
            };
            let text = || {
                let mut text = format!(
                    "  {offset} {} key {} value {}",
                    show_time(time),
                    show(record.key),
                    show(record.value)
                );
                for h in &headers {
                    text += &format!(" header {}={}", h.key.escape_ascii(), show(h.value));
                }
                text
            };
            report.item(text, || {
                let headers: Vec<Value> = headers.iter().map(|h| json!([bytes(Some(h.key)), bytes(h.value)])).collect();
                json!({"kind": "record", "offset": offset, "timestamp": time, "key": bytes(record.key), "value": bytes(record.value), "headers": headers})
            });
        }
    }
}

/// A record's type and all of its fields.
type Decoded = Result<(String, String), String>;

fn control(record: &RecordRef<'_>) -> Decoded {
    let key = record
        .key
        .and_then(ControlType::from_key)
        .ok_or("a control record without a type")?;
    if let ControlType::Unknown(id) = key {
        // A later release may have more of them; readers skip those.
        return Ok((
            format!("Unknown{id}"),
            format!(
                "control record of unknown type {id}, value {}",
                show(record.value)
            ),
        ));
    }
    let value = record.value.unwrap_or_default();
    let decoded = ControlRecord::decode(key, value).map_err(|e| format!("control record {key:?}: {e}"))?;
    Ok((format!("{key:?}"), format!("{decoded:?}")))
}

fn metadata(record: &RecordRef<'_>) -> Decoded {
    let value = record.value.ok_or("a metadata record without a value")?;
    let (decoded, version) = decode_versioned_record(value).map_err(|e| format!("metadata record: {e}"))?;
    let fields = format!("{decoded:?}");
    // `Topic(TopicRecord { name: .. })`: the inner part names the record as Kafka does.
    let inner = fields
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(&fields);
    let name = inner.split([' ', '{']).next().unwrap_or(inner).to_string();
    let rest = inner.strip_prefix(name.as_str()).unwrap_or_default();
    Ok((name.clone(), format!("{name} v{version}{rest}")))
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes.map(|b| (b, std::str::from_utf8(b))) {
        None => "null".into(),
        Some((_, Ok(text))) => format!("{text:?}"),
        Some((bytes, Err(_))) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

/// Text as text, anything else as an object, so that nothing is lost.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|b| (b, std::str::from_utf8(b))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => json!({"hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()}),
    }
}
