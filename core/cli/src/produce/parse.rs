//! A line into a record.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::values::{from_base64, time};

/// A header: name, and value unless it is null.
pub type Header = (Bytes, Option<Bytes>);

/// A record that came from a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers, if the line has its own.
    pub headers: Option<Vec<Header>>,
    /// The timestamp, if the line has one.
    pub timestamp: Option<i64>,
    /// The partition, if the line names one.
    pub partition: Option<i32>,
}

/// How lines are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A line is a value, behind a key if there is a separator.
    Plain {
        /// Between key and value.
        separator: Option<Vec<u8>>,
        /// A key or value that is this is null.
        null: Option<Vec<u8>>,
    },
    /// A line is a JSON object.
    Json,
}

impl Rule {
    /// The record of a line; `None` for a line that has none.
    pub fn parse(&self, line: &Bytes) -> Result<Option<Parsed>, String> {
        match self {
            Rule::Plain { separator, null } => plain(line, separator.as_deref(), null.as_deref()).map(Some),
            Rule::Json if line.trim_ascii().is_empty() => Ok(None),
            Rule::Json => json(line).map(Some),
        }
    }
}

fn plain(line: &Bytes, separator: Option<&[u8]>, null: Option<&[u8]>) -> Result<Parsed, String> {
    let nullable = |bytes: Bytes| Some(bytes).filter(|b| null != Some(&b[..]));
    let Some(separator) = separator else {
        return Ok(Parsed {
            value: nullable(line.clone()),
            ..Parsed::default()
        });
    };
    let found = line
        .windows(separator.len())
        .position(|window| window == separator);
    let at = found.ok_or_else(|| {
        let separator = String::from_utf8_lossy(separator);
        format!(
            "it has no key separator `{}`; write KEY{0}VALUE, or leave --key-separator away",
            separator.escape_debug()
        )
    })?;
    Ok(Parsed {
        key: nullable(line.slice(..at)),
        value: nullable(line.slice(at + separator.len()..)),
        ..Parsed::default()
    })
}

fn json(line: &[u8]) -> Result<Parsed, String> {
    let value: Value = serde_json::from_slice(line).map_err(|e| format!("it is no JSON: {e}"))?;
    let Value::Object(object) = value else {
        return Err("it is no JSON object; write {\"key\": ..., \"value\": ...}".to_owned());
    };
    let mut parsed = Parsed::default();
    let mut has_value = false;
    for (name, value) in &object {
        let named = |e: String| format!("\"{name}\": {e}");
        match name.as_str() {
            "key" => parsed.key = bytes(value).map_err(named)?,
            "value" => (parsed.value, has_value) = (bytes(value).map_err(named)?, true),
            "headers" => parsed.headers = headers(value).map_err(named)?,
            "timestamp" => parsed.timestamp = timestamp(value).map_err(named)?,
            "partition" => parsed.partition = partition(value).map_err(named)?,
            // What `consume` prints besides: a record goes to the topic of the command line, and gets an offset there.
            "topic" | "offset" | "timestamp_type" | "leader_epoch" => {}
            _ => {
                return Err(format!(
                    "`{name}` is no field of a record; there are key, value, headers, timestamp and partition"
                ));
            }
        }
    }
    if !has_value {
        return Err("it has no \"value\"; write \"value\": null for a tombstone".to_owned());
    }
    Ok(parsed)
}

/// A string; null; or `{"base64": "..."}` for bytes that are no text.
fn bytes(value: &Value) -> Result<Option<Bytes>, String> {
    let wrong = || "it must be a string, null or {\"base64\": \"...\"}".to_owned();
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Value::Object(object) if object.len() == 1 => {
            let text = object.get("base64").and_then(Value::as_str).ok_or_else(wrong)?;
            let bytes = from_base64(text).ok_or("this is no base64")?;
            Ok(Some(bytes.into()))
        }
        _ => Err(wrong()),
    }
}

/// `[{"key": ..., "value": ...}, ...]`, or `{"name": value, ...}`.
fn headers(value: &Value) -> Result<Option<Vec<Header>>, String> {
    let wrong = || "it must be [{\"key\": ..., \"value\": ...}, ...] or {\"name\": ..., ...}".to_owned();
    match value {
        Value::Null => Ok(None),
        Value::Object(object) => {
            let one = |(name, value): (&String, &Value)| Ok((Bytes::from(name.clone()), bytes(value)?));
            object.iter().map(one).collect::<Result<_, String>>().map(Some)
        }
        Value::Array(list) => {
            let one = |header: &Value| header.as_object().ok_or_else(wrong).and_then(header_of);
            list.iter().map(one).collect::<Result<_, String>>().map(Some)
        }
        _ => Err(wrong()),
    }
}

