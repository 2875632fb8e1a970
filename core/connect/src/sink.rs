//! Sinks: records that come out of topics, and the task that takes them. Kafka: `SinkRecord`, `SinkTask`, `SinkTaskContext`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_io::BoxFuture;
use ottla_types::TopicPartition;

use crate::config::Props;
use crate::connector::Result;
use crate::data::SchemaAndValue;
use crate::source::Header;

/// A record that a sink takes.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: SchemaAndValue,
    /// The value.
    pub value: SchemaAndValue,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970; `None` if it has none.
    pub timestamp: Option<i64>,
}

/// The next offset to read of each partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// What a sink task may ask of its worker, during any call; the worker acts on it afterwards.
#[derive(Debug, Default)]
pub struct SinkContext {
    /// Read these partitions on from these offsets.
    pub seek: Offsets,
    /// Give no records of these partitions until they are resumed.
    pub pause: Vec<TopicPartition>,
    /// Give records of these again.
    pub resume: Vec<TopicPartition>,
    /// Pause this long before the next attempt or poll.
    pub timeout: Option<Duration>,
    /// Commit offsets at the next opportunity.
    pub commit: bool,
}

/// A task that takes records. What [`SinkTask::pre_commit`] returns is committed, so it must be where it belongs by then; after a
/// crash everything behind that comes again (at least once).
pub trait SinkTask: Send {
    /// Begins.
    fn start<'a>(&'a mut self, props: &'a Props) -> BoxFuture<'a, Result<()>>;
    /// These partitions are its own from now on.
    fn open<'a>(
        &'a mut self,
        context: &'a mut SinkContext,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        let _ = (context, partitions);
        Box::pin(async { Ok(()) })
    }
    /// Takes records; those of one partition come in order. After [`crate::ConnectError::Retriable`] the same records come again.
    fn put<'a>(
        &'a mut self,
        context: &'a mut SinkContext,
        records: &'a [SinkRecord],
    ) -> BoxFuture<'a, Result<()>>;
    /// Brings everything up to these offsets where it belongs, and returns which of them may be committed.
    fn pre_commit<'a>(
        &'a mut self,
        context: &'a mut SinkContext,
        offsets: Offsets,
    ) -> BoxFuture<'a, Result<Offsets>>;
    /// These partitions are its own no more; what may be committed was committed before.
    fn close<'a>(&'a mut self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, ()> {
        let _ = partitions;
        Box::pin(async {})
    }
    /// Ends.
    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
