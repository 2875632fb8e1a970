//! JoinGroup: new, pending, present and static members (KIP-345, KIP-394).

use super::write::{Purpose, Replace, Write};
use super::{Cx, Groups, missing, unwritable};
use crate::api::{Join, JoinReply, Protocol, RequestId, SyncReply};
use crate::group::{Group, GroupState, Member};
use crate::record::{group_record, new_group_record};
use crate::timers::TimerKey;
use ottla_types::{ErrorCode, Violation};

/// A UUID as Java writes one at random: version 4.
fn uuid_text(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{bits:032x}");
    let parts = [
        text.get(..8),
        text.get(8..12),
        text.get(12..16),
        text.get(16..20),
        text.get(20..),
    ];
    parts.map(Option::unwrap_or_default).join("-")
}

/// The longest text that a record can hold, less what is added to make a member id of it.
const MAX_TEXT: usize = i16::MAX as usize - 37;

fn same_protocols(member: &Member, protocols: &[Protocol]) -> bool {
    member.protocols == protocols
}

impl Groups {
    pub(super) fn join(&mut self, id: RequestId, join: Join, cx: &mut Cx<'_>) -> Result<(), Violation> {
        if let Err(error) = self.check_join(&join) {
            cx.reply(id, JoinReply::refused(join.who.member, error));
            return Ok(());
        }
        let name = join.who.group.clone();
        let is_new = !self.groups.contains_key(&name);
        if is_new {
            let error = match (
                join.who.member.is_empty(),
                self.groups.len() < self.config.max_groups,
            ) {
                (false, _) => ErrorCode::UnknownMemberId,
                (true, false) => ErrorCode::CoordinatorNotAvailable,
                _ if join.protocol_type.is_empty() || join.protocols.is_empty() => {
                    ErrorCode::InconsistentGroupProtocol
                }
                _ => ErrorCode::None,
            };
            if error.is_error() {
                cx.reply(id, JoinReply::refused(join.who.member, error));
                return Ok(());
            }
            self.groups
                .insert(name.clone(), Group::new(&name, Some(cx.now.wall)));
        }
        self.join_group(id, join, cx)?;
        let group = self.groups.get(&name);
        if let Some(group) = group.filter(|group| is_new && group.writes == 0) {
            let record = new_group_record(group).map_err(unwritable)?;
            let write = Write {
                purpose: Purpose::Create(name.clone()),
                offsets: Vec::new(),
                groups: vec![name],
                waiters: Vec::new(),
            };
            self.append(vec![record], write, cx);
        }
        Ok(())
    }

