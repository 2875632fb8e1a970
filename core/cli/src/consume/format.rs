//! How a record is printed: by a template, or as a JSON object.

use std::io::{self, Write};
use std::str::FromStr;

use ottla_client::consumer::ConsumerRecord;
use ottla_wire::records::TimestampType;
use serde_json::{Value, json};

use crate::output::show_time;
use crate::values::{to_base64, unescape};

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeySize,
    Value,
    ValueSize,
    Headers,
    Timestamp,
    Date,
}

/// How records are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordFormat {
    /// The value in a line, behind the key if there is a separator.
    Value,
    /// An object in a line.
    Json,
    /// As a template says.
    Template(Template),
}

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl FromStr for RecordFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "value" => Ok(RecordFormat::Value),
            "json" => Ok(RecordFormat::Json),
            text if text.contains('%') || text.contains('\\') => template(text).map(RecordFormat::Template),
            _ => Err(format!(
                "`{text}` is no format: write value, json, or a template such as '%p %o %k %v\\n'"
            )),
        }
    }
}

fn template(text: &str) -> Result<Template, String> {
    let mut pieces = Vec::new();
    let mut parts = text.split('%');
    pieces.push(Piece::Text(unescape(parts.next().unwrap_or_default())?));
    let mut literal = false;
    for part in parts {
        let mut chars = part.chars();
        let piece = match chars.next() {
            // What follows the second sign of `%%` is text.
            _ if std::mem::take(&mut literal) => {
                pieces.push(Piece::Text(unescape(part)?));
                continue;
            }
            None => {
                literal = true;
                Piece::Text(b"%".to_vec())
            }
            Some('t') => Piece::Topic,
            Some('p') => Piece::Partition,
            Some('o') => Piece::Offset,
            Some('k') => Piece::Key,
            Some('K') => Piece::KeySize,
            Some('v' | 's') => Piece::Value,
            Some('V' | 'S') => Piece::ValueSize,
            Some('h') => Piece::Headers,
            Some('T') => Piece::Timestamp,
            Some('d') => Piece::Date,
            Some(other) => {
                return Err(format!(
                    "`%{other}` is no field; there are %t topic, %p partition, %o offset, %k key, %v value, %h headers, \
                     %T timestamp, %d date, %K and %V sizes of key and value, %% a percent sign"
                ));
            }
        };
        pieces.push(piece);
        pieces.push(Piece::Text(unescape(chars.as_str())?));
    }
    if literal {
        return Err("a `%` at the end names no field; `%%` is a percent sign".to_owned());
    }
    pieces.retain(|piece| *piece != Piece::Text(Vec::new()));
    Ok(Template(pieces))
}

/// Prints records.
#[derive(Debug, Clone)]
pub struct Shown {
    /// How.
    pub format: RecordFormat,
    /// With [`RecordFormat::Value`]: between key and value.
    pub separator: Option<Vec<u8>>,
    /// What null is shown as.
    pub null: Vec<u8>,
    /// Whether control characters are escaped: a record must not give orders to a person's terminal.
    pub escape: bool,
}

impl Shown {
    /// Writes one record.
    pub fn write(&self, record: &ConsumerRecord, out: &mut impl Write) -> io::Result<()> {
        match &self.format {
            RecordFormat::Json => {
                serde_json::to_writer(&mut *out, &object(record))?;
                out.write_all(b"\n")
            }
            RecordFormat::Value => {
                if let Some(separator) = &self.separator {
                    self.bytes(record.key.as_deref(), out)?;
                    out.write_all(separator)?;
                }
                self.bytes(record.value.as_deref(), out)?;
                out.write_all(b"\n")
            }
            RecordFormat::Template(Template(pieces)) => {
                pieces.iter().try_for_each(|piece| self.piece(piece, record, out))
            }
        }
    }

