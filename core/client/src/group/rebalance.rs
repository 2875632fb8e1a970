//! How partitions come and go, inside a poll. Eagerly: all are given up before joining, and come anew. Cooperatively (KIP-429):
//! a member keeps what it has while the group rebalances, gives up what the new assignment does not name, and joins again, so
//! that its new owner gets it.
//!
//! A user may drop the future of a poll at any await, so each step is done only when its end is noted, and is otherwise done
//! again by the next poll.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_types::TopicPartition;

use super::GroupConsumer;
use super::join::{self, Joining};
use super::listener::RebalanceListener;
use super::membership::Joined;
use crate::Result;

/// What is to be done.
enum Step {
    /// The group has gone on without this member.
    Lost,
    /// A join has brought an assignment.
    TakeOver(Joined),
    /// The member must join (again).
    Join,
    /// Nothing.
    Rest,
}

/// Which of the listener's methods.
#[derive(Clone, Copy)]
enum Call {
    Assigned,
    Revoked,
    Lost,
}

impl GroupConsumer {
    /// Does what the group asks of this member, as far as it can be done now.
    pub(super) async fn rebalance(&mut self) -> Result<()> {
        loop {
            let step = {
                let mut state = self.shared.state();
                if let Some(error) = state.fatal.take() {
                    return Err(error);
                }
                match state.joined.clone() {
                    _ if state.lost => Step::Lost,
                    Some(joined) => Step::TakeOver(joined),
                    None if state.should_join(self.shared.cluster.now()) => Step::Join,
                    None => Step::Rest,
                }
            };
            match step {
                Step::Lost => self.lose().await?,
                Step::TakeOver(joined) => self.take_over(joined).await?,
                Step::Join => {
                    if self.due.nothing_known(&self.wanted) {
                        // A pattern can't be told to the group before it was looked at once.
                        return Ok(());
                    }
                    self.prepare().await?;
                    self.begin_join();
                }
                Step::Rest => return Ok(()),
            }
        }
    }

    async fn lose(&mut self) -> Result<()> {
        let all = self.assignment();
        let told = self.call(Call::Lost, &all).await;
        self.hold(&BTreeSet::new());
        self.shared.state().lost = false;
        told
    }

    /// Before joining: commits, and gives up what can't be kept.
    async fn prepare(&mut self) -> Result<()> {
        let topics = self.subscription();
        let kept: BTreeSet<TopicPartition> = if self.shared.config.cooperative() {
            let wanted = self.owned.iter().filter(|p| topics.contains(&p.topic));
            wanted.cloned().collect()
        } else {
            BTreeSet::new()
        };
        self.give_up(&kept).await
    }

    /// Gives up all but `kept`, after committing.
    pub(super) async fn give_up(&mut self, kept: &BTreeSet<TopicPartition>) -> Result<()> {
        let gone: Vec<TopicPartition> = self.owned.difference(kept).cloned().collect();
        if self.shared.config.auto_commit && !self.owned.is_empty() && self.member().is_some() {
            let result = self.commit_in_background(self.positions()).await;
            // Others may read these records again: that is all there is to do about it.
            if let Err(error) = result {
                self.shared.state().trouble = Some(error);
            }
        }
        if gone.is_empty() || self.shared.state().lost {
            return Ok(());
        }
        let told = self.call(Call::Revoked, &gone).await;
        self.hold(kept);
        told
    }

    fn begin_join(&mut self) {
        let topics = self.subscription();
        let joining = {
            let mut state = self.shared.state();
            if state.lost || state.is_joining() {
                return;
            }
            let reason = state.rejoin.clone().unwrap_or_default();
            Joining {
                attempt: state.begin_join(),
                topics,
                owned: self.owned.iter().cloned().collect(),
                last: self.last.clone(),
                reason,
            }
        };
        if let Some(before) = self.join.take() {
            before.cancel();
        }
        let task = join::join(self.shared.clone(), joining);
        let task = self
            .shared
            .cluster
            .env()
            .tasks
            .spawn("group join", Box::pin(task));
        self.join = Some(task);
        self.shared.wake.notify_one();
    }

    async fn take_over(&mut self, joined: Joined) -> Result<()> {
        let wanted = self.subscription();
        let assigned: BTreeSet<TopicPartition> = joined.partitions.iter().cloned().collect();
        let foreign = assigned.iter().any(|p| !wanted.contains(&p.topic));
        let mut told = Ok(());
        if !self.owned.is_subset(&assigned) {
            let kept = self.owned.intersection(&assigned).cloned().collect();
            told = self.give_up(&kept).await;
            let mut state = self.shared.state();
            if state.joined.as_ref() != Some(&joined) {
                // The group went on meanwhile: what this brought is void.
                return told;
            }
            state.ask_rejoin("it gave up partitions for others to have");
        }
        self.hold(&assigned);
        let fresh: Vec<TopicPartition> = assigned.difference(&self.announced).cloned().collect();
        let told = told.and(self.call(Call::Assigned, &fresh).await);
        self.announced.clone_from(&assigned);
        self.looked = None;
        self.last = (joined.partitions.clone(), joined.generation);
        self.joined_topics = joined.topics.clone();
        self.group_topics = joined.group_topics.clone();
        let mut state = self.shared.state();
        if foreign || wanted != joined.topics {
            state.ask_rejoin("the subscription has changed");
        }
        if state.joined.as_ref() == Some(&joined) {
            state.joined = None;
        }
        told
    }

    pub(super) fn hold(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.owned.clone_from(partitions);
        self.announced.retain(|p| partitions.contains(p));
        self.consumer.assign_held(partitions);
    }

    async fn call(&mut self, call: Call, partitions: &[TopicPartition]) -> Result<()> {
        if partitions.is_empty() && !matches!(call, Call::Assigned) {
            return Ok(());
        }
        let listener: Arc<dyn RebalanceListener> = self.listener.clone();
        let _inside = Inside::new(&self.in_listener);
        match call {
            Call::Assigned => listener.assigned(self, partitions).await,
            Call::Revoked => listener.revoked(self, partitions).await,
            Call::Lost => listener.lost(self, partitions).await,
        }
    }
}

/// While this lives a listener is being called; it ends with the future of the call too.
struct Inside(Arc<AtomicBool>);

impl Inside {
    fn new(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Relaxed);
        Inside(flag.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
