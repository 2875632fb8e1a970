//! Strings, bytes, and the usual converter of headers.

use bytes::Bytes;

use super::{Converter, HeaderConverter};
use crate::config::{Check, ConfigDef, Default, Importance, Key, Props, Type};
use crate::data::{DataError, Kind, Schema, SchemaAndValue, Value};

/// Values as text in UTF-8: Java's `toString` of them.
pub struct StringConverter;

const ENCODING: &str = "converter.encoding";

impl StringConverter {
    /// Its settings.
    pub fn config() -> ConfigDef {
        ConfigDef::new(vec![Key {
            name: ENCODING,
            kind: Type::String,
            default: Default::Value("UTF-8"),
            check: Check::Any,
            importance: Importance::High,
            doc: "The character set of the text. Only UTF-8 (and its subset US-ASCII) is supported.",
        }])
    }

    /// A converter with these settings.
    pub fn new(props: &Props) -> Result<Self, String> {
        let encoding = props.get(ENCODING).map_or("UTF-8", String::as_str);
        match encoding.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => Ok(StringConverter),
            _ => Err(format!(
                "{ENCODING}={encoding}: only UTF-8 is supported; convert the text where it is made"
            )),
        }
    }
}

impl Converter for StringConverter {
    fn encode(&self, _: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError> {
        Ok(match &data.value {
            Value::Null => None,
            value => Some(value.to_string().into()),
        })
    }

    fn decode(&self, _: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue, DataError> {
        let schema = Schema::new(Kind::String).optional();
        let value = bytes.map_or(Value::Null, |bytes| {
            Value::String(String::from_utf8_lossy(bytes).into_owned())
        });
        Ok(SchemaAndValue::new(schema.into(), value))
    }
}

/// Bytes as they are.
pub struct ByteArrayConverter;

impl Converter for ByteArrayConverter {
    fn encode(&self, _: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError> {
        if let Some(schema) = &data.schema
            && schema.kind != Kind::Bytes
        {
            return Err(DataError(format!(
                "Invalid schema type for ByteArrayConverter: {}",
                schema.kind.name()
            )));
        }
        match &data.value {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes.clone())),
            other => Err(DataError(format!(
                "ByteArrayConverter is not compatible with objects of type {}",
                other.type_name()
            ))),
        }
    }

    fn decode(&self, _: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue, DataError> {
        let schema = Schema::new(Kind::Bytes).optional();
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()));
        Ok(SchemaAndValue::new(schema.into(), value))
    }
}

/// Headers as text. Reading them back, Kafka guesses what the text is (a number, a list, a date); here whole numbers, decimals,
/// booleans and quoted text are told apart and everything else stays text.
pub struct SimpleHeaderConverter;

impl HeaderConverter for SimpleHeaderConverter {
    fn encode_header(&self, _: &str, _: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError> {
        Ok(match &data.value {
            Value::Null => None,
            Value::Bytes(bytes) => Some(super::base64::encode(bytes).into()),
            value => Some(value.to_string().into()),
        })
    }

    fn decode_header(&self, _: &str, _: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue, DataError> {
        let Some(bytes) = bytes else {
            return Ok(SchemaAndValue::NULL);
        };
        Ok(guess(&String::from_utf8_lossy(bytes)))
    }
}

/// The smallest type that holds what the text says, as Kafka's `Values.parseString` finds it.
fn guess(text: &str) -> SchemaAndValue {
    let of = |kind, value| SchemaAndValue::new(Schema::new(kind).into(), value);
    let trimmed = text.trim();
    let number = trimmed
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    match trimmed {
        "true" => return of(Kind::Boolean, Value::Boolean(true)),
        "false" => return of(Kind::Boolean, Value::Boolean(false)),
        "null" => return SchemaAndValue::NULL,
        _ => {}
    }
    if number && let Ok(whole) = trimmed.parse::<i64>() {
        return match whole {
            _ if i8::try_from(whole).is_ok() => of(Kind::Int8, Value::Int8(whole as i8)),
            _ if i16::try_from(whole).is_ok() => of(Kind::Int16, Value::Int16(whole as i16)),
            _ if i32::try_from(whole).is_ok() => of(Kind::Int32, Value::Int32(whole as i32)),
            _ => of(Kind::Int64, Value::Int64(whole)),
        };
    }
    if number && let Ok(float) = trimmed.parse::<f64>() {
        return of(Kind::Float64, Value::Float64(float));
    }
    let quoted = trimmed.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    of(Kind::String, Value::String(quoted.unwrap_or(text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_text_and_null_is_null() {
        let converter = StringConverter::new(&Props::new()).unwrap();
        let number = SchemaAndValue::schemaless(Value::Float64(1.0));
        assert_eq!(converter.encode("t", &number).unwrap().unwrap(), "1.0");
        assert_eq!(converter.encode("t", &SchemaAndValue::NULL).unwrap(), None);
        let back = converter
            .decode("t", Some(&Bytes::from_static(b"a\xff")))
            .unwrap();
        assert_eq!(back.value, Value::String("a\u{fffd}".into()));
        assert!(back.schema.unwrap().optional);
        let latin = Props::from([(ENCODING.to_owned(), "ISO-8859-1".to_owned())]);
        assert!(StringConverter::new(&latin).is_err());
    }

    #[test]
    fn bytes_are_bytes_and_nothing_else() {
        let bytes = Bytes::from_static(b"\0\xff");
        let data = ByteArrayConverter.decode("t", Some(&bytes)).unwrap();
        assert_eq!(ByteArrayConverter.encode("t", &data).unwrap(), Some(bytes));
        let text = SchemaAndValue::new(Schema::string(), Value::String("a".into()));
        assert!(
            ByteArrayConverter
                .encode("t", &text)
                .unwrap_err()
                .0
                .contains("Invalid schema type")
        );
        let list = SchemaAndValue::schemaless(Value::Array(vec![]));
        assert!(
            ByteArrayConverter
                .encode("t", &list)
                .unwrap_err()
                .0
                .contains("ARRAY")
        );
    }

    #[test]
    fn headers_are_text_of_a_guessed_type() {
        for (text, value) in [
            ("true", Value::Boolean(true)),
            ("12", Value::Int8(12)),
            ("-300", Value::Int16(-300)),
            ("70000", Value::Int32(70000)),
            ("5000000000", Value::Int64(5_000_000_000)),
            ("1.5", Value::Float64(1.5)),
            ("\"12\"", Value::String("12".into())),
            ("a b", Value::String("a b".into())),
            ("", Value::String(String::new())),
            ("null", Value::Null),
        ] {
            assert_eq!(guess(text).value, value, "{text}");
        }
        let sent =
            SimpleHeaderConverter.encode_header("t", "k", &SchemaAndValue::schemaless(Value::Int32(5)));
        assert_eq!(sent.unwrap().unwrap(), "5");
    }
}
