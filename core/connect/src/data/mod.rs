//! Connect's data: what connectors, transforms and converters hand each other. A [`Value`] says what it is by itself; a [`Schema`]
//! says what it must be, and carries names, versions and defaults. Kafka: `org.apache.kafka.connect.data`.
//!
//! `value`: values and structs; `decimal`: arbitrary precision; `java`: how Java prints them.

mod decimal;
pub(crate) mod java;
mod value;

use std::fmt;
use std::sync::Arc;

pub use decimal::{Decimal, InvalidDecimal};
pub use value::{Struct, Value};

/// `Decimal`'s schema name: a [`Value::Decimal`] in a schema of bytes, its scale in the parameter `scale`.
pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
/// `Date`'s schema name: a [`Value::Date`] at midnight in a schema of int32, days since 1970.
pub const DATE: &str = "org.apache.kafka.connect.data.Date";
/// `Time`'s schema name: a [`Value::Date`] of 1 January 1970 in a schema of int32, milliseconds since midnight.
pub const TIME: &str = "org.apache.kafka.connect.data.Time";
/// `Timestamp`'s schema name: a [`Value::Date`] in a schema of int64, milliseconds since 1970.
pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// What kind of values a schema describes, with what they are made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// 8 bits, signed.
    Int8,
    /// 16 bits, signed.
    Int16,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// Single precision.
    Float32,
    /// Double precision.
    Float64,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Elements of one schema.
    Array(Arc<Schema>),
    /// Keys of one schema, values of another.
    Map(Arc<Schema>, Arc<Schema>),
    /// Named fields, in order.
    Struct(Vec<Field>),
}

impl Kind {
    /// The name in JSON schemas; messages use it in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(_) => "array",
            Kind::Map(..) => "map",
            Kind::Struct(_) => "struct",
        }
    }

    /// The kind without parts that has this name in JSON schemas.
    pub fn primitive(name: &str) -> Option<Kind> {
        use Kind::*;
        [
            Boolean, Int8, Int16, Int32, Int64, Float32, Float64, String, Bytes,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name, unique within the struct.
    pub name: String,
    /// What it holds.
    pub schema: Arc<Schema>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The kind of values.
    pub kind: Kind,
    /// Whether null is a value.
    pub optional: bool,
    /// A name: of a logical type, or of a struct.
    pub name: Option<String>,
    /// The version of what the name means.
    pub version: Option<i32>,
    /// Words for people.
    pub doc: Option<String>,
    /// Parameters of a logical type, in the order in which they were given.
    pub parameters: Vec<(String, String)>,
    /// What stands for a missing value.
    pub default: Option<Value>,
}

impl Schema {
    /// A schema that requires a value.
    pub fn new(kind: Kind) -> Self {
        Schema {
            kind,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    /// Kafka's `STRING_SCHEMA`.
    pub fn string() -> Arc<Self> {
        Arc::new(Schema::new(Kind::String))
    }

    /// A schema that allows null.
    #[must_use]
    pub fn optional(self) -> Self {
        Schema {
            optional: true,
            ..self
        }
    }

    /// With a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Schema {
            name: Some(name.into()),
            ..self
        }
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The name, if it is one of the logical types that a value type of its own stands for.
    pub fn logical(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        [DECIMAL, DATE, TIME, TIMESTAMP].contains(&name).then_some(name)
    }

    /// Whether `value` is what this schema describes, down to its parts (Kafka: `ConnectSchema.validateValue`).
    pub fn check(&self, value: &Value) -> Result<(), DataError> {
        let fits = match (&self.kind, value, self.logical()) {
            (_, Value::Null, _) => self.optional || self.default.is_some(),
            (Kind::Bytes, Value::Decimal(_), Some(DECIMAL)) => true,
            (Kind::Int32, Value::Date(_), Some(DATE | TIME)) => true,
            (Kind::Int64, Value::Date(_), Some(TIMESTAMP)) => true,
            (_, _, Some(_)) => false,
            (Kind::Boolean, Value::Boolean(_), _)
            | (Kind::Int8, Value::Int8(_), _)
            | (Kind::Int16, Value::Int16(_), _)
            | (Kind::Int32, Value::Int32(_), _)
            | (Kind::Int64, Value::Int64(_), _)
            | (Kind::Float32, Value::Float32(_), _)
            | (Kind::Float64, Value::Float64(_), _)
            | (Kind::String, Value::String(_), _)
            | (Kind::Bytes, Value::Bytes(_), _) => true,
            (Kind::Array(element), Value::Array(items), _) => {
                items.iter().try_for_each(|item| element.check(item))?;
                true
            }
            (Kind::Map(key, value), Value::Map(entries), _) => {
                for (k, v) in entries {
                    key.check(k)?;
                    value.check(v)?;
                }
                true
            }
            (Kind::Struct(_), Value::Struct(found), _) => **found.schema() == *self,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let what = match value {
            Value::Null => "null is used for a required".to_owned(),
            value => format!("a {} is used for a", value.type_name()),
        };
        let name = self.name.as_deref().unwrap_or(self.kind.name());
        Err(DataError(format!("{what} value of schema type {name}")))
    }
}

/// A schema and a value of it. Without a schema the value stands for itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SchemaAndValue {
    /// What the value must be; `None` if nothing says so.
    pub schema: Option<Arc<Schema>>,
    /// The value.
    pub value: Value,
}

impl SchemaAndValue {
    /// No schema and no value (Kafka: `SchemaAndValue.NULL`).
    pub const NULL: SchemaAndValue = SchemaAndValue {
        schema: None,
        value: Value::Null,
    };

    /// A value of a schema.
    pub fn new(schema: Arc<Schema>, value: Value) -> Self {
        SchemaAndValue {
            schema: Some(schema),
            value,
        }
    }

    /// A value without a schema.
    pub fn schemaless(value: Value) -> Self {
        SchemaAndValue { schema: None, value }
    }
}

/// Data that does not fit its schema, or can't be converted (Kafka: `DataException`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataError(pub String);

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DataError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_down_to_their_parts() {
        let optional = Arc::new(Schema::new(Kind::String).optional());
        let list = Schema::new(Kind::Array(optional));
        let text = |t: &str| Value::String(t.into());
        assert_eq!(list.check(&Value::Array(vec![text("a"), Value::Null])), Ok(()));
        let error = list.check(&Value::Array(vec![Value::Int32(1)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a INT32 is used for a value of schema type string"
        );
        let map = Schema::new(Kind::Map(Schema::string(), Arc::new(Schema::new(Kind::Int64))));
        assert!(map.check(&Value::Map(vec![(text("k"), Value::Int64(1))])).is_ok());
        assert!(map.check(&Value::Map(vec![(text("k"), Value::Null)])).is_err());
    }

    #[test]
    fn a_logical_type_takes_only_its_own_values() {
        let date = Schema::new(Kind::Int32).named(DATE);
        assert!(date.check(&Value::Date(0)).is_ok());
        assert!(
            date.check(&Value::Int32(0)).is_err(),
            "as Kafka: the logical value, not the stored one"
        );
        assert!(Schema::new(Kind::Int64).check(&Value::Date(0)).is_err());
        let named = Schema::new(Kind::Int32).named("mine");
        assert!(named.check(&Value::Int32(0)).is_ok());
    }
}
