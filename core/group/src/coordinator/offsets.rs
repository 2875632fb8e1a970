//! Offsets of groups: commit, fetch, delete, and expiry (KIP-211).

use super::write::{Purpose, Write};
use super::{Cx, Groups, unwritable};
use crate::api::{FetchedOffset, OffsetCommit, OffsetFetch, Reply, RequestId};
use crate::group::{Group, GroupState};
use crate::offsets::{CommittedOffset, OffsetKey, may_be_of};
use crate::record::{Record, group_tombstone, offset_record};
use ottla_types::{ErrorCode, Time, TopicPartition, Uuid, Violation};
use std::collections::BTreeSet;

/// A batch of tombstones has about so many records.
const TOMBSTONES_PER_WRITE: usize = 1_000;

impl Groups {
    pub(super) fn offset_commit(&mut self, id: RequestId, commit: OffsetCommit, cx: &mut Cx<'_>) {
        let name = commit.who.group.clone();
        if let Err(error) = self.check_commit(&commit, cx) {
            let reply = crate::api::Request::OffsetCommit(commit).refused(error);
            cx.reply(id, reply);
            return;
        }
        let mut rows = Vec::new();
        let mut records = Vec::new();
        let mut values = Vec::new();
        for o in commit.offsets {
            let partition = TopicPartition::new(o.topic, o.partition);
            if o.metadata.len() > self.config.offset_metadata_max_bytes {
                rows.push((partition, ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            let now = cx.now.wall.as_millis();
            let key = OffsetKey {
                group: name.clone(),
                partition: partition.clone(),
            };
            let value = CommittedOffset {
                offset: o.offset,
                leader_epoch: o.leader_epoch,
                metadata: o.metadata,
                commit_timestamp: now,
                expire_timestamp: commit.retention_ms.map(|ms| now.saturating_add_unsigned(ms)),
                topic_id: o.topic_id,
            };
            // What a record cannot hold, such as a name of 40,000 bytes.
            let Ok(record) = offset_record(&key, Some(&value)) else {
                rows.push((partition, ErrorCode::InvalidRequest));
                continue;
            };
            records.push(record);
            values.push((key, Some(value)));
            rows.push((partition, ErrorCode::None));
        }
        let reply = Reply::OffsetCommit(rows);
        if records.is_empty() {
            cx.reply(id, reply);
            self.forget_if_unused(&name);
            return;
        }
        self.append_offsets(
            records,
            values,
            Purpose::Offsets,
            vec![name],
            vec![(id, reply)],
            cx,
        );
    }

    /// Whether a commit is allowed (Kafka method `ClassicGroup.validateOffsetCommit`); makes a simple consumer's group.
    fn check_commit(&mut self, commit: &OffsetCommit, cx: &Cx<'_>) -> Result<(), ErrorCode> {
        let who = &commit.who;
        if !self.groups.contains_key(&who.group) {
            if who.generation >= 0 {
                return Err(match commit.knows_group_not_found {
                    true => ErrorCode::GroupIdNotFound,
                    false => ErrorCode::IllegalGeneration,
                });
            }
            if self.groups.len() >= self.config.max_groups {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            self.groups
                .insert(who.group.clone(), Group::new(&who.group, Some(cx.now.wall)));
        }
        let Some(group) = self.groups.get(&who.group) else {
            return Err(ErrorCode::CoordinatorNotAvailable);
        };
        match group.state {
            GroupState::Dead => return Err(ErrorCode::CoordinatorNotAvailable),
            GroupState::Empty if who.generation < 0 => return Ok(()),
            _ => {}
        }
        if who.generation < 0 && who.member.is_empty() && who.instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        group.validate(who)?;
        if who.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if group.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.renew_session(&who.group, &who.member, cx);
        Ok(())
    }

    fn append_offsets(
        &mut self,
        records: Vec<Record>,
        values: Vec<(OffsetKey, Option<CommittedOffset>)>,
        purpose: Purpose,
        groups: Vec<String>,
        waiters: Vec<(RequestId, Reply)>,
        cx: &mut Cx<'_>,
    ) {
        let keys: BTreeSet<OffsetKey> = values.iter().map(|(key, _)| key.clone()).collect();
        let write = Write {
            purpose,
            offsets: keys.into_iter().collect(),
            groups,
            waiters,
        };
        let id = self.append(records, write, cx);
        for (key, value) in values {
            self.offsets.send(&key, id, value);
        }
    }

    pub(super) fn offset_fetch(&self, fetch: &OffsetFetch) -> Vec<FetchedOffset> {
        let all = || {
            self.offsets
                .of_group(&fetch.group)
                .map(|(partition, _)| (partition.clone(), Uuid::ZERO))
                .collect()
        };
        let partitions = fetch.partitions.clone().unwrap_or_else(all);
        let row = |(partition, topic): (TopicPartition, Uuid)| {
            let key = OffsetKey {
                group: fetch.group.clone(),
                partition,
            };
            let committed = self.offsets.committed(&key.group, &key.partition);
            let unstable = fetch.require_stable && self.offsets.unstable(&key);
            let none = CommittedOffset::default();
            let of_the_topic = |o: &&CommittedOffset| may_be_of(o.topic_id, topic);
            let shown = committed
                .filter(|_| !unstable)
                .filter(of_the_topic)
                .unwrap_or(&none);
            FetchedOffset {
                error: match unstable {
                    true => ErrorCode::UnstableOffsetCommit,
                    false => ErrorCode::None,
                },
                offset: shown.offset,
                leader_epoch: shown.leader_epoch,
                metadata: shown.metadata.clone(),
                partition: key.partition,
            }
        };
        partitions.into_iter().map(row).collect()
    }

    pub(super) fn offset_delete(
        &mut self,
        id: RequestId,
        name: String,
        partitions: Vec<TopicPartition>,
        cx: &mut Cx<'_>,
    ) {
        let error = match self.groups.get(&name) {
            _ if name.is_empty() => ErrorCode::InvalidGroupId,
            None => ErrorCode::GroupIdNotFound,
            Some(group) => match group.state {
                GroupState::Dead => ErrorCode::GroupIdNotFound,
                GroupState::Empty => ErrorCode::None,
                _ if group.uses_consumer_protocol() => ErrorCode::None,
                _ => ErrorCode::NonEmptyGroup,
            },
        };
        if error.is_error() {
            cx.reply(id, Reply::OffsetDelete(Err(error)));
            return;
        }
        let subscribed = |topic: &str| self.groups.get(&name).is_some_and(|g| g.subscribes(topic));
        let mut rows = Vec::new();
        let mut gone = BTreeSet::new();
        for partition in partitions {
            if subscribed(&partition.topic) {
                rows.push((partition, ErrorCode::GroupSubscribedToTopic));
                continue;
            }
            let key = OffsetKey {
                group: name.clone(),
                partition: partition.clone(),
            };
            if self.offsets.has(&key) || self.offsets.unstable(&key) {
                gone.insert(key);
            }
            rows.push((partition, ErrorCode::None));
        }
        let reply = Reply::OffsetDelete(Ok(rows));
        if gone.is_empty() {
            cx.reply(id, reply);
            return;
        }
        match tombstones(&gone) {
            Ok(records) => {
                let values = gone.into_iter().map(|key| (key, None)).collect();
                self.append_offsets(
                    records,
                    values,
                    Purpose::Offsets,
                    vec![name],
                    vec![(id, reply)],
                    cx,
                );
            }
            Err(_) => cx.reply(id, Reply::OffsetDelete(Err(ErrorCode::UnknownServerError))),
        }
    }

    pub(super) fn topics_deleted(
        &mut self,
        topics: Vec<(String, Uuid)>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let keys = self.offsets.keys_of(&topics.into_iter().collect());
        for keys in keys.into_iter().collect::<Vec<_>>().chunks(TOMBSTONES_PER_WRITE) {
            let keys: BTreeSet<OffsetKey> = keys.iter().cloned().collect();
            let records = tombstones(&keys).map_err(unwritable)?;
            let groups: BTreeSet<String> = keys.iter().map(|key| key.group.clone()).collect();
            let values = keys.into_iter().map(|key| (key, None)).collect();
            let groups = groups.into_iter().collect();
            self.append_offsets(records, values, Purpose::Offsets, groups, Vec::new(), cx);
        }
        Ok(())
    }

    /// Removes what has expired, and the groups that nothing is left of.
    pub(super) fn expire_offsets(&mut self, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let mut keys = BTreeSet::new();
        let mut groups = Vec::new();
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            let (expired, all) = self.expired(group, cx.now.wall);
            let idle = group.state == GroupState::Empty && group.pending_join.is_empty() && group.writes == 0;
            keys.extend(expired);
            if all && idle {
                groups.push(id);
            }
            if keys.len() + groups.len() >= TOMBSTONES_PER_WRITE {
                self.delete(
                    std::mem::take(&mut keys),
                    std::mem::take(&mut groups),
                    Vec::new(),
                    cx,
                )?;
            }
        }
        if keys.is_empty() && groups.is_empty() {
            return Ok(());
        }
        self.delete(keys, groups, Vec::new(), cx)
    }

    /// A group's expired offsets, and whether it has no others.
    fn expired(&self, group: &Group, now: Time) -> (Vec<OffsetKey>, bool) {
        let by_state = match (&group.protocol_type, group.state) {
            // Simple consumers have no membership: each commit lives its own time.
            (None, _) => None,
            (Some(_), GroupState::Empty) => group.state_since,
            (Some(_), GroupState::Stable) if group.uses_consumer_protocol() && group.subscribed.is_some() => {
                None
            }
            _ => return (Vec::new(), false),
        };
        let mut expired = Vec::new();
        let mut all = !self.offsets.transaction_open(&group.id);
        for (partition, offset) in self.offsets.latest_of_group(&group.id) {
            let key = OffsetKey {
                group: group.id.clone(),
                partition: partition.clone(),
            };
            let base = by_state.map_or(offset.commit_timestamp, Time::as_millis);
            let age = now.as_millis().saturating_sub(base);
            let over = match offset.expire_timestamp {
                Some(at) => now.as_millis() >= at,
                None => u64::try_from(age).is_ok_and(|age| age >= self.config.offsets_retention_ms),
            };
            match over && !group.subscribes(&partition.topic) && !self.offsets.unstable(&key) {
                true => expired.push(key),
                false => all = false,
            }
        }
        (expired, all)
    }

    /// Writes the tombstones of offsets and of groups, which are dead from now on.
    pub(super) fn delete(
        &mut self,
        keys: BTreeSet<OffsetKey>,
        groups: Vec<String>,
        waiters: Vec<(RequestId, Reply)>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Violation> {
        let mut records = tombstones(&keys).map_err(unwritable)?;
        for name in &groups {
            records.push(group_tombstone(name).map_err(unwritable)?);
            if let Some(group) = self.groups.get_mut(name) {
                group.state = GroupState::Dead;
            }
        }
        let concerned: BTreeSet<String> = keys
            .iter()
            .map(|k| k.group.clone())
            .chain(groups.clone())
            .collect();
        let concerned = concerned.into_iter().collect();
        let values = keys.into_iter().map(|key| (key, None)).collect();
        self.append_offsets(records, values, Purpose::Delete(groups), concerned, waiters, cx);
        Ok(())
    }
}

fn tombstones(keys: &BTreeSet<OffsetKey>) -> Result<Vec<Record>, ottla_wire::EncodeError> {
    keys.iter().map(|key| offset_record(key, None)).collect()
}
