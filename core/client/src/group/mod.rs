//! The member of a consumer group: partitions come and go as the group shares them out, and positions are committed (Kafka
//! class `KafkaConsumer` with the classic protocol; KIP-345, 394, 429, 800, 814).
//!
//! The user's side, driven by [`GroupConsumer::poll`]:
//! - `config`, `listener`: what a user says; `rebalance`: partitions come and go; `flow`: how a poll waits; `ends`: close.
//!
//! The group's side:
//! - `membership`: the member's place, pure; `shared`: where both sides meet; `join`, `heartbeat`: tasks beside the user;
//! - `offsets`: commits, in order; `coordinator`: who is asked;
//! - `assign`, `protocol`: how a leader shares out, and what members tell each other.

pub mod assign;
mod config;
pub(crate) mod coordinator;
mod ends;
mod flow;
mod heartbeat;
mod join;
mod listener;
mod membership;
pub(crate) mod offsets;
pub mod protocol;
mod rebalance;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_io::{BoxFuture, Env, Mono, Task};
use ottla_types::TopicPartition;
use tokio::sync::{mpsc, oneshot};

use assign::TopicSizes;
use flow::Due;
use listener::{NoListener, Wanted};
use membership::Phase;
use offsets::Queued;
use shared::Shared;

pub use config::GroupConfig;
pub use ends::Leave;
pub use listener::{RebalanceListener, TopicPattern};
pub use offsets::{Commit, Committed, OffsetAndMetadata, Offsets};

use crate::consumer::ConsumerRecord;
use crate::{Consumer, Error, OffsetSpec, Result};

/// Committed offsets that are being asked for.
type Fetching = BoxFuture<'static, Result<offsets::Committed>>;

/// A member of a group. Not shared: one task polls it. Dropping it without [`GroupConsumer::close`] is a member that died: the
/// group waits for its session to end.
pub struct GroupConsumer {
    shared: Arc<Shared>,
    consumer: Consumer,
    wanted: Wanted,
    listener: Arc<dyn RebalanceListener>,
    /// A listener is being called.
    in_listener: Arc<AtomicBool>,
    /// What the group has assigned and this member has not given up.
    owned: BTreeSet<TopicPartition>,
    /// Those of them that the listener has heard of.
    announced: BTreeSet<TopicPartition>,
    /// The latest assignment, given up or not, and its generation.
    last: (Vec<TopicPartition>, i32),
    /// What was subscribed to when the current generation began.
    joined_topics: Vec<String>,
    /// For the leader: what the assignment was made from.
    group_topics: Option<TopicSizes>,
    /// The state of the metadata that was last compared with both.
    looked: Option<u64>,
    join: Option<Task>,
    background: Vec<Task>,
    commits: mpsc::UnboundedSender<Queued>,
    auto: Option<Commit>,
    auto_at: Mono,
    fetching: Option<Fetching>,
    fetch_not_before: Mono,
    fetch_failures: u32,
    refreshing: Option<BoxFuture<'static, Result<()>>>,
    due: Due,
    errors: VecDeque<Error>,
}

impl GroupConsumer {
    /// A member that subscribes to nothing yet. Connects when first polled.
    pub fn new(env: &Env, config: GroupConfig) -> Result<Self> {
        config.check()?;
        let consumer = Consumer::new(env, config.consumer.clone())?;
        let shared = Arc::new(Shared::new(config, consumer.cluster()));
        let (commits, queue) = mpsc::unbounded_channel();
        let background = vec![
            env.tasks
                .spawn("group heartbeat", Box::pin(heartbeat::run(shared.clone()))),
            env.tasks
                .spawn("group commits", Box::pin(offsets::run(shared.clone(), queue))),
        ];
        Ok(GroupConsumer {
            auto_at: env.clock.now().after(shared.config.auto_commit_interval),
            shared,
            consumer,
            wanted: Wanted::Nothing,
            listener: Arc::new(NoListener),
            in_listener: Arc::default(),
            owned: BTreeSet::new(),
            announced: BTreeSet::new(),
            last: (Vec::new(), -1),
            joined_topics: Vec::new(),
            group_topics: None,
            looked: None,
            join: None,
            background,
            commits,
            auto: None,
            fetching: None,
            fetch_not_before: Mono(0),
            fetch_failures: 0,
            refreshing: None,
            due: Due::default(),
            errors: VecDeque::new(),
        })
    }

    /// Calls this when partitions come and go, instead of what was set before.
    pub fn set_listener(&mut self, listener: Arc<dyn RebalanceListener>) {
        self.listener = listener;
    }

    /// Subscribes to these topics and no others. The member joins, or joins again, when it polls.
    pub fn subscribe<T: Into<String>>(&mut self, topics: impl IntoIterator<Item = T>) {
        self.want(Wanted::Topics(topics.into_iter().map(Into::into).collect()));
    }

    /// Subscribes to all topics whose names match, those to come included (they are found within `metadata.max.age.ms`).
    pub fn subscribe_matching(&mut self, pattern: TopicPattern) {
        self.want(Wanted::Pattern(pattern));
    }

    fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.due = Due::default();
        self.refreshing = None;
        self.looked = None;
        self.shared.state().ask_rejoin("the subscription has changed");
    }

    /// The topics that are subscribed to and, for a pattern, exist.
    pub fn subscription(&self) -> Vec<String> {
        match &self.wanted {
            Wanted::Nothing => Vec::new(),
            Wanted::Topics(topics) => topics.iter().cloned().collect(),
            Wanted::Pattern(matches) => {
                let view = self.shared.cluster.view();
                let hidden = self.shared.config.exclude_internal_topics;
                let topics = view.topics.values().filter(|t| !(hidden && t.internal));
                topics
                    .filter(|t| matches(&t.name))
                    .map(|t| t.name.to_string())
                    .collect()
            }
        }
    }

    /// The partitions that this member has.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.owned.iter().cloned().collect()
    }

    /// The member id that the coordinator gave, and the generation; `None` while the member is in none.
    pub fn member(&self) -> Option<(String, i32)> {
        let state = self.shared.state();
        (state.phase == Phase::Stable).then(|| (state.who.member_id.clone(), state.who.generation))
    }

    /// The consumer below, to look at: watermarks, lag, offsets by time.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Records of the assigned partitions, at most `max.poll.records`; none if none came within `timeout`. Rebalances are taken
    /// part in here: a member that does not call this for `max.poll.interval.ms` loses its partitions. What may pass is tried
    /// again and told by [`GroupConsumer::trouble`]; an error is one that the user must do something about.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>> {
        if self.in_listener.load(Ordering::Relaxed) || matches!(self.wanted, Wanted::Nothing) {
            return Err(self.unpollable());
        }
        let deadline = self.shared.cluster.now().after(timeout);
        loop {
            let now = self.shared.cluster.now();
            self.shared.state().polled = now;
            self.look_at_topics();
            self.rebalance().await?;
            self.commit_automatically();
            let records = self.consumer.take_records();
            if !records.is_empty() {
                self.consumer.ask_ahead().await;
                return Ok(records);
            }
            if let Some(error) = self.errors.pop_front().or_else(|| self.consumer.take_error()) {
                return Err(error);
            }
            if !self.wait(deadline).await {
                return Ok(Vec::new());
            }
        }
    }

    fn unpollable(&self) -> Error {
        if self.in_listener.load(Ordering::Relaxed) {
            Error::Misuse {
                problem: "a rebalance listener polled",
                advice: "commit or seek there, and poll when it has returned",
            }
        } else {
            Error::Misuse {
                problem: "the consumer has no subscription",
                advice: "subscribe before polling",
            }
        }
    }

    /// What failed last and is being tried again; `None` when all is well.
    pub fn trouble(&self) -> Option<Error> {
        let of_group = self.shared.state().trouble.clone();
        of_group.or_else(|| self.consumer.trouble().cloned())
    }

    /// Commits the positions of all assigned partitions: everything that [`GroupConsumer::poll`] has returned.
    pub async fn commit(&mut self) -> Result<()> {
        self.commit_in_background(self.positions()).await
    }

    /// Commits these offsets, and waits for the answer.
    pub async fn commit_offsets(&mut self, offsets: Offsets) -> Result<()> {
        self.commit_in_background(offsets).await
    }

    /// Commits these offsets, behind all that were asked for before. An error that may pass is tried again, so nothing comes out
    /// of order; the result is there for whoever awaits it.
    pub fn commit_in_background(&self, offsets: Offsets) -> Commit {
        let (reply, result) = oneshot::channel();
        let who = {
            let state = self.shared.state();
            if state.phase != Phase::Stable || state.lost {
                let code = if state.is_joining() {
                    ottla_types::ErrorCode::RebalanceInProgress
                } else {
                    ottla_types::ErrorCode::IllegalGeneration
                };
                let what = format!("commit offsets of group `{}`", self.shared.config.group_id);
                return Commit::done(Err(Error::broker(what, code.code(), None)));
            }
            state.who.clone()
        };
        let queued = Queued {
            offsets,
            who,
            deadline: self.shared.cluster.api_deadline(),
            reply,
        };
        // Without a queue the reply is dropped, which reads as closed.
        let _ = self.commits.send(queued);
        Commit(result)
    }

    /// The positions as they would be committed.
    pub fn positions(&self) -> Offsets {
        let positions = self.consumer.positions().into_iter();
        positions
            .map(|(partition, at)| (partition, OffsetAndMetadata::new(at)))
            .collect()
    }

    /// What the group has committed for these partitions, assigned or not; `None` where nothing is. The question is the future's
    /// own: it does not borrow the member.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<offsets::Committed>> + Send + use<> {
        let (coordinator, partitions) = (self.shared.coordinator.clone(), partitions.to_vec());
        async move {
            let deadline = coordinator.cluster.api_deadline();
            offsets::committed(&coordinator, Some(&partitions), deadline).await
        }
    }

    /// The offset of the next record that [`GroupConsumer::poll`] gives of this partition; finds it out if need be.
    pub async fn position(&mut self, partition: &TopicPartition) -> Result<i64> {
        let deadline = self.shared.cluster.api_deadline();
        while self.consumer.held().contains(partition) {
            if let Some(error) = self.errors.pop_front() {
                return Err(error);
            }
            if !self.wait(deadline).await {
                break;
            }
        }
        self.consumer.position(partition).await
    }

    /// Reads on at `offset`.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.consumer.seek(partition, offset)
    }

    /// Reads on at any offset that a broker can name.
    pub fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()> {
        self.consumer.seek_to(partition, spec)
    }

    /// Gives no records of the partition until it is resumed, or assigned anew.
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.consumer.pause(partition)
    }

    /// Gives records of the partition again.
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.consumer.resume(partition)
    }

    /// Gives the partitions up and joins again with the next poll.
    pub fn enforce_rebalance(&mut self, reason: &str) {
        self.shared.state().ask_rejoin(reason);
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        let tasks = self.background.iter().chain(&self.join);
        tasks.for_each(Task::cancel);
    }
}
