//! `JsonConverter`: data as JSON, by default in an envelope `{"schema":...,"payload":...}` that says what it is, byte for byte as
//! Kafka's. Schemas themselves are read and written in `json_schema`.
//!
//! Where Kafka's takes a value of another kind than its schema says for zero, false or null (a text where a number is due), this
//! one refuses it.

use std::sync::Arc;

use bytes::Bytes;

use super::json_read::{Reading, read_value, scale_of};
use super::json_schema::{read_schema, write_schema};
use super::{Converter, base64};
use crate::config::{Check, ConfigDef, Default, Importance, Key, Props, Type};
use crate::data::{
    DATE, DAY, DECIMAL, DataError, Kind, Schema, SchemaAndValue, TIME, TIMESTAMP, Value, java,
};
use crate::json::{Json, parse};

/// The converter.
pub struct JsonConverter {
    schemas: bool,
    numeric_decimals: bool,
    replace_null: bool,
    /// `schema.content`: the schema of all messages, which then carry none.
    content: Option<Option<Arc<Schema>>>,
}

impl JsonConverter {
    /// Its settings.
    pub fn config() -> ConfigDef {
        let key = |name, kind, default, check, importance, doc| Key {
            name,
            kind,
            default: Default::Value(default),
            check,
            importance,
            doc,
        };
        ConfigDef::new(vec![
            key(
                "schemas.enable",
                Type::Boolean,
                "true",
                Check::Any,
                Importance::High,
                "Whether each message carries its schema.",
            ),
            key(
                "schemas.cache.size",
                Type::Int,
                "1000",
                Check::AtLeast(0),
                Importance::High,
                "Accepted for compatibility; schemas are not cached.",
            ),
            key(
                "decimal.format",
                Type::String,
                "BASE64",
                Check::OneOf(&["BASE64", "NUMERIC"]),
                Importance::Low,
                "How decimals are written: their bytes in Base64, or numbers.",
            ),
            key(
                "replace.null.with.default",
                Type::Boolean,
                "true",
                Check::Any,
                Importance::Low,
                "Whether a null field that has a default is written as that.",
            ),
            key(
                "schema.content",
                Type::String,
                "",
                Check::Any,
                Importance::High,
                "A schema for all messages, which then carry none (with schemas.enable, for sinks).",
            ),
        ])
    }

    /// A converter with these settings.
    pub fn new(props: &Props) -> Result<Self, String> {
        let config = Self::config().parse(props).map_err(|e| e.join("; "))?;
        let content = match config.text("schema.content") {
            "" => None,
            text => {
                let json = parse(text.as_bytes()).map_err(|e| format!("schema.content: {e}"))?;
                Some(
                    read_schema(&json, &Reading::new(config.is("replace.null.with.default")))
                        .map_err(|e| format!("schema.content: {e}"))?,
                )
            }
        };
        Ok(JsonConverter {
            schemas: config.is("schemas.enable"),
            numeric_decimals: config.text("decimal.format").eq_ignore_ascii_case("NUMERIC"),
            replace_null: config.is("replace.null.with.default"),
            content,
        })
    }

    /// A converter without envelopes, as offsets are kept.
    pub fn plain() -> Self {
        JsonConverter {
            schemas: false,
            numeric_decimals: false,
            replace_null: true,
            content: None,
        }
    }

    /// The JSON of a value.
    pub fn write(&self, schema: Option<&Schema>, value: &Value) -> Result<Json, DataError> {
        if value.is_null() {
            return match schema {
                None => Ok(Json::Null),
                Some(schema) => match &schema.default {
                    Some(default) if self.replace_null => self.write(Some(schema), default),
                    _ if schema.optional => Ok(Json::Null),
                    _ => Err(DataError(
                        "Conversion error: null value for field that is required and has no default value"
                            .into(),
                    )),
                },
            };
        }
        if let Some(logical) = schema.and_then(Schema::logical) {
            return self.write_logical(logical, schema, value);
        }
        let wrong = |schema: &Schema| {
            let (kind, found) = (schema.kind.name(), value.type_name());
            DataError(format!("Invalid type for {kind}: {found}"))
        };
        match (schema.map(|s| &s.kind), value) {
            (None | Some(Kind::Boolean), Value::Boolean(v)) => Ok(Json::Bool(*v)),
            (None | Some(Kind::Int8), Value::Int8(v)) => Ok(Json::whole((*v).into())),
            (None | Some(Kind::Int16), Value::Int16(v)) => Ok(Json::whole((*v).into())),
            (None | Some(Kind::Int32), Value::Int32(v)) => Ok(Json::whole((*v).into())),
            (None | Some(Kind::Int64), Value::Int64(v)) => Ok(Json::whole(*v)),
            (None | Some(Kind::Float32), Value::Float32(v)) => Ok(number(java::float(*v), v.is_finite())),
            (None | Some(Kind::Float64), Value::Float64(v)) => Ok(number(java::double(*v), v.is_finite())),
            (None | Some(Kind::String), Value::String(v)) => Ok(Json::text(v.as_str())),
            (None | Some(Kind::Bytes), Value::Bytes(v)) => Ok(Json::Text(base64::encode(v))),
            (None, Value::Array(items)) => self.write_items(None, items),
            (Some(Kind::Array(element)), Value::Array(items)) => self.write_items(Some(element), items),
            (None, Value::Map(entries)) => self.write_map(None, entries),
            (Some(Kind::Map(key, value)), Value::Map(entries)) => self.write_map(Some((key, value)), entries),
            (_, Value::Struct(found)) if schema.is_none_or(|s| *s == **found.schema()) => {
                let fields = found.fields();
                let fields = fields.map(|(f, v)| Ok((f.name.clone(), self.write(Some(&f.schema), v)?)));
                Ok(Json::Object(fields.collect::<Result<_, DataError>>()?))
            }
            (Some(_), Value::Struct(_)) => Err(DataError("Mismatching schema.".into())),
            (Some(_), _) => schema.map_or(Ok(Json::Null), |schema| Err(wrong(schema))),
            (None, other) => Err(DataError(format!(
                "a {} needs a schema that names its logical type",
                other.type_name()
            ))),
        }
    }

