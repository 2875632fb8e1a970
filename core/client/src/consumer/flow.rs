//! How a consumer moves: what is asked next, waiting for answers, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_io::Mono;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::Reader;
use ottla_wire::messages::FetchResponse;
use ottla_wire::messages::fetch_response::PartitionData;

use super::chunk::{Aborted, Chunk};
use super::fetch::{Fetched, fetch};
use super::session::{Key, Want};
use super::{Consumer, ConsumerRecord, Ready};
use crate::offsets::{Found, OffsetSpec, list_offsets};
use crate::{BrokerInfo, Error, IsolationLevel};

impl Consumer {
    /// Starts what is missing and waits until something has come of it; false if the deadline came first.
    pub(super) async fn wait(&mut self, deadline: Mono) -> bool {
        let clock = self.cluster.env().clock.clone();
        let now = clock.now();
        let next = self.start().filter(|at| *at < deadline);
        if !self.errors.is_empty() {
            return true;
        }
        let mut sleep = clock.sleep_until(next.unwrap_or(deadline));
        let moved = std::future::poll_fn(|cx| {
            if self.poll_running(cx) {
                return Poll::Ready(true);
            }
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await;
        moved || (next.is_some() && now < deadline)
    }

    /// Starts what can be started; says when there is more to start.
    pub(crate) fn start(&mut self) -> Option<Mono> {
        let now = self.cluster.now();
        let view = self.cluster.view();
        let wall = self.cluster.env().clock.wall().as_millis();
        let mut unresolved = Vec::new();
        let mut wanted: BTreeMap<i32, BTreeMap<Key, Want>> = BTreeMap::new();
        for (key, assigned) in &mut self.assigned {
            let known = view.topics.get(&key.0);
            let (Some(topic), Some((leader, epoch))) = (known, view.leader(&key.0, key.1)) else {
                self.refresh = true;
                continue;
            };
            self.refresh |= self.cluster.is_old(topic);
            if assigned.held {
                continue;
            }
            if assigned.position.is_none() {
                match assigned.seek.or_else(|| self.config.auto_offset_reset.spec(wall)) {
                    Some(spec) => {
                        assigned.seek = Some(spec);
                        unresolved.push((TopicPartition::new(&*key.0, key.1), spec, assigned.generation));
                    }
                    None if self.errors.is_empty() => {
                        let partition = TopicPartition::new(&*key.0, key.1);
                        self.errors.push_back(Error::OffsetOutOfRange {
                            partition,
                            offset: -1,
                        });
                    }
                    None => {}
                }
            } else if !assigned.paused {
                let max_bytes = self.config.max_partition_fetch_bytes;
                let want = Want {
                    id: topic.id,
                    offset: assigned.fetch,
                    leader_epoch: epoch,
                    max_bytes,
                };
                wanted.entry(leader).or_default().insert(key.clone(), want);
            }
        }
        self.start_refresh();
        let resolve = self.start_resolving(unresolved, now);
        let fetches = self.start_fetches(wanted, now);
        [resolve, fetches].into_iter().flatten().min()
    }

    fn start_refresh(&mut self) {
        if !self.refresh || self.refreshing.is_some() || self.assigned.is_empty() {
            return;
        }
        self.refresh = false;
        let mut topics: Vec<Arc<str>> = self.assigned.keys().map(|(topic, _)| topic.clone()).collect();
        topics.dedup();
        let cluster = self.cluster.clone();
        self.refreshing = Some(Box::pin(async move {
            let names: Vec<&str> = topics.iter().map(|t| &**t).collect();
            cluster.refresh(cluster.view().generation, &names, false).await
        }));
    }

    fn start_resolving(&mut self, wanted: Vec<(TopicPartition, OffsetSpec, u64)>, now: Mono) -> Option<Mono> {
        if wanted.is_empty() || self.resolving.is_some() {
            return None;
        }
        if self.resolve_not_before > now {
            return Some(self.resolve_not_before);
        }
        self.asked_generations = wanted
            .iter()
            .map(|(p, _, generation)| (p.clone(), *generation))
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(p, spec, _)| (p, spec)).collect();
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation_level);
        self.resolving = Some(Box::pin(async move {
            let deadline = cluster.now().after(cluster.config().request_timeout);
            list_offsets(&cluster, &wanted, isolation, deadline).await
        }));
        None
    }

    /// One request per broker, and only if no more than one of its responses is unread.
    fn start_fetches(&mut self, wanted: BTreeMap<i32, BTreeMap<Key, Want>>, now: Mono) -> Option<Mono> {
        let mut next: Option<Mono> = None;
        for (leader, wanted) in wanted {
            let broker = self.brokers.entry(leader).or_default();
            broker.unread.retain(|response| response.strong_count() > 0);
            if broker.running.is_some() || broker.unread.len() > 1 {
                continue;
            }
            if broker.not_before > now {
                next = Some(next.map_or(broker.not_before, |n| n.min(broker.not_before)));
                continue;
            }
            let generation = |key: &Key| self.assigned.get(key).map_or(0, |a| a.generation);
            broker.asked = wanted
                .iter()
                .map(|(key, want)| (key.clone(), (want.offset, generation(key))))
                .collect();
            let plan = broker.session.plan(wanted);
            broker.running = Some(Box::pin(fetch(
                self.cluster.clone(),
                leader,
                plan,
                self.config.clone(),
            )));
        }
        next
    }