fn header_of(object: &Map<String, Value>) -> Result<Header, String> {
    let known = |name: &String| name == "key" || name == "value";
    if let Some(other) = object.keys().find(|name| !known(name)) {
        return Err(format!("a header has key and value, not `{other}`"));
    }
    let key = object.get("key").map(bytes).transpose()?.flatten();
    let value = object.get("value").map(bytes).transpose()?.flatten();
    Ok((key.ok_or("a header has no key")?, value))
}

fn timestamp(value: &Value) -> Result<Option<i64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => time(text).map(Some),
        // Kafka's number for "no timestamp".
        Value::Number(number) if number.as_i64() == Some(-1) => Ok(None),
        value => {
            let millis = value.as_i64().filter(|at| *at >= 0);
            millis
                .map(Some)
                .ok_or_else(|| "it must be milliseconds since 1970, or a time as text".to_owned())
        }
    }
}

fn partition(value: &Value) -> Result<Option<i32>, String> {
    let number = value
        .as_i64()
        .and_then(|n| i32::try_from(n).ok())
        .filter(|n| *n >= 0);
    match number {
        None if !value.is_null() => Err("it must be a partition's number".to_owned()),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(
        line: &'static str,
        separator: Option<&str>,
        null: Option<&str>,
    ) -> Result<Option<Parsed>, String> {
        let owned = |text: Option<&str>| text.map(|t| t.as_bytes().to_vec());
        let rule = Rule::Plain {
            separator: owned(separator),
            null: owned(null),
        };
        rule.parse(&Bytes::from_static(line.as_bytes()))
    }

    fn pair(key: Option<&'static str>, value: Option<&'static str>) -> Parsed {
        Parsed {
            key: key.map(Bytes::from),
            value: value.map(Bytes::from),
            ..Parsed::default()
        }
    }

    #[test]
    fn plain_lines() {
        assert_eq!(plain("a:b", None, None), Ok(Some(pair(None, Some("a:b")))));
        assert_eq!(
            plain("a:b:c", Some(":"), None),
            Ok(Some(pair(Some("a"), Some("b:c"))))
        );
        assert_eq!(
            plain("=>v", Some("=>"), None),
            Ok(Some(pair(Some(""), Some("v"))))
        );
        assert_eq!(
            plain("NULL:NULL", Some(":"), Some("NULL")),
            Ok(Some(pair(None, None)))
        );
        assert_eq!(plain("", None, None), Ok(Some(pair(None, Some("")))));
        let error = plain("ab", Some("\t"), None).unwrap_err();
        assert!(error.contains(r"no key separator `\t`"), "{error}");
    }

    fn object(line: &'static str) -> Result<Option<Parsed>, String> {
        Rule::Json.parse(&Bytes::from_static(line.as_bytes()))
    }

    #[test]
    fn json_lines() {
        let full = object(
            r#"{"key":"k","value":{"base64":"AP8="},"headers":[{"key":"a","value":"1"},{"key":"a"}],"timestamp":"1970-01-02",
                "partition":3,"topic":"other","offset":7}"#,
        );
        let expected = Parsed {
            key: Some("k".into()),
            value: Some(Bytes::from_static(&[0, 255])),
            headers: Some(vec![("a".into(), Some("1".into())), ("a".into(), None)]),
            timestamp: Some(86_400_000),
            partition: Some(3),
        };
        assert_eq!(full, Ok(Some(expected)));
        assert_eq!(object(r#"{"value":null}"#), Ok(Some(Parsed::default())));
        assert_eq!(object("  "), Ok(None));
        let map = object(r#"{"value":"","headers":{"a":null},"timestamp":-1}"#)
            .unwrap()
            .unwrap();
        assert_eq!(
            (map.headers, map.timestamp),
            (Some(vec![("a".into(), None)]), None)
        );
    }

    #[test]
    fn what_is_wrong_with_a_json_line_is_named() {
        for (line, words) in [
            ("{", "no JSON"),
            ("[]", "no JSON object"),
            ("{}", "no \"value\""),
            (r#"{"value":1}"#, "\"value\": it must be a string"),
            (r#"{"value":{"base64":"?"}}"#, "\"value\": this is no base64"),
            (r#"{"value":"","vaule":""}"#, "`vaule`"),
            (
                r#"{"value":"","headers":[{"value":"x"}]}"#,
                "\"headers\": a header has no key",
            ),
            (r#"{"value":"","headers":[{"k":"x"}]}"#, "not `k`"),
            (r#"{"value":"","timestamp":-5}"#, "\"timestamp\""),
            (r#"{"value":"","partition":-1}"#, "\"partition\""),
            (r#"{"value":"","partition":4294967296}"#, "\"partition\""),
        ] {
            let error = object(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,a-z0-9]{0,40}") {
            for line in [Bytes::from(line), Bytes::from(text)] {
                let _ = Rule::Json.parse(&line);
                let rule = Rule::Plain { separator: Some(b"aa".to_vec()), null: None };
                let _ = rule.parse(&line);
            }
        }
    }
}
