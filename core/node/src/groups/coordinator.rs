//! The coordinator of one partition: the pure machine, its appends in the order in which it orders them, and one task that
//! waits for what is not there at once.
//!
//! A request steps the machine on its own worker; an append that needs no waiting is settled there as well. The task loads
//! the partition, sleeps until the machine's next deadline and looks after appends that wait for the platter.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use ottla_group::{Groups, Input, Now, Output, Record, Reply, Request, RequestId, WriteId};
use ottla_io::{Env, Mono, Sleep};
use ottla_log::BatchMeta;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::records::{BatchBuilder, BatchHeader, BatchOptions, Codec, Compressor};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::{Settings, load};
use crate::Node;
use crate::dispatch::Reject;
use crate::partition::{Appending, Partition, Produced, Refused};

/// One partition's coordinator.
pub struct Coordinator {
    partition: Arc<Partition>,
    codec: Codec,
    load_buffer: usize,
    state: Mutex<State>,
    /// The task has something new to wait for.
    changed: Notify,
    node: Weak<Node>,
    env: Env,
}

/// An append that the machine has ordered.
enum Append {
    Queued(Appending),
    /// It never reached the log.
    Refused(ErrorCode),
}

struct State {
    machine: Groups,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    next_request: u64,
    /// In the machine's order, which is the log's.
    appends: VecDeque<(WriteId, Append)>,
    /// What the task waits for.
    watched: Option<WriteId>,
    asleep_until: Option<u64>,
    loading: bool,
    /// Deleted while the partition was loading.
    deleted: Vec<(String, Uuid)>,
    unloaded: bool,
    /// An invariant does not hold: the node stops.
    broken: bool,
}

impl Coordinator {
    pub(super) fn start(node: &Arc<Node>, partition: &Arc<Partition>, settings: Settings) -> Arc<Self> {
        let coordinator = Arc::new(Coordinator {
            partition: partition.clone(),
            codec: settings.codec,
            load_buffer: settings.load_buffer,
            state: Mutex::new(State {
                machine: Groups::new(settings.machine),
                waiting: BTreeMap::new(),
                next_request: 0,
                appends: VecDeque::new(),
                watched: None,
                asleep_until: None,
                loading: true,
                deleted: Vec::new(),
                unloaded: false,
                broken: false,
            }),
            changed: Notify::new(),
            node: Arc::downgrade(node),
            env: node.env.clone(),
        });
        let task = coordinator.clone();
        node.env.tasks.spawn("group-coordinator", Box::pin(task.run()));
        coordinator
    }

