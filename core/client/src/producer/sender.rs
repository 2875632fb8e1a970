//! The producer's one task: takes batches whose time has come, sends them to their leaders, and decides what becomes of each.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use ottla_io::{BoxFuture, Mono};
use ottla_rpc::CallError;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::records::Compressor;

use super::Shared;
use super::accumulator::Accumulator;
use super::batch::{Batch, Identity};
use super::record::Written;
use super::request::{Place, Verdict, Verdicts, init_producer_id, is_sequence_error, maybe_written, produce};
use crate::connections::Lane;
use crate::{Error, Result};

/// Where the producer id stands.
enum Idempotence {
    Off,
    /// Not asked for, or not before that time again.
    Unknown(Mono),
    Asked,
    Known(Identity),
}

/// What a future of the sender ends with.
enum Done {
    Produced {
        leader: i32,
        batches: Vec<(Place, Batch)>,
        result: Result<Verdicts>,
    },
    Identity(Result<Identity>),
    Refreshed,
}

/// The task's state.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    idempotence: Idempotence,
    identity_failures: u32,
    compressor: Compressor,
    running: Vec<BoxFuture<'static, Done>>,
    in_flight: BTreeMap<i32, usize>,
    /// The partition whose turn it is, by leader: nobody starves when requests are full.
    turn: BTreeMap<i32, (Arc<str>, i32)>,
    refreshing: bool,
    refresh: bool,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let idempotence = if shared.idempotent {
            Idempotence::Unknown(Mono(0))
        } else {
            Idempotence::Off
        };
        Sender {
            shared,
            idempotence,
            identity_failures: 0,
            compressor: Compressor::new(),
            running: Vec::new(),
            in_flight: BTreeMap::new(),
            turn: BTreeMap::new(),
            refreshing: false,
            refresh: false,
        }
    }

    /// Runs until the producer is closed and everything is delivered or has failed.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let notified = shared.work.notified();
            let next = self.step();
            {
                let accumulator = shared.accumulator();
                if accumulator.closing && accumulator.is_empty() {
                    break;
                }
            }
            let mut notified = pin!(notified);
            let mut sleep = next.map(|at| shared.cluster.env().clock.sleep_until(at));
            let done = std::future::poll_fn(|cx| {
                let done = self.poll_running(cx);
                let woken = notified.as_mut().poll(cx).is_ready();
                let late = sleep.as_mut().is_some_and(|s| s.as_mut().poll(cx).is_ready());
                if done.is_empty() && !woken && !late {
                    Poll::Pending
                } else {
                    Poll::Ready(done)
                }
            })
            .await;
            done.into_iter().for_each(|done| self.done(done));
        }
        shared.room.notify_waiters();
        shared.cluster.close();
    }

    /// Futures that have ended, in the order in which they began.
    fn poll_running(&mut self, cx: &mut std::task::Context<'_>) -> Vec<Done> {
        let mut done = Vec::new();
        self.running.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(result) => {
                done.push(result);
                false
            }
            Poll::Pending => true,
        });
        done
    }

    /// Does what can be done now; says when to look again.
    fn step(&mut self) -> Option<Mono> {
        let shared = self.shared.clone();
        let now = shared.cluster.now();
        let mut accumulator = shared.accumulator();
        let (expired, expire) = accumulator.expire(now, |last| shared.too_late(last));
        expired
            .iter()
            .for_each(|(topic, partition)| self.settle(&mut accumulator, topic, *partition));
        let (ready, next) = self.ready(&accumulator, now);
        let requests = if self.identity_needed(now, !ready.is_empty()) {
            Vec::new()
        } else {
            self.drain(&mut accumulator, ready)
        };
        let freed = accumulator.take_freed();
        drop(accumulator);
        if freed {
            shared.room.notify_waiters();
        }
        requests
            .into_iter()
            .for_each(|(leader, batches)| self.send(leader, batches, now));
        self.start_refresh();
        let retry_identity = match self.idempotence {
            Idempotence::Unknown(at) if at > now => Some(at),
            _ => None,
        };
        [expire, next, retry_identity].into_iter().flatten().min()
    }

    /// Partitions with a batch that may go, by leader, and when the next one may.
    fn ready(&mut self, accumulator: &Accumulator, now: Mono) -> (BTreeMap<i32, Vec<Place>>, Option<Mono>) {
        let view = self.shared.cluster.view();
        let mut ready: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        let mut next: Option<Mono> = None;
        for (topic, slots) in &accumulator.topics {
            for (partition, slot) in slots {
                match accumulator.ready_at(slot) {
                    None => {}
                    Some(at) if at > now => next = Some(next.map_or(at, |n| n.min(at))),
                    Some(_) => match (view.leader(topic, *partition), view.topics.get(topic)) {
                        (Some((leader, _)), Some(info)) => {
                            let place = Place {
                                topic: topic.clone(),
                                id: info.id,
                                partition: *partition,
                            };
                            ready.entry(leader).or_default().push(place);
                        }
                        _ => self.refresh = true,
                    },
                }
            }
        }
        (ready, next)
    }

    /// Whether sending has to wait for a producer id, which is then asked for.
    fn identity_needed(&mut self, now: Mono, wanted: bool) -> bool {
        match self.idempotence {
            Idempotence::Off | Idempotence::Known(_) => false,
            Idempotence::Unknown(at) if wanted && at <= now => {
                self.idempotence = Idempotence::Asked;
                let cluster = self.shared.cluster.clone();
                self.running.push(Box::pin(async move {
                    Done::Identity(init_producer_id(&cluster).await)
                }));
                true
            }
            Idempotence::Unknown(_) | Idempotence::Asked => true,
        }
    }

    fn identity(&self) -> Option<Identity> {
        match self.idempotence {
            Idempotence::Known(identity) => Some(identity),
            _ => None,
        }
    }

    /// Takes batches for as many requests as may be in flight, at most one batch of a partition in each.
    fn drain(
        &self,
        accumulator: &mut Accumulator,
        ready: BTreeMap<i32, Vec<Place>>,
    ) -> Vec<(i32, Vec<(Place, Batch)>)> {
        let config = &self.shared.config;
        let pipelined = config.max_in_flight > 1;
        let mut requests = Vec::new();
        for (leader, mut places) in ready {
            let free = config
                .max_in_flight
                .saturating_sub(self.in_flight.get(&leader).copied().unwrap_or(0));
            if let Some(turn) = self.turn.get(&leader) {
                let first = places.partition_point(|p| (&p.topic, p.partition) <= (&turn.0, turn.1));
                places.rotate_left(first);
            }
            for _ in 0..free {
                let mut batches: Vec<(Place, Batch)> = Vec::new();
                let mut size = 0;
                for place in &places {
                    let next = accumulator
                        .slot(&place.topic, place.partition)
                        .map_or(0, |slot| Accumulator::next_size(slot));
                    if next == 0 || (size > 0 && size + next > config.max_request_size) {
                        continue;
                    }
                    if let Some(batch) =
                        accumulator.take(&place.topic, place.partition, self.identity(), pipelined)
                    {
                        size += batch.size();
                        batches.push((place.clone(), batch));
                    }
                }
                if batches.is_empty() {
                    break;
                }
                // What was just filled lingers before it goes in a request of its own.
                let due = |p: &Place, a: &mut Accumulator| {
                    a.slot(&p.topic, p.partition).is_some_and(|s| !s.queue.is_empty())
                };
                places.retain(|p| due(p, accumulator));
                requests.push((leader, batches));
            }
        }
        requests
    }

    /// Writes the batches and sends them off.
    fn send(&mut self, leader: i32, mut batches: Vec<(Place, Batch)>, now: Mono) {
        if let Some((place, _)) = batches.last() {
            self.turn.insert(leader, (place.topic.clone(), place.partition));
        }
        // A request names each topic once.
        batches.sort_by(|(a, _), (b, _)| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let shared = self.shared.clone();
        let config = &shared.config;
        let level = config
            .compression_level
            .unwrap_or(config.compression.default_level());
        let mut written: Vec<(Place, Bytes)> = Vec::with_capacity(batches.len());
        let mut kept = Vec::with_capacity(batches.len());
        for (place, mut batch) in batches {
            match batch.write(config.compression, level, &mut self.compressor) {
                Ok(bytes) => {
                    written.push((place.clone(), bytes));
                    kept.push((place, batch));
                }
                Err(error) => {
                    let error = Error::config("compression.type", error.to_string(), "use another codec");
                    let mut accumulator = shared.accumulator();
                    give_up(&mut accumulator, &place, &batch, error);
                    self.settle(&mut accumulator, &place.topic, place.partition);
                }
            }
        }
        if kept.is_empty() {
            return;
        }
        *self.in_flight.entry(leader).or_default() += 1;
        let shared = self.shared.clone();
        let deadline = now.after(shared.cluster.config().request_timeout);
        self.running.push(Box::pin(async move {
            let result = match shared.cluster.node(leader, Lane::Produce).await {
                Ok((connection, broker)) => {
                    let timeout = i32::try_from(shared.cluster.config().request_timeout.as_millis())
                        .unwrap_or(i32::MAX);
                    produce(
                        &connection,
                        shared.config.acks,
                        timeout,
                        &written,
                        deadline,
                        &shared.cluster,
                    )
                    .await
                    .map_err(|error| Error::Call { broker, error })
                }
                Err(error) => Err(error),
            };
            Done::Produced {
                leader,
                batches: kept,
                result,
            }
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Refreshed => self.refreshing = false,
            Done::Identity(Ok(identity)) => {
                (self.idempotence, self.identity_failures) = (Idempotence::Known(identity), 0);
            }
            Done::Identity(Err(error)) => {
                self.identity_failures += 1;
                let pause = self.shared.cluster.backoff().pause(self.identity_failures);
                self.idempotence = Idempotence::Unknown(self.shared.cluster.now().after(pause));
                let error = match error {
                    Error::Call {
                        error: CallError::Unsupported { .. },
                        ..
                    } => Error::config(
                        "enable.idempotence",
                        "the broker gives no producer ids (InitProducerId)",
                        "set it to false, or use a broker that serves InitProducerId",
                    ),
                    error => error,
                };
                if !error.is_retriable() {
                    self.shared.accumulator().fail_waiting(&error);
                }
            }
            Done::Produced {
                leader,
                batches,
                result,
            } => {
                if let Some(count) = self.in_flight.get_mut(&leader) {
                    *count = count.saturating_sub(1);
                }
                self.produced(batches, result);
            }
        }
    }

    fn produced(&mut self, batches: Vec<(Place, Batch)>, result: Result<Verdicts>) {
        let shared = self.shared.clone();
        let mut accumulator = shared.accumulator();
        let (mut by_place, brokers, failed) = match result {
            Ok(Verdicts { by_place, brokers }) => (by_place, brokers, None),
            Err(error) => (BTreeMap::new(), Vec::new(), Some(error)),
        };
        for (place, batch) in batches {
            let verdict = by_place
                .remove(&(place.topic.clone(), place.partition))
                .unwrap_or_else(|| {
                    let silent = || {
                        Error::broker(
                            "produce: no answer for a partition",
                            ErrorCode::NetworkException.code(),
                            None,
                        )
                    };
                    Verdict::Failed(failed.clone().unwrap_or_else(silent), None)
                });
            match verdict {
                Verdict::Written(written) => {
                    let slot = accumulator.slot(&place.topic, place.partition);
                    let ahead = slot.map_or_else(Vec::new, |slot| slot.queue.succeeded(&batch));
                    for earlier in ahead {
                        accumulator.finish(&earlier, Ok(Written::SOMEWHERE));
                    }
                    accumulator.finish(&batch, Ok(written));
                }
                Verdict::Failed(error, hint) => {
                    let known = hint.is_some_and(|(leader, epoch)| {
                        let partition = TopicPartition::new(&*place.topic, place.partition);
                        shared.cluster.leader_hint(&partition, leader, epoch, &brokers)
                    });
                    self.refresh |= !known && error.is_retriable();
                    self.failed(&mut accumulator, &place, batch, error);
                }
            }
            self.settle(&mut accumulator, &place.topic, place.partition);
        }
    }

    /// Sends a batch again or gives it up.
    fn failed(
        &self,
        accumulator: &mut MutexGuard<'_, Accumulator>,
        place: &Place,
        mut batch: Batch,
        error: Error,
    ) {
        let sequence = batch.stamp.is_some() && is_sequence_error(&error);
        batch.maybe_written |= maybe_written(&error);
        let again = (error.is_retriable() || sequence) && batch.attempts <= self.shared.config.retries;
        let pause = self.shared.cluster.backoff().pause(batch.attempts);
        let not_before = self.shared.cluster.now().after(pause);
        let Some(slot) = accumulator.slot(&place.topic, place.partition) else {
            return;
        };
        if !again || batch.completion.is_complete() {
            give_up(accumulator, place, &batch, error);
            return;
        }
        slot.not_before = not_before;
        batch.last_error = Some(error);
        if !sequence {
            slot.queue.retry(batch);
        } else if let Some(written) = slot.queue.out_of_order(batch) {
            accumulator.finish(&written, Ok(Written::SOMEWHERE));
        }
    }

    /// Begins a new epoch for a partition that needs one (KIP-360). Without transactions the producer may raise its epoch by
    /// itself; only when epochs run out it asks for another id.
    fn settle(&mut self, accumulator: &mut Accumulator, topic: &Arc<str>, partition: i32) {
        let used_up = accumulator
            .slot(topic, partition)
            .and_then(|slot| slot.queue.settle());
        if used_up.is_some() && used_up == self.identity() {
            self.idempotence = match used_up.and_then(|i| {
                Some(Identity {
                    epoch: i.epoch.checked_add(1)?,
                    ..i
                })
            }) {
                Some(next) => Idempotence::Known(next),
                None => Idempotence::Unknown(Mono(0)),
            };
        }
    }

    /// Asks for the topics in use anew, once at a time.
    fn start_refresh(&mut self) {
        if !std::mem::take(&mut self.refresh) || std::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let shared = self.shared.clone();
        self.running.push(Box::pin(async move {
            let topics: Vec<Arc<str>> = {
                let accumulator = shared.accumulator();
                let busy = accumulator
                    .topics
                    .iter()
                    .filter(|(_, slots)| slots.values().any(|s| accumulator.ready_at(s).is_some()));
                busy.map(|(topic, _)| topic.clone()).collect()
            };
            let names: Vec<&str> = topics.iter().map(|t| &**t).collect();
            if !names.is_empty() {
                let _ = shared
                    .cluster
                    .refresh(shared.cluster.view().generation, &names, true)
                    .await;
            }
            Done::Refreshed
        }));
    }
}

/// Reports a batch that was on the wire as failed, and those whose fate only it could have told.
fn give_up(accumulator: &mut Accumulator, place: &Place, batch: &Batch, error: Error) {
    let slot = accumulator.slot(&place.topic, place.partition);
    for ahead in slot.map_or_else(Vec::new, |slot| slot.queue.failed(batch)) {
        accumulator.finish(&ahead, Err(error.clone()));
    }
    accumulator.finish(batch, Err(error));
}

impl Shared {
    pub(crate) fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn too_late(&self, last: Option<Error>) -> Error {
        Error::Timeout {
            what: "deliver records (delivery.timeout.ms)".to_owned(),
            after: self.config.delivery_timeout,
            last: last.map(Box::new),
            advice: "check the brokers, or raise delivery.timeout.ms; the records may or may not have been written",
        }
    }
}
