//! A round over one log, from the owner's word for what is dirty to the new checkpoint.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ottla_log::clean::{CleanConfig, Range};
use ottla_store::{CleanTerms, CleanedGroup, Cleaning, CleaningError, LogWriter, StoreError, Throttle};
use ottla_types::config::{BrokerConfig, TopicConfig};
use ottla_types::{Event, Time};
use tokio::sync::oneshot;

use super::counts::Round;
use super::{Uncleanable, key};
use crate::Node;
use crate::partition::Partition;

/// The largest offset map that Kafka makes.
const LARGEST_MAP: i64 = i32::MAX as i64;

/// What the cleaner needs a log's writer for.
pub enum CleanerJob {
    /// Say how dirty the log is.
    Look {
        /// The topic's settings.
        config: CleanConfig,
        /// The answer.
        reply: oneshot::Sender<Range>,
    },
    /// Begin a round.
    Begin {
        /// Its terms.
        terms: CleanTerms,
        /// The answer.
        reply: oneshot::Sender<Cleaning>,
    },
    /// Put a cleaned segment in its place.
    Swap {
        /// The segment.
        group: CleanedGroup,
        /// Whether the log still was what the round has read.
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
}

impl CleanerJob {
    /// Does it.
    pub(crate) async fn run(self, writer: &mut LogWriter, now: Time) {
        match self {
            CleanerJob::Look { config, reply } => drop(reply.send(writer.cleanable(&config, now))),
            CleanerJob::Begin { terms, reply } => drop(reply.send(writer.begin_cleaning(terms, now))),
            CleanerJob::Swap { group, reply } => drop(reply.send(writer.swap_in(group, now).await)),
        }
    }
}

/// A topic's settings, as the cleaner goes by them.
pub(super) fn clean_config(topic: &TopicConfig) -> CleanConfig {
    let ms = |value: i64| u64::try_from(value).unwrap_or(0);
    CleanConfig {
        min_cleanable_ratio: topic.min_cleanable_dirty_ratio,
        min_lag_ms: ms(topic.min_compaction_lag_ms),
        max_lag_ms: Some(topic.max_compaction_lag_ms)
            .filter(|lag| *lag < i64::MAX)
            .map(ms),
        delete_retention_ms: ms(topic.delete_retention_ms),
    }
}

/// What one of several rounds may use.
pub(super) fn terms(
    broker: &BrokerConfig,
    topic: &TopicConfig,
    throttle: Arc<Throttle>,
    stop: Arc<AtomicBool>,
) -> CleanTerms {
    let threads = i64::from(broker.log_cleaner_threads()).max(1);
    let share = |bytes: i64| usize::try_from(bytes / threads).unwrap_or(0);
    CleanTerms {
        config: clean_config(topic),
        map_bytes: share(broker.log_cleaner_dedupe_buffer_size()).min(LARGEST_MAP as usize),
        load_factor: broker.log_cleaner_io_buffer_load_factor(),
        // One half to read into, one to write from.
        buffer_bytes: share(i64::from(broker.log_cleaner_io_buffer_size())) / 2,
        throttle,
        stop,
    }
}

/// Sees to it that a round ends for the others whatever becomes of its task.
struct Turn {
    node: Arc<Node>,
    partition: Arc<Partition>,
    threads: usize,
    /// What is known of the round when it ends; `None` if it was not to be.
    round: Option<Round>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let cleaner = &self.node.cleaner;
        let again = {
            let mut state = cleaner.lock();
            state.busy.remove(&key(&self.partition));
            let done = self.round.take();
            let again = done.is_some();
            state.rounds.ended(done, self.threads);
            again
        };
        // Who waits for the round to be over waits here; the scheduler looks again at once if it may have more to do.
        if again || cleaner.lock().stopped || self.partition.is_closed() {
            cleaner.ended.notify_waiters();
        }
    }
}

/// A round over `partition`, of which `range` said that it is due.
pub(super) async fn run(
    node: Arc<Node>,
    partition: Arc<Partition>,
    range: Range,
    terms: CleanTerms,
    threads: usize,
) {
    let began = node.env.clock.now();
    let mut turn = Turn {
        node: node.clone(),
        partition: partition.clone(),
        threads,
        round: None,
    };
    let mut round = Round {
        overdue_ms: range.overdue_ms,
        ..Round::default()
    };
    let result = clean(&partition, terms, &mut round).await;
    round.took = node.env.clock.now().since(began);
    match result {
        Ok(()) => {
            tracing::info!(
                partition = %partition.id, from = range.first_dirty, read = round.stats.bytes_read,
                written = round.stats.bytes_written, records = round.stats.records_read,
                kept = round.stats.records_kept, took_ms = round.took.as_millis(), "log cleaned"
            );
            turn.round = Some(round);
        }
        Err(error) => failed(&node, &partition, &range, &error),
    }
}

async fn clean(
    partition: &Arc<Partition>,
    terms: CleanTerms,
    round: &mut Round,
) -> Result<(), CleaningError> {
    // A partition that was closed answers nothing.
    let closed = |_| CleaningError::Changed;
    let begun = partition.clean(|reply| CleanerJob::Begin { terms, reply });
    let mut cleaning = begun.await.map_err(closed)?;
    cleaning.index().await?;
    round.map_use = cleaning.map_use();
    while let Some(group) = cleaning.next_group().await? {
        if !partition.config().cleanup_policy.compact {
            cleaning.discard(group).await;
            return Err(CleaningError::Changed);
        }
        let swapped = partition.clean(|reply| CleanerJob::Swap { group, reply });
        if !swapped.await.map_err(closed)?.map_err(CleaningError::Store)? {
            return Err(CleaningError::Changed);
        }
    }
    round.stats = cleaning.stats();
    cleaning.finish().await?;
    Ok(())
}

fn failed(node: &Node, partition: &Partition, range: &Range, error: &CleaningError) {
    node.env.observe(|| Event::CleaningFailed {
        partition: partition.id.clone(),
        reason: error.to_string(),
    });
    match error {
        CleaningError::Changed => tracing::debug!(partition = %partition.id, %error, "cleaning ended early"),
        CleaningError::Store(StoreError::DiskFull { .. }) => {
            tracing::warn!(partition = %partition.id, %error, "the log could not be cleaned; it is tried again");
        }
        CleaningError::Store(_) => {
            tracing::error!(partition = %partition.id, %error, "the log could not be cleaned");
            node.check_directories();
        }
        CleaningError::Uncleanable(_) => {
            tracing::error!(
                partition = %partition.id, %error,
                "the log can't be cleaned and is left alone until the next start: it grows from now on"
            );
            let uncleanable = Uncleanable {
                dir: partition.reader().directory_path().to_path_buf(),
                bytes: range.cleanable_bytes,
            };
            let mut state = node.cleaner.lock();
            state.uncleanable.insert(key(partition), uncleanable);
        }
    }
}