    fn write_items(&self, schema: Option<&Arc<Schema>>, items: &[Value]) -> Result<Json, DataError> {
        let items = items.iter().map(|item| self.write(schema.map(|s| &**s), item));
        Ok(Json::Array(items.collect::<Result<_, _>>()?))
    }

    /// An object if all keys are texts, else pairs.
    fn write_map(
        &self,
        schema: Option<(&Arc<Schema>, &Arc<Schema>)>,
        entries: &[(Value, Value)],
    ) -> Result<Json, DataError> {
        let (key_schema, value_schema) = schema.map_or((None, None), |(k, v)| (Some(&**k), Some(&**v)));
        let as_object = match key_schema {
            Some(schema) => schema.kind == Kind::String,
            None => entries.iter().all(|(key, _)| matches!(key, Value::String(_))),
        };
        if as_object {
            let members = entries.iter().map(|(key, value)| match key {
                Value::String(key) => Ok((key.clone(), self.write(value_schema, value)?)),
                other => Err(DataError(format!(
                    "Invalid type for string: {}",
                    other.type_name()
                ))),
            });
            return Ok(Json::Object(members.collect::<Result<_, DataError>>()?));
        }
        let pairs = entries.iter().map(|(key, value)| {
            let pair = vec![self.write(key_schema, key)?, self.write(value_schema, value)?];
            Ok(Json::Array(pair))
        });
        Ok(Json::Array(pairs.collect::<Result<_, DataError>>()?))
    }

    fn write_logical(
        &self,
        logical: &str,
        schema: Option<&Schema>,
        value: &Value,
    ) -> Result<Json, DataError> {
        match (logical, value) {
            (DECIMAL, Value::Decimal(decimal)) => {
                let scale = schema.map_or(Ok(0), scale_of)?;
                if decimal.scale() != scale {
                    return Err(DataError(
                        "Decimal value has mismatching scale for given Decimal schema".into(),
                    ));
                }
                match self.numeric_decimals {
                    true => Ok(Json::Number(decimal.to_string())),
                    false => Ok(Json::Text(base64::encode(decimal.unscaled()))),
                }
            }
            (DATE, Value::Date(millis)) if millis.rem_euclid(DAY) == 0 => {
                Ok(Json::whole(millis.div_euclid(DAY)))
            }
            (DATE, Value::Date(_)) => Err(DataError(
                "Kafka Connect Date type should not have any time fields set to non-zero values.".into(),
            )),
            (TIME, Value::Date(millis)) if (0..DAY).contains(millis) => Ok(Json::whole(*millis)),
            (TIME, Value::Date(_)) => Err(DataError(
                "Kafka Connect Time type should not have any date fields set to non-zero values.".into(),
            )),
            (TIMESTAMP, Value::Date(millis)) => Ok(Json::whole(*millis)),
            (_, other) => Err(DataError(format!(
                "Invalid type for {logical}: {}",
                other.type_name()
            ))),
        }
    }

    /// The value of JSON.
    pub fn read(&self, schema: Option<&Arc<Schema>>, json: &Json) -> Result<Value, DataError> {
        read_value(schema, json, &Reading::new(self.replace_null))
    }
}

impl Converter for JsonConverter {
    fn encode(&self, _: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError> {
        if data.schema.is_none() && data.value.is_null() {
            return Ok(None);
        }
        let payload = self.write(data.schema.as_deref(), &data.value)?;
        let json = match self.schemas {
            true => {
                let schema = match &data.schema {
                    Some(schema) => write_schema(schema, &|s, v| self.write(Some(s), v))?,
                    None => Json::Null,
                };
                Json::Object(vec![("schema".into(), schema), ("payload".into(), payload)])
            }
            false => payload,
        };
        Ok(Some(json.to_vec().into()))
    }

    fn decode(&self, _: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue, DataError> {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty() || !self.schemas) else {
            return Ok(SchemaAndValue::NULL);
        };
        let json = match bytes.is_empty() {
            true => Json::Null,
            false => parse(bytes).map_err(|e| {
                DataError(format!(
                    "Converting byte[] to Kafka Connect data failed due to serialization error: {e}"
                ))
            })?,
        };
        if !self.schemas {
            return Ok(SchemaAndValue::schemaless(self.read(None, &json)?));
        }
        if let Some(schema) = &self.content {
            let value = self.read(schema.as_ref(), &json)?;
            return Ok(SchemaAndValue {
                schema: schema.clone(),
                value,
            });
        }
        let (schema, payload) = match (&json, json.get("schema"), json.get("payload")) {
            (Json::Object(members), Some(schema), Some(payload)) if members.len() == 2 => (schema, payload),
            _ => {
                return Err(DataError(
                    "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not contain \
                     additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in \
                     your converter configuration."
                        .into(),
                ));
            }
        };
        let schema = read_schema(schema, &Reading::new(self.replace_null))?;
        let value = self.read(schema.as_ref(), payload)?;
        Ok(SchemaAndValue { schema, value })
    }
}

/// JSON has no words for what is not finite; Jackson writes them as texts.
fn number(text: String, finite: bool) -> Json {
    if finite {
        Json::Number(text)
    } else {
        Json::Text(text)
    }
}
