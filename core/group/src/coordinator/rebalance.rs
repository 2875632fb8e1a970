//! From generation to generation: who is waited for, for how long, and what the members are told.

use super::write::{Purpose, Write};
use super::{Cx, Groups, missing, unwritable};
use crate::api::{JoinReply, Reply, SyncReply};
use crate::group::{Group, GroupState};
use crate::record::group_record;
use crate::timers::TimerKey;
use ottla_types::{ErrorCode, Violation};
use std::collections::BTreeMap;

impl Group {
    /// Each member for the leader: id, instance, metadata for the protocol chosen.
    pub(super) fn member_list(&self) -> Vec<(String, Option<String>, Vec<u8>)> {
        let protocol = self.protocol_name.as_deref().unwrap_or("");
        let row =
            |m: &crate::group::Member| (m.id.clone(), m.instance.clone(), m.metadata(protocol).to_vec());
        self.members.values().map(row).collect()
    }

    /// What a member of the present generation hears when it joins.
    pub(super) fn join_reply(&self, member: &str) -> Reply {
        Reply::Join(Box::new(JoinReply {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member: member.to_owned(),
            members: match self.is_leader(member) {
                true => self.member_list(),
                false => Vec::new(),
            },
        }))
    }
}

impl Groups {
    pub(super) fn rebalance_or_complete(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        match self.groups.get(id).is_some_and(Group::can_rebalance) {
            true => self.prepare_rebalance(id, cx),
            false => self.maybe_complete_join(id, cx),
        }
    }

    pub(super) fn prepare_rebalance(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        self.reset_assignments(id, ErrorCode::RebalanceInProgress, cx);
        self.timers.cancel(&TimerKey::Sync(id.to_owned()));
        let group = self.groups.get_mut(id).ok_or_else(|| missing(id))?;
        group.pending_sync.clear();
        group.assigning = false;
        let initial = group.state == GroupState::Empty;
        group.enter(GroupState::PreparingRebalance, cx.now.wall);
        if initial {
            // A new group waits a little, so that its members need not rebalance once for each of them.
            let delay = self.config.initial_rebalance_delay_ms;
            group.initial = Some((delay, group.rebalance_timeout_ms().saturating_sub(delay)));
            group.new_member_added = false;
            self.timers.set(TimerKey::Join(id.to_owned()), cx.now.mono, delay);
            return Ok(());
        }
        group.initial = None;
        if group.all_joined() {
            return self.complete_join(id, cx);
        }
        let timeout = group.rebalance_timeout_ms();
        self.timers
            .set(TimerKey::Join(id.to_owned()), cx.now.mono, timeout);
        Ok(())
    }

