//! Values from JSON, by a schema or by what they look like.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::base64;
use crate::data::{DATE, DAY, DECIMAL, DataError, Decimal, Kind, Schema, Struct, TIMESTAMP, Value};
use crate::json::Json;

/// How many bytes the defaults may add that stand for nulls: a schema with a long default and a list of nulls would make gigabytes of
/// a small message.
const MOST_DEFAULTS: usize = 64 << 20;

/// One message on its way from JSON.
pub(super) struct Reading {
    /// Whether a null that has a default becomes that.
    replace_null: bool,
    left: Cell<usize>,
}

impl Reading {
    pub(super) fn new(replace_null: bool) -> Self {
        Reading {
            replace_null,
            left: Cell::new(MOST_DEFAULTS),
        }
    }

    fn default(&self, value: &Value) -> Result<Value, DataError> {
        let left = self.left.get().checked_sub(value.weight());
        let left =
            left.ok_or_else(|| DataError("the defaults of its schema make the message too large".into()))?;
        self.left.set(left);
        Ok(value.clone())
    }
}

/// The scale of a decimal's schema.
pub(super) fn scale_of(schema: &Schema) -> Result<i32, DataError> {
    let scale = schema
        .parameter("scale")
        .ok_or_else(|| DataError("Invalid Decimal schema: scale parameter not found.".into()))?;
    scale
        .parse()
        .map_err(|_| DataError("Invalid scale parameter found in Decimal schema: ".to_owned() + scale))
}

/// The value of JSON, by its schema or by what it looks like.
pub(super) fn read_value(
    schema: Option<&Arc<Schema>>,
    json: &Json,
    reading: &Reading,
) -> Result<Value, DataError> {
    let Some(schema) = schema else {
        return infer(json);
    };
    if *json == Json::Null {
        return match &schema.default {
            Some(default) if reading.replace_null => reading.default(default),
            _ if schema.optional => Ok(Value::Null),
            _ => Err(DataError(format!(
                "Invalid null value for required {} field",
                schema.kind.name().to_uppercase()
            ))),
        };
    }
    if let Some(logical) = schema.logical() {
        return read_logical(logical, schema, json);
    }
    read_plain(schema, json, reading)
}

