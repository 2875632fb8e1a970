//! What a user does when partitions come and go, and what it subscribes to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ottla_io::BoxFuture;
use ottla_types::TopicPartition;

use super::GroupConsumer;
use crate::Result;

/// Called inside [`GroupConsumer::poll`] (and close, and unsubscribe) when partitions come and go (Kafka class
/// `ConsumerRebalanceListener`). The consumer may be used, but not polled. If the future of a poll is dropped half-way, a call
/// that had not returned is made again by the next poll. An error ends the poll that called, not the rebalance.
pub trait RebalanceListener: Send + Sync {
    /// These partitions came; they are read once this returns.
    fn assigned<'a>(
        &'a self,
        _: &'a mut GroupConsumer,
        _: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// These partitions are given up once this returns: the last chance to commit what was made of their records.
    fn revoked<'a>(&'a self, _: &'a mut GroupConsumer, _: &'a [TopicPartition]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// The group has gone on without this member and others may have these partitions already: nothing can be committed.
    fn lost<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        self.revoked(consumer, partitions)
    }
}

/// Nobody listens.
pub(super) struct NoListener;

impl RebalanceListener for NoListener {}

/// Whether a pattern matches a topic's name.
pub type TopicPattern = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What is subscribed to.
#[derive(Clone, Default)]
pub(super) enum Wanted {
    /// Nothing.
    #[default]
    Nothing,
    /// These topics.
    Topics(BTreeSet<String>),
    /// The topics whose names match, of those that there are at a time.
    Pattern(TopicPattern),
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Nothing => f.write_str("Nothing"),
            Wanted::Topics(topics) => topics.fmt(f),
            Wanted::Pattern(_) => f.write_str("Pattern"),
        }
    }
}
