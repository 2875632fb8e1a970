//! Stories of offsets and of what administrators do to groups.

mod support;

use ottla_group::*;
use ottla_types::{ErrorCode, TopicPartition, Uuid};
use support::*;

const WEEK: u64 = 10_080 * 60_000;

fn fetch(world: &mut World, group: &str) -> Vec<(TopicPartition, i64)> {
    let id = world.ask(Request::OffsetFetch(OffsetFetch {
        group: group.into(),
        ..OffsetFetch::default()
    }));
    match &world.replies[&id] {
        Reply::OffsetFetch(Ok(rows)) => rows.iter().map(|r| (r.partition.clone(), r.offset)).collect(),
        other => panic!("{other:?}"),
    }
}

fn committed(world: &mut World, request: Request) -> ErrorCode {
    let id = world.ask(request);
    match &world.replies[&id] {
        Reply::OffsetCommit(rows) => rows[0].1,
        other => panic!("{other:?}"),
    }
}

fn state(world: &World, group: &str) -> Option<GroupState> {
    world.groups.group(group).map(Group::state)
}

/// All members of a group leave.
fn all_leave(world: &mut World, who: &[Identity]) {
    world.ask(Request::Leave(Leave {
        group: who[0].group.clone(),
        members: who.iter().map(|w| (w.member.clone(), None)).collect(),
    }));
}

#[test]
fn a_commit_is_answered_and_seen_when_it_is_replicated() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1).remove(0);
    world.auto = false;
    let id = world.ask(commit(who, "t", 0, 7));
    assert!(!world.has(id));
    assert_eq!(fetch(&mut world, "g"), []);
    world.write_one();
    assert_eq!(
        world.replies[&id],
        Reply::OffsetCommit(vec![(tp("t", 0), ErrorCode::None)])
    );
    let id = world.ask(Request::OffsetFetch(OffsetFetch {
        group: "g".into(),
        partitions: Some(vec![(tp("t", 0), Uuid::ZERO), (tp("t", 1), Uuid::ZERO)]),
        require_stable: true,
    }));
    let Reply::OffsetFetch(Ok(rows)) = &world.replies[&id] else {
        panic!("{:?}", world.replies[&id]);
    };
    assert_eq!(
        (rows[0].offset, rows[0].leader_epoch, rows[0].metadata.as_str()),
        (7, 3, "m")
    );
    assert_eq!(
        (rows[1].offset, rows[1].leader_epoch, rows[1].metadata.as_str()),
        (-1, -1, "")
    );
}

#[test]
fn a_commit_that_was_refused_did_not_happen() {
    let mut world = World::new(Config::default());
    world.auto = false;
    let first = world.ask(commit(simple("s"), "t", 0, 1));
    world.fail_one(ErrorCode::NotEnoughReplicas);
    let error = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(
        world.replies[&first],
        Reply::OffsetCommit(vec![(tp("t", 0), error)])
    );
    assert_eq!(state(&world, "s"), None, "nor did the group");
    // A refused commit between two others changes nothing of them.
    for offset in [1, 2, 3] {
        world.ask(commit(simple("s"), "t", 0, offset));
    }
    world.write_one();
    world.fail_one(ErrorCode::MessageTooLarge);
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 1)]);
    world.write_one();
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 3)]);
}

#[test]
fn a_commit_that_is_late_is_answered_and_may_still_count() {
    let mut world = World::new(Config::default());
    world.auto = false;
    let id = world.ask(commit(simple("s"), "t", 0, 1));
    world.pass(4_999);
    assert!(!world.has(id));
    world.pass(1);
    let error = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(world.replies[&id], Reply::OffsetCommit(vec![(tp("t", 0), error)]));
    world.write_one();
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 1)]);
}

