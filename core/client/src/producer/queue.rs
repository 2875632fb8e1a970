//! The batches of one partition, and the rules that keep them in order and written once (KIP-98, KIP-360; Kafka classes
//! `RecordAccumulator` and `TransactionManager`). Pure: no clock, no I/O.
//!
//! A batch waits in the queue, is on the wire, or is gone. It gets its sequence when it is first sent and keeps it; ids order
//! batches as they were filled. When a batch fails for good there is a gap that the broker would not accept: once nothing is on
//! the wire the partition begins again at sequence 0 under the next epoch (a *bump*). When nobody knows whether the batch was
//! written, the batches that already have sequences tell: if one is acknowledged there is no gap. So it is too when a retry is
//! refused as out of order although an earlier attempt may have been written: a restarted broker recognises only the last batch
//! of a producer (that is what Kafka's snapshots keep), so those behind are asked about before the batch counts as missing.

use std::collections::VecDeque;

use ottla_wire::records::add_sequence;

use super::batch::{Batch, Identity, Stamp};

/// A broker recognises a batch that it has written already only among the last five (KIP-98). So an unanswered batch and those
/// that got their sequences after it may be no more than that.
const MAX_STAMPED: usize = 5;

#[derive(Debug, Clone, Copy)]
struct OnWire {
    id: u64,
    stamped: bool,
}

/// The batches of one partition.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Batch>,
    wire: Vec<OnWire>,
    identity: Option<Identity>,
    next_sequence: i32,
    /// Id of the last acknowledged batch with a sequence, and the sequence after it.
    acknowledged: Option<(u64, i32)>,
    /// Ids of the last batches that got a sequence, at most [`MAX_STAMPED`].
    recent: VecDeque<u64>,
    unresolved: bool,
    /// The first batch that is surely missing. Those behind it can't have been written; those ahead of it may have been.
    gap: Option<u64>,
}

impl Queue {
    /// Adds a full batch.
    pub(crate) fn push(&mut self, batch: Batch) {
        self.waiting.push_back(batch);
    }