    /// Has the machine answer a request.
    pub async fn ask(self: &Arc<Self>, request: Request) -> Result<Reply, Reject> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.lock();
            let id = RequestId(state.next_request);
            state.next_request += 1;
            if !state.broken {
                state.waiting.insert(id, reply);
            }
            self.step(&mut state, Input::Request(id, request));
        }
        // Every request is answered, unless an invariant broke and the node stops.
        answer.await.map_err(|_| Reject("the node is stopping".into()))
    }

    /// What was committed for these topics goes.
    pub fn topics_deleted(&self, topics: Vec<(String, Uuid)>) {
        let mut state = self.lock();
        match state.loading {
            true => state.deleted.extend(topics),
            false => self.step(&mut state, Input::TopicsDeleted(topics)),
        }
    }

    /// Ends the service: who waits is sent to the next coordinator.
    pub fn unload(&self) {
        self.give_up(&mut self.lock());
    }

    /// Looks at the machine.
    pub fn look<T>(&self, at: impl FnOnce(&Groups) -> T) -> T {
        at(&self.lock().machine)
    }

    fn give_up(&self, state: &mut State) {
        if !std::mem::replace(&mut state.unloaded, true) {
            state.appends.clear();
            self.step(state, Input::Unload);
            // The task ends.
            self.changed.notify_one();
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: millis(self.env.clock.now()),
            wall: self.env.clock.wall(),
        }
    }

    /// Takes one step, and those that follow from it at once.
    fn step(&self, state: &mut State, input: Input) {
        if state.broken {
            return;
        }
        let now = self.now();
        let mut next = Some(input);
        let mut out = Vec::new();
        while let Some(input) = next.take() {
            if let Err(violation) = state.machine.step(input, now, &mut out) {
                return self.stop_node(state, &violation.to_string());
            }
            for output in out.drain(..) {
                match output {
                    Output::Reply(id, reply) => {
                        if let Some(waits) = state.waiting.remove(&id) {
                            // Who asked may have gone.
                            let _ = waits.send(reply);
                        }
                    }
                    Output::Append(id, records) => {
                        let append = self.append(&records, now);
                        state.appends.push_back((id, append));
                    }
                }
            }
            next = self.settled(state);
        }
        self.tell_task(state);
    }

    /// The task waits for the first append and for the machine's deadline: it is told when either is another one.
    fn tell_task(&self, state: &State) {
        let first = state.appends.front().map(|(id, _)| *id);
        let deadline = state.machine.deadline();
        let sooner = match (deadline, state.asleep_until) {
            (Some(deadline), Some(asleep)) => deadline < asleep,
            (deadline, asleep) => deadline.is_some() && asleep.is_none(),
        };
        if sooner || (first.is_some() && first != state.watched) {
            self.changed.notify_one();
        }
    }

    /// What has become of the first append, if that is known.
    fn settled(&self, state: &mut State) -> Option<Input> {
        let (id, append) = state.appends.front_mut()?;
        let result = match append {
            Append::Refused(code) => Err(*code),
            Append::Queued(appending) => match appending.result.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Ok(result) => result.map(drop).map_err(|refused| refused.code),
                Err(oneshot::error::TryRecvError::Closed) => return self.closed(state),
            },
        };
        let id = *id;
        self.done(state, id, result)
    }

    fn done(&self, state: &mut State, id: WriteId, result: Result<(), ErrorCode>) -> Option<Input> {
        state.appends.pop_front();
        match result {
            Ok(()) => Some(Input::Written(id)),
            // Where a directory has failed it is not sure what the log holds.
            Err(_) if self.partition.reader().check().is_err() => self.closed(state),
            Err(code) => Some(Input::Failed(id, code)),
        }
    }

    /// The partition was closed: what it had queued may be in its log or not.
    fn closed(&self, state: &mut State) -> Option<Input> {
        state.appends.clear();
        (!std::mem::replace(&mut state.unloaded, true)).then_some(Input::Unload)
    }

    /// Queues records as one batch, and has it appended.
    fn append(&self, records: &[Record], now: Now) -> Append {
        let batch = match self.batch(records, now) {
            Ok(batch) => batch,
            Err(code) => return Append::Refused(code),
        };
        let Some(header) = BatchHeader::parse(&batch) else {
            return Append::Refused(ErrorCode::UnknownServerError);
        };
        let meta = BatchMeta::from_header(&header, None);
        let mut appending = self.partition.append(BytesMut::from(&batch[..]), meta);
        appending.begin();
        Append::Queued(appending)
    }

    fn batch(&self, records: &[Record], now: Now) -> Result<Vec<u8>, ErrorCode> {
        let too_large = |_| ErrorCode::RecordListTooLarge;
        let bytes = records
            .iter()
            .map(|r| r.key.len() + r.value.as_ref().map_or(0, Vec::len) + 16);
        let mut builder = BatchBuilder::with_capacity(bytes.sum());
        for record in records {
            builder
                .append(
                    now.wall.as_millis(),
                    Some(&record.key),
                    record.value.as_deref(),
                    &[],
                )
                .map_err(too_large)?;
        }
        let options = BatchOptions::default().with_codec(self.codec);
        let batch = builder
            .finish(&options, &mut Compressor::new())
            .map_err(too_large)?;
        let limit = self.partition.config().max_message_bytes;
        match usize::try_from(limit).is_ok_and(|limit| batch.len() <= limit) {
            true => Ok(batch),
            false => Err(ErrorCode::MessageTooLarge),
        }
    }

    fn stop_node(&self, state: &mut State, reason: &str) {
        (state.unloaded, state.broken) = (true, true);
        state.waiting.clear();
        state.appends.clear();
        if let Some(node) = self.node.upgrade() {
            node.fail(format!("{}: {reason}", self.partition.id));
        }
    }

    async fn run(self: Arc<Self>) {
        if let Err(error) = self.load().await {
            // As Kafka: the groups of this partition have no coordinator, the others have.
            tracing::error!(partition = %self.partition.id, %error, "the group coordinator cannot load; its groups are not served");
            return self.unload();
        }
        let mut waiting = Waiting {
            coordinator: &self,
            sleep: None,
        };
        let mut serving = true;
        while serving {
            let mut changed = std::pin::pin!(self.changed.notified());
            serving = std::future::poll_fn(|cx| waiting.poll(changed.as_mut(), cx)).await;
        }
    }

    async fn load(&self) -> Result<(), load::Unloadable> {
        let started = self.env.clock.now();
        let mut scratch = load::scratch();
        let apply = |bytes: &[u8], at| load::replay(&mut self.lock().machine, bytes, at, &mut scratch);
        load::load(self.partition.reader(), self.load_buffer, apply).await?;
        let mut state = self.lock();
        if state.unloaded {
            return Ok(());
        }
        state.loading = false;
        self.step(&mut state, Input::Loaded);
        let deleted = std::mem::take(&mut state.deleted);
        if !deleted.is_empty() {
            self.step(&mut state, Input::TopicsDeleted(deleted));
        }
        let took_ms = self.env.clock.now().since(started).as_millis();
        tracing::debug!(partition = %self.partition.id, took_ms, groups = state.machine.groups().count(), "loaded");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Milliseconds of the monotonic clock, as the machine counts.
fn millis(at: Mono) -> u64 {
    at.0 / 1_000_000
}

/// The task's life after loading: deadlines and appends, until the coordinator is unloaded.
struct Waiting<'a> {
    coordinator: &'a Arc<Coordinator>,
    /// Until when, by the machine's clock, and the sleep itself.
    sleep: Option<(u64, Sleep)>,
}

