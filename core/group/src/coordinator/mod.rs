//! The machine: inputs, timers and writes. What each request means is beside it:
//!
//! - `join`: JoinGroup, static members;
//! - `rebalance`: from generation to generation;
//! - `member`: SyncGroup, Heartbeat, LeaveGroup;
//! - `offsets`: OffsetCommit, OffsetFetch, OffsetDelete, expiry;
//! - `admin`: ListGroups, DescribeGroups, DeleteGroups;
//! - `write`: what becomes of an append.

mod admin;
mod join;
mod member;
mod offsets;
mod rebalance;
mod write;

use crate::api::{Input, Now, Output, Reply, Request, RequestId, WriteId};
use crate::config::Config;
use crate::group::Group;
use crate::offsets::{CommittedOffset, Offsets};
use crate::record::{self, LoadError, Record, Replayed};
use crate::timers::{TimerKey, Timers};
use ottla_types::{ErrorCode, TopicPartition, Violation};
use std::collections::BTreeMap;
use write::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Loading,
    Serving,
    Unloaded,
}

/// The coordinator of one partition of `__consumer_offsets`.
///
/// Invariants: writes are acknowledged in their order; every request that waits is held by one member or one write, and
/// each of those has a timer; [`Group`]'s own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Groups {
    config: Config,
    phase: Phase,
    groups: BTreeMap<String, Group>,
    offsets: Offsets,
    timers: Timers,
    writes: BTreeMap<WriteId, Write>,
    next_write: u64,
}

/// The time of a step, and where its orders go.
struct Cx<'a> {
    now: Now,
    out: &'a mut Vec<Output>,
}

impl Cx<'_> {
    fn reply(&mut self, to: RequestId, reply: Reply) {
        self.out.push(Output::Reply(to, reply));
    }
}

impl Groups {
    /// An empty partition, to be loaded.
    pub fn new(config: Config) -> Self {
        Groups {
            config,
            phase: Phase::Loading,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            writes: BTreeMap::new(),
            next_write: 0,
        }
    }

    /// Replays a record of the partition, in the log's order and before [`Input::Loaded`]. `producer` is that of a
    /// transactional batch.
    pub fn replay(
        &mut self,
        producer: Option<i64>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), LoadError> {
        if self.phase != Phase::Loading {
            return Err(LoadError::NotLoading);
        }
        match record::read(key, value)? {
            Replayed::Offset(key, value) => self.offsets.replay(producer, key, value),
            Replayed::Group(id, Some(group)) => {
                self.groups.insert(id, *group);
            }
            Replayed::Group(id, None) => {
                self.groups.remove(&id);
            }
            Replayed::Foreign => {}
        }
        Ok(())
    }

    /// Replays a transaction's marker.
    pub fn replay_marker(&mut self, producer: i64, commit: bool) -> Result<(), LoadError> {
        if self.phase != Phase::Loading {
            return Err(LoadError::NotLoading);
        }
        self.offsets.end_transaction(producer, commit);
        Ok(())
    }

    /// When the next [`Input::Tick`] is due, by the monotonic clock.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// The one door to all that can happen. `out` is not cleared.
    pub fn step(&mut self, input: Input, now: Now, out: &mut Vec<Output>) -> Result<(), Violation> {
        let cx = &mut Cx { now, out };
        match (input, self.phase) {
            (Input::Loaded, Phase::Loading) => self.loaded(cx),
            (Input::Loaded, _) => Err(Violation::new("group.load", "loaded twice")),
            (Input::Request(id, request), Phase::Serving) => self.request(id, request, cx),
            (Input::Request(id, request), phase) => {
                let reply = match (&request, phase) {
                    // Kafka keeps members at rest while it loads.
                    (Request::Heartbeat(_), Phase::Loading) => Reply::Heartbeat(ErrorCode::None),
                    (_, Phase::Loading) => request.refused(ErrorCode::CoordinatorLoadInProgress),
                    _ => request.refused(ErrorCode::NotCoordinator),
                };
                cx.reply(id, reply);
                Ok(())
            }
            (Input::Tick, _) => self.tick(cx),
            (Input::Written(write), Phase::Serving) => self.written(write, cx),
            (Input::Failed(write, error), Phase::Serving) => self.failed(write, error, cx),
            (Input::TopicsDeleted(topics), Phase::Serving) => self.topics_deleted(topics, cx),
            // The log's news of a partition that was given up.
            (Input::Written(_) | Input::Failed(..) | Input::TopicsDeleted(_), _) => Ok(()),
            (Input::Unload, _) => {
                self.unload(cx);
                Ok(())
            }
        }
    }

    /// A group.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// Every group.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Every offset that is committed and replicated.
    pub fn committed_offsets(&self) -> impl Iterator<Item = (&str, &TopicPartition, &CommittedOffset)> {
        self.offsets.all()
    }

    /// How many requests wait for an answer.
    pub fn waiting(&self) -> usize {
        let in_groups: usize = self.groups.values().map(Group::waiting).sum();
        let in_writes: usize = self.writes.values().map(|w| w.waiters.len()).sum();
        in_groups + in_writes
    }

    /// Checks every group; for tests and the simulator.
    pub fn check(&self) -> Result<(), Violation> {
        self.groups.values().try_for_each(Group::check)
    }

