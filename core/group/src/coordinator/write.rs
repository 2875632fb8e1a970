//! What becomes of an append: replicated, refused, or late.

use super::{Cx, Groups, missing};
use crate::api::{JoinReply, Protocol, Reply, RequestId, SyncReply, WriteId};
use crate::group::{Group, GroupState};
use crate::offsets::OffsetKey;
use crate::timers::TimerKey;
use ottla_types::{ErrorCode, Violation};
use std::collections::BTreeMap;

/// An append that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) purpose: Purpose,
    /// Offsets that it changes.
    pub(super) offsets: Vec<OffsetKey>,
    /// Groups that it concerns.
    pub(super) groups: Vec<String>,
    /// Who is answered when it is replicated, and what.
    pub(super) waiters: Vec<(RequestId, Reply)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// The first record of a group.
    Create(String),
    /// A group has lost its last member.
    Emptied(String),
    /// The leader's assignment.
    Assign {
        group: String,
        generation: i32,
        assignment: BTreeMap<String, Vec<u8>>,
    },
    /// A static member goes on under a new id.
    Replace(Box<Replace>),
    /// Offsets alone.
    Offsets,
    /// Groups that are gone with it.
    Delete(Vec<String>),
}

/// A static member that is replaced without a rebalance, and how it was before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Replace {
    pub(super) group: String,
    pub(super) generation: i32,
    pub(super) request: RequestId,
    pub(super) old: String,
    pub(super) new: String,
    pub(super) protocols: Vec<Protocol>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// The leader before.
    pub(super) leader: String,
    pub(super) skip_assignment: bool,
}

/// What a client hears of an append's failure (Kafka method `appendGroupMetadataErrorToResponseError`).
fn client_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        error => error,
    }
}

impl Groups {
    pub(super) fn written(&mut self, id: WriteId, cx: &mut Cx<'_>) -> Result<(), Violation> {
        match self.writes.first_key_value() {
            Some((first, _)) if *first == id => {}
            first => {
                let first = first.map(|(id, _)| id.0);
                let detail = format!(
                    "write {} is acknowledged, and the first on its way is {first:?}",
                    id.0
                );
                return Err(Violation::new("group.write-order", detail));
            }
        }
        let write = self.settle(id, true)?;
        match write.purpose {
            Purpose::Create(group) | Purpose::Emptied(group) => self.set_recorded(&group),
            Purpose::Assign {
                group,
                generation,
                assignment,
            } => {
                self.set_recorded(&group);
                self.assigned(&group, generation, assignment, cx);
            }
            Purpose::Replace(replace) => {
                self.set_recorded(&replace.group);
                self.replaced(&replace, cx);
            }
            Purpose::Offsets => {}
            Purpose::Delete(groups) => {
                for group in groups {
                    self.remove_group(&group);
                }
            }
        }
        for (id, reply) in write.waiters {
            cx.reply(id, reply);
        }
        // An offset's tombstone may have taken the last that was known of a group without a record.
        write.groups.iter().for_each(|group| self.forget_if_unused(group));
        Ok(())
    }

    pub(super) fn failed(&mut self, id: WriteId, error: ErrorCode, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let error = client_error(error);
        let write = self.settle(id, false)?;
        match &write.purpose {
            Purpose::Create(group) => self.not_created(group, error, cx)?,
            Purpose::Assign {
                group, generation, ..
            } => self.not_assigned(group, *generation, error, cx)?,
            Purpose::Replace(replace) => self.not_replaced(replace, error, true, cx)?,
            Purpose::Emptied(_) | Purpose::Offsets => {}
            Purpose::Delete(groups) => {
                for group in groups {
                    let group = self.groups.get_mut(group).ok_or_else(|| missing(group))?;
                    group.state = GroupState::Empty;
                }
            }
        }
        for (id, reply) in write.waiters {
            cx.reply(id, reply.spoiled(error));
        }
        write.groups.iter().for_each(|group| self.forget_if_unused(group));
        Ok(())
    }

    /// It is not known yet whether the records will stay: nobody waits for them any longer, and no state goes back.
    pub(super) fn write_timed_out(&mut self, id: WriteId, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let error = client_error(ErrorCode::RequestTimedOut);
        let Some(write) = self.writes.get_mut(&id) else {
            return Ok(());
        };
        let waiters = std::mem::take(&mut write.waiters);
        match write.purpose.clone() {
            Purpose::Assign {
                group, generation, ..
            } => self.not_assigned(&group, generation, error, cx)?,
            Purpose::Replace(replace) => self.not_replaced(&replace, error, false, cx)?,
            _ => {}
        }
        for (id, reply) in waiters {
            cx.reply(id, reply.spoiled(error));
        }
        Ok(())
    }