    pub(crate) fn front(&self) -> Option<&Batch> {
        self.waiting.iter().find(|batch| !batch.doubted)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next batch to send, if one may be sent now. `current` is the producer's identity if it is idempotent;
    /// `pipelined` says whether a batch may be sent before the one ahead of it was answered.
    pub(crate) fn take(&mut self, current: Option<Identity>, pipelined: bool) -> Option<Batch> {
        let place = self.waiting.iter().position(|batch| !batch.doubted)?;
        let front = self.waiting.get(place)?;
        let (id, count, stamped) = (front.id, front.count, front.stamp.is_some());
        let earlier_on_wire = self.wire.iter().any(|w| w.id < id);
        let behind_gap = self.gap.is_some_and(|gap| !stamped || id >= gap);
        if behind_gap || (!pipelined && !self.wire.is_empty()) || (front.attempts > 0 && earlier_on_wire) {
            return None;
        }
        let mut stamp = front.stamp;
        if let (Some(identity), false) = (current, stamped) {
            if self.identity != Some(identity) {
                if !self.wire.is_empty() {
                    return None;
                }
                (self.identity, self.next_sequence, self.acknowledged) = (Some(identity), 0, None);
                self.recent.clear();
            }
            // A broker that knows nothing of the producer takes any sequence (Kafka class `ProducerAppendInfo`). If it came up after
            // it had refused the first batch, those behind would overtake it; so the first one goes alone.
            if self.acknowledged.is_none() && !self.recent.is_empty() {
                return None;
            }
            // One more sequence would make the broker forget the oldest of these, so that one must not be sent any more.
            let full = self.recent.len() >= MAX_STAMPED;
            let oldest = self.recent.front().copied().filter(|_| full);
            if self.unresolved
                || place > 0
                || oldest.is_some_and(|oldest| self.wire.iter().any(|w| w.id <= oldest))
            {
                return None;
            }
            if full {
                self.recent.pop_front();
            }
            self.recent.push_back(id);
            stamp = Some(Stamp {
                identity,
                sequence: self.next_sequence,
            });
            self.next_sequence = add_sequence(self.next_sequence, count);
        }
        let mut batch = self.waiting.remove(place)?;
        batch.stamp = stamp;
        batch.attempts += 1;
        self.wire.push(OnWire {
            id,
            stamped: stamp.is_some(),
        });
        Some(batch)
    }

    /// A batch came back written. Returns the batches ahead of it that nobody was sure of: a broker takes sequences in order, so
    /// they were written too, at offsets that it did not say.
    pub(crate) fn succeeded(&mut self, batch: &Batch) -> Vec<Batch> {
        self.off_wire(batch.id);
        let Some(stamp) = batch.stamp.filter(|s| Some(s.identity) == self.identity) else {
            return Vec::new();
        };
        if self.acknowledged.is_none_or(|(id, _)| id < batch.id) {
            self.acknowledged = Some((batch.id, add_sequence(stamp.sequence, batch.count)));
        }
        self.extract(|ahead| ahead.doubted && ahead.id < batch.id)
    }

    /// A batch came back and is to be sent again.
    pub(crate) fn retry(&mut self, batch: Batch) {
        self.off_wire(batch.id);
        let place = self.waiting.partition_point(|w| w.id < batch.id);
        self.waiting.insert(place, batch);
    }

    /// A batch came back because its sequence was not the one expected. If nothing ahead of it is still to be written, then
    /// there is a gap, or the broker has the batch already and has forgotten so: those behind it know. Returns the batch if one of
    /// them was acknowledged.
    pub(crate) fn out_of_order(&mut self, mut batch: Batch) -> Option<Batch> {
        let pending = |which: &dyn Fn(u64) -> bool| {
            self.wire.iter().any(|w| w.stamped && which(w.id))
                || self
                    .waiting
                    .iter()
                    .any(|w| w.stamp.is_some() && !w.doubted && which(w.id))
        };
        let (ahead, behind) = (pending(&|id| id < batch.id), pending(&|id| id > batch.id));
        if batch.stamp.map(|s| s.identity) == self.identity && !ahead {
            if self.acknowledged.is_some_and(|(id, _)| id > batch.id) {
                self.off_wire(batch.id);
                return Some(batch);
            }
            if batch.maybe_written && behind {
                batch.doubted = true;
            } else {
                self.gap_at(batch.id);
            }
        }
        self.retry(batch);
        None
    }

    /// A batch that was on the wire is given up. Returns those ahead of it that nobody is sure of and it could have told about:
    /// they are given up too.
    pub(crate) fn failed(&mut self, batch: &Batch) -> Vec<Batch> {
        self.off_wire(batch.id);
        self.missing(batch);
        if batch.stamp.is_none() || !batch.maybe_written {
            return Vec::new();
        }
        self.extract(|ahead| ahead.doubted && ahead.id < batch.id)
    }

    fn missing(&mut self, batch: &Batch) {
        if batch.stamp.is_some() {
            if batch.maybe_written {
                self.unresolved = true;
            } else {
                self.gap_at(batch.id);
            }
        }
    }

    fn extract(&mut self, which: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        let (taken, left): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(which);
        self.waiting = left;
        taken.into()
    }

    fn gap_at(&mut self, id: u64) {
        self.gap = Some(self.gap.map_or(id, |gap| gap.min(id)));
    }

    /// Takes the waiting batches for which `expired` holds, which are then given up.
    pub(crate) fn take_expired(&mut self, expired: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        if !self.waiting.iter().any(&expired) {
            return Vec::new();
        }
        let gone = self.extract(&expired);
        gone.iter().for_each(|batch| self.missing(batch));
        gone
    }

    /// Takes every waiting batch.
    pub(crate) fn drain(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.waiting).into()
    }

