//! What must hold whatever members say, whenever appends are replicated, refused or late (`trial.md` G2, G3, G4, G6, G8).

mod support;

use ottla_group::*;
use ottla_types::{ErrorCode, Uuid};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use support::*;

const GROUPS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Act {
    Join {
        group: usize,
        instance: Option<u8>,
        known: bool,
        skip: bool,
        sticky: bool,
    },
    Rejoin {
        member: usize,
        sticky: bool,
    },
    Sync {
        member: usize,
    },
    Beat {
        member: usize,
    },
    Leave {
        member: usize,
    },
    Commit {
        member: usize,
        partition: i32,
    },
    Simple {
        group: usize,
        partition: i32,
    },
    DeleteOffsets {
        group: usize,
    },
    DeleteGroup {
        group: usize,
    },
    DropTopic,
    /// Everybody in a group does what it should.
    Settle {
        group: usize,
    },
    Pass(u64),
    Write,
    Fail,
}

fn act(fails: bool) -> impl Strategy<Value = Act> {
    let member = 0..12usize;
    let group = 0..GROUPS.len();
    prop_oneof![
        4 => (group.clone(), prop::option::weighted(0.4, 0..2u8), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(group, instance, known, skip, sticky)| Act::Join { group, instance, known, skip, sticky }),
        4 => (member.clone(), prop::bool::weighted(0.2)).prop_map(|(member, sticky)| Act::Rejoin { member, sticky }),
        6 => member.clone().prop_map(|member| Act::Sync { member }),
        3 => member.clone().prop_map(|member| Act::Beat { member }),
        1 => member.clone().prop_map(|member| Act::Leave { member }),
        3 => (member, 0..3).prop_map(|(member, partition)| Act::Commit { member, partition }),
        1 => (group.clone(), 0..3).prop_map(|(group, partition)| Act::Simple { group, partition }),
        1 => group.clone().prop_map(|group| Act::DeleteOffsets { group }),
        1 => group.clone().prop_map(|group| Act::DeleteGroup { group }),
        3 => group.prop_map(|group| Act::Settle { group }),
        1 => Just(Act::DropTopic),
        4 => prop_oneof![1..500u64, 1_000..7_000u64, 10_000..40_000u64].prop_map(Act::Pass),
        8 => Just(Act::Write),
        2 => Just(if fails { Act::Fail } else { Act::Write }),
    ]
}

fn config() -> Config {
    Config {
        max_size: 4,
        offsets_retention_ms: 60_000,
        retention_check_interval_ms: 20_000,
        ..Config::default()
    }
}

/// A world, and what its members were told.
struct Trial {
    world: World,
    /// Every identity that anybody was ever given, old ones too.
    members: Vec<Identity>,
    seen: BTreeSet<RequestId>,
    generations: BTreeMap<String, i32>,
    leaders: BTreeMap<(String, i32), String>,
    assignments: BTreeMap<(String, i32, String), Vec<u8>>,
    requests: BTreeMap<RequestId, Request>,
    random: u128,
}

impl Trial {
    fn new() -> Trial {
        let mut world = World::new(config());
        world.auto = false;
        Trial {
            world,
            members: Vec::new(),
            seen: BTreeSet::new(),
            generations: BTreeMap::new(),
            leaders: BTreeMap::new(),
            assignments: BTreeMap::new(),
            requests: BTreeMap::new(),
            random: 0,
        }
    }

    fn ask(&mut self, request: Request) {
        let id = self.world.ask(request.clone());
        self.requests.insert(id, request);
    }

    fn member(&self, n: usize) -> Option<Identity> {
        // The newest first, so that most of what is said is of the present.
        let back = n % self.members.len().max(1);
        self.members.iter().rev().nth(back).cloned()
    }

    fn join(&mut self, who: Identity, known: bool, skip: bool, sticky: bool) {
        self.random += 1;
        let mut request = join(&who.group, &who.member, self.random);
        request.who.instance = who.instance;
        request.requires_known_member_id = known;
        request.supports_skip_assignment = skip;
        if sticky {
            request.protocols.reverse();
        }
        self.ask(Request::Join(Box::new(request)));
    }

