//! Values: what a record's key, value and headers are made of. [`Value`]'s `Display` is Java's `String.valueOf`, which the file
//! sink and the string converter write.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{DataError, Decimal, Kind, Schema, java};

/// A value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// 8 bits.
    Int8(i8),
    /// 16 bits.
    Int16(i16),
    /// 32 bits.
    Int32(i32),
    /// 64 bits.
    Int64(i64),
    /// Single precision.
    Float32(f32),
    /// Double precision.
    Float64(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Bytes),
    /// Elements.
    Array(Vec<Value>),
    /// Keys and values, in the order in which they came; keys are unique.
    Map(Vec<(Value, Value)>),
    /// Named fields.
    Struct(Struct),
    /// A number of the logical type `Decimal`.
    Decimal(Decimal),
    /// A `java.util.Date` of the logical types `Date`, `Time`, `Timestamp`: milliseconds since 1970.
    Date(i64),
}

impl Value {
    /// The name of its type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Boolean(_) => "BOOLEAN",
            Value::Int8(_) => "INT8",
            Value::Int16(_) => "INT16",
            Value::Int32(_) => "INT32",
            Value::Int64(_) => "INT64",
            Value::Float32(_) => "FLOAT32",
            Value::Float64(_) => "FLOAT64",
            Value::String(_) => "STRING",
            Value::Bytes(_) => "BYTES",
            Value::Array(_) => "ARRAY",
            Value::Map(_) => "MAP",
            Value::Struct(_) => "STRUCT",
            Value::Decimal(_) => "DECIMAL",
            Value::Date(_) => "DATE",
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let parts = match self {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(Value::weight).sum(),
            Value::Map(entries) => entries.iter().map(|(k, v)| k.weight() + v.weight()).sum(),
            Value::Struct(found) => found.values.iter().map(Value::weight).sum(),
            _ => 0,
        };
        size_of::<Value>() + parts
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }
}

/// A struct: a value for each field of its schema. Its length is that of the schema's fields, always.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    schema: Arc<Schema>,
    values: Vec<Value>,
}

impl Struct {
    /// A struct whose fields are all null; the schema must be one of a struct.
    pub fn new(schema: Arc<Schema>) -> Result<Self, DataError> {
        let Kind::Struct(fields) = &schema.kind else {
            return Err(DataError(format!("not a struct schema: {}", schema.kind.name())));
        };
        let values = vec![Value::Null; fields.len()];
        Ok(Struct { schema, values })
    }

    /// A struct with these values, one for each field of the schema and in that order.
    pub fn of(schema: Arc<Schema>, values: Vec<Value>) -> Result<Self, DataError> {
        let found = Struct { schema, values };
        let count = match &found.schema.kind {
            Kind::Struct(fields) => fields.len(),
            _ => return Struct::new(found.schema),
        };
        if count != found.values.len() {
            let given = found.values.len();
            return Err(DataError(format!(
                "a struct of {count} fields got {given} values"
            )));
        }
        for (field, value) in found.fields() {
            let checked = field.schema.check(value);
            checked.map_err(|e| DataError(format!("field {}: {e}", field.name)))?;
        }
        Ok(found)
    }

    /// Its schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Sets a field to a value that its schema allows.
    pub fn put(&mut self, name: &str, value: Value) -> Result<(), DataError> {
        let at = self.index(name)?;
        if let (Kind::Struct(fields), Some(slot)) = (&self.schema.kind, self.values.get_mut(at)) {
            fields
                .get(at)
                .map_or(Ok(()), |field| field.schema.check(&value))
                .map_err(|e| DataError(format!("field {name}: {e}")))?;
            *slot = value;
        }
        Ok(())
    }

    /// A field's value; its schema's default if it is null.
    pub fn get(&self, name: &str) -> Result<&Value, DataError> {
        let at = self.index(name)?;
        let default = self.fields().nth(at).and_then(|(field, value)| match value {
            Value::Null => field.schema.default.as_ref(),
            _ => None,
        });
        Ok(default.or(self.values.get(at)).unwrap_or(&Value::Null))
    }

    /// The fields and what they hold, defaults not filled in.
    pub fn fields(&self) -> impl Iterator<Item = (&super::Field, &Value)> {
        let fields = match &self.schema.kind {
            Kind::Struct(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().zip(&self.values)
    }

    fn index(&self, name: &str) -> Result<usize, DataError> {
        self.fields()
            .position(|(field, _)| field.name == name)
            .ok_or_else(|| DataError(format!("{name} is not a valid field name")))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(v) => v.fmt(f),
            Value::Int8(v) => v.fmt(f),
            Value::Int16(v) => v.fmt(f),
            Value::Int32(v) => v.fmt(f),
            Value::Int64(v) => v.fmt(f),
            Value::Float32(v) => f.write_str(&java::float(*v)),
            Value::Float64(v) => f.write_str(&java::double(*v)),
            Value::String(v) => f.write_str(v),
            // Java prints an array's identity, which helps nobody: the text that the bytes are.
            Value::Bytes(v) => f.write_str(&String::from_utf8_lossy(v)),
            Value::Array(items) => {
                f.write_str("[")?;
                separated(f, ", ", items, |f, item| item.fmt(f))?;
                f.write_str("]")
            }
            Value::Map(entries) => {
                f.write_str("{")?;
                separated(f, ", ", entries, |f, (k, v)| write!(f, "{k}={v}"))?;
                f.write_str("}")
            }
            Value::Struct(v) => {
                f.write_str("Struct{")?;
                let set = v.fields().filter(|(_, value)| !value.is_null());
                separated(f, ",", set, |f, (field, value)| {
                    write!(f, "{}={value}", field.name)
                })?;
                f.write_str("}")
            }
            Value::Decimal(v) => v.fmt(f),
            Value::Date(v) => f.write_str(&java::date(*v)),
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = T>,
    each: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            f.write_str(separator)?;
        }
        each(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::*;

    fn point() -> Arc<Schema> {
        let field = |name: &str, schema| Field {
            name: name.into(),
            schema: Arc::new(schema),
        };
        let mut with_default = Schema::new(Kind::Int32);
        with_default.default = Some(Value::Int32(7));
        Arc::new(Schema::new(Kind::Struct(vec![
            field("x", Schema::new(Kind::Int32)),
            field("y", with_default),
            field("label", Schema::new(Kind::String).optional()),
        ])))
    }

    #[test]
    fn a_struct_holds_what_its_schema_says() {
        let mut value = Struct::new(point()).unwrap();
        value.put("x", Value::Int32(1)).unwrap();
        assert_eq!(value.get("x"), Ok(&Value::Int32(1)));
        assert_eq!(value.get("y"), Ok(&Value::Int32(7)), "the default");
        assert!(value.put("x", Value::Null).unwrap_err().0.contains("field x"));
        assert!(
            value
                .put("z", Value::Null)
                .unwrap_err()
                .0
                .contains("z is not a valid")
        );
        assert!(Struct::new(Schema::string()).is_err());
        assert_eq!(Value::Struct(value).to_string(), "Struct{x=1}");
    }

    #[test]
    fn values_print_as_in_java() {
        let text = |t: &str| Value::String(t.into());
        let list = Value::Array(vec![text("a"), Value::Null, Value::Float64(1e10)]);
        assert_eq!(list.to_string(), "[a, null, 1.0E10]");
        let map = Value::Map(vec![
            (text("k"), Value::Int8(1)),
            (text("l"), Value::Boolean(true)),
        ]);
        assert_eq!(map.to_string(), "{k=1, l=true}");
    }
}