#[test]
fn who_may_commit() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1).remove(0);
    let with = |member: &str, generation| Identity {
        member: member.into(),
        generation,
        ..who.clone()
    };
    let cases = [
        (who.clone(), ErrorCode::None),
        (with(&who.member, 0), ErrorCode::IllegalGeneration),
        (with("x", 1), ErrorCode::UnknownMemberId),
        (simple("g"), ErrorCode::UnknownMemberId),
        (simple("new"), ErrorCode::None),
        (
            Identity {
                group: "none".into(),
                ..with("x", 1)
            },
            ErrorCode::GroupIdNotFound,
        ),
    ];
    for (who, error) in cases {
        assert_eq!(
            committed(&mut world, commit(who.clone(), "t", 0, 1)),
            error,
            "{who:?}"
        );
    }
    // The group rebalances: the old generation may still commit, until the new one is there.
    let (_, newcomer) = world.join_new("g", 5);
    assert_eq!(
        committed(&mut world, commit(who.clone(), "t", 0, 2)),
        ErrorCode::None
    );
    world.ask(Request::Join(Box::new(join("g", &who.member, 0))));
    assert_eq!(world.joined(newcomer).generation, 2);
    assert_eq!(
        committed(&mut world, commit(who.clone(), "t", 0, 3)),
        ErrorCode::IllegalGeneration
    );
    let next = with(&who.member, 2);
    assert_eq!(
        committed(&mut world, commit(next, "t", 0, 3)),
        ErrorCode::RebalanceInProgress
    );
}

#[test]
fn long_metadata_is_refused_alone() {
    let mut world = World::new(Config::default());
    let mut request = commit(simple("s"), "t", 0, 1);
    if let Request::OffsetCommit(commit) = &mut request {
        let mut second = commit.offsets[0].clone();
        second.partition = 1;
        second.metadata = "x".repeat(4_097);
        commit.offsets.push(second);
    }
    let id = world.ask(request);
    let rows = vec![
        (tp("t", 0), ErrorCode::None),
        (tp("t", 1), ErrorCode::OffsetMetadataTooLarge),
    ];
    assert_eq!(world.replies[&id], Reply::OffsetCommit(rows));
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 1)]);
}

#[test]
fn a_simple_consumers_offsets_live_from_each_commit() {
    let mut world = World::new(Config::default());
    committed(&mut world, commit(simple("s"), "t", 0, 1));
    world.pass(WEEK / 2);
    committed(&mut world, commit(simple("s"), "t", 1, 1));
    world.pass(WEEK / 2 + 600_000);
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 1), 1)]);
    world.pass(WEEK / 2 + 600_000);
    assert_eq!(state(&world, "s"), None, "the group goes with its last offset");
    assert_eq!(world.reloaded(Config::default()).groups().count(), 0);
}

#[test]
fn a_groups_offsets_live_as_long_as_it_and_then_from_its_end() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1);
    committed(&mut world, commit(who[0].clone(), "t", 0, 1));
    for _ in 0..(WEEK + 1_000_000) / 9_000 {
        world.pass(9_000);
        world.beat(who[0].clone());
    }
    assert_eq!(
        fetch(&mut world, "g"),
        [(tp("t", 0), 1)],
        "the group subscribes to the topic"
    );
    all_leave(&mut world, &who);
    world.pass(WEEK - 1_000);
    assert_eq!(fetch(&mut world, "g"), [(tp("t", 0), 1)]);
    world.pass(601_000);
    assert_eq!(fetch(&mut world, "g"), []);
    assert_eq!(state(&world, "g"), None);
}

#[test]
fn a_topic_that_nobody_subscribes_to_any_longer_expires_under_a_living_group() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1);
    committed(&mut world, commit(who[0].clone(), "old", 0, 1));
    committed(&mut world, commit(who[0].clone(), "t", 0, 1));
    for _ in 0..(WEEK + 1_000_000) / 9_000 {
        world.pass(9_000);
        world.beat(who[0].clone());
    }
    assert_eq!(fetch(&mut world, "g"), [(tp("t", 0), 1)]);
}

#[test]
fn a_client_may_say_how_long_an_offset_lives() {
    let mut world = World::new(Config::default());
    let mut request = commit(simple("s"), "t", 0, 1);
    if let Request::OffsetCommit(commit) = &mut request {
        commit.retention_ms = Some(1_000_000);
    }
    committed(&mut world, request);
    assert_eq!(
        world.log[0].value.as_ref().unwrap()[..2],
        [0, 1],
        "version 1 alone can say it"
    );
    world.pass(600_000);
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 1)]);
    world.pass(600_000);
    assert_eq!(fetch(&mut world, "s"), []);
}

