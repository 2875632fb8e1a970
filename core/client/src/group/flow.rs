//! How a poll waits: for records, for the group, for committed offsets, for news of topics, whichever comes first.

use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

use ottla_io::Mono;

use super::listener::Wanted;
use super::offsets;
use super::{GroupConsumer, join};
use crate::Result;

/// When topics are looked at.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The next time; at once if unset.
    at: Option<Mono>,
    /// An answer has come since the subscription changed.
    known: bool,
}

impl Due {
    /// Whether it is too early to say which topics are wanted.
    pub(super) fn nothing_known(&self, wanted: &Wanted) -> bool {
        matches!(wanted, Wanted::Pattern(_)) && !self.known
    }
}

impl GroupConsumer {
    /// Waits until something has come of what is under way; false if the deadline came first.
    pub(super) async fn wait(&mut self, deadline: Mono) -> bool {
        let clock = self.shared.cluster.env().clock.clone();
        let now = clock.now();
        self.start_refresh(now);
        let offsets = self.start_fetching(now);
        let next = [
            self.consumer.start(),
            offsets,
            self.due.at,
            self.next_commit(),
            self.next_join(),
        ];
        let next = next
            .into_iter()
            .flatten()
            .filter(|at| *at > now && *at < deadline)
            .min();
        let shared = self.shared.clone();
        let mut notified = std::pin::pin!(shared.changed.notified());
        let mut sleep = clock.sleep_until(next.unwrap_or(deadline));
        let moved = std::future::poll_fn(|cx| {
            let mut moved = self.consumer.poll_running(cx);
            if let Some(fetching) = &mut self.fetching
                && let Poll::Ready(found) = fetching.as_mut().poll(cx)
            {
                self.fetching = None;
                self.fetched(found);
                moved = true;
            }
            if let Some(refreshing) = &mut self.refreshing
                && let Poll::Ready(result) = refreshing.as_mut().poll(cx)
            {
                self.refreshing = None;
                self.refreshed(&result);
                moved = true;
            }
            if moved || notified.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await;
        moved || next.is_some()
    }

    /// Asks for the committed offsets of partitions that came; says when it can.
    fn start_fetching(&mut self, now: Mono) -> Option<Mono> {
        if self.fetching.is_some() {
            return None;
        }
        let held = self.consumer.held();
        if held.is_empty() {
            return None;
        }
        if self.fetch_not_before > now {
            return Some(self.fetch_not_before);
        }
        let coordinator = self.shared.coordinator.clone();
        let deadline = now.after(self.shared.config.consumer.client.request_timeout);
        self.fetching = Some(Box::pin(async move {
            offsets::committed(&coordinator, Some(&held), deadline).await
        }));
        None
    }

    fn fetched(&mut self, found: Result<super::offsets::Committed>) {
        match found {
            Ok(found) => {
                self.fetch_failures = 0;
                for (partition, committed) in found {
                    let released = self.consumer.release(&partition, committed.map(|c| c.offset));
                    self.errors.extend(released.err());
                }
                // Held ones that have errors wait for the user to seek, not in a circle.
                self.fetch_not_before = self.shared.cluster.now().after(self.backoff(1));
            }
            Err(error) => {
                self.fetch_failures = self.fetch_failures.saturating_add(1);
                self.fetch_not_before = self.shared.cluster.now().after(self.backoff(self.fetch_failures));
                if error.is_retriable() {
                    self.shared.state().trouble = Some(error);
                } else {
                    self.errors.push_back(error);
                }
            }
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        self.shared.cluster.backoff().pause(failures)
    }

    /// Asks for the topics that are subscribed to, or for all if a pattern must be matched, when it is time.
    fn start_refresh(&mut self, now: Mono) {
        if self.refreshing.is_some() || self.due.at.is_some_and(|at| at > now) {
            return;
        }
        let cluster = self.shared.cluster.clone();
        if matches!(self.wanted, Wanted::Pattern(_)) {
            self.refreshing = Some(Box::pin(async move { cluster.refresh_all().await }));
            return;
        }
        let mut topics: BTreeSet<String> = self.subscription().into_iter().collect();
        topics.extend(self.group_topics.iter().flat_map(|sizes| sizes.keys().cloned()));
        let create = self.shared.config.allow_auto_create_topics;
        self.refreshing = Some(Box::pin(async move {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            cluster.refresh(cluster.view().generation, &topics, create).await
        }));
    }

    fn refreshed(&mut self, result: &Result<()>) {
        let client = &self.shared.config.consumer.client;
        // A topic that is missing or a broker that is away is asked for sooner.
        let again = match result {
            Ok(()) => client.metadata_max_age,
            Err(_) => client.retry_backoff_max.min(client.metadata_max_age),
        };
        self.due.at = Some(self.shared.cluster.now().after(again));
        let answered = match result {
            Ok(()) => true,
            Err(error) => error.code().is_some(),
        };
        self.due.known |= answered;
    }

    /// Joins again if what is subscribed to has changed, or for the leader the number of the group's partitions.
    pub(super) fn look_at_topics(&mut self) {
        let subscription = self.subscription();
        let mut state = self.shared.state();
        if state.phase != super::Phase::Stable
            || state.joined.is_some()
            || self.due.nothing_known(&self.wanted)
        {
            return;
        }
        if subscription != self.joined_topics {
            state.ask_rejoin("the subscription has changed");
        }
        if let Some(before) = &self.group_topics {
            let watched: BTreeSet<&str> = before
                .keys()
                .map(String::as_str)
                .chain(subscription.iter().map(String::as_str))
                .collect();
            if join::sizes(&self.shared, watched.into_iter()) != *before {
                state.ask_rejoin("the topics of the group have changed");
            }
        }
    }

    fn next_join(&self) -> Option<Mono> {
        let state = self.shared.state();
        (!state.is_joining() && state.rejoin.is_some()).then_some(state.join_not_before)
    }

    fn next_commit(&self) -> Option<Mono> {
        (self.shared.config.auto_commit && !self.owned.is_empty()).then_some(self.auto_at)
    }

    /// Commits what polls before this one have returned, when it is time.
    pub(super) fn commit_automatically(&mut self) {
        let now = self.shared.cluster.now();
        if !self.shared.config.auto_commit || self.owned.is_empty() {
            return;
        }
        if let Some(auto) = &mut self.auto {
            match auto.0.try_recv() {
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return,
                Ok(Err(error)) => self.shared.state().trouble = Some(error),
                _ => {}
            }
            self.auto = None;
        }
        if now < self.auto_at {
            return;
        }
        self.auto_at = now.after(self.shared.config.auto_commit_interval);
        let positions = self.positions();
        if !positions.is_empty() && self.member().is_some() {
            self.auto = Some(self.commit_in_background(positions));
        }
    }
}
