//! What goes in and what comes back: [`Record`], [`Delivery`], [`RecordMetadata`]. One completion serves all records of a
//! batch; a delivery is a handle on it and an index.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

pub use ottla_wire::records::Header;

use crate::Result;

/// A record to be sent. It is copied once, into its batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` leaves it to the partitioner.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since 1970; `None` for now.
    pub timestamp: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record with only a value.
    pub fn new(topic: &'a str, value: &'a [u8]) -> Self {
        Record {
            topic,
            value: Some(value),
            ..Record::default()
        }
    }

    /// With this key.
    #[must_use]
    pub fn key(self, key: &'a [u8]) -> Self {
        Record {
            key: Some(key),
            ..self
        }
    }

    /// For this partition.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Record {
            partition: Some(partition),
            ..self
        }
    }

    /// With these headers.
    #[must_use]
    pub fn headers(self, headers: &'a [Header<'a>]) -> Self {
        Record { headers, ..self }
    }

    /// With this timestamp.
    #[must_use]
    pub fn timestamp(self, timestamp: i64) -> Self {
        Record {
            timestamp: Some(timestamp),
            ..self
        }
    }

    /// What it takes in a batch at most.
    pub(crate) fn size_bound(&self) -> usize {
        // Lengths, deltas and counts take at most ten bytes each.
        let headers: usize = self
            .headers
            .iter()
            .map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len) + 10)
            .sum();
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers + 36
    }
}

/// Where a record went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; -1 with acks=0, or for a duplicate so old that the broker has forgotten its offset.
    pub offset: i64,
    /// The record's timestamp: its own, or the broker's for a topic of `LogAppendTime`.
    pub timestamp: i64,
}

/// What the broker said about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) base_offset: i64,
    pub(crate) append_time: i64,
}

impl Written {
    /// It is in the log, at an offset that nobody said.
    pub(crate) const SOMEWHERE: Written = Written {
        base_offset: -1,
        append_time: -1,
    };
}

#[derive(Default)]
struct State {
    result: Option<Result<Written>>,
    waiting: Vec<Waker>,
}

/// The result of a batch, for all that wait for it.
pub(crate) struct Completion {
    topic: Arc<str>,
    partition: i32,
    state: Mutex<State>,
}

impl Completion {
    pub(crate) fn new(topic: Arc<str>, partition: i32) -> Arc<Self> {
        Arc::new(Completion {
            topic,
            partition,
            state: Mutex::default(),
        })
    }

    /// Sets the result; only the first counts.
    pub(crate) fn complete(&self, result: Result<Written>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.result.is_some() {
            return;
        }
        state.result = Some(result);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .result
            .is_some()
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Written>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = &state.result {
            return Poll::Ready(result.clone());
        }
        if !state.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the result.
    pub(crate) async fn wait(&self) -> Result<Written> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

/// A record on its way: await it to learn where it went. Dropping it changes nothing about the record.
pub struct Delivery {
    completion: Arc<Completion>,
    index: i32,
    timestamp: i64,
}

impl Delivery {
    pub(crate) fn new(completion: Arc<Completion>, index: i32, timestamp: i64) -> Self {
        Delivery {
            completion,
            index,
            timestamp,
        }
    }

    /// The partition it was given.
    pub fn partition(&self) -> i32 {
        self.completion.partition
    }

    /// Whether it was delivered or has failed.
    pub fn is_done(&self) -> bool {
        self.completion.is_complete()
    }

    fn metadata(&self, written: Written) -> RecordMetadata {
        RecordMetadata {
            topic: self.completion.topic.clone(),
            partition: self.completion.partition,
            offset: if written.base_offset < 0 {
                -1
            } else {
                written.base_offset.saturating_add(i64::from(self.index))
            },
            timestamp: if written.append_time < 0 {
                self.timestamp
            } else {
                written.append_time
            },
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.completion
            .poll(cx)
            .map(|result| result.map(|written| self.metadata(written)))
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.completion.topic)
            .field("partition", &self.completion.partition)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