#[test]
fn offsets_are_deleted_unless_somebody_subscribes() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1);
    committed(&mut world, commit(who[0].clone(), "t", 0, 1));
    committed(&mut world, commit(who[0].clone(), "u", 0, 1));
    let id = world.ask(Request::OffsetDelete(
        "g".into(),
        vec![tp("t", 0), tp("u", 0), tp("u", 1)],
    ));
    let rows = vec![
        (tp("t", 0), ErrorCode::GroupSubscribedToTopic),
        (tp("u", 0), ErrorCode::None),
        (tp("u", 1), ErrorCode::None),
    ];
    assert_eq!(world.replies[&id], Reply::OffsetDelete(Ok(rows)));
    assert_eq!(fetch(&mut world, "g"), [(tp("t", 0), 1)]);
    let id = world.ask(Request::OffsetDelete("none".into(), vec![tp("t", 0)]));
    assert_eq!(
        world.replies[&id],
        Reply::OffsetDelete(Err(ErrorCode::GroupIdNotFound))
    );
}

#[test]
fn a_group_is_deleted_with_its_offsets_once_it_is_empty() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1);
    committed(&mut world, commit(who[0].clone(), "t", 0, 1));
    let delete = || Request::DeleteGroups(vec!["g".into(), "none".into()]);
    let id = world.ask(delete());
    let rows = |g| Reply::DeleteGroups(vec![("g".into(), g), ("none".into(), ErrorCode::GroupIdNotFound)]);
    assert_eq!(world.replies[&id], rows(ErrorCode::NonEmptyGroup));
    all_leave(&mut world, &who);

    world.auto = false;
    let id = world.ask(delete());
    assert_eq!(state(&world, "g"), Some(GroupState::Dead));
    assert_eq!(world.beat(who[0].clone()), ErrorCode::CoordinatorNotAvailable);
    world.fail_one(ErrorCode::NotEnoughReplicas);
    assert!(world.has(id));
    assert_eq!(state(&world, "g"), Some(GroupState::Empty), "it goes back");
    assert_eq!(fetch(&mut world, "g"), [(tp("t", 0), 1)]);

    let id = world.ask(delete());
    world.write_one();
    assert_eq!(world.replies[&id], rows(ErrorCode::None));
    assert_eq!(state(&world, "g"), None);
    assert_eq!(fetch(&mut world, "g"), []);
    let loaded = world.reloaded(Config::default());
    assert_eq!(
        (loaded.groups().count(), loaded.committed_offsets().count()),
        (0, 0)
    );
}

/// A tombstone on its way is no reason to leave the next one out: the log may refuse the first.
#[test]
fn what_is_being_deleted_is_deleted_again() {
    let mut world = World::new(Config::default());
    let delete_offset = || Request::OffsetDelete("s".into(), vec![tp("t", 0)]);
    committed(&mut world, commit(simple("s"), "t", 0, 1));
    world.auto = false;
    world.ask(delete_offset());
    let again = world.ask(delete_offset());
    world.fail_one(ErrorCode::NotEnoughReplicas);
    assert!(!world.has(again));
    assert_eq!(fetch(&mut world, "s"), [(tp("t", 0), 1)]);
    world.write_one();
    assert!(world.has(again));
    assert_eq!(fetch(&mut world, "s"), []);

    world.auto = true;
    committed(&mut world, commit(simple("s"), "t", 0, 1));
    world.auto = false;
    world.ask(delete_offset());
    world.ask(Request::DeleteGroups(vec!["s".into()]));
    world.fail_one(ErrorCode::NotEnoughReplicas);
    world.write_one();
    assert_eq!(state(&world, "s"), None);
    assert_eq!(world.groups.committed_offsets().count(), 0);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut world = World::new(Config::default());
    committed(&mut world, commit(simple("a"), "t", 0, 1));
    committed(&mut world, commit(simple("b"), "t", 0, 1));
    committed(&mut world, commit(simple("b"), "u", 0, 1));
    world.step(Input::TopicsDeleted(vec![("t".into(), Uuid::ZERO)]));
    assert_eq!(fetch(&mut world, "a"), []);
    assert_eq!(fetch(&mut world, "b"), [(tp("u", 0), 1)]);
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new(Config::default());
    world.stable("g", 1);
    committed(&mut world, commit(simple("s"), "t", 0, 1));
    let mut list = |states: &[&str], types: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let id = world.ask(Request::ListGroups(ListFilter {
            states: texts(states),
            types: texts(types),
        }));
        match &world.replies[&id] {
            Reply::ListGroups(Ok(rows)) => rows
                .iter()
                .map(|r| (r.group.clone(), r.protocol_type.clone()))
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let g = ("g".to_owned(), "consumer".to_owned());
    let s = ("s".to_owned(), String::new());
    let all: Vec<_> = list(&[], &[]);
    assert_eq!(all, [g.clone(), s.clone()]);
    assert_eq!(list(&["stable"], &["CLASSIC"]), [g]);
    assert_eq!(list(&[" EMPTY", "Dead"], &[]), [s]);
    assert_eq!(list(&[], &["consumer"]), []);
}

#[test]
fn a_group_is_described() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1).remove(0);
    let id = world.ask(Request::DescribeGroups(vec!["g".into(), "none".into()]));
    let Reply::DescribeGroups(rows) = &world.replies[&id] else {
        panic!("{:?}", world.replies[&id]);
    };
    assert_eq!(
        (rows[0].state, rows[0].protocol.as_str()),
        (GroupState::Stable, "range")
    );
    assert_eq!(rows[0].members[0].client_host, "/127.0.0.1");
    assert_eq!(rows[0].members[0].assignment, who.member.as_bytes());
    assert_eq!(rows[0].members[0].metadata, protocol("range", &["t"]).metadata);
    assert_eq!(
        (rows[1].state, rows[1].error),
        (GroupState::Dead, ErrorCode::GroupIdNotFound)
    );
}

