//! Converters: between Connect's data and the bytes of a topic. Kafka: `org.apache.kafka.connect.storage.Converter` and
//! `HeaderConverter`; the classes are known by Kafka's names and aliases ([`crate::plugins`]).
//!
//! `json`: with and without schemas, of which `json_read` reads values and `json_schema` reads and writes schemas; `simple`: strings, bytes, and the default of headers.

mod base64;
mod json;
mod json_read;
mod json_schema;
mod simple;

use bytes::Bytes;

use crate::config::{ConfigDef, Props};
use crate::data::{DataError, SchemaAndValue};

pub use json::JsonConverter;
pub use simple::{ByteArrayConverter, SimpleHeaderConverter, StringConverter};

/// What a converter works on (`converter.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Keys of records.
    Key,
    /// Values of records.
    Value,
    /// Values of headers.
    Header,
}

impl Role {
    /// The configuration key that names the converter; its own settings have it and a dot before them.
    pub fn key(self) -> &'static str {
        match self {
            Role::Key => "key.converter",
            Role::Value => "value.converter",
            Role::Header => "header.converter",
        }
    }
}

/// Turns data into bytes and back. Pure: what it knows it was configured with.
pub trait Converter: Send + Sync {
    /// The bytes of a value; `None` is null (a tombstone).
    fn encode(&self, topic: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError>;
    /// The value of bytes; `None` is null.
    fn decode(&self, topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue, DataError>;
}

/// Turns the values of headers into bytes and back.
pub trait HeaderConverter: Send + Sync {
    /// The bytes of a header's value.
    fn encode_header(
        &self,
        topic: &str,
        key: &str,
        data: &SchemaAndValue,
    ) -> Result<Option<Bytes>, DataError>;
    /// The value of a header's bytes.
    fn decode_header(
        &self,
        topic: &str,
        key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<SchemaAndValue, DataError>;
}

/// In Kafka too a converter serves headers by ignoring their keys.
impl<T: Converter> HeaderConverter for T {
    fn encode_header(&self, topic: &str, _: &str, data: &SchemaAndValue) -> Result<Option<Bytes>, DataError> {
        self.encode(topic, data)
    }

    fn decode_header(
        &self,
        topic: &str,
        _: &str,
        bytes: Option<&Bytes>,
    ) -> Result<SchemaAndValue, DataError> {
        self.decode(topic, bytes)
    }
}

/// Makes a converter with these settings, or says what is wrong with them.
pub type Make<C> = fn(&Props) -> Result<Box<C>, String>;

/// A converter class: what it is configured with, and how to make one.
pub struct ConverterClass {
    /// Kafka's class name.
    pub class: &'static str,
    /// Its settings, without prefix.
    pub config: fn() -> ConfigDef,
    /// Makes one for keys or values; `None` if the class serves headers alone.
    pub make: Option<Make<dyn Converter>>,
    /// Makes one for headers.
    pub make_header: Make<dyn HeaderConverter>,
}

/// All converter classes.
pub static CONVERTERS: [ConverterClass; 4] = [
    ConverterClass {
        class: "org.apache.kafka.connect.json.JsonConverter",
        config: JsonConverter::config,
        make: Some(|props| Ok(Box::new(JsonConverter::new(props)?))),
        make_header: |props| Ok(Box::new(JsonConverter::new(props)?)),
    },
    ConverterClass {
        class: "org.apache.kafka.connect.storage.StringConverter",
        config: StringConverter::config,
        make: Some(|props| Ok(Box::new(StringConverter::new(props)?))),
        make_header: |props| Ok(Box::new(StringConverter::new(props)?)),
    },
    ConverterClass {
        class: "org.apache.kafka.connect.converters.ByteArrayConverter",
        config: ConfigDef::default,
        make: Some(|_| Ok(Box::new(ByteArrayConverter))),
        make_header: |_| Ok(Box::new(ByteArrayConverter)),
    },
    ConverterClass {
        class: "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        config: ConfigDef::default,
        make: None,
        make_header: |_| Ok(Box::new(SimpleHeaderConverter)),
    },
];
