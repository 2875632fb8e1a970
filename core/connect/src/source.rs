//! Sources: records on their way into topics, and the task that brings them. Kafka: `SourceRecord`, `SourceTask`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_client::RecordMetadata;
use ottla_io::BoxFuture;

use crate::config::Props;
use crate::connector::Result;
use crate::data::{SchemaAndValue, Value};
use crate::offsets::OffsetReader;

/// Where records come from, or how far they were read there: names and simple values, such as `{"filename": "test.txt"}` and
/// `{"position": 12}`.
pub type SourceMap = BTreeMap<String, Value>;

/// A header of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: SchemaAndValue,
}

/// A record that a source brings.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord {
    /// Which part of the source it comes from.
    pub source_partition: Arc<SourceMap>,
    /// Where to read on behind it.
    pub source_offset: SourceMap,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; `None` leaves it to the producer.
    pub partition: Option<i32>,
    /// The key.
    pub key: SchemaAndValue,
    /// The value.
    pub value: SchemaAndValue,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970; `None` for now.
    pub timestamp: Option<i64>,
}

/// What a source task is given.
#[derive(Clone)]
pub struct SourceContext {
    /// The offsets that were committed.
    pub offsets: OffsetReader,
}

/// A task that brings records. The worker calls it from one task of the executor; of what it polls, the offsets are committed once
/// the cluster has acknowledged the records (at least once).
pub trait SourceTask: Send {
    /// Begins, after the committed offsets.
    fn start<'a>(&'a mut self, context: SourceContext, props: &'a Props) -> BoxFuture<'a, Result<()>>;
    /// The next records, in order; none if there are none now, after waiting about a second at most. The worker may drop the
    /// future when it stops: nothing may be lost by that.
    fn poll(&mut self) -> BoxFuture<'_, Result<Vec<SourceRecord>>>;
    /// The record is in its topic, or with `None` was left out.
    fn commit_record(&mut self, record: &SourceRecord, metadata: Option<&RecordMetadata>) {
        let _ = (record, metadata);
    }
    /// Offsets were committed.
    fn commit(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Ends; nothing is polled any more.
    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