fn read_plain(schema: &Arc<Schema>, json: &Json, reading: &Reading) -> Result<Value, DataError> {
    let wrong = || {
        let (kind, found) = (schema.kind.name(), json.kind());
        DataError(format!("a {kind} can't be a JSON {found} ({})", shortened(json)))
    };
    let whole = || json.as_i64().ok_or_else(wrong);
    match &schema.kind {
        Kind::Boolean => match json {
            Json::Bool(v) => Ok(Value::Boolean(*v)),
            _ => Err(wrong()),
        },
        Kind::Int8 => i8::try_from(whole()?).map(Value::Int8).map_err(|_| wrong()),
        Kind::Int16 => i16::try_from(whole()?).map(Value::Int16).map_err(|_| wrong()),
        Kind::Int32 => i32::try_from(whole()?).map(Value::Int32).map_err(|_| wrong()),
        Kind::Int64 => Ok(Value::Int64(whole()?)),
        Kind::Float32 => float(json).map(Value::Float32).ok_or_else(wrong),
        Kind::Float64 => float(json).map(Value::Float64).ok_or_else(wrong),
        Kind::String => json.as_text().map(|t| Value::String(t.into())).ok_or_else(wrong),
        Kind::Bytes => {
            let bytes = json.as_text().and_then(base64::decode).ok_or_else(wrong)?;
            Ok(Value::Bytes(bytes.into()))
        }
        Kind::Array(element) => match json {
            Json::Array(items) => {
                let items = items.iter().map(|item| read_value(Some(element), item, reading));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            _ => Err(wrong()),
        },
        Kind::Map(key, value) => read_map(key, value, json, reading),
        Kind::Struct(fields) => {
            if !matches!(json, Json::Object(_)) {
                let found = json.kind();
                return Err(DataError(format!(
                    "Structs should be encoded as JSON objects, but found {found}"
                )));
            }
            let members = by_name(json);
            let values = fields.iter().map(|field| {
                let found = members.get(field.name.as_str()).copied().unwrap_or(&Json::Null);
                let value = read_value(Some(&field.schema), found, reading);
                value.map_err(|e| DataError(format!("field {}: {e}", field.name)))
            });
            let values = values.collect::<Result<_, _>>()?;
            Ok(Value::Struct(Struct::of(schema.clone(), values)?))
        }
    }
}

/// The members of an object. A search for each field would take time by the square of their number.
fn by_name(json: &Json) -> BTreeMap<&str, &Json> {
    match json {
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn read_map(
    key: &Arc<Schema>,
    value: &Arc<Schema>,
    json: &Json,
    reading: &Reading,
) -> Result<Value, DataError> {
    let mut entries = Vec::new();
    if key.kind == Kind::String {
        let Json::Object(members) = json else {
            let found = json.kind();
            return Err(DataError(format!(
                "Maps with string fields should be encoded as JSON objects, but found {found}"
            )));
        };
        for (name, member) in members {
            entries.push((
                Value::String(name.clone()),
                read_value(Some(value), member, reading)?,
            ));
        }
    } else {
        let Json::Array(pairs) = json else {
            let found = json.kind();
            return Err(DataError(format!(
                "Maps with non-string fields should be encoded as JSON array of tuples, but found {found}"
            )));
        };
        // Of a key that comes again the last value counts.
        let mut places = BTreeMap::new();
        for pair in pairs {
            let Json::Array(pair) = pair else {
                return Err(DataError(format!(
                    "Found invalid map entry instead of array tuple: {}",
                    pair.kind()
                )));
            };
            let [k, v] = pair.as_slice() else {
                return Err(DataError(format!(
                    "Found invalid map entry, expected length 2 but found :{}",
                    pair.len()
                )));
            };
            let entry = (
                read_value(Some(key), k, reading)?,
                read_value(Some(value), v, reading)?,
            );
            match places.insert(k.to_string(), entries.len()) {
                Some(at) => {
                    places.insert(k.to_string(), at);
                    if let Some(before) = entries.get_mut(at) {
                        *before = entry;
                    }
                }
                None => entries.push(entry),
            }
        }
    }
    Ok(Value::Map(entries))
}

fn read_logical(logical: &str, schema: &Schema, json: &Json) -> Result<Value, DataError> {
    let wrong = || {
        DataError(format!(
            "{logical} can't be a JSON {} ({})",
            json.kind(),
            shortened(json)
        ))
    };
    match logical {
        DECIMAL => {
            let scale = scale_of(schema)?;
            let decimal = match json {
                Json::Text(text) => {
                    base64::decode(text).and_then(|bytes| Decimal::from_bytes(&bytes, scale).ok())
                }
                Json::Number(text) => Decimal::parse(text).ok().filter(|d| d.scale() == scale),
                _ => None,
            };
            decimal.map(Value::Decimal).ok_or_else(wrong)
        }
        TIMESTAMP => json.as_i64().map(Value::Date).ok_or_else(wrong),
        _ => {
            let number = json
                .as_i64()
                .filter(|n| i32::try_from(*n).is_ok())
                .ok_or_else(wrong)?;
            match logical {
                DATE => Ok(Value::Date(number * DAY)),
                _ if (0..DAY).contains(&number) => Ok(Value::Date(number)),
                _ => Err(DataError(
                    "Time values must use number of milliseconds greater than 0 and less than 86400000"
                        .into(),
                )),
            }
        }
    }
}

/// What a value without schema is.
fn infer(json: &Json) -> Result<Value, DataError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(v) => Value::Boolean(*v),
        Json::Number(text) => match text.parse() {
            Ok(whole) => Value::Int64(whole),
            Err(_) => float(json)
                .map(Value::Float64)
                .ok_or_else(|| DataError(format!("{text} is no number")))?,
        },
        Json::Text(text) => Value::String(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(infer);
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(members) => {
            let entries = members
                .iter()
                .map(|(name, value)| Ok((Value::String(name.clone()), infer(value)?)));
            Value::Map(entries.collect::<Result<_, DataError>>()?)
        }
    })
}

/// Jackson reads numbers as `BigDecimal`, which has no negative zero.
fn float<T: std::str::FromStr + std::ops::Add<Output = T> + From<i8>>(json: &Json) -> Option<T> {
    match json {
        Json::Number(text) => text.parse().ok().map(|number: T| number + T::from(0)),
        Json::Text(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => text.parse().ok(),
        _ => None,
    }
}

/// The JSON itself, for a message; its beginning if it is long.
fn shortened(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
