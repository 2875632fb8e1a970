//! What a member's user and its background tasks have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use ottla_io::{Clock, Mono};
use tokio::sync::Notify;

use super::GroupConfig;
use super::coordinator::Coordinator;
use super::membership::Membership;
use crate::Cluster;

/// One member.
pub(super) struct Shared {
    pub(super) config: GroupConfig,
    pub(super) cluster: Cluster,
    pub(super) coordinator: Coordinator,
    state: Mutex<Membership>,
    /// Wakes the user's poll.
    pub(super) changed: Notify,
    /// Wakes the heartbeats.
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new(config: GroupConfig, cluster: &Cluster) -> Self {
        Shared {
            coordinator: Coordinator::new(cluster, &config.group_id),
            cluster: cluster.clone(),
            config,
            state: Mutex::new(Membership::new()),
            changed: Notify::new(),
            wake: Notify::new(),
        }
    }

    /// The member's place. Never held across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, Membership> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds on the wire.
pub(super) fn ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Waits until somebody notifies or the time has come.
pub(super) async fn rest(clock: &dyn Clock, at: Option<Mono>, notify: &Notify) {
    let mut notified = std::pin::pin!(notify.notified());
    let mut sleep = at.map(|at| clock.sleep_until(at));
    std::future::poll_fn(|cx| {
        if notified.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match &mut sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}