    /// Looks whether questions about sequences have been answered. Returns the identity whose epoch is used up for this
    /// partition, if it has to begin again.
    pub(crate) fn settle(&mut self) -> Option<Identity> {
        if !self.wire.is_empty() {
            return None;
        }
        let gap = self.gap.unwrap_or(u64::MAX);
        let asked = |b: &Batch| b.stamp.is_some() && !b.doubted && b.id < gap;
        if let Some(doubted) = self.waiting.iter().find(|b| b.doubted).map(|b| b.id)
            && !self.waiting.iter().any(asked)
        {
            // Nothing behind it is left that could tell.
            self.gap_at(doubted);
        }
        if self.unresolved && self.gap.is_none() && self.waiting.iter().all(|b| b.stamp.is_none()) {
            self.unresolved = false;
            let next = self.acknowledged.map_or(0, |(_, next)| next);
            self.gap = (next != self.next_sequence).then_some(0);
        }
        let gap = self.gap?;
        if self.waiting.iter().any(|b| b.stamp.is_some() && b.id < gap) {
            return None;
        }
        (self.gap, self.unresolved) = (None, false);
        for batch in &mut self.waiting {
            (batch.stamp, batch.doubted) = (None, false);
        }
        (self.next_sequence, self.acknowledged) = (0, None);
        self.identity.take()
    }

