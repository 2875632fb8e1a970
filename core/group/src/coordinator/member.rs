//! What members say within a generation: SyncGroup, Heartbeat, LeaveGroup.

use super::write::{Purpose, Write};
use super::{Cx, Groups, missing, unwritable};
use crate::api::{Identity, Leave, Reply, RequestId, Sync, SyncReply};
use crate::group::{Group, GroupState};
use crate::record::group_record;
use crate::timers::TimerKey;
use ottla_types::{ErrorCode, Violation};
use std::collections::BTreeMap;

/// Whether a member that names a protocol means another than the group's (KIP-559).
fn inconsistent(theirs: &Option<String>, ours: &Option<String>) -> bool {
    matches!((theirs, ours), (Some(theirs), Some(ours)) if theirs != ours)
}

fn check_sync(group: &Group, sync: &Sync) -> Result<(), ErrorCode> {
    if group.state == GroupState::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    group.validate(&sync.who)?;
    if sync.who.generation != group.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    if inconsistent(&sync.protocol_type, &group.protocol_type)
        || inconsistent(&sync.protocol_name, &group.protocol_name)
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    match group.state {
        GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
        _ => Ok(()),
    }
}

impl Groups {
    pub(super) fn sync(&mut self, id: RequestId, sync: Sync, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let name = sync.who.group.clone();
        if name.is_empty() {
            cx.reply(id, SyncReply::refused(ErrorCode::InvalidGroupId));
            return Ok(());
        }
        let Some(group) = self.groups.get_mut(&name) else {
            cx.reply(id, SyncReply::refused(ErrorCode::UnknownMemberId));
            return Ok(());
        };
        if let Err(error) = check_sync(group, &sync) {
            cx.reply(id, SyncReply::refused(error));
            return Ok(());
        }
        group.pending_sync.remove(&sync.who.member);
        if group.pending_sync.is_empty() {
            self.timers.cancel(&TimerKey::Sync(name.clone()));
        }
        let leads = group.is_leader(&sync.who.member);
        let state = group.state;
        let member = group
            .members
            .get_mut(&sync.who.member)
            .ok_or_else(|| missing(&name))?;
        if state == GroupState::Stable {
            let reply = SyncReply {
                error: ErrorCode::None,
                protocol_type: group.protocol_type.clone(),
                protocol_name: group.protocol_name.clone(),
                assignment: member.assignment.clone(),
            };
            cx.reply(id, Reply::Sync(reply));
            return Ok(());
        }
        if let Some(overtaken) = member.awaiting_sync.replace(id) {
            cx.reply(overtaken, SyncReply::refused(ErrorCode::RebalanceInProgress));
        }
        // A leader that asks again gets the assignment that is on its way.
        match leads && !group.assigning {
            true => self.assign(&name, sync.assignments, cx),
            false => Ok(()),
        }
    }

    fn assign(
        &mut self,
        name: &str,
        assignments: Vec<(String, Vec<u8>)>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let group = self.groups.get_mut(name).ok_or_else(|| missing(name))?;
        let given = assignments
            .into_iter()
            .filter(|(member, _)| group.members.contains_key(member));
        let assignment: BTreeMap<String, Vec<u8>> = given.collect();
        let record = group_record(group, &assignment).map_err(unwritable)?;
        group.assigning = true;
        let write = Write {
            purpose: Purpose::Assign {
                group: name.to_owned(),
                generation: group.generation,
                assignment,
            },
            offsets: Vec::new(),
            groups: vec![name.to_owned()],
            waiters: Vec::new(),
        };
        self.append(vec![record], write, cx);
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, who: &Identity, cx: &mut Cx<'_>) -> ErrorCode {
        if who.group.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Some(group) = self.groups.get(&who.group) else {
            return ErrorCode::UnknownMemberId;
        };
        if group.state == GroupState::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        if let Err(error) = group.validate(who) {
            return error;
        }
        if who.generation != group.generation {
            return ErrorCode::IllegalGeneration;
        }
        let state = group.state;
        self.renew_session(&who.group, &who.member, cx);
        match state {
            GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
            _ => ErrorCode::None,
        }
    }

    pub(super) fn leave(&mut self, id: RequestId, leave: Leave, cx: &mut Cx<'_>) -> Result<(), Violation> {
        if leave.group.is_empty() {
            cx.reply(id, Reply::Leave(ErrorCode::InvalidGroupId, Vec::new()));
            return Ok(());
        }
        let state = self.groups.get(&leave.group).map(Group::state);
        if state == Some(GroupState::Dead) {
            cx.reply(id, Reply::Leave(ErrorCode::CoordinatorNotAvailable, Vec::new()));
            return Ok(());
        }
        let mut rows = Vec::new();
        for (member, instance) in leave.members {
            let error = self.leave_one(&leave.group, &member, &instance, cx);
            rows.push((member, instance, error));
        }
        let last_write = self.next_write;
        if rows.iter().any(|(_, _, error)| !error.is_error()) {
            match state {
                Some(GroupState::Stable | GroupState::CompletingRebalance) => {
                    self.rebalance_or_complete(&leave.group, cx)?;
                }
                Some(GroupState::PreparingRebalance) => self.after_leave(&leave.group, cx)?,
                _ => self.forget_if_unused(&leave.group),
            }
        }
        let reply = Reply::Leave(ErrorCode::None, rows);
        // When the group has lost its last member, that is in the log before the answer.
        let written = (self.next_write > last_write)
            .then(|| self.writes.last_entry())
            .flatten();
        match written {
            Some(mut write) => write.get_mut().waiters.push((id, reply)),
            None => cx.reply(id, reply),
        }
        Ok(())
    }

    /// An initial rebalance goes on waiting for members, unless it has none left.
    fn after_leave(&mut self, name: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let group = self.groups.get(name).ok_or_else(|| missing(name))?;
        match group.members.is_empty() && group.pending_join.is_empty() {
            true => self.complete_join(name, cx),
            false => self.maybe_complete_join(name, cx),
        }
    }

    fn leave_one(
        &mut self,
        name: &str,
        member: &str,
        instance: &Option<String>,
        cx: &mut Cx<'_>,
    ) -> ErrorCode {
        let Some(group) = self.groups.get(name) else {
            return ErrorCode::UnknownMemberId;
        };
        // An administrator names a static member by its instance alone (KIP-345).
        let present = instance
            .as_ref()
            .and_then(|i| group.static_members.get(i))
            .cloned();
        let leaving = match (member.is_empty(), present) {
            (true, Some(present)) => present,
            (true, None) => return ErrorCode::UnknownMemberId,
            (false, _) if group.pending_join.contains(member) => member.to_owned(),
            (false, _) => {
                let who = Identity {
                    member: member.to_owned(),
                    instance: instance.clone(),
                    ..Identity::default()
                };
                if let Err(error) = group.validate(&who) {
                    return error;
                }
                member.to_owned()
            }
        };
        self.take_out(name, &leaving, cx);
        ErrorCode::None
    }
}
