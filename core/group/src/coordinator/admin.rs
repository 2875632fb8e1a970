//! What administrators ask: ListGroups, DescribeGroups, DeleteGroups.

use super::{Cx, Groups};
use crate::api::{DescribedGroup, DescribedMember, ListFilter, ListedGroup, Reply, RequestId};
use crate::group::{Group, GroupState, Member};
use crate::offsets::OffsetKey;
use ottla_types::{ErrorCode, Violation};
use std::collections::BTreeSet;

fn any_case(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|w| w.trim().eq_ignore_ascii_case(name))
}

fn describe(group: &Group) -> DescribedGroup {
    let stable = group.state == GroupState::Stable;
    let protocol = group.protocol_name.as_deref().filter(|_| stable).unwrap_or("");
    let member = |m: &Member| DescribedMember {
        member: m.id.clone(),
        instance: m.instance.clone(),
        client_id: m.client_id.clone(),
        client_host: m.client_host.clone(),
        metadata: if stable {
            m.metadata(protocol).to_vec()
        } else {
            Vec::new()
        },
        assignment: m.assignment.clone(),
    };
    DescribedGroup {
        group: group.id.clone(),
        error: ErrorCode::None,
        state: group.state,
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol: protocol.to_owned(),
        members: group.members.values().map(member).collect(),
    }
}

impl Groups {
    pub(super) fn list_groups(&self, filter: &ListFilter) -> Vec<ListedGroup> {
        if !any_case(&filter.types, "classic") {
            return Vec::new();
        }
        let wanted = self
            .groups
            .values()
            .filter(|g| any_case(&filter.states, g.state.name()));
        let row = |g: &Group| ListedGroup {
            group: g.id.clone(),
            protocol_type: g.protocol_type.clone().unwrap_or_default(),
            state: g.state,
        };
        wanted.map(row).collect()
    }

    pub(super) fn describe_groups(&self, groups: Vec<String>) -> Vec<DescribedGroup> {
        let row = |name: String| match self.groups.get(&name) {
            Some(group) => describe(group),
            None => DescribedGroup::without(name, ErrorCode::GroupIdNotFound),
        };
        groups.into_iter().map(row).collect()
    }

    pub(super) fn delete_groups(
        &mut self,
        id: RequestId,
        groups: Vec<String>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let mut rows = Vec::new();
        let mut gone = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for name in groups {
            let error = match self.groups.get(&name).map(Group::state) {
                None | Some(GroupState::Dead) => ErrorCode::GroupIdNotFound,
                Some(GroupState::Empty) => ErrorCode::None,
                Some(_) => ErrorCode::NonEmptyGroup,
            };
            if !error.is_error() {
                let known = self.offsets.partitions_of_group(&name).cloned();
                let partitions = known.chain(self.offsets.pending_of_group(&name));
                keys.extend(partitions.map(|partition| OffsetKey {
                    group: name.clone(),
                    partition,
                }));
                gone.insert(name.clone());
            }
            rows.push((name, error));
        }
        let reply = Reply::DeleteGroups(rows);
        if gone.is_empty() {
            cx.reply(id, reply);
            return Ok(());
        }
        self.delete(keys, gone.into_iter().collect(), vec![(id, reply)], cx)
    }
}
