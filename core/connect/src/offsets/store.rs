//! Where offsets are kept, whatever it is: the worker's file today, a compacted topic for workers in a group. Keys and values have
//! Kafka's form: `["connector",{"filename":"test.txt"}]` and `{"position":12}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_io::BoxFuture;

use crate::connector::{ConnectError, Result};
use crate::convert::JsonConverter;
use crate::data::Value;
use crate::json::{Json, parse};
use crate::source::SourceMap;

/// A connector's source partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    /// The connector's name.
    pub connector: String,
    /// Its source partition as JSON, names sorted.
    pub partition: String,
}

impl OffsetKey {
    /// The key's bytes in Kafka's form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::from("[");
        Json::text(self.connector.as_str()).write(&mut out);
        out.push(',');
        out.push_str(&self.partition);
        out.push(']');
        out.into_bytes()
    }

    /// Reads a key of Kafka's form, whatever the order of its names; `None` if it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Json::Array(parts) = parse(bytes).ok()? else {
            return None;
        };
        let [Json::Text(connector), partition @ Json::Object(_)] = parts.as_slice() else {
            return None;
        };
        let partition = source_map(partition)?;
        Some(OffsetKey {
            connector: connector.clone(),
            partition: offset_json(&partition).ok()?,
        })
    }
}

/// The key of a connector's source partition.
pub fn partition_key(connector: &str, partition: &SourceMap) -> Result<OffsetKey> {
    Ok(OffsetKey {
        connector: connector.to_owned(),
        partition: offset_json(partition)?,
    })
}

/// A source partition or offset as JSON.
pub fn offset_json(map: &SourceMap) -> Result<String> {
    let entries = map
        .iter()
        .map(|(k, v)| (Value::String(k.clone()), v.clone()))
        .collect();
    let json = JsonConverter::plain().write(None, &Value::Map(entries));
    json.map(|json| json.to_string())
        .map_err(|e| ConnectError::Fatal(format!("a source partition or offset is not simple: {e}")))
}

/// Reads what [`offset_json`] wrote.
fn source_map(json: &Json) -> Option<SourceMap> {
    let Value::Map(entries) = JsonConverter::plain().read(None, json).ok()? else {
        return None;
    };
    let entries = entries.into_iter().map(|(k, v)| match k {
        Value::String(name) => Some((name, v)),
        _ => None,
    });
    entries.collect()
}

/// Keeps offsets.
pub trait OffsetStore: Send + Sync {
    /// The value of a key; `None` if there is none.
    fn get<'a>(&'a self, key: &'a OffsetKey) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;
    /// Sets values, all or none, and returns once they will survive. `None` forgets the key.
    fn set<'a>(&'a self, values: BTreeMap<Arc<OffsetKey>, Option<Vec<u8>>>) -> BoxFuture<'a, Result<()>>;
}

/// Reads the offsets of one connector.
#[derive(Clone)]
pub struct OffsetReader {
    store: Arc<dyn OffsetStore>,
    connector: String,
}

impl OffsetReader {
    /// A reader for this connector.
    pub fn new(store: Arc<dyn OffsetStore>, connector: &str) -> Self {
        OffsetReader {
            store,
            connector: connector.to_owned(),
        }
    }

    /// The committed offset of a source partition; `None` if there is none.
    pub async fn offset(&self, partition: &SourceMap) -> Result<Option<SourceMap>> {
        let key = partition_key(&self.connector, partition)?;
        let Some(bytes) = self.store.get(&key).await? else {
            return Ok(None);
        };
        let map = parse(&bytes).ok().filter(|json| *json != Json::Null);
        match map.as_ref().map(source_map) {
            None if bytes == b"null" => Ok(None),
            Some(Some(map)) => Ok(Some(map)),
            _ => Err(ConnectError::Fatal(format!(
                "the stored offset of {} is not understood ({}): remove it from the offset storage",
                key.partition,
                String::from_utf8_lossy(&bytes)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_offsets_have_kafkas_form() {
        let partition = SourceMap::from([("filename".to_owned(), Value::String("test.txt".into()))]);
        let key = partition_key("local-file-source", &partition).unwrap();
        assert_eq!(
            key.to_bytes(),
            br#"["local-file-source",{"filename":"test.txt"}]"#
        );
        assert_eq!(OffsetKey::from_bytes(&key.to_bytes()), Some(key));
        let offset = SourceMap::from([("position".to_owned(), Value::Int64(12))]);
        assert_eq!(offset_json(&offset).unwrap(), r#"{"position":12}"#);
        let swapped = OffsetKey::from_bytes(br#"["a",{"z":1,"b":"x"}]"#).unwrap();
        assert_eq!(swapped.partition, r#"{"b":"x","z":1}"#);
        for bad in ["", "[]", r#"["a"]"#, r#"{"a":1}"#, r#"[1,{}]"#, r#"["a",[]]"#] {
            assert_eq!(OffsetKey::from_bytes(bad.as_bytes()), None, "{bad}");
        }
    }
}