    fn check_join(&self, join: &Join) -> Result<(), ErrorCode> {
        if join.who.group.is_empty() || join.who.group.len() > MAX_TEXT {
            return Err(ErrorCode::InvalidGroupId);
        }
        let session = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if !session.contains(&join.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let names = join.protocols.iter().map(|p| &p.name);
        let texts = [&join.client_id, &join.client_host, &join.protocol_type];
        let mut texts = texts.into_iter().chain(&join.who.instance).chain(names);
        match texts.any(|text| text.len() > MAX_TEXT) {
            true => Err(ErrorCode::InvalidRequest),
            false => Ok(()),
        }
    }

    fn join_group(&mut self, id: RequestId, join: Join, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let name = join.who.group.clone();
        let member = &join.who.member;
        let group = self.groups.get(&name).ok_or_else(|| missing(&name))?;
        if group.state == GroupState::Dead {
            cx.reply(
                id,
                JoinReply::refused(member.clone(), ErrorCode::CoordinatorNotAvailable),
            );
            return Ok(());
        }
        if !self.accepts(group, member) {
            let member = member.clone();
            self.take_out(&name, &member, cx);
            cx.reply(id, JoinReply::refused("", ErrorCode::GroupMaxSizeReached));
            return self.maybe_complete_join(&name, cx);
        }
        if !group.supports(&join.protocol_type, &join.protocols) {
            cx.reply(
                id,
                JoinReply::refused(member.clone(), ErrorCode::InconsistentGroupProtocol),
            );
            return Ok(());
        }
        match member.is_empty() {
            true => self.join_without_id(id, join, cx),
            false => self.join_with_id(id, join, cx),
        }
    }

    /// Kafka counts those who have joined while it prepares, so that the first `group.max.size` to come are in.
    fn accepts(&self, group: &Group, member: &str) -> bool {
        let known = group.members.get(member);
        match group.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                known.is_some_and(|m| m.awaiting_join.is_some())
                    || group.awaiting_join() < self.config.max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || group.members.len() < self.config.max_size
            }
        }
    }

    fn join_without_id(&mut self, id: RequestId, join: Join, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let name = join.who.group.clone();
        let group = self.groups.get_mut(&name).ok_or_else(|| missing(&name))?;
        let prefix = join.who.instance.as_ref().unwrap_or(&join.client_id);
        let new = format!("{prefix}-{}", uuid_text(join.random));
        if group.members.contains_key(&new) || group.pending_join.contains(&new) {
            // The same random number twice: the client tries again with another.
            cx.reply(id, JoinReply::refused("", ErrorCode::CoordinatorNotAvailable));
            return Ok(());
        }
        if let Some(instance) = &join.who.instance {
            return match group.static_members.get(instance).cloned() {
                Some(old) => self.replace_static(id, join, old, new, cx),
                None => self.add_member(id, join, new, cx),
            };
        }
        if !join.requires_known_member_id {
            return self.add_member(id, join, new, cx);
        }
        if group.pending_join.len() >= self.config.max_pending_members {
            cx.reply(id, JoinReply::refused("", ErrorCode::GroupMaxSizeReached));
            return Ok(());
        }
        group.pending_join.insert(new.clone());
        let after = u64::try_from(join.session_timeout_ms).unwrap_or(0);
        self.timers
            .set(TimerKey::Member(name, new.clone()), cx.now.mono, after);
        cx.reply(id, JoinReply::refused(new, ErrorCode::MemberIdRequired));
        Ok(())
    }

    fn join_with_id(&mut self, id: RequestId, join: Join, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let name = join.who.group.clone();
        let group = self.groups.get(&name).ok_or_else(|| missing(&name))?;
        let member = join.who.member.clone();
        if group.pending_join.contains(&member) {
            if join.who.instance.is_some() {
                // A pending member is never static; Kafka fails here as well.
                cx.reply(id, JoinReply::refused(member, ErrorCode::UnknownServerError));
                return Ok(());
            }
            return self.add_member(id, join, member, cx);
        }
        if let Err(error) = group.validate(&join.who) {
            cx.reply(id, JoinReply::refused(member, error));
            return Ok(());
        }
        let same = group
            .members
            .get(&member)
            .is_some_and(|m| same_protocols(m, &join.protocols));
        let rejoins = match group.state {
            GroupState::PreparingRebalance => true,
            // It did not get its answer, perhaps.
            GroupState::CompletingRebalance => !same,
            // A leader that joins again wants a rebalance: its topics have changed, say.
            GroupState::Stable => !same || group.is_leader(&member),
            GroupState::Empty | GroupState::Dead => false,
        };
        if !rejoins {
            cx.reply(id, group.join_reply(&member));
            return Ok(());
        }
        self.update_member(&name, &member, id, &join, cx);
        self.rebalance_or_complete(&name, cx)
    }

    fn add_member(
        &mut self,
        id: RequestId,
        join: Join,
        member: String,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let name = join.who.group.clone();
        let group = self.groups.get_mut(&name).ok_or_else(|| missing(&name))?;
        if group.initial.is_some() {
            group.new_member_added = true;
        }
        let added = Member {
            id: member.clone(),
            instance: join.who.instance,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Vec::new(),
            awaiting_join: Some(id),
            awaiting_sync: None,
            is_new: true,
        };
        group.add(added, &join.protocol_type);
        let after = self.config.new_member_join_timeout_ms;
        self.timers
            .set(TimerKey::Member(name.clone(), member), cx.now.mono, after);
        self.rebalance_or_complete(&name, cx)
    }

    /// A member's new word. A join of it that still waits is overtaken; its connection is gone, but it is answered.
    fn update_member(&mut self, group: &str, member: &str, id: RequestId, join: &Join, cx: &mut Cx<'_>) {
        let Some(found) = self.groups.get_mut(group).and_then(|g| g.members.get_mut(member)) else {
            return;
        };
        found.protocols = join.protocols.clone();
        found.rebalance_timeout_ms = join.rebalance_timeout_ms;
        found.session_timeout_ms = join.session_timeout_ms;
        if let Some(overtaken) = found.awaiting_join.replace(id) {
            cx.reply(
                overtaken,
                JoinReply::refused(member, ErrorCode::RebalanceInProgress),
            );
        }
    }

    /// A static member has started anew: it takes the place of its old self, which is fenced.
    fn replace_static(
        &mut self,
        id: RequestId,
        join: Join,
        old: String,
        new: String,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let name = join.who.group.clone();
        let group = self.groups.get_mut(&name).ok_or_else(|| missing(&name))?;
        let leader = group.leader.clone().unwrap_or_default();
        let before = group.members.get_mut(&old).ok_or_else(|| missing(&name))?;
        let replace = Replace {
            group: name.clone(),
            generation: group.generation,
            request: id,
            old: old.clone(),
            new: new.clone(),
            protocols: before.protocols.clone(),
            rebalance_timeout_ms: before.rebalance_timeout_ms,
            session_timeout_ms: before.session_timeout_ms,
            leader,
            skip_assignment: join.supports_skip_assignment,
        };
        if let Some(request) = before.awaiting_join.take() {
            cx.reply(
                request,
                JoinReply::refused(old.clone(), ErrorCode::FencedInstanceId),
            );
        }
        if let Some(request) = before.awaiting_sync.take() {
            cx.reply(request, SyncReply::refused(ErrorCode::FencedInstanceId));
        }
        group.rename(&old, &new)?;
        self.end_session(&name, &old);
        self.update_member(&name, &new, id, &join, cx);
        self.renew_session(&name, &new, cx);
        self.after_replacement(replace, cx)
    }

    fn after_replacement(&mut self, replace: Replace, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let name = replace.group.clone();
        let group = self.groups.get(&name).ok_or_else(|| missing(&name))?;
        match group.state {
            GroupState::Stable if group.protocol_name == group.select_protocol() => {
                // Nothing changes but the id: the member keeps its assignment, and no one else need know.
                let kept = group
                    .members
                    .values()
                    .map(|m| (m.id.clone(), m.assignment.clone()));
                let record = group_record(group, &kept.collect()).map_err(unwritable)?;
                let write = Write {
                    purpose: Purpose::Replace(Box::new(replace)),
                    offsets: Vec::new(),
                    groups: vec![name],
                    waiters: Vec::new(),
                };
                self.append(vec![record], write, cx);
                Ok(())
            }
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(&name, cx),
            GroupState::PreparingRebalance => self.maybe_complete_join(&name, cx),
            GroupState::Empty | GroupState::Dead => Err(Violation::new(
                "group.static-member",
                format!("group {name} has a static member in {}", group.state.name()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::uuid_text;

    #[test]
    fn member_ids_end_in_a_version_4_uuid() {
        assert_eq!(uuid_text(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid_text(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
