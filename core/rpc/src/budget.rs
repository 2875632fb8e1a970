//! Request memory of all connections together (`queued.max.request.bytes`): a connection stops reading while it is used up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// A shared amount of bytes.
pub struct Budget {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Budget {
    /// `limit` bytes; `usize::MAX` for no limit.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Budget {
            limit,
            state: Mutex::new(State::default()),
        })
    }

    /// Takes `bytes`, or waits until some are given back. A frame larger than the whole budget is let through when nothing
    /// else is in use, as Kafka's `SimpleMemoryPool` does, so that it can't wait forever.
    pub fn poll_take(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        bytes: usize,
        ticket: &mut Option<u64>,
    ) -> Poll<Permit> {
        if self.limit == usize::MAX {
            return Poll::Ready(Permit { bytes: 0, from: None });
        }
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.used == 0 || state.used.saturating_add(bytes) <= self.limit {
            state.used += bytes;
            if let Some(ticket) = ticket.take() {
                state.waiting.remove(&ticket);
            }
            return Poll::Ready(Permit {
                bytes,
                from: Some(self.clone()),
            });
        }
        let key = *ticket.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.waiting.insert(key, cx.waker().clone());
        Poll::Pending
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .used
    }
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Default)]
pub struct Permit {
    bytes: usize,
    from: Option<Arc<Budget>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(budget) = self.from.take() {
            let mut state = budget
                .state
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            state.used -= self.bytes;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_values().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_when_used_up_and_wakes_when_given_back() {
        let budget = Budget::new(100);
        let mut cx = Context::from_waker(Waker::noop());
        let mut ticket = None;
        let Poll::Ready(first) = budget.poll_take(&mut cx, 250, &mut ticket) else {
            panic!("an empty budget lets any frame through")
        };
        assert!(budget.poll_take(&mut cx, 1, &mut ticket).is_pending());
        assert!(ticket.is_some());
        drop(first);
        let Poll::Ready(second) = budget.poll_take(&mut cx, 60, &mut ticket) else {
            panic!("bytes were given back")
        };
        assert_eq!((budget.used(), ticket), (60, None));
        assert!(budget.poll_take(&mut cx, 41, &mut ticket).is_pending());
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
