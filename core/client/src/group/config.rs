//! The settings of a member, under Kafka's names and with Kafka 4.3's defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::assign::{Assignor, CooperativeStickyAssignor, RangeAssignor};
use crate::{ConsumerConfig, Error, Result};

/// Settings of a member of a group.
#[derive(Clone)]
pub struct GroupConfig {
    /// What the member shares with a consumer by assignment.
    pub consumer: ConsumerConfig,
    /// `group.id`.
    pub group_id: String,
    /// `group.instance.id` (KIP-345): a static member, which keeps its partitions over a restart that is shorter than the
    /// session timeout. No two members may have the same one at the same time.
    pub group_instance_id: Option<String>,
    /// `session.timeout.ms` (45 s): without a heartbeat for this long the coordinator counts the member as gone.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms` (3 s).
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms` (5 min): who does not poll for this long leaves. Rebalances wait for members as long.
    pub max_poll_interval: Duration,
    /// `enable.auto.commit` (true): positions are committed by [`super::GroupConsumer::poll`], before a rebalance and at close.
    pub auto_commit: bool,
    /// `auto.commit.interval.ms` (5 s).
    pub auto_commit_interval: Duration,
    /// `partition.assignment.strategy` (range, then cooperative-sticky), the preferred one first.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// `client.rack`.
    pub rack: Option<String>,
    /// `allow.auto.create.topics` (true): a broker may create the topics that are subscribed by name.
    pub allow_auto_create_topics: bool,
    /// `exclude.internal.topics` (true): patterns do not match Kafka's own topics.
    pub exclude_internal_topics: bool,
}

impl GroupConfig {
    /// Kafka's defaults, these servers and this group.
    pub fn new(bootstrap_servers: &str, group_id: impl Into<String>) -> Self {
        GroupConfig {
            consumer: ConsumerConfig::new(bootstrap_servers),
            group_id: group_id.into(),
            ..GroupConfig::default()
        }
    }

    /// Whether members keep their partitions while a rebalance goes on: only if all assignors can.
    pub(super) fn cooperative(&self) -> bool {
        self.assignors.iter().all(|a| a.cooperative())
    }

    pub(super) fn check(&self) -> Result<()> {
        let bad = |key, problem: &str, advice| Err(Error::config(key, problem, advice));
        if self.group_id.is_empty() {
            return bad("group.id", "it is empty", "name the group");
        }
        if self.heartbeat_interval >= self.session_timeout {
            return bad(
                "heartbeat.interval.ms",
                "it is not below session.timeout.ms",
                "use at most a third of session.timeout.ms",
            );
        }
        if self.assignors.is_empty() {
            return bad(
                "partition.assignment.strategy",
                "it is empty",
                "name an assignor, such as range or cooperative-sticky",
            );
        }
        let mut names: Vec<_> = self.assignors.iter().map(|a| a.name()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return bad(
                "partition.assignment.strategy",
                "it names an assignor twice",
                "name each once",
            );
        }
        Ok(())
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            consumer: ConsumerConfig::default(),
            group_id: String::new(),
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            assignors: vec![Arc::new(RangeAssignor), Arc::new(CooperativeStickyAssignor)],
            rack: None,
            allow_auto_create_topics: true,
            exclude_internal_topics: true,
        }
    }
}

impl fmt::Debug for GroupConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignors: Vec<_> = self.assignors.iter().map(|a| a.name()).collect();
        f.debug_struct("GroupConfig")
            .field("group_id", &self.group_id)
            .field("group_instance_id", &self.group_instance_id)
            .field("assignors", &assignors)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}