    fn piece(&self, piece: &Piece, record: &ConsumerRecord, out: &mut impl Write) -> io::Result<()> {
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |b| i64::try_from(b.len()).unwrap_or(i64::MAX));
        match piece {
            Piece::Text(text) => out.write_all(text),
            Piece::Topic => write!(out, "{}", record.topic),
            Piece::Partition => write!(out, "{}", record.partition),
            Piece::Offset => write!(out, "{}", record.offset),
            Piece::Key => self.bytes(record.key.as_deref(), out),
            Piece::KeySize => write!(out, "{}", size(record.key.as_deref())),
            Piece::Value => self.bytes(record.value.as_deref(), out),
            Piece::ValueSize => write!(out, "{}", size(record.value.as_deref())),
            Piece::Timestamp => write!(out, "{}", record.timestamp),
            Piece::Date => write!(out, "{}", show_time(record.timestamp)),
            Piece::Headers => {
                for (i, header) in record.headers.iter().enumerate() {
                    if i > 0 {
                        out.write_all(b",")?;
                    }
                    self.bytes(Some(&header.key), out)?;
                    out.write_all(b"=")?;
                    match &header.value {
                        Some(value) => self.bytes(Some(value), out)?,
                        None if self.null.is_empty() => out.write_all(b"NULL")?,
                        None => out.write_all(&self.null)?,
                    }
                }
                Ok(())
            }
        }
    }

    fn bytes(&self, bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
        let Some(bytes) = bytes else {
            return out.write_all(&self.null);
        };
        if !self.escape {
            return out.write_all(bytes);
        }
        for chunk in bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                if char.is_control() && char != '\n' && char != '\t' {
                    write!(out, "{}", char.escape_default())?;
                } else {
                    write!(out, "{char}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A record as an object; `produce --format json` reads it.
fn object(record: &ConsumerRecord) -> Value {
    let headers = record.headers.iter();
    let headers = headers.map(|h| json!({"key": text(Some(&h.key)), "value": text(h.value.as_deref())}));
    json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestamp_type": match record.timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        },
        "key": text(record.key.as_deref()),
        "value": text(record.value.as_deref()),
        "headers": headers.collect::<Vec<_>>(),
    })
}

/// A string; null; or `{"base64": "..."}` for bytes that are no text.
fn text(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => Value::Null,
        Some(Ok(text)) => Value::String(text.to_owned()),
        Some(Err(bytes)) => json!({"base64": to_base64(bytes)}),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_client::consumer::RecordHeader;
    use proptest::prelude::*;

    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> ConsumerRecord {
        let header = |key, value: Option<&'static [u8]>| RecordHeader {
            key: Bytes::from_static(key),
            value: value.map(Bytes::from_static),
        };
        ConsumerRecord {
            topic: "t".into(),
            partition: 2,
            offset: 7,
            timestamp: 1_000,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: 0,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![header(b"a", Some(b"1")), header(b"b", None)],
        }
    }

    fn shown(format: &str, record: &ConsumerRecord, change: impl FnOnce(&mut Shown)) -> String {
        let mut shown = Shown {
            format: format.parse().unwrap(),
            separator: None,
            null: Vec::new(),
            escape: false,
        };
        change(&mut shown);
        let mut out = Vec::new();
        shown.write(record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn templates_name_fields() {
        let full = record(Some(b"k"), Some(b"v\xc3\xa9"));
        assert_eq!(
            shown(r"%t %p %o %T %d %K %V %k=%v [%h] 100%%\t%s\n", &full, |_| {}),
            "t 2 7 1000 1970-01-01T00:00:01.000Z 1 3 k=vé [a=1,b=NULL] 100%\tvé\n"
        );
        assert_eq!(shown(r"%%%%k%k\n", &full, |_| {}), "%%kk\n");
        let null = record(None, None);
        assert_eq!(
            shown("%k|%v|%K|%h", &null, |s| s.null = b"-".to_vec()),
            "-|-|-1|a=1,b=-"
        );
        for bad in ["%", "%x", "a%%%", "x", "", r"%k\q"] {
            assert!(bad.parse::<RecordFormat>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_by_default_and_keys_on_demand() {
        let record = record(Some(b"k"), Some(b"v"));
        assert_eq!(shown("value", &record, |_| {}), "v\n");
        assert_eq!(
            shown("value", &record, |s| s.separator = Some(b": ".to_vec())),
            "k: v\n"
        );
    }

    #[test]
    fn a_terminal_gets_no_orders() {
        let record = record(None, Some(b"\x1b[2Ja\tb\xff"));
        assert_eq!(
            shown("value", &record, |s| s.escape = true),
            "\\u{1b}[2Ja\tb\\xff\n"
        );
    }

    #[test]
    fn objects_tell_text_bytes_and_null_apart() {
        let text = shown("json", &record(Some(b"k"), None), |_| {});
        assert_eq!(
            text,
            "{\"headers\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":null}],\"key\":\"k\",\"offset\":7,\
             \"partition\":2,\"timestamp\":1000,\"timestamp_type\":\"CreateTime\",\"topic\":\"t\",\"value\":null}\n"
        );
        let binary = shown("json", &record(Some(b"\x00\xff"), Some(b"")), |_| {});
        assert!(
            binary.contains("\"key\":{\"base64\":\"AP8=\"}") && binary.contains("\"value\":\"\""),
            "{binary}"
        );
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "[%a-zA-Z\\\\]{0,20}") {
            let _ = text.parse::<RecordFormat>();
        }
    }
}
