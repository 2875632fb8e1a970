//! How a member ends: it commits, gives its partitions up and leaves, so that the others need not wait for its session to end.

use std::collections::BTreeSet;

use ottla_io::timeout_at;

use super::listener::Wanted;
use super::{GroupConsumer, heartbeat};
use crate::{Error, Result};

/// Whether a member that closes leaves its group (KIP-1092).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leave {
    /// A dynamic member leaves, a static one keeps its partitions for its next start.
    #[default]
    ByKind,
    /// It leaves.
    Always,
    /// It stays a member until its session ends.
    Never,
}

impl GroupConsumer {
    /// Commits (with `enable.auto.commit`), tells the listener, leaves the group and lets go of everything. What can't be done
    /// within `default.api.timeout.ms` is given up; the first error is returned.
    pub async fn close(self) -> Result<()> {
        self.close_as(Leave::ByKind).await
    }

    /// The same, saying whether to leave.
    pub async fn close_as(mut self, leave: Leave) -> Result<()> {
        let deadline = self.shared.cluster.api_deadline();
        let clock = self.shared.cluster.env().clock.clone();
        let result = timeout_at(clock.as_ref(), deadline, self.end(leave)).await;
        self.shared.cluster.close();
        result.unwrap_or_else(|| {
            Err(Error::Timeout {
                what: format!("leave group `{}`", self.shared.config.group_id),
                after: self.shared.config.consumer.client.api_timeout,
                last: self.trouble().map(Box::new),
                advice: "nothing more needs doing: the group goes on when the member's session has ended",
            })
        })
    }

    /// Gives all partitions up, leaves the group, and subscribes to nothing.
    pub async fn unsubscribe(&mut self) -> Result<()> {
        let result = self.end(Leave::ByKind).await;
        self.wanted = Wanted::Nothing;
        result
    }

    async fn end(&mut self, leave: Leave) -> Result<()> {
        let given_up = self.give_up(&BTreeSet::new()).await;
        // Commits that were asked for before are in front of this one.
        let last = self.commit_in_background(super::Offsets::new());
        if self.member().is_some() {
            let _ = last.await;
        }
        let (who, member) = {
            let state = self.shared.state();
            (state.who.clone(), !state.who.member_id.is_empty())
        };
        let leaves = match leave {
            Leave::ByKind => self.shared.config.group_instance_id.is_none(),
            Leave::Always => true,
            Leave::Never => false,
        };
        if let Some(join) = self.join.take() {
            join.cancel();
        }
        self.shared.state().leave();
        self.hold(&BTreeSet::new());
        let left = if leaves && member {
            heartbeat::leave(&self.shared, &who, "the consumer is being closed").await
        } else {
            Ok(())
        };
        given_up.and(left)
    }
}