    /// Looks after everything that is under way; whether anything has ended.
    pub(crate) fn poll_running(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Some(running) = &mut self.refreshing
            && let Poll::Ready(result) = running.as_mut().poll(cx)
        {
            self.refreshing = None;
            moved = true;
            match result {
                Ok(()) => self.trouble = None,
                Err(error) => self.report(error),
            }
        }
        if let Some(running) = &mut self.resolving
            && let Poll::Ready(found) = running.as_mut().poll(cx)
        {
            self.resolving = None;
            moved = true;
            self.resolved(found);
        }
        let leaders: Vec<i32> = self
            .brokers
            .iter()
            .filter(|(_, b)| b.running.is_some())
            .map(|(id, _)| *id)
            .collect();
        for leader in leaders {
            let running = self.brokers.get_mut(&leader).and_then(|b| b.running.as_mut());
            if let Some(Poll::Ready(result)) = running.map(|r| r.as_mut().poll(cx)) {
                moved = true;
                self.fetched(leader, result);
            }
        }
        moved
    }

    /// Keeps an error for the user, or notes it while it is tried again.
    fn report(&mut self, error: Error) {
        if error.is_retriable() {
            self.trouble = Some(error);
        } else {
            self.errors.push_back(error);
        }
    }

    fn resolved(&mut self, found: Found) {
        for (partition, result) in found {
            let generation = self.next_generation();
            let asked = self.asked_generations.get(&partition).copied();
            let key: Key = (Arc::from(partition.topic.as_str()), partition.partition);
            let Some(assigned) = self.assigned.get_mut(&key) else {
                continue;
            };
            if assigned.position.is_some() || asked != Some(assigned.generation) {
                continue;
            }
            match result {
                Ok(Some(at)) => assigned.go(at.offset, generation),
                // No record is that late.
                Ok(None) => assigned.ask(OffsetSpec::Latest, generation),
                Err(error) => {
                    self.resolve_not_before = self.cluster.now().after(self.cluster.backoff().pause(1));
                    self.report(error);
                }
            }
        }
    }

