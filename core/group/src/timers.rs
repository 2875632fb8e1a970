//! The coordinator's timers, by key and by time. One key has one timer.

use crate::api::WriteId;
use std::collections::{BTreeMap, BTreeSet};

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A member's session, or the time a pending member has to join: group, member.
    Member(String, String),
    /// The join phase of a group.
    Join(String),
    /// The sync phase of a group.
    Sync(String),
    /// The next look for expired offsets.
    Expiry,
    /// The longest wait for a write.
    Write(WriteId),
}

/// Times are the monotonic clock's milliseconds. Invariant: both maps hold the same timers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Timers {
    by_key: BTreeMap<TimerKey, u64>,
    by_time: BTreeSet<(u64, TimerKey)>,
}

impl Timers {
    /// Sets a timer, in place of what was set for the key. It fires after one millisecond at the earliest, so that what
    /// sets itself anew cannot keep a tick busy for ever.
    pub(crate) fn set(&mut self, key: TimerKey, now: u64, after: u64) {
        let at = now.saturating_add(after.max(1));
        self.cancel(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    pub(crate) fn cancel(&mut self, key: &TimerKey) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due.
    pub(crate) fn pop(&mut self, now: u64) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }
}