    fn settle(&mut self, id: WriteId, written: bool) -> Result<Write, Violation> {
        let unknown = || Violation::new("group.write", format!("write {} is not on its way", id.0));
        let write = self.writes.remove(&id).ok_or_else(unknown)?;
        self.timers.cancel(&TimerKey::Write(id));
        for key in &write.offsets {
            self.offsets.resolve(key, id, written)?;
        }
        for group in &write.groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.writes = group.writes.saturating_sub(1);
            }
        }
        Ok(write)
    }

    fn set_recorded(&mut self, group: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.recorded = true;
        }
    }

    /// Without its record the group is not there, unless another write has made it since, or offsets have.
    fn not_created(&mut self, id: &str, error: ErrorCode, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let group = self.groups.get(id).ok_or_else(|| missing(id))?;
        if !group.recorded && group.writes == 0 && !self.offsets.knows_group(id) {
            self.answer_all(id, error, cx);
            self.remove_group(id);
        }
        Ok(())
    }

    fn assigned(
        &mut self,
        id: &str,
        generation: i32,
        mut assignment: BTreeMap<String, Vec<u8>>,
        cx: &mut Cx<'_>,
    ) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.state != GroupState::CompletingRebalance || group.generation != generation {
            return;
        }
        group.assigning = false;
        group.enter(GroupState::Stable, cx.now.wall);
        let mut answered = Vec::new();
        for member in group.members.values_mut() {
            member.assignment = assignment.remove(&member.id).unwrap_or_default();
            if let Some(request) = member.awaiting_sync.take() {
                answered.push(member.id.clone());
                let reply = SyncReply {
                    error: ErrorCode::None,
                    protocol_type: group.protocol_type.clone(),
                    protocol_name: group.protocol_name.clone(),
                    assignment: member.assignment.clone(),
                };
                cx.reply(request, Reply::Sync(reply));
            }
        }
        answered
            .iter()
            .for_each(|member| self.renew_session(id, member, cx));
    }

    fn not_assigned(
        &mut self,
        id: &str,
        generation: i32,
        error: ErrorCode,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let Some(group) = self.groups.get_mut(id) else {
            return Ok(());
        };
        if group.state != GroupState::CompletingRebalance || group.generation != generation {
            return Ok(());
        }
        group.assigning = false;
        self.reset_assignments(id, error, cx);
        self.prepare_rebalance(id, cx)
    }

    /// Whether the member still waits for the answer that it was to get.
    fn still_replacing(&self, replace: &Replace) -> bool {
        let Some(group) = self.groups.get(&replace.group) else {
            return false;
        };
        let waits = group.members.get(&replace.new).and_then(|m| m.awaiting_join) == Some(replace.request);
        waits && group.state == GroupState::Stable && group.generation == replace.generation
    }

    fn replaced(&mut self, replace: &Replace, cx: &mut Cx<'_>) {
        if !self.still_replacing(replace) {
            return;
        }
        let Some(group) = self.groups.get_mut(&replace.group) else {
            return;
        };
        let leads = group.is_leader(&replace.new);
        let skip = replace.skip_assignment;
        let reply = JoinReply {
            error: ErrorCode::None,
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol_name: group.protocol_name.clone(),
            // One that cannot be told to skip the assignment must not take itself for the leader.
            leader: match skip {
                true => group.leader.clone().unwrap_or_default(),
                false => replace.leader.clone(),
            },
            skip_assignment: skip && leads,
            member: replace.new.clone(),
            members: if skip && leads {
                group.member_list()
            } else {
                Vec::new()
            },
        };
        if let Some(member) = group.members.get_mut(&replace.new) {
            member.awaiting_join = None;
        }
        cx.reply(replace.request, Reply::Join(Box::new(reply)));
        self.renew_session(&replace.group, &replace.new, cx);
    }

    fn not_replaced(
        &mut self,
        replace: &Replace,
        error: ErrorCode,
        revert: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        if !self.still_replacing(replace) {
            // The log knows the old member, and somebody was told otherwise: the next generation sets that right.
            let diverged = self.groups.get(&replace.group);
            let same = |g: &Group| g.state == GroupState::Stable && g.generation == replace.generation;
            return match revert && diverged.is_some_and(same) {
                true => self.prepare_rebalance(&replace.group, cx),
                false => Ok(()),
            };
        }
        let group = self
            .groups
            .get_mut(&replace.group)
            .ok_or_else(|| missing(&replace.group))?;
        let mut id = &replace.new;
        if revert {
            group.rename(&replace.new, &replace.old)?;
            id = &replace.old;
        }
        if let Some(member) = group.members.get_mut(id) {
            member.awaiting_join = None;
            if revert {
                member.protocols = replace.protocols.clone();
                member.rebalance_timeout_ms = replace.rebalance_timeout_ms;
                member.session_timeout_ms = replace.session_timeout_ms;
            }
        }
        cx.reply(replace.request, JoinReply::refused("", error));
        self.end_session(&replace.group, &replace.new);
        self.renew_session(&replace.group, id, cx);
        Ok(())
    }
}