impl Waiting<'_> {
    /// Ready when something has happened; false once the coordinator is unloaded.
    fn poll(&mut self, changed: Pin<&mut Notified<'_>>, cx: &mut Context<'_>) -> Poll<bool> {
        // Registered before the state is looked at, so that no change falls between.
        let woken = changed.poll(cx).is_ready();
        let coordinator = self.coordinator.clone();
        let mut state = coordinator.lock();
        if state.unloaded {
            return Poll::Ready(false);
        }
        let appended = self.poll_append(&mut state, cx);
        let ticked = self.poll_deadline(&mut state, cx);
        match woken || appended || ticked {
            true => Poll::Ready(true),
            false => Poll::Pending,
        }
    }

    /// Polls the first append. Whether there was anything new.
    fn poll_append(&self, state: &mut State, cx: &mut Context<'_>) -> bool {
        state.watched = state.appends.front().map(|(id, _)| *id);
        let Some((id, append)) = state.appends.front_mut() else {
            return false;
        };
        let id = *id;
        let next = match append {
            Append::Refused(code) => {
                let code = *code;
                self.coordinator.done(state, id, Err(code))
            }
            Append::Queued(appending) => match Pin::new(&mut appending.result).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(result)) => {
                    let result: Result<Produced, Refused> = result;
                    let result = result.map(drop).map_err(|refused| refused.code);
                    self.coordinator.done(state, id, result)
                }
                Poll::Ready(Err(_)) => self.coordinator.closed(state),
            },
        };
        if let Some(input) = next {
            self.coordinator.step(state, input);
        }
        true
    }

    /// Polls the machine's deadline. Whether it has passed.
    fn poll_deadline(&mut self, state: &mut State, cx: &mut Context<'_>) -> bool {
        let deadline = state.machine.deadline();
        state.asleep_until = deadline;
        let Some(deadline) = deadline else {
            self.sleep = None;
            return false;
        };
        let clock = &self.coordinator.env.clock;
        let sleep = match &mut self.sleep {
            Some((until, sleep)) if *until == deadline => sleep,
            slot => {
                // The next whole millisecond: never a tick too early.
                let at = Mono::default().after(Duration::from_millis(deadline));
                &mut slot.insert((deadline, clock.sleep_until(at))).1
            }
        };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.sleep = None;
        self.coordinator.step(state, Input::Tick);
        true
    }
}
