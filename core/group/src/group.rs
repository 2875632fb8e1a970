//! One classic group and its members (Kafka classes `ClassicGroup`, `ClassicGroupMember`): state and pure questions. What
//! moves it from state to state is in `coordinator`.

use crate::api::{Identity, Protocol, RequestId};
use ottla_types::{ErrorCode, Time, Violation};
use ottla_wire::codec::Reader;
use ottla_wire::consumer_protocol::ConsumerProtocolSubscription;
use std::collections::{BTreeMap, BTreeSet};

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// A classic group's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for members to join the next generation.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member may have its assignment.
    Stable,
    /// Being deleted: its tombstone is on its way.
    Dead,
}

impl GroupState {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// In its order of preference.
    pub protocols: Vec<Protocol>,
    /// What it was last assigned.
    pub assignment: Vec<u8>,
    pub(crate) awaiting_join: Option<RequestId>,
    pub(crate) awaiting_sync: Option<RequestId>,
    /// It has not been in a generation yet, and may expire while it waits for one.
    pub(crate) is_new: bool,
}

impl Member {
    /// What it says for a protocol.
    pub fn metadata(&self, protocol: &str) -> &[u8] {
        let found = self.protocols.iter().find(|p| p.name == protocol);
        found.map_or(&[], |p| p.metadata.as_slice())
    }

    /// Who waits for an answer need not send heartbeats.
    pub(crate) fn heartbeat_is_satisfied(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// A classic group.
///
/// Invariants: a leader is a member; a group that is Empty or Dead has no members; only in PreparingRebalance, or for a
/// static member that is being replaced, does a member wait for its join; only in CompletingRebalance for its sync.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    pub(crate) id: String,
    pub(crate) state: GroupState,
    pub(crate) previous: GroupState,
    pub(crate) state_since: Option<Time>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) generation: i32,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) static_members: BTreeMap<String, String>,
    /// Were given an id and have not joined with it.
    pub(crate) pending_join: BTreeSet<String>,
    /// Are in the generation and have not synced.
    pub(crate) pending_sync: BTreeSet<String>,
    /// A member came while an initial rebalance waited.
    pub(crate) new_member_added: bool,
    /// An initial rebalance: the delay that runs, and what may follow it.
    pub(crate) initial: Option<(u64, u64)>,
    /// What consumers subscribe to; `None` when that is not known.
    pub(crate) subscribed: Option<BTreeSet<String>>,
    /// The log has a record of it that is replicated.
    pub(crate) recorded: bool,
    /// Writes on their way that concern it.
    pub(crate) writes: usize,
    /// The leader's assignment is on its way.
    pub(crate) assigning: bool,
}

impl Group {
    pub(crate) fn new(id: &str, now: Option<Time>) -> Self {
        Group {
            id: id.to_owned(),
            state: GroupState::Empty,
            previous: GroupState::Dead,
            state_since: now,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            new_member_added: false,
            initial: None,
            subscribed: None,
            recorded: false,
            writes: 0,
            assigning: false,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its state.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Its generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Its leader's member id.
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Its protocol type and the protocol chosen.
    pub fn protocol(&self) -> (Option<&str>, Option<&str>) {
        (self.protocol_type.as_deref(), self.protocol_name.as_deref())
    }

    /// Its members, by id.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// How many requests wait in it.
    pub fn waiting(&self) -> usize {
        let waits =
            |m: &Member| usize::from(m.awaiting_join.is_some()) + usize::from(m.awaiting_sync.is_some());
        self.members.values().map(waits).sum()
    }

    /// A member out of a record. No coordinator writes a member or an instance twice; of damage the last one stands.
    pub(crate) fn put_loaded(&mut self, member: Member) {
        // Not by `remove`, which would elect another leader than the record's.
        let before = self.members.remove(&member.id).and_then(|m| m.instance);
        if let Some(instance) = before {
            self.static_members.remove(&instance);
        }
        if let Some(instance) = &member.instance
            && let Some(other) = self.static_members.insert(instance.clone(), member.id.clone())
        {
            self.members.remove(&other);
        }
        self.members.insert(member.id.clone(), member);
    }

    pub(crate) fn finish_loading(&mut self) {
        if !self.members.is_empty() {
            self.state = GroupState::Stable;
        }
        if !self
            .leader
            .as_ref()
            .is_some_and(|id| self.members.contains_key(id))
        {
            self.leader = self.members.keys().next().cloned();
        }
        self.subscribed = self.compute_subscribed();
    }

    pub(crate) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether consumers may subscribe to a topic: when their subscriptions are not known, they may.
    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub(crate) fn awaiting_join(&self) -> usize {
        self.members
            .values()
            .filter(|m| m.awaiting_join.is_some())
            .count()
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.awaiting_join() == self.members.len() && self.pending_join.is_empty()
    }

    pub(crate) fn can_rebalance(&self) -> bool {
        matches!(
            self.state,
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable
        )
    }

    /// The longest time a member wants to be waited for.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self.members.values().map(|m| m.rebalance_timeout_ms);
        u64::try_from(timeouts.max().unwrap_or(0)).unwrap_or(0)
    }

    pub(crate) fn enter(&mut self, state: GroupState, now: Time) {
        self.previous = self.state;
        self.state = state;
        self.state_since = Some(now);
    }

    /// Whether the sender is a member, and for a static one the present one (KIP-345).
    pub(crate) fn validate(&self, who: &Identity) -> Result<(), ErrorCode> {
        if let Some(instance) = &who.instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(id) if *id != who.member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(&who.member) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Protocols that every member has.
    fn candidates(&self) -> BTreeSet<&str> {
        let mut members = self.members.values();
        let Some(first) = members.next() else {
            return BTreeSet::new();
        };
        let mut all: BTreeSet<&str> = first.protocols.iter().map(|p| p.name.as_str()).collect();
        for member in members {
            all.retain(|name| member.protocols.iter().any(|p| p.name == *name));
        }
        all
    }

    /// Whether a member with these protocols would find one that all have.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        // Kafka asks the state; a group that is empty otherwise, in an initial rebalance, takes anybody as well.
        if self.state == GroupState::Empty || self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let candidates = self.candidates();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|p| candidates.contains(p.name.as_str()))
    }