    fn off_wire(&mut self, id: u64) {
        self.wire.retain(|w| w.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::batch::Content;
    use crate::producer::record::Completion;
    use ottla_io::Mono;
    use ottla_wire::records::BatchBuilder;
    use proptest::prelude::*;

    const FIRST: Identity = Identity { id: 7, epoch: 0 };

    fn batch(id: u64, count: i32) -> Batch {
        Batch {
            id,
            content: Content::Records(BatchBuilder::new()),
            count,
            created: Mono(0),
            stamp: None,
            attempts: 0,
            maybe_written: false,
            doubted: false,
            reserved: 0,
            completion: Completion::new("t".into(), 0),
            last_error: None,
        }
    }

    fn queue(batches: u64) -> Queue {
        let mut queue = Queue::default();
        (0..batches).for_each(|id| queue.push(batch(id, 10)));
        queue
    }

    /// The first of so many batches is acknowledged already.
    fn begun(batches: u64) -> Queue {
        let mut queue = queue(batches);
        let first = take(&mut queue);
        queue.succeeded(&first);
        queue
    }

    fn take(queue: &mut Queue) -> Batch {
        queue.take(Some(FIRST), true).expect("a batch may be sent")
    }

    #[test]
    fn sequences_count_records_and_five_may_be_under_way() {
        let mut queue = begun(7);
        let taken: Vec<_> = (0..5).map(|_| take(&mut queue)).collect();
        let sequences: Vec<_> = taken.iter().map(|b| b.stamp.unwrap().sequence).collect();
        assert_eq!(sequences, [10, 20, 30, 40, 50]);
        assert!(queue.take(Some(FIRST), true).is_none());
        assert!(queue.succeeded(&taken[0]).is_empty());
        assert_eq!(take(&mut queue).stamp.unwrap().sequence, 60);
    }

    #[test]
    fn the_first_batch_of_an_epoch_goes_alone() {
        let mut queue = queue(3);
        let first = take(&mut queue);
        assert!(queue.take(Some(FIRST), true).is_none());
        queue.retry(first);
        let first = take(&mut queue);
        assert!(queue.take(Some(FIRST), true).is_none());
        queue.succeeded(&first);
        assert_eq!(take(&mut queue).stamp.unwrap().sequence, 10);
        assert_eq!(take(&mut queue).stamp.unwrap().sequence, 20);
    }

    #[test]
    fn a_broker_that_forgot_a_batch_is_asked_about_the_one_behind() {
        for written in [true, false] {
            let mut queue = begun(4);
            let (mut a, mut b) = (take(&mut queue), take(&mut queue));
            (a.maybe_written, b.maybe_written) = (true, true);
            queue.retry(b);
            queue.retry(a);
            let a = take(&mut queue);
            assert!(queue.out_of_order(a).is_none());
            assert_eq!(queue.settle(), None);
            let b = take(&mut queue);
            assert_eq!((b.id, b.stamp.unwrap().sequence), (2, 20));
            assert!(
                queue.take(Some(FIRST), true).is_none(),
                "no new sequence while in doubt"
            );
            if written {
                let ahead: Vec<_> = queue.succeeded(&b).iter().map(|b| b.id).collect();
                assert_eq!((ahead, queue.settle()), (vec![1], None));
                assert_eq!(take(&mut queue).stamp.unwrap().sequence, 30);
            } else {
                assert!(queue.out_of_order(b).is_none());
                assert_eq!(queue.settle(), Some(FIRST));
                assert_eq!(take(&mut queue).id, 1);
            }
        }
    }

    #[test]
    fn retries_go_first_one_at_a_time_and_keep_their_sequence() {
        let mut queue = begun(4);
        let (a, b) = (take(&mut queue), take(&mut queue));
        queue.retry(b);
        queue.retry(a);
        let a = take(&mut queue);
        assert_eq!((a.id, a.stamp.unwrap().sequence, a.attempts), (1, 10, 2));
        assert!(queue.take(Some(FIRST), true).is_none(), "b waits for a");
        queue.succeeded(&a);
        assert_eq!(take(&mut queue).stamp.unwrap().sequence, 20);
        assert_eq!(take(&mut queue).stamp.unwrap().sequence, 30);
    }

    #[test]
    fn a_batch_that_surely_failed_starts_a_new_epoch_when_the_wire_is_empty() {
        let mut queue = begun(3);
        let (a, b) = (take(&mut queue), take(&mut queue));
        assert!(queue.failed(&a).is_empty());
        assert_eq!(queue.settle(), None);
        assert!(queue.out_of_order(b).is_none());
        assert_eq!(queue.settle(), Some(FIRST));
        let next = Identity { epoch: 1, ..FIRST };
        let b = queue.take(Some(next), true).unwrap();
        assert_eq!(
            b.stamp,
            Some(Stamp {
                identity: next,
                sequence: 0
            })
        );
    }

    #[test]
    fn an_unknown_outcome_is_resolved_by_the_batch_behind_it() {
        for written in [true, false] {
            let mut queue = begun(4);
            let (mut a, b) = (take(&mut queue), take(&mut queue));
            a.maybe_written = true;
            assert!(queue.failed(&a).is_empty());
            assert!(
                queue.take(Some(FIRST), true).is_none(),
                "no new sequence while unresolved"
            );
            if written {
                queue.succeeded(&b);
                assert_eq!(queue.settle(), None);
                assert_eq!(take(&mut queue).stamp.unwrap().sequence, 30);
            } else {
                assert!(queue.out_of_order(b).is_none());
                assert_eq!(queue.settle(), Some(FIRST));
            }
        }
    }

    #[test]
    fn an_unknown_outcome_with_nothing_behind_it_costs_an_epoch() {
        let mut queue = queue(1);
        let mut a = take(&mut queue);
        a.maybe_written = true;
        assert!(queue.failed(&a).is_empty());
        assert_eq!(queue.settle(), Some(FIRST));
    }

    /// What a broker keeps about one producer and partition.
    #[derive(Default)]
    struct Broker {
        log: Vec<u64>,
        last: Option<Identity>,
        next: i32,
        recent: VecDeque<Stamp>,
    }

    impl Broker {
        fn append(&mut self, batch: &Batch) -> Result<(), ()> {
            let stamp = batch.stamp.expect("stamped");
            if self.last == Some(stamp.identity) && self.recent.contains(&stamp) {
                return Ok(());
            }
            if self.last != Some(stamp.identity) {
                let newer = self.last.is_none_or(|l| stamp.identity.epoch > l.epoch);
                assert!(newer, "an old epoch is never used after a newer one");
                // A producer it knows nothing of may begin anywhere (KIP-360; Kafka class `ProducerAppendInfo`).
                if stamp.sequence != 0 && self.last.is_some() {
                    return Err(());
                }
                (self.last, self.next) = (Some(stamp.identity), stamp.sequence);
                self.recent.clear();
            }
            if stamp.sequence != self.next {
                return Err(());
            }
            self.next = add_sequence(self.next, batch.count);
            self.recent.push_back(stamp);
            if self.recent.len() > 5 {
                self.recent.pop_front();
            }
            self.log.push(batch.id);
            Ok(())
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Send,
        /// The oldest request reaches the broker and its answer comes back.
        Answer,
        /// It reaches the broker, but the answer is lost.
        Lose,
        /// It never reaches the broker, and nobody knows.
        Drop,
        /// The broker refuses it for good.
        Refuse,
        /// The oldest batch is given up; if it is on the wire, its answer counts no more.
        Expire,
        /// The broker starts anew and recognises only the last batch.
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Send),
            4 => Just(Step::Answer),
            2 => Just(Step::Lose),
            2 => Just(Step::Drop),
            1 => Just(Step::Refuse),
            1 => Just(Step::Expire),
            1 => Just(Step::Restart),
        ]
    }

    struct World {
        queue: Queue,
        broker: Broker,
        wire: VecDeque<Batch>,
        current: Identity,
        acked: Vec<u64>,
        gone: Vec<u64>,
        expired: u64,
    }

    impl World {
        fn new(batches: &[i32]) -> Self {
            let mut queue = Queue::default();
            batches
                .iter()
                .enumerate()
                .for_each(|(id, count)| queue.push(batch(id as u64, *count)));
            World {
                queue,
                broker: Broker::default(),
                wire: VecDeque::new(),
                current: FIRST,
                acked: Vec::new(),
                gone: Vec::new(),
                expired: 0,
            }
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Restart => {
                    let old = self.broker.recent.len().saturating_sub(1);
                    self.broker.recent.drain(..old);
                }
                Step::Send => self.wire.extend(self.queue.take(Some(self.current), true)),
                Step::Expire => {
                    let waiting = self.queue.waiting.front().map(|b| b.id);
                    let oldest = waiting.into_iter().chain(self.wire.iter().map(|b| b.id)).min();
                    self.expired = oldest.map_or(self.expired, |id| id + 1);
                    let gone = self.queue.take_expired(|b| b.id < self.expired);
                    self.gone.extend(gone.iter().map(|b| b.id));
                }
                _ => {
                    let Some(mut batch) = self.wire.pop_front() else {
                        return;
                    };
                    let result = match step {
                        Step::Answer => Some(self.broker.append(&batch)),
                        Step::Lose => {
                            let _ = self.broker.append(&batch);
                            None
                        }
                        Step::Refuse => {
                            // A refusal of what may have been written already proves nothing.
                            let ahead = self.queue.failed(&batch);
                            self.gone.extend(ahead.iter().map(|b| b.id));
                            self.gone.push(batch.id);
                            self.settle();
                            return;
                        }
                        _ => None,
                    };
                    match result {
                        Some(Ok(())) => {
                            let ahead = self.queue.succeeded(&batch);
                            self.acked.extend(ahead.iter().map(|b| b.id));
                            self.acked.push(batch.id);
                        }
                        _ if batch.id < self.expired => {
                            batch.maybe_written |= result.is_none();
                            let ahead = self.queue.failed(&batch);
                            self.gone.extend(ahead.iter().map(|b| b.id));
                            self.gone.push(batch.id);
                        }
                        Some(Err(())) => self.acked.extend(self.queue.out_of_order(batch).map(|b| b.id)),
                        None => {
                            batch.maybe_written = true;
                            self.queue.retry(batch);
                        }
                    }
                }
            }
            self.settle();
        }

        fn settle(&mut self) {
            if self.queue.settle() == Some(self.current) {
                self.current.epoch += 1;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_batch_is_written_once_in_order_or_reported(
            counts in prop::collection::vec(1i32..50, 1..25),
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut world = World::new(&counts);
            steps.into_iter().for_each(|step| world.step(step));
            for _ in 0..400 {
                if world.queue.is_empty() && world.wire.is_empty() {
                    break;
                }
                world.step(Step::Send);
                world.step(Step::Answer);
            }
            prop_assert!(world.queue.is_empty() && world.wire.is_empty(), "it never finished");
            // In order and without duplicates ...
            prop_assert!(world.broker.log.is_sorted_by(|a, b| a < b), "log: {:?}", world.broker.log);
            // ... what was acknowledged is there, and everything was acknowledged or given up.
            prop_assert!(world.acked.iter().all(|id| world.broker.log.contains(id)));
            prop_assert_eq!(world.acked.len() + world.gone.len(), counts.len());
        }
    }
}