    fn run(&mut self, act: Act) {
        match act {
            Act::Join {
                group,
                instance,
                known,
                skip,
                sticky,
            } => {
                let who = Identity {
                    instance: instance.map(|i| format!("i{i}")),
                    ..simple(GROUPS[group])
                };
                self.join(who, known, skip, sticky);
            }
            Act::Rejoin { member, sticky } => {
                if let Some(who) = self.member(member) {
                    self.join(who, true, true, sticky);
                }
            }
            Act::Sync { member } => {
                if let Some(who) = self.member(member) {
                    self.sync(who);
                }
            }
            Act::Beat { member } => {
                if let Some(who) = self.member(member) {
                    self.ask(Request::Heartbeat(who));
                }
            }
            Act::Leave { member } => {
                if let Some(who) = self.member(member) {
                    self.ask(Request::Leave(Leave {
                        group: who.group,
                        members: vec![(who.member, who.instance)],
                    }));
                }
            }
            Act::Commit { member, partition } => {
                if let Some(who) = self.member(member) {
                    self.commit(who, partition);
                }
            }
            Act::Simple { group, partition } => self.commit(simple(GROUPS[group]), partition),
            Act::DeleteOffsets { group } => {
                self.ask(Request::OffsetDelete(
                    GROUPS[group].into(),
                    vec![tp("u", 0), tp("t", 1)],
                ));
            }
            Act::DeleteGroup { group } => self.ask(Request::DeleteGroups(vec![GROUPS[group].into()])),
            Act::DropTopic => self
                .world
                .step(Input::TopicsDeleted(vec![("u".into(), Uuid::ZERO)])),
            Act::Settle { group } => self.settle(GROUPS[group]),
            Act::Pass(ms) => self.world.pass(ms),
            Act::Write => self.world.write_one(),
            Act::Fail => self.world.fail_one(ErrorCode::NotEnoughReplicas),
        }
        self.look();
    }

    fn sync(&mut self, who: Identity) {
        let members = self.world.groups.group(&who.group).map(|g| g.members().clone());
        let text = |m: &String| format!("{}/{m}", who.generation).into_bytes();
        let assignments = members
            .unwrap_or_default()
            .keys()
            .map(|m| (m.clone(), text(m)))
            .collect();
        self.ask(Request::Sync(Sync {
            who,
            assignments,
            ..Sync::default()
        }));
    }

    /// Who is in a group now, and in which state it is.
    fn present(&self, name: &str) -> (Option<GroupState>, Vec<Identity>) {
        let Some(group) = self.world.groups.group(name) else {
            return (None, Vec::new());
        };
        let identity = |m: &Member| Identity {
            group: name.into(),
            member: m.id.clone(),
            instance: m.instance.clone(),
            generation: group.generation(),
        };
        (
            Some(group.state()),
            group.members().values().map(identity).collect(),
        )
    }

    fn settle(&mut self, name: &str) {
        if let (Some(GroupState::PreparingRebalance), present) = self.present(name) {
            present
                .into_iter()
                .for_each(|who| self.join(who, true, true, false));
            self.world.pass(7_000);
        }
        if let (Some(GroupState::CompletingRebalance), present) = self.present(name) {
            present.into_iter().for_each(|who| self.sync(who));
        }
        while !self.world.on_the_way.is_empty() {
            self.world.write_one();
        }
    }

    /// G3: a commit is sent to the log only if its sender is of the present generation.
    fn commit(&mut self, who: Identity, partition: i32) {
        let group = self.world.groups.group(&who.group);
        let may = match group.map(Group::state) {
            None | Some(GroupState::Empty) if who.generation < 0 => true,
            None | Some(GroupState::Dead | GroupState::CompletingRebalance) => false,
            Some(_) => group
                .is_some_and(|g| g.generation() == who.generation && g.members().contains_key(&who.member)),
        };
        let before = self.world.on_the_way.len();
        self.random += 1;
        let topic = if self.random.is_multiple_of(2) { "t" } else { "u" };
        self.ask(commit(who.clone(), topic, partition, self.random as i64));
        let sent = self.world.on_the_way.len() > before;
        assert_eq!(sent, may, "{who:?} in {:?}", self.world.groups.group(&who.group));
    }