    /// In CompletingRebalance: nobody has an assignment, and who waits for one hears `error`.
    pub(super) fn reset_assignments(&mut self, id: &str, error: ErrorCode, cx: &mut Cx<'_>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.state != GroupState::CompletingRebalance {
            return;
        }
        let mut answered = Vec::new();
        for member in group.members.values_mut() {
            member.assignment.clear();
            if let Some(request) = member.awaiting_sync.take() {
                cx.reply(request, SyncReply::refused(error));
                answered.push(member.id.clone());
            }
        }
        answered
            .iter()
            .for_each(|member| self.renew_session(id, member, cx));
    }

    /// Ends the join phase if everybody is there; an initial one waits for its timer.
    pub(super) fn maybe_complete_join(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let group = self.groups.get(id).ok_or_else(|| missing(id))?;
        let ready =
            group.state == GroupState::PreparingRebalance && group.initial.is_none() && group.all_joined();
        match ready {
            true => self.complete_join(id, cx),
            false => Ok(()),
        }
    }

    pub(super) fn join_timer(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let Some(group) = self.groups.get_mut(id) else {
            return Ok(());
        };
        if let Some((delay, remaining)) = group.initial
            && group.new_member_added
            && remaining > 0
        {
            group.new_member_added = false;
            let next = self.config.initial_rebalance_delay_ms.min(remaining);
            group.initial = Some((next, remaining.saturating_sub(delay.max(1))));
            self.timers.set(TimerKey::Join(id.to_owned()), cx.now.mono, next);
            return Ok(());
        }
        self.complete_join(id, cx)
    }

    /// The next generation, of those who have joined and of static members, who may be away.
    pub(super) fn complete_join(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        self.timers.cancel(&TimerKey::Join(id.to_owned()));
        let group = self.groups.get_mut(id).ok_or_else(|| missing(id))?;
        if group.state != GroupState::PreparingRebalance {
            return Ok(());
        }
        group.initial = None;
        let late = group
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && m.instance.is_none());
        for member in late.map(|m| m.id.clone()).collect::<Vec<_>>() {
            group.remove(&member);
            self.timers.cancel(&TimerKey::Member(id.to_owned(), member));
        }
        if !group.members.is_empty() && !group.elect_joined_leader() {
            // Static members alone, and none of them here: they have until their sessions expire.
            let timeout = group.rebalance_timeout_ms();
            self.timers
                .set(TimerKey::Join(id.to_owned()), cx.now.mono, timeout);
            return Ok(());
        }
        group.generation = group.generation.checked_add(1).unwrap_or(1);
        group.assigning = false;
        group.pending_sync.clear();
        if group.members.is_empty() {
            return self.emptied(id, cx);
        }
        group.protocol_name = group.select_protocol();
        if group.protocol_name.is_none() {
            let detail = format!(
                "group {id}: {} members have no protocol in common",
                group.members.len()
            );
            return Err(Violation::new("group.protocol", detail));
        }
        group.subscribed = group.compute_subscribed();
        group.enter(GroupState::CompletingRebalance, cx.now.wall);
        let members: Vec<String> = group.members.keys().cloned().collect();
        group.pending_sync = members.iter().cloned().collect();
        for member in &members {
            let reply = group.join_reply(member);
            let Some(found) = group.members.get_mut(member) else {
                continue;
            };
            found.is_new = false;
            if let Some(request) = found.awaiting_join.take() {
                cx.reply(request, reply);
            }
        }
        let timeout = group.rebalance_timeout_ms();
        self.timers
            .set(TimerKey::Sync(id.to_owned()), cx.now.mono, timeout);
        members
            .iter()
            .for_each(|member| self.renew_session(id, member, cx));
        Ok(())
    }

    fn emptied(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let group = self.groups.get_mut(id).ok_or_else(|| missing(id))?;
        group.protocol_name = None;
        group.leader = None;
        group.subscribed = group.compute_subscribed();
        group.enter(GroupState::Empty, cx.now.wall);
        let record = group_record(group, &BTreeMap::new()).map_err(unwritable)?;
        let write = Write {
            purpose: Purpose::Emptied(id.to_owned()),
            offsets: Vec::new(),
            groups: vec![id.to_owned()],
            waiters: Vec::new(),
        };
        self.append(vec![record], write, cx);
        Ok(())
    }

    /// Members that have not asked for their assignment in time are out (KAFKA-9752).
    pub(super) fn sync_timer(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let Some(group) = self.groups.get_mut(id) else {
            return Ok(());
        };
        let waits = matches!(group.state, GroupState::CompletingRebalance | GroupState::Stable);
        let late = std::mem::take(&mut group.pending_sync);
        if !waits || late.is_empty() {
            return Ok(());
        }
        for member in late {
            self.take_out(id, &member, cx);
        }
        self.prepare_rebalance(id, cx)
    }

    pub(super) fn session_expired(
        &mut self,
        id: &str,
        member: &str,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let Some(group) = self.groups.get(id) else {
            return Ok(());
        };
        if group.pending_join.contains(member) {
            self.take_out(id, member, cx);
            self.complete_if_all_joined(id, cx)?;
            self.forget_if_unused(id);
            return Ok(());
        }
        match group.members.get(member) {
            Some(found) if !found.heartbeat_is_satisfied() => {}
            _ => return Ok(()),
        }
        self.take_out(id, member, cx);
        match self.groups.get(id).map(Group::state) {
            Some(GroupState::Stable | GroupState::CompletingRebalance) => self.prepare_rebalance(id, cx),
            _ => self.complete_if_all_joined(id, cx),
        }
    }

    /// As [`Self::maybe_complete_join`], for an initial rebalance as well, which may have lost its last member.
    fn complete_if_all_joined(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let ready = |g: &Group| g.state == GroupState::PreparingRebalance && g.all_joined();
        match self.groups.get(id).is_some_and(ready) {
            true => self.complete_join(id, cx),
            false => Ok(()),
        }
    }

    /// Removes a member, or a pending one; its requests hear that it is none.
    pub(super) fn take_out(&mut self, id: &str, member: &str, cx: &mut Cx<'_>) {
        self.end_session(id, member);
        let removed = self.groups.get_mut(id).and_then(|group| group.remove(member));
        let Some(removed) = removed else {
            return;
        };
        if let Some(request) = removed.awaiting_join {
            cx.reply(request, JoinReply::refused("", ErrorCode::UnknownMemberId));
        }
        if let Some(request) = removed.awaiting_sync {
            cx.reply(request, SyncReply::refused(ErrorCode::UnknownMemberId));
        }
    }

    /// Everybody who waits in a group hears `error`.
    pub(super) fn answer_all(&mut self, id: &str, error: ErrorCode, cx: &mut Cx<'_>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        for member in group.members.values_mut() {
            if let Some(request) = member.awaiting_join.take() {
                cx.reply(request, JoinReply::refused(member.id.clone(), error));
            }
            if let Some(request) = member.awaiting_sync.take() {
                cx.reply(request, SyncReply::refused(error));
            }
        }
    }
}