    fn request(&mut self, id: RequestId, request: Request, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let writes = !matches!(
            request,
            Request::Heartbeat(_)
                | Request::Leave(_)
                | Request::OffsetFetch(_)
                | Request::ListGroups(_)
                | Request::DescribeGroups(_)
        );
        if writes && self.writes.len() >= self.config.max_outstanding_writes {
            cx.reply(id, request.refused(ErrorCode::CoordinatorNotAvailable));
            return Ok(());
        }
        match request {
            Request::Join(join) => self.join(id, *join, cx)?,
            Request::Sync(sync) => self.sync(id, sync, cx)?,
            Request::Heartbeat(who) => {
                let error = self.heartbeat(&who, cx);
                cx.reply(id, Reply::Heartbeat(error));
            }
            Request::Leave(leave) => self.leave(id, leave, cx)?,
            Request::OffsetCommit(commit) => self.offset_commit(id, commit, cx),
            Request::OffsetFetch(fetch) => cx.reply(id, Reply::OffsetFetch(Ok(self.offset_fetch(&fetch)))),
            Request::OffsetDelete(group, partitions) => self.offset_delete(id, group, partitions, cx),
            Request::DeleteGroups(groups) => self.delete_groups(id, groups, cx)?,
            Request::ListGroups(filter) => cx.reply(id, Reply::ListGroups(Ok(self.list_groups(&filter)))),
            Request::DescribeGroups(groups) => {
                cx.reply(id, Reply::DescribeGroups(self.describe_groups(groups)));
            }
        }
        Ok(())
    }

    fn loaded(&mut self, cx: &mut Cx<'_>) -> Result<(), Violation> {
        self.phase = Phase::Serving;
        // A group of simple consumers has no record of its own.
        for id in self.offsets.group_ids() {
            self.groups
                .entry(id.clone())
                .or_insert_with(|| Group::new(&id, None));
        }
        let members = self
            .groups
            .values()
            .flat_map(|g| g.members.keys().map(|m| (g.id.clone(), m.clone())));
        for (group, member) in members.collect::<Vec<_>>() {
            self.renew_session(&group, &member, cx);
        }
        let over = self
            .groups
            .values()
            .filter(|g| g.members.len() > self.config.max_size);
        for group in over.map(|g| g.id.clone()).collect::<Vec<_>>() {
            self.prepare_rebalance(&group, cx)?;
        }
        self.timers.set(
            TimerKey::Expiry,
            cx.now.mono,
            self.config.retention_check_interval_ms,
        );
        Ok(())
    }

    /// Everybody who waits is sent to the new coordinator; nothing is kept.
    fn unload(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Unloaded;
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.answer_all(&id, ErrorCode::NotCoordinator, cx);
        }
        for write in std::mem::take(&mut self.writes).into_values() {
            for (id, reply) in write.waiters {
                cx.reply(id, reply.spoiled(ErrorCode::NotCoordinator));
            }
        }
        self.groups.clear();
        self.offsets = Offsets::default();
        self.timers.clear();
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), Violation> {
        while let Some(key) = self.timers.pop(cx.now.mono) {
            match key {
                TimerKey::Member(group, member) => self.session_expired(&group, &member, cx)?,
                TimerKey::Join(group) => self.join_timer(&group, cx)?,
                TimerKey::Sync(group) => self.sync_timer(&group, cx)?,
                TimerKey::Expiry => {
                    self.expire_offsets(cx)?;
                    self.timers.set(
                        TimerKey::Expiry,
                        cx.now.mono,
                        self.config.retention_check_interval_ms,
                    );
                }
                TimerKey::Write(write) => self.write_timed_out(write, cx)?,
            }
        }
        Ok(())
    }

    /// Orders an append, and begins to wait for it.
    fn append(&mut self, records: Vec<Record>, write: Write, cx: &mut Cx<'_>) -> WriteId {
        self.next_write += 1;
        let id = WriteId(self.next_write);
        for group in &write.groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.writes += 1;
            }
        }
        self.writes.insert(id, write);
        self.timers
            .set(TimerKey::Write(id), cx.now.mono, self.config.commit_timeout_ms);
        cx.out.push(Output::Append(id, records));
        id
    }

    /// A member was heard from.
    fn renew_session(&mut self, group: &str, member: &str, cx: &Cx<'_>) {
        let Some(found) = self.groups.get(group).and_then(|g| g.members.get(member)) else {
            return;
        };
        let after = u64::try_from(found.session_timeout_ms).unwrap_or(0);
        let key = TimerKey::Member(group.to_owned(), member.to_owned());
        self.timers.set(key, cx.now.mono, after);
    }

    fn end_session(&mut self, group: &str, member: &str) {
        self.timers
            .cancel(&TimerKey::Member(group.to_owned(), member.to_owned()));
    }

    /// Forgets a group that has nothing: as if it had never been.
    fn forget_if_unused(&mut self, id: &str) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let used = group.recorded
            || group.writes > 0
            || !group.members.is_empty()
            || !group.pending_join.is_empty()
            || self.offsets.knows_group(id);
        if !used {
            self.remove_group(id);
        }
    }

    fn remove_group(&mut self, id: &str) {
        let Some(group) = self.groups.remove(id) else {
            return;
        };
        for member in group.members.keys().chain(&group.pending_join) {
            self.timers
                .cancel(&TimerKey::Member(id.to_owned(), member.clone()));
        }
        self.timers.cancel(&TimerKey::Join(id.to_owned()));
        self.timers.cancel(&TimerKey::Sync(id.to_owned()));
    }
}

/// A record that cannot be encoded although its parts were checked when they came in.
fn unwritable(error: ottla_wire::EncodeError) -> Violation {
    Violation::new("group.record", format!("a record cannot be written: {error}"))
}

/// A group that must be there and is not.
fn missing(group: &str) -> Violation {
    Violation::new(
        "group.exists",
        format!("group {group} is expected and is not there"),
    )
}