    /// Takes in the new answers and looks at the groups.
    fn look(&mut self) {
        let new: Vec<_> = self
            .world
            .replies
            .keys()
            .filter(|id| !self.seen.contains(id))
            .copied()
            .collect();
        for id in new {
            self.seen.insert(id);
            match (self.world.replies[&id].clone(), self.requests.get(&id)) {
                (Reply::Join(reply), Some(Request::Join(request))) => {
                    self.joined(*reply, request.who.clone())
                }
                (Reply::Sync(reply), Some(Request::Sync(request))) => self.synced(reply, request.who.clone()),
                _ => {}
            }
        }
        for name in GROUPS {
            let Some(group) = self.world.groups.group(name) else {
                self.generations.remove(name);
                self.leaders.retain(|(g, _), _| g != name);
                self.assignments.retain(|(g, _, _), _| g != name);
                continue;
            };
            let last = self
                .generations
                .insert(name.into(), group.generation())
                .unwrap_or(0);
            assert!(
                last <= group.generation(),
                "{name} went back from generation {last}"
            );
        }
    }

    fn joined(&mut self, reply: JoinReply, who: Identity) {
        let identity = Identity {
            member: reply.member.clone(),
            generation: reply.generation,
            ..who
        };
        if reply.error == ErrorCode::MemberIdRequired {
            self.members.push(identity);
            return;
        }
        if reply.error.is_error() {
            return;
        }
        if !reply.members.is_empty() && !reply.skip_assignment {
            assert_eq!(reply.leader, reply.member, "only a leader is told the members");
            let key = (identity.group.clone(), reply.generation);
            let first = self.leaders.entry(key).or_insert_with(|| reply.member.clone());
            assert_eq!(
                *first, reply.member,
                "two leaders of generation {}",
                reply.generation
            );
        }
        self.members.push(identity);
    }

    /// An assignment is of the generation that was asked for, and the same whenever it is asked for.
    fn synced(&mut self, reply: SyncReply, who: Identity) {
        if reply.error.is_error() {
            return;
        }
        let text = String::from_utf8(reply.assignment.clone()).unwrap();
        let generation = format!("{}/", who.generation);
        assert!(
            text.is_empty() || text.starts_with(&generation),
            "{text} for {who:?}"
        );
        let key = (who.group, who.generation, who.member);
        let first = self
            .assignments
            .entry(key)
            .or_insert_with(|| reply.assignment.clone());
        assert_eq!(*first, reply.assignment);
    }