#[test]
fn an_open_transaction_makes_its_offsets_unstable() {
    let mut world = World::new(Config::default());
    committed(&mut world, commit(simple("s"), "t", 0, 5));
    let record = world.log[0].clone();
    for commits in [false, true] {
        let mut groups = Groups::new(Config::default());
        groups
            .replay(Some(9), &record.key, record.value.as_deref())
            .unwrap();
        assert_eq!(groups.committed_offsets().count(), 0);
        let mut open = groups.clone();
        open.step(Input::Loaded, world.now(), &mut Vec::new()).unwrap();
        world.groups = open;
        let id = world.ask(Request::OffsetFetch(OffsetFetch {
            group: "s".into(),
            partitions: Some(vec![(tp("t", 0), Uuid::ZERO)]),
            require_stable: true,
        }));
        let Reply::OffsetFetch(Ok(rows)) = &world.replies[&id] else {
            panic!("{:?}", world.replies[&id]);
        };
        assert_eq!(
            (rows[0].error, rows[0].offset),
            (ErrorCode::UnstableOffsetCommit, -1)
        );
        groups.replay_marker(9, commits).unwrap();
        assert_eq!(groups.committed_offsets().count(), usize::from(commits));
    }
}

#[test]
fn damage_is_refused_and_what_is_unknown_is_passed_over() {
    let mut groups = Groups::new(Config::default());
    groups.replay(None, &[0, 99, 1, 2, 3], Some(&[0, 0])).unwrap();
    assert!(matches!(
        groups.replay(None, &[0, 1, 0], None),
        Err(LoadError::Decode(_))
    ));
    assert!(matches!(
        groups.replay(None, &[0, 2, 0, 1, b'g'], Some(&[0, 9])),
        Err(LoadError::Decode(_))
    ));
    assert_eq!(groups.groups().count(), 0);
}

#[test]
fn an_offset_belongs_to_the_topic_it_was_committed_for() {
    let [one, two] = [1, 2].map(|b| Uuid::from_random([b; 16]).expect("a uuid"));
    let mut world = World::new(Config::default());
    let Request::OffsetCommit(mut request) = commit(simple("g"), "t", 0, 7) else {
        unreachable!("a commit");
    };
    request.offsets[0].topic_id = one;
    committed(&mut world, Request::OffsetCommit(request));
    let mut seen = |id: Uuid| {
        let request = world.ask(Request::OffsetFetch(OffsetFetch {
            group: "g".into(),
            partitions: Some(vec![(tp("t", 0), id)]),
            ..OffsetFetch::default()
        }));
        match &world.replies[&request] {
            Reply::OffsetFetch(Ok(rows)) => rows[0].offset,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([seen(one), seen(Uuid::ZERO), seen(two)], [7, 7, -1]);
    // The older topic of the name is gone for long.
    world.step(Input::TopicsDeleted(vec![("t".into(), two)]));
    assert_eq!(fetch(&mut world, "g"), [(tp("t", 0), 7)]);
    world.step(Input::TopicsDeleted(vec![("t".into(), one)]));
    assert_eq!(fetch(&mut world, "g"), []);
}
