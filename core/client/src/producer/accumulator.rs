//! Records on their way into batches, a [`Queue`] per partition, and the bytes they hold of `buffer.memory`. Pure but for the
//! completions; who calls it holds a lock and tells the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_io::Mono;
use ottla_wire::records::{BatchBuilder, HEADER_SIZE};

use super::batch::{Batch, Content, Identity};
use super::queue::Queue;
use super::record::{Completion, Delivery, Record, Written};
use crate::Error;

/// Capacity that a batch begins with when its partition has not shown what it needs.
const FIRST_CAPACITY: usize = 1 << 10;

/// A partition.
pub(crate) type Key = (Arc<str>, i32);

/// What bounds the accumulator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) batch_size: usize,
    pub(crate) linger: Duration,
    pub(crate) memory: usize,
    pub(crate) delivery_timeout: Duration,
}

/// One partition.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) queue: Queue,
    open: Option<Batch>,
    /// No batch is sent before this, after a failure.
    pub(crate) not_before: Mono,
    capacity: usize,
}

/// What came of trying to add a record.
pub(crate) enum Added {
    /// It is in a batch. `wake` says that the sender has something new to look at.
    Yes { delivery: Delivery, wake: bool },
    /// There is no room.
    Full,
    /// The format can't hold it.
    TooLarge,
}

/// All partitions.
pub(crate) struct Accumulator {
    bounds: Bounds,
    pub(crate) topics: BTreeMap<Arc<str>, BTreeMap<i32, Slot>>,
    used: usize,
    next_id: u64,
    incomplete: BTreeMap<u64, (Mono, Arc<Completion>)>,
    /// How many callers wait for room; batches don't linger then.
    pub(crate) waiting: usize,
    /// Batches up to this id don't linger.
    flushed: u64,
    pub(crate) closing: bool,
    freed: bool,
}