    /// G4, G6: a coordinator that replays the log knows what this one knows.
    fn compare(&self, fails: bool) {
        let loaded = self.world.reloaded(config());
        let all = |g: &Groups| {
            let rows = g
                .committed_offsets()
                .map(|(g, p, o)| (g.to_owned(), p.clone(), o.clone()));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(all(&loaded), all(&self.world.groups));
        for group in loaded.groups() {
            assert!(
                self.world.groups.group(group.id()).is_some(),
                "{group:?} came back"
            );
        }
        for live in self.world.groups.groups() {
            let Some(group) = loaded.group(live.id()) else {
                // One that simple consumers made has no record before its first assignment; their offsets may be gone.
                let rebalances = matches!(
                    live.state(),
                    GroupState::PreparingRebalance | GroupState::CompletingRebalance
                );
                let first = live.generation() == 0 || rebalances;
                assert!(
                    first || fails && live.state() != GroupState::Stable,
                    "{live:?} is lost"
                );
                continue;
            };
            match live.state() {
                GroupState::Stable => {
                    assert_eq!(group.state(), GroupState::Stable);
                    assert_eq!(group.generation(), live.generation());
                    assert_eq!(group.leader(), live.leader());
                    assert_eq!(group.protocol(), live.protocol());
                    let facts = |g: &Group| {
                        let name = g.protocol().1.unwrap_or_default().to_owned();
                        let row = |m: &Member| {
                            let times = (m.session_timeout_ms, m.rebalance_timeout_ms);
                            let metadata = m.metadata(&name).to_vec();
                            (
                                m.id.clone(),
                                m.instance.clone(),
                                times,
                                metadata,
                                m.assignment.clone(),
                            )
                        };
                        g.members().values().map(row).collect::<Vec<_>>()
                    };
                    assert_eq!(facts(group), facts(live));
                }
                GroupState::Empty if !fails => {
                    assert_eq!(group.state(), GroupState::Empty);
                    assert_eq!(group.generation(), live.generation());
                }
                _ => assert!(group.generation() <= live.generation()),
            }
        }
    }
}

fn trial(acts: Vec<Act>) -> Trial {
    let mut trial = Trial::new();
    for act in acts {
        trial.run(act);
    }
    trial
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_holds_what_the_coordinator_knows(acts in prop::collection::vec(act(false), 1..120)) {
        let mut trial = trial(acts);
        while !trial.world.on_the_way.is_empty() {
            trial.world.write_one();
        }
        trial.look();
        trial.compare(false);
    }

    #[test]
    fn refused_appends_leave_nothing_behind(acts in prop::collection::vec(act(true), 1..120)) {
        let mut trial = trial(acts);
        while !trial.world.on_the_way.is_empty() {
            trial.world.write_one();
        }
        trial.look();
        trial.compare(true);
    }

    /// G8: even when the log never answers again.
    #[test]
    fn nobody_waits_for_ever(acts in prop::collection::vec(act(true), 1..120)) {
        let mut trial = trial(acts);
        trial.world.pass(3_600_000);
        trial.look();
        let waiting: Vec<_> = trial.world.asked.iter().filter(|id| !trial.world.has(**id)).collect();
        prop_assert!(waiting.is_empty(), "{:?} wait", waiting);
        prop_assert_eq!(trial.world.groups.waiting(), 0);
        for group in trial.world.groups.groups() {
            prop_assert!(group.members().is_empty(), "{:?}", group);
        }
    }

    /// Who waits when the partition goes elsewhere is told so.
    #[test]
    fn unloading_answers_everybody(acts in prop::collection::vec(act(true), 1..80)) {
        let mut trial = trial(acts);
        trial.world.step(Input::Unload);
        let waiting: Vec<_> = trial.world.asked.iter().filter(|id| !trial.world.has(**id)).collect();
        prop_assert!(waiting.is_empty(), "{:?} wait", waiting);
        prop_assert_eq!(trial.world.groups.deadline(), None);
    }
}

/// A trial that reaches nothing proves nothing.
#[test]
fn the_trials_reach_what_they_are_about() {
    let mut runner = TestRunner::deterministic();
    let acts = prop::collection::vec(act(true), 60..120);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..300 {
        let acts = acts.new_tree(&mut runner).unwrap().current();
        let trial = trial(acts);
        let mut count = |what, n: usize| *seen.entry(what).or_default() += n;
        for reply in trial.world.replies.values() {
            match reply {
                Reply::Join(r) if r.skip_assignment => count("a leader came back", 1),
                Reply::Join(r) if r.generation > 2 => count("a third generation", 1),
                Reply::Join(r) if r.error == ErrorCode::FencedInstanceId => count("a fenced join", 1),
                Reply::Join(r) if r.error == ErrorCode::GroupMaxSizeReached => count("a full group", 1),
                Reply::Join(r) if r.error == ErrorCode::RebalanceInProgress => count("an overtaken join", 1),
                Reply::Sync(r) if !r.assignment.is_empty() => count("an assignment", 1),
                Reply::Sync(r) if r.error == ErrorCode::CoordinatorNotAvailable => {
                    count("a refused assignment", 1)
                }
                Reply::OffsetCommit(rows) if !rows[0].1.is_error() => count("a commit", 1),
                Reply::DeleteGroups(rows) if !rows[0].1.is_error() => count("a deleted group", 1),
                _ => {}
            }
        }
        count(
            "a tombstone",
            trial.world.log.iter().filter(|r| r.value.is_none()).count(),
        );
    }
    let wanted = [
        "a leader came back",
        "a third generation",
        "a fenced join",
        "a full group",
        "an overtaken join",
        "an assignment",
        "a refused assignment",
        "a commit",
        "a deleted group",
        "a tombstone",
    ];
    let missing: Vec<_> = wanted.iter().filter(|what| !seen.contains_key(*what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {seen:?}");
}