    fn fetched(&mut self, leader: i32, result: crate::Result<Fetched>) {
        let now = self.cluster.now();
        let Some(broker) = self.brokers.get_mut(&leader) else {
            return;
        };
        broker.running = None;
        let asked = std::mem::take(&mut broker.asked);
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) => {
                broker.session.failed();
                broker.failures += 1;
                broker.not_before = now.after(self.cluster.backoff().pause(broker.failures));
                self.refresh = true;
                return self.report(error);
            }
        };
        let response = match FetchResponse::decode(&mut Reader::new(&fetched.body), fetched.version) {
            Ok(response) => response,
            Err(error) => {
                broker.session.failed();
                broker.not_before = now.after(self.cluster.backoff().pause(3));
                return self.report(Error::decode(&fetched.broker, error));
            }
        };
        broker.session.answered(response.error_code, response.session_id);
        if response.error_code != 0 {
            broker.failures += 1;
            // A session that the broker has dropped is normal: the next request makes a new one.
            let pause = if broker.failures == 1 {
                now
            } else {
                now.after(self.cluster.backoff().pause(broker.failures))
            };
            broker.not_before = pause;
            return self.report(Error::broker(
                format!("fetch from broker {}", fetched.broker),
                response.error_code,
                None,
            ));
        }
        (broker.failures, self.trouble) = (0, None);
        let token = Arc::new(());
        broker.unread.push(Arc::downgrade(&token));
        self.take_in(leader, &fetched, &response, &asked, &token);
    }

    fn take_in(
        &mut self,
        leader: i32,
        fetched: &Fetched,
        response: &FetchResponse<'_>,
        asked: &BTreeMap<Key, (i64, u64)>,
        token: &Arc<()>,
    ) {
        let view = self.cluster.view();
        let brokers = response.node_endpoints.iter().filter_map(|n| {
            let (host, rack) = (n.host.to_owned(), n.rack.map(str::to_owned));
            Some(BrokerInfo {
                id: n.node_id,
                host,
                port: u16::try_from(n.port).ok()?,
                rack,
            })
        });
        let brokers: Vec<BrokerInfo> = brokers.collect();
        for topic in &response.responses {
            let name = if topic.topic.is_empty() {
                view.name_of(topic.topic_id).cloned()
            } else {
                Some(Arc::from(topic.topic))
            };
            let Some(name) = name else { continue };
            for data in &topic.partitions {
                let key: Key = (name.clone(), data.partition_index);
                let (Some((offset, generation)), Some(assigned)) =
                    (asked.get(&key), self.assigned.get_mut(&key))
                else {
                    continue;
                };
                // Sought or unassigned meanwhile, or another broker was faster.
                if assigned.generation != *generation
                    || assigned.fetch != *offset
                    || assigned.position.is_none()
                {
                    continue;
                }
                if data.error_code != 0 {
                    self.partition_failed(leader, &key, data, &brokers);
                    continue;
                }
                assigned.high_watermark = Some(data.high_watermark);
                assigned.log_start = Some(data.log_start_offset).filter(|o| *o >= 0);
                let bytes = data.records.unwrap_or_default();
                if bytes.is_empty() {
                    continue;
                }
                let committed = self.config.isolation_level == IsolationLevel::ReadCommitted;
                let aborted = committed.then(|| aborted(data));
                let bytes = fetched.body.slice_ref(bytes);
                let chunk = Chunk::new(
                    name.clone(),
                    key.1,
                    bytes,
                    *offset,
                    aborted,
                    self.config.check_crcs,
                );
                assigned.fetch = chunk.end();
                self.ready.push_back(Ready {
                    key,
                    generation: *generation,
                    chunk,
                    _response: token.clone(),
                });
            }
        }
    }

    fn partition_failed(&mut self, leader: i32, key: &Key, data: &PartitionData<'_>, brokers: &[BrokerInfo]) {
        let partition = TopicPartition::new(&*key.0, key.1);
        let generation = self.next_generation();
        if let Some(broker) = self.brokers.get_mut(&leader) {
            broker.not_before = self.cluster.now().after(self.cluster.backoff().pause(1));
        }
        let error = Error::broker(format!("fetch {partition}"), data.error_code, None);
        let Some(assigned) = self.assigned.get_mut(key) else {
            return;
        };
        if error.code() == Some(ErrorCode::OffsetOutOfRange) {
            // With records still buffered the position itself is in range; it is asked for again when they are read.
            if assigned.position != Some(assigned.fetch) {
                return;
            }
            let wall = self.cluster.env().clock.wall().as_millis();
            match self.config.auto_offset_reset.spec(wall) {
                Some(spec) => assigned.ask(spec, generation),
                None => self.errors.push_back(Error::OffsetOutOfRange {
                    partition,
                    offset: assigned.fetch,
                }),
            }
            return;
        }
        let hint = &data.current_leader;
        let known = self
            .cluster
            .leader_hint(&partition, hint.leader_id, hint.leader_epoch, brokers);
        self.refresh |= !known;
        let passing = error.is_retriable() && error.code() != Some(ErrorCode::CorruptMessage);
        if passing || error.code() == Some(ErrorCode::UnknownServerError) {
            self.trouble = Some(error);
        } else {
            self.errors.push_back(error);
        }
    }

    /// Records that are there already, in the order in which they came.
    pub(crate) fn take_records(&mut self) -> Vec<ConsumerRecord> {
        let max = self.config.max_poll_records.max(1);
        let mut out: Vec<ConsumerRecord> = Vec::new();
        while out.len() < max {
            if let Some((key, generation, behind)) = &self.decoded_of {
                let assigned = self.assigned.get_mut(key).filter(|a| a.generation == *generation);
                let Some(assigned) = assigned else {
                    self.decoded.clear();
                    self.decoded_of = None;
                    continue;
                };
                let count = self.decoded.len().min(max - out.len());
                out.extend(self.decoded.drain(..count));
                assigned.position = Some(self.decoded.front().map_or(*behind, |next| next.offset));
                if self.decoded.is_empty() {
                    self.decoded_of = None;
                }
                continue;
            }
            if !self.decode_next() {
                break;
            }
        }
        out
    }

    /// Decodes one more batch; false if there is none.
    fn decode_next(&mut self) -> bool {
        let Some(ready) = self.ready.front_mut() else {
            return false;
        };
        let current = self
            .assigned
            .get(&ready.key)
            .is_some_and(|a| a.generation == ready.generation);
        match ready.chunk.next(&mut self.scratch).filter(|_| current) {
            None => drop(self.ready.pop_front()),
            Some(Ok(batch)) => {
                self.decoded.extend(batch.records);
                self.decoded_of = Some((ready.key.clone(), ready.generation, batch.next_offset));
            }
            Some(Err(error)) => {
                let key = ready.key.clone();
                self.ready.pop_front();
                let generation = self.next_generation();
                if let Some(assigned) = self.assigned.get_mut(&key) {
                    assigned.rewind(generation);
                }
                self.errors.push_back(error);
            }
        }
        true
    }
}

fn aborted(data: &PartitionData<'_>) -> Vec<Aborted> {
    let list = data.aborted_transactions.iter().flatten();
    list.map(|a| Aborted {
        producer_id: a.producer_id,
        first_offset: a.first_offset,
    })
    .collect()
}