    /// The protocol with the most votes; each member votes for the first it has that all have. The first by name among equals.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let candidates = self.candidates();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|p| p.name.as_str());
            let vote = names.find(|name| candidates.contains(name))?;
            *votes.entry(vote).or_default() += 1;
        }
        let best = votes.values().max()?;
        let winner = votes.iter().find(|(_, count)| *count == best)?;
        Some((*winner.0).to_owned())
    }

    /// Topics of all members (Kafka reads the subscriptions' first version, which every later one begins with).
    pub(crate) fn compute_subscribed(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let mut reader = Reader::new(member.metadata(protocol));
            let version = reader.i16().ok()?;
            if version < 0 {
                return None;
            }
            let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?;
            topics.extend(subscription.topics.iter().map(|t| (*t).to_owned()));
        }
        Some(topics)
    }

    pub(crate) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance) = &member.instance {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_join.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member, or a pending one, out. Its requests are the caller's to answer.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id);
        if let Some(instance) = member.as_ref().and_then(|m| m.instance.as_ref()) {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        member
    }

    /// A static member goes on under a new id. Its old requests are the caller's to answer.
    pub(crate) fn rename(&mut self, old: &str, new: &str) -> Result<(), Violation> {
        let Some(mut member) = self.members.remove(old) else {
            let detail = format!(
                "group {}: static member {old} is to be replaced and is not there",
                self.id
            );
            return Err(Violation::new("group.static-member", detail));
        };
        member.id = new.to_owned();
        if let Some(instance) = &member.instance {
            self.static_members.insert(instance.clone(), new.to_owned());
        }
        if self.is_leader(old) {
            self.leader = Some(new.to_owned());
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.to_owned());
        }
        self.members.insert(new.to_owned(), member);
        Ok(())
    }

    /// Sees to it that the leader is one that has joined. False when there is none.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let joined = |m: &Member| m.awaiting_join.is_some();
        if self
            .leader
            .as_ref()
            .and_then(|id| self.members.get(id))
            .is_some_and(joined)
        {
            return true;
        }
        match self.members.values().find(|m| joined(m)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// The invariants above.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        let fail = |name, what: String| Err(Violation::new(name, format!("group {}: {what}", self.id)));
        let state = self.state.name();
        match &self.leader {
            Some(leader) if !self.members.contains_key(leader) => {
                return fail("group.leader", format!("leader {leader} is not a member"));
            }
            None if !self.members.is_empty() => {
                return fail(
                    "group.leader",
                    format!("{} members and no leader", self.members.len()),
                );
            }
            _ => {}
        }
        if matches!(self.state, GroupState::Empty | GroupState::Dead) && !self.members.is_empty() {
            return fail(
                "group.empty",
                format!("{state} with {} members", self.members.len()),
            );
        }
        for member in self.members.values() {
            if member.awaiting_sync.is_some() && self.state != GroupState::CompletingRebalance {
                return fail(
                    "group.sync",
                    format!("{} waits for its sync in {state}", member.id),
                );
            }
            let replaced = member.instance.is_some() && self.state == GroupState::Stable;
            if member.awaiting_join.is_some() && self.state != GroupState::PreparingRebalance && !replaced {
                return fail(
                    "group.join",
                    format!("{} waits for its join in {state}", member.id),
                );
            }
            let known = member.instance.as_ref().map(|i| self.static_members.get(i));
            if known.is_some_and(|id| id != Some(&member.id)) {
                return fail(
                    "group.static-member",
                    format!("{} is not its instance's member", member.id),
                );
            }
        }
        Ok(())
    }
}
