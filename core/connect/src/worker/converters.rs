//! The three converters of a task, and records through them.

use std::sync::Arc;

use bytes::Bytes;
use ottla_client::Record;
use ottla_client::consumer::{ConsumerRecord, RecordHeader};
use ottla_client::producer;

use crate::config::Props;
use crate::connector::ConnectError;
use crate::convert::{Converter, HeaderConverter, Role};
use crate::plugins;
use crate::sink::SinkRecord;
use crate::source::{Header, SourceRecord};

/// Converters of keys, values and headers.
pub(super) struct Converters {
    key: Box<dyn Converter>,
    value: Box<dyn Converter>,
    header: Box<dyn HeaderConverter>,
}

/// A source record's bytes.
pub(super) struct Converted {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
}

impl Converted {
    pub(super) fn headers(&self) -> Vec<producer::Header<'_>> {
        let headers = self.headers.iter().map(|(key, value)| producer::Header {
            key: key.as_bytes(),
            value: value.as_deref(),
        });
        headers.collect()
    }

    /// The record for the producer.
    pub(super) fn record<'a>(
        &'a self,
        of: &'a SourceRecord,
        headers: &'a [producer::Header<'a>],
    ) -> Record<'a> {
        Record {
            topic: &of.topic,
            partition: of.partition,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
            timestamp: of.timestamp,
        }
    }
}

impl Converters {
    /// The connector's converters, or else the worker's.
    pub(super) fn of(worker: &Props, connector: &Props) -> Result<Self, String> {
        Ok(Converters {
            key: plugins::converter(Role::Key, worker, connector)?,
            value: plugins::converter(Role::Value, worker, connector)?,
            header: plugins::header_converter(worker, connector)?,
        })
    }

    pub(super) fn source(&self, record: &SourceRecord) -> Result<Converted, ConnectError> {
        let topic = &*record.topic;
        let failed = |what: &str, e| {
            ConnectError::Fatal(format!(
                "the {what} of a record for topic {topic} can't be converted: {e}; \
                check the connector's data, or use another {what}.converter"
            ))
        };
        let headers = record.headers.iter().map(|header| {
            let value = self.header.encode_header(topic, &header.key, &header.value);
            Ok((header.key.clone(), value.map_err(|e| failed("header", e))?))
        });
        Ok(Converted {
            key: self
                .key
                .encode(topic, &record.key)
                .map_err(|e| failed("key", e))?,
            value: self
                .value
                .encode(topic, &record.value)
                .map_err(|e| failed("value", e))?,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn sink(&self, record: &ConsumerRecord) -> Result<SinkRecord, ConnectError> {
        let topic = &*record.topic;
        let failed = |what: &str, e| {
            ConnectError::Fatal(format!(
                "the {what} of offset {} in {topic}-{} can't be converted: {e}; use the {what}.converter that it was written with",
                record.offset, record.partition
            ))
        };
        let header = |header: &RecordHeader| {
            let key = String::from_utf8_lossy(&header.key).into_owned();
            let value = self.header.decode_header(topic, &key, header.value.as_ref());
            let value = value.map_err(|e| failed("header", e))?;
            Ok(Header { key, value })
        };
        Ok(SinkRecord {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
            key: self
                .key
                .decode(topic, record.key.as_ref())
                .map_err(|e| failed("key", e))?,
            value: self
                .value
                .decode(topic, record.value.as_ref())
                .map_err(|e| failed("value", e))?,
            headers: record.headers.iter().map(header).collect::<Result<_, _>>()?,
            timestamp: Some(record.timestamp).filter(|t| *t >= 0),
        })
    }
}
