//! How a sink's records are read: as a member of the group `connect-<name>`, which shares out the partitions of its topics among
//! the connector's tasks. The task's state is told which partitions come and go.

use std::sync::Arc;
use std::time::Duration;

use ottla_client::consumer::ConsumerRecord;
use ottla_client::group::{GroupConfig, GroupConsumer, OffsetAndMetadata, RebalanceListener};
use ottla_client::{Error, Result};
use ottla_io::{BoxFuture, Env};
use ottla_types::TopicPartition;

use crate::sink::Offsets;

/// What commits the offsets of partitions.
pub(super) trait Commits: Send {
    /// Commits them and waits for it.
    fn commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<()>>;
}

/// Who wants to know which partitions come and go.
pub(super) trait Listener: Send + Sync {
    /// These came.
    fn assigned<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, ()>;
    /// These go; unless they are lost already, offsets can still be committed.
    fn revoked<'a>(
        &'a self,
        commits: Option<&'a mut dyn Commits>,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, ()>;
}

/// Reads the records of a sink.
pub(super) struct Reader(GroupConsumer);

impl Reader {
    pub(super) fn new(env: &Env, config: GroupConfig, topics: Vec<String>) -> Result<Self> {
        let mut consumer = GroupConsumer::new(env, config)?;
        consumer.subscribe(topics);
        Ok(Reader(consumer))
    }

    /// Who is told which partitions come and go.
    pub(super) fn tell(&mut self, listener: Arc<dyn Listener>) {
        self.0.set_listener(Arc::new(Bridge(listener)));
    }

    pub(super) async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>> {
        self.0.poll(timeout).await
    }

    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.0.seek(partition, offset)
    }

    /// Pauses or resumes; of partitions that are gone by now nothing is to be done.
    pub(super) fn pause(&mut self, partition: &TopicPartition, paused: bool) {
        let _ = match paused {
            true => self.0.pause(partition),
            false => self.0.resume(partition),
        };
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        self.0.assignment()
    }

    /// What is tried again and again, for whoever looks why nothing comes.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.0.trouble()
    }

    /// Gives the partitions back and leaves the group.
    pub(super) async fn close(self) -> Result<()> {
        self.0.close().await
    }
}

impl Commits for Reader {
    fn commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<()>> {
        Commits::commit(&mut self.0, offsets)
    }
}

impl Commits for GroupConsumer {
    fn commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<()>> {
        let offsets = offsets.iter();
        let offsets = offsets.map(|(partition, at)| (partition.clone(), OffsetAndMetadata::new(*at)));
        Box::pin(self.commit_offsets(offsets.collect()))
    }
}

/// A listener as the consumer calls it.
struct Bridge(Arc<dyn Listener>);

impl RebalanceListener for Bridge {
    fn assigned<'a>(
        &'a self,
        _: &'a mut GroupConsumer,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            self.0.assigned(partitions).await;
            Ok(())
        })
    }

    fn revoked<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            self.0.revoked(Some(consumer), partitions).await;
            Ok(())
        })
    }

    fn lost<'a>(
        &'a self,
        _: &'a mut GroupConsumer,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            self.0.revoked(None, partitions).await;
            Ok(())
        })
    }
}
