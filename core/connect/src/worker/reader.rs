//! How a sink's records are read: all partitions of its topics. Whoever reads tells the task's state which partitions come and go.

use std::time::Duration;

use ottla_client::consumer::ConsumerRecord;
use ottla_client::{Consumer, ConsumerConfig, Error};
use ottla_io::{BoxFuture, Env};
use ottla_types::TopicPartition;

use crate::sink::Offsets;

/// What commits the offsets of partitions.
pub(super) trait Commits: Send {
    /// Commits them and waits for it.
    fn commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<(), Error>>;
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
pub(super) struct Reader {
    env: Env,
    consumer: Consumer,
    topics: Vec<String>,
    assigned: bool,
}

impl Reader {
    pub(super) fn new(
        env: &Env,
        config: ConsumerConfig,
        _: &str,
        topics: Vec<String>,
    ) -> Result<Self, Error> {
        Ok(Reader {
            env: env.clone(),
            consumer: Consumer::new(env, config)?,
            topics,
            assigned: false,
        })
    }

    pub(super) async fn poll(
        &mut self,
        listener: &dyn Listener,
        timeout: Duration,
    ) -> Result<Vec<ConsumerRecord>, Error> {
        if !self.assigned {
            let mut partitions = Vec::new();
            for topic in &self.topics {
                let cluster = self.consumer.cluster().clone();
                let deadline = self.env.clock.now().after(timeout);
                let info = cluster.topic(topic, true, deadline).await?;
                partitions.extend((0..info.partitions.len()).map(|p| TopicPartition::new(topic, p as i32)));
            }
            listener.assigned(&partitions).await;
            self.consumer.assign(partitions);
            self.assigned = true;
        }
        self.consumer.poll(timeout).await
    }

    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        self.consumer.seek(partition, offset)
    }

    /// Pauses or resumes; of partitions that are gone by now nothing is to be done.
    pub(super) fn pause(&mut self, partition: &TopicPartition, paused: bool) {
        let _ = match paused {
            true => self.consumer.pause(partition),
            false => self.consumer.resume(partition),
        };
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// Gives the partitions back.
    pub(super) async fn close(mut self, listener: &dyn Listener) {
        let partitions = self.assignment();
        listener.revoked(Some(&mut self), &partitions).await;
    }
}

impl Commits for Reader {
    fn commit<'a>(&'a mut self, _: &'a Offsets) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}