impl Accumulator {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Accumulator {
            bounds,
            topics: BTreeMap::new(),
            used: 0,
            next_id: 1,
            incomplete: BTreeMap::new(),
            waiting: 0,
            flushed: 0,
            closing: false,
            freed: false,
        }
    }

    /// Adds a record to its partition's open batch, or to a new one.
    pub(crate) fn add(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        record: &Record<'_>,
        timestamp: i64,
        now: Mono,
    ) -> Added {
        let bound = record.size_bound() + HEADER_SIZE;
        if self.used > 0 && self.used.saturating_add(bound) > self.bounds.memory {
            return Added::Full;
        }
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), BTreeMap::new());
        }
        let Some(slots) = self.topics.get_mut(topic) else {
            return Added::Full;
        };
        let slot = slots.entry(partition).or_default();
        let mut wake = false;
        let size = |open: &Batch| match &open.content {
            Content::Records(builder) => {
                builder.size_in_bytes() + builder.size_of(timestamp, record.key, record.value, record.headers)
            }
            Content::Written(..) => usize::MAX,
        };
        if slot
            .open
            .as_ref()
            .is_some_and(|open| size(open) > self.bounds.batch_size)
        {
            slot.close();
            wake = true;
        }
        if slot.open.is_none() {
            let capacity = slot
                .capacity
                .max(FIRST_CAPACITY)
                .min(self.bounds.batch_size)
                .max(bound);
            let completion = Completion::new(topic.clone(), partition);
            self.incomplete.insert(
                self.next_id,
                (now.after(self.bounds.delivery_timeout), completion.clone()),
            );
            slot.open = Some(Batch {
                id: self.next_id,
                content: Content::Records(BatchBuilder::with_capacity(capacity)),
                count: 0,
                created: now,
                stamp: None,
                attempts: 0,
                maybe_written: false,
                doubted: false,
                reserved: 0,
                completion,
                last_error: None,
            });
            self.next_id += 1;
            wake = true;
        }
        let Some(open) = &mut slot.open else {
            return Added::Full;
        };
        let Content::Records(builder) = &mut open.content else {
            return Added::Full;
        };
        let before = builder.size_in_bytes();
        if builder
            .append(timestamp, record.key, record.value, record.headers)
            .is_err()
        {
            if open.count == 0 {
                self.incomplete.remove(&open.id);
                slot.open = None;
            }
            return Added::TooLarge;
        }
        let grown = builder.size_in_bytes() - if open.count == 0 { 0 } else { before };
        open.reserved += grown;
        self.used += grown;
        let delivery = Delivery::new(open.completion.clone(), open.count, timestamp);
        open.count += 1;
        if builder.size_in_bytes() >= self.bounds.batch_size {
            slot.close();
            wake = true;
        }
        Added::Yes { delivery, wake }
    }

    /// Lets everything that was added so far go at once, and gives what to wait for.
    pub(crate) fn flush(&mut self) -> Vec<Arc<Completion>> {
        self.flushed = self.next_id - 1;
        self.incomplete
            .values()
            .map(|(_, completion)| completion.clone())
            .collect()
    }

    /// Whether all was delivered or has failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Whether memory was given back since this was asked last.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// When the slot's next batch may go: `None` if there is none, a time in the past if it may go now.
    pub(crate) fn ready_at(&self, slot: &Slot) -> Option<Mono> {
        if !slot.queue.is_empty() {
            return Some(slot.not_before);
        }
        let open = slot.open.as_ref().filter(|open| open.count > 0)?;
        let hurry = self.closing || self.waiting > 0 || open.id <= self.flushed;
        let lingered = if hurry {
            open.created
        } else {
            open.created.after(self.bounds.linger)
        };
        Some(lingered.max(slot.not_before))
    }

    /// The next batch of a partition whose time has come.
    pub(crate) fn take(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        current: Option<Identity>,
        pipelined: bool,
    ) -> Option<Batch> {
        let slot = self.topics.get_mut(topic)?.get_mut(&partition)?;
        if slot.queue.is_empty() {
            slot.close();
        }
        slot.queue.take(current, pipelined)
    }

    /// The size of the batch that [`Accumulator::take`] would give.
    pub(crate) fn next_size(slot: &Slot) -> usize {
        slot.queue.front().or(slot.open.as_ref()).map_or(0, Batch::size)
    }

    pub(crate) fn slot(&mut self, topic: &Arc<str>, partition: i32) -> Option<&mut Slot> {
        self.topics.get_mut(topic)?.get_mut(&partition)
    }

    /// A batch has ended: gives its memory back and tells everyone who waits for it.
    pub(crate) fn finish(&mut self, batch: &Batch, result: Result<Written, Error>) {
        self.used = self.used.saturating_sub(batch.reserved);
        self.freed = true;
        self.incomplete.remove(&batch.id);
        batch.completion.complete(result);
    }

    /// Gives up waiting batches that are too old, and completes those on the wire: their answers still count for sequences.
    /// Returns the partitions that lost batches, and when to look again.
    pub(crate) fn expire(
        &mut self,
        now: Mono,
        error: impl Fn(Option<Error>) -> Error,
    ) -> (Vec<Key>, Option<Mono>) {
        let mut places = Vec::new();
        // Batches are numbered as they are made, so the first ones expire first.
        if self.incomplete.values().next().is_some_and(|(at, _)| *at <= now) {
            let mut gone = Vec::new();
            let timeout = self.bounds.delivery_timeout;
            for (topic, slots) in &mut self.topics {
                for (partition, slot) in slots {
                    if slot
                        .open
                        .as_ref()
                        .is_some_and(|b| b.created.after(timeout) <= now)
                    {
                        slot.close();
                    }
                    let before = gone.len();
                    gone.extend(slot.queue.take_expired(|b| b.created.after(timeout) <= now));
                    if gone.len() > before {
                        places.push((topic.clone(), *partition));
                    }
                }
            }
            for mut batch in gone {
                let last = batch.last_error.take();
                self.finish(&batch, Err(error(last)));
            }
            for (at, completion) in self.incomplete.values() {
                if *at > now {
                    break;
                }
                completion.complete(Err(error(None)));
            }
        }
        (
            places,
            self.incomplete
                .values()
                .find(|(_, c)| !c.is_complete())
                .map(|(at, _)| *at),
        )
    }

    /// Gives up every waiting batch.
    pub(crate) fn fail_waiting(&mut self, error: &Error) {
        let mut gone = Vec::new();
        for slot in self.topics.values_mut().flat_map(BTreeMap::values_mut) {
            slot.close();
            gone.extend(slot.queue.drain());
        }
        gone.iter()
            .for_each(|batch| self.finish(batch, Err(error.clone())));
    }
}

