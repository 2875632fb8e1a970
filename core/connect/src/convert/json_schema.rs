//! Schemas as JSON, in the order of members that Kafka's `JsonConverter` writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::json_read::{Reading, read_value};
use crate::data::{DataError, Field, Kind, Schema, Value};
use crate::json::Json;

/// Writes a default by its schema.
type WriteValue<'a> = &'a dyn Fn(&Schema, &Value) -> Result<Json, DataError>;

/// The JSON of a schema; `write_value` writes its default.
pub(super) fn write_schema(schema: &Schema, write_value: WriteValue<'_>) -> Result<Json, DataError> {
    let mut members: Vec<(String, Json)> = vec![("type".into(), Json::text(schema.kind.name()))];
    let mut put = |name: &str, value| members.push((name.into(), value));
    match &schema.kind {
        Kind::Array(element) => put("items", write_schema(element, write_value)?),
        Kind::Map(key, value) => {
            put("keys", write_schema(key, write_value)?);
            put("values", write_schema(value, write_value)?);
        }
        Kind::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let mut schema = write_schema(&field.schema, write_value)?;
                if let Json::Object(members) = &mut schema {
                    members.push(("field".into(), Json::text(field.name.as_str())));
                }
                Ok(schema)
            });
            put("fields", Json::Array(fields.collect::<Result<_, DataError>>()?));
        }
        _ => {}
    }
    put("optional", Json::Bool(schema.optional));
    if let Some(name) = &schema.name {
        put("name", Json::text(name.as_str()));
    }
    if let Some(version) = schema.version {
        put("version", Json::whole(version.into()));
    }
    if let Some(doc) = &schema.doc {
        put("doc", Json::text(doc.as_str()));
    }
    if !schema.parameters.is_empty() {
        let parameters = schema.parameters.iter();
        put(
            "parameters",
            Json::Object(
                parameters
                    .map(|(k, v)| (k.clone(), Json::text(v.as_str())))
                    .collect(),
            ),
        );
    }
    if let Some(default) = &schema.default {
        put("default", write_value(schema, default)?);
    }
    Ok(Json::Object(members))
}

/// The schema of JSON; `None` for null.
pub(super) fn read_schema(json: &Json, reading: &Reading) -> Result<Option<Arc<Schema>>, DataError> {
    if *json == Json::Null {
        return Ok(None);
    }
    let fail = |text: &str| DataError(text.to_owned());
    let kind = json
        .get("type")
        .and_then(Json::as_text)
        .ok_or_else(|| fail("Schema must contain 'type' field"))?;
    let part = |name: &str| {
        let part = json
            .get(name)
            .ok_or_else(|| DataError(format!("a {kind} schema must contain '{name}'")))?;
        read_schema(part, reading)?.ok_or_else(|| DataError(format!("'{name}' of a {kind} schema is null")))
    };
    let kind = match kind {
        "array" => Kind::Array(part("items")?),
        "map" => Kind::Map(part("keys")?, part("values")?),
        "struct" => Kind::Struct(read_fields(json, reading)?),
        name => Kind::primitive(name).ok_or_else(|| DataError(format!("Unknown schema type: {name}")))?,
    };
    let mut schema = Schema::new(kind);
    schema.optional = match json.get("optional") {
        None => false,
        Some(Json::Bool(optional)) => *optional,
        Some(_) => return Err(fail("Invalid schema optional: expected boolean")),
    };
    schema.name = text_of(json, "name")?;
    schema.doc = text_of(json, "doc")?;
    schema.version = match json.get("version") {
        None => None,
        Some(version) => {
            let version = version.as_i64().and_then(|v| i32::try_from(v).ok());
            Some(version.ok_or_else(|| fail("Invalid schema version: expected int32"))?)
        }
    };
    schema.parameters = match json.get("parameters") {
        None => Vec::new(),
        Some(Json::Object(members)) => {
            let members = members.iter().map(|(name, value)| match value {
                Json::Text(value) => Ok((name.clone(), value.clone())),
                _ => Err(fail("Invalid schema parameters: expected string values")),
            });
            members.collect::<Result<_, _>>()?
        }
        Some(_) => return Err(fail("Invalid schema parameters: expected an object")),
    };
    if let Some(default) = json.get("default") {
        let value = read_value(Some(&Arc::new(schema.clone())), default, reading)?;
        schema.default = Some(value).filter(|value| !value.is_null());
    }
    Ok(Some(Arc::new(schema)))
}

fn text_of(json: &Json, name: &str) -> Result<Option<String>, DataError> {
    match json.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(DataError(format!("Invalid schema {name}: expected string"))),
    }
}

fn read_fields(json: &Json, reading: &Reading) -> Result<Vec<Field>, DataError> {
    let Some(Json::Array(list)) = json.get("fields") else {
        return Err(DataError(
            "Struct schema's \"fields\" argument is not an array.".into(),
        ));
    };
    let mut fields: Vec<Field> = Vec::new();
    let mut names = BTreeSet::new();
    for item in list {
        let name = item
            .get("field")
            .and_then(Json::as_text)
            .ok_or_else(|| DataError("Struct schema's field name not specified properly".into()))?;
        let schema = read_schema(item, reading)?
            .ok_or_else(|| DataError(format!("the schema of field {name} is null")))?;
        if !names.insert(name) {
            return Err(DataError(format!(
                "Cannot create field because of field name duplication {name}"
            )));
        }
        fields.push(Field {
            name: name.to_owned(),
            schema,
        });
    }
    Ok(fields)
}
