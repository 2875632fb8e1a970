//! Request memory of all connections together (`queued.max.request.bytes`; Kafka class `SimpleMemoryPool`). A connection takes a
//! request's whole size before it reads the request's body, so that requests that have begun can always be finished, and stops
//! reading while there is not enough.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A shared amount of bytes, given out in the order in which it was asked for.
pub struct Budget {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    next: u64,
    /// Who waits, in order.
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

    /// Takes `bytes`, or waits until some are given back. Who waits longer comes first, so that a stream of small requests
    /// can't starve a large one. A request larger than the whole budget is let through when nothing else is in use, so that
    /// it can't wait forever.
    pub fn poll_take(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        bytes: usize,
        ticket: &mut Option<Ticket>,
    ) -> Poll<Permit> {
        if self.limit == usize::MAX {
            return Poll::Ready(Permit { bytes: 0, from: None });
        }
        let mut state = self.lock();
        let mine = ticket.as_ref().map(|ticket| ticket.number);
        let first = state.waiting.keys().next().copied();
        let turn = first.is_none() || first == mine;
        if turn && (state.used == 0 || state.used.saturating_add(bytes) <= self.limit) {
            state.used += bytes;
            drop(state);
            // Leaves the queue, which lets the next one look.
            drop(ticket.take());
            return Poll::Ready(Permit {
                bytes,
                from: Some(self.clone()),
            });
        }
        let number = mine.unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        state.waiting.insert(number, cx.waker().clone());
        drop(state);
        ticket.get_or_insert_with(|| Ticket {
            number,
            budget: self.clone(),
        });
        Poll::Pending
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    fn wake_first(state: MutexGuard<'_, State>) {
        let waker = state.waiting.values().next().cloned();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A place in the queue for a [`Budget`]. Dropping it leaves the queue.
pub struct Ticket {
    number: u64,
    budget: Arc<Budget>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.waiting.remove(&self.number);
        Budget::wake_first(state);
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
            let mut state = budget.lock();
            state.used -= self.bytes;
            Budget::wake_first(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(budget: &Arc<Budget>, bytes: usize, ticket: &mut Option<Ticket>) -> Option<Permit> {
        let mut cx = Context::from_waker(Waker::noop());
        match budget.poll_take(&mut cx, bytes, ticket) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn waits_when_used_up_and_goes_on_when_given_back() {
        let budget = Budget::new(100);
        let mut ticket = None;
        let first = take(&budget, 250, &mut ticket).expect("an empty budget lets any request through");
        assert!(take(&budget, 1, &mut ticket).is_none());
        assert!(ticket.is_some());
        drop(first);
        let second = take(&budget, 60, &mut ticket).expect("bytes were given back");
        assert_eq!((budget.used(), ticket.is_none()), (60, true));
        assert!(take(&budget, 41, &mut ticket).is_none());
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn small_requests_do_not_pass_a_large_one_that_waits() {
        let budget = Budget::new(100);
        let (mut large, mut small) = (None, None);
        let held = take(&budget, 50, &mut None).expect("there is room");
        assert!(take(&budget, 80, &mut large).is_none());
        assert!(
            take(&budget, 10, &mut small).is_none(),
            "there is room, but not the turn"
        );
        drop(held);
        assert!(take(&budget, 10, &mut small).is_none());
        let large = take(&budget, 80, &mut large).expect("first in the queue");
        assert!(take(&budget, 10, &mut small).is_some());
        drop(large);
    }

    #[test]
    fn a_connection_that_goes_leaves_the_queue() {
        let budget = Budget::new(100);
        let (mut gone, mut next) = (None, None);
        let held = take(&budget, 100, &mut None).expect("there is room");
        assert!(take(&budget, 100, &mut gone).is_none());
        assert!(take(&budget, 100, &mut next).is_none());
        drop(held);
        drop(gone);
        assert!(take(&budget, 100, &mut next).is_some());
        assert!(budget.lock().waiting.is_empty());
    }
}