impl Slot {
    /// Closes the open batch: no record is added to it any more.
    fn close(&mut self) {
        if let Some(batch) = self.open.take_if(|open| open.count > 0) {
            self.capacity = batch.size().next_power_of_two();
            self.queue.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accumulator(batch_size: usize, memory: usize) -> Accumulator {
        Accumulator::new(Bounds {
            batch_size,
            linger: Duration::from_millis(5),
            memory,
            delivery_timeout: Duration::from_secs(1),
        })
    }

    fn ms(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn add(accumulator: &mut Accumulator, value: &[u8], now: Mono) -> Option<(Delivery, bool)> {
        let topic: Arc<str> = "t".into();
        match accumulator.add(&topic, 0, &Record::new("t", value), 0, now) {
            Added::Yes { delivery, wake } => Some((delivery, wake)),
            _ => None,
        }
    }

    #[test]
    fn batches_linger_unless_they_are_full_or_flushed() {
        let topic: Arc<str> = "t".into();
        let mut a = accumulator(1000, 10_000);
        assert!(
            add(&mut a, &[0; 100], ms(1)).unwrap().1,
            "a new batch arms the timer"
        );
        assert!(!add(&mut a, &[0; 100], ms(2)).unwrap().1);
        let at = |a: &Accumulator| a.ready_at(&a.topics[&topic][&0]);
        assert_eq!(at(&a), Some(ms(6)));
        assert_eq!(a.flush().len(), 1);
        assert_eq!(at(&a), Some(ms(1)));
        let batch = a.take(&topic, 0, None, true).unwrap();
        assert_eq!(batch.count, 2);
        a.finish(&batch, Err(Error::Closed));
        assert_eq!((a.used(), a.is_empty()), (0, true));
        // A full batch is closed by the record that does not fit any more.
        add(&mut a, &[0; 500], ms(10)).unwrap();
        assert!(add(&mut a, &[0; 500], ms(10)).unwrap().1);
        assert_eq!(a.take(&topic, 0, None, true).unwrap().count, 1);
    }

    #[test]
    fn memory_is_bounded_but_one_record_always_fits() {
        let mut a = accumulator(100, 300);
        assert!(add(&mut a, &[0; 5000], ms(0)).is_some());
        assert!(add(&mut a, &[0; 1], ms(0)).is_none());
    }

    #[test]
    fn what_is_too_old_fails_in_the_queue_and_on_the_wire() {
        let topic: Arc<str> = "t".into();
        let mut a = accumulator(100, 10_000);
        let (first, _) = add(&mut a, &[0; 200], ms(0)).unwrap();
        let on_wire = a.take(&topic, 0, None, true).unwrap();
        let (second, _) = add(&mut a, &[0; 10], ms(500)).unwrap();
        assert_eq!(a.expire(ms(999), |_| Error::Closed).1, Some(ms(1000)));
        assert!(!first.is_done());
        assert_eq!(a.expire(ms(1000), |_| Error::Closed).1, Some(ms(1500)));
        assert!(first.is_done() && !second.is_done());
        assert_eq!(
            a.expire(ms(1500), |_| Error::Closed),
            (vec![(topic.clone(), 0)], None)
        );
        assert!(second.is_done());
        assert!(
            a.used() > 0,
            "the batch on the wire keeps its memory until it is answered"
        );
        a.finish(
            &on_wire,
            Ok(Written {
                base_offset: 0,
                append_time: -1,
            }),
        );
        assert_eq!((a.used(), a.is_empty()), (0, true));
    }
}
