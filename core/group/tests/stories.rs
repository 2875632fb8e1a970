//! Stories of groups: one path each through joining, rebalancing and leaving.

mod support;

use ottla_group::*;
use ottla_types::ErrorCode;
use support::*;

fn sync(who: &Identity) -> Request {
    Request::Sync(Sync {
        who: who.clone(),
        ..Sync::default()
    })
}

fn leave(who: &Identity) -> Request {
    Request::Leave(Leave {
        group: who.group.clone(),
        members: vec![(who.member.clone(), who.instance.clone())],
    })
}

fn static_join(group: &str, instance: &str, random: u128) -> Join {
    let mut request = join(group, "", random);
    request.who.instance = Some(instance.into());
    request
}

/// A stable group of one static member.
fn static_group(world: &mut World) -> Identity {
    let id = world.ask(Request::Join(Box::new(static_join("g", "i", 1))));
    world.pass(3_000);
    let who = Identity {
        group: "g".into(),
        member: world.joined(id).member.clone(),
        instance: Some("i".into()),
        generation: 1,
    };
    let id = world.ask(Request::Sync(Sync {
        who: who.clone(),
        assignments: vec![(who.member.clone(), b"p0".to_vec())],
        ..Sync::default()
    }));
    assert_eq!(world.synced(id).assignment, b"p0");
    who
}

#[test]
fn two_members_join_and_the_follower_gets_its_assignment() {
    let mut world = World::new(Config::default());
    let (a, join_a) = world.join_new("g", 1);
    let (b, join_b) = world.join_new("g", 2);
    assert!(
        !world.has(join_a) && !world.has(join_b),
        "an initial rebalance waits"
    );
    world.pass(2_999);
    assert!(!world.has(join_a));
    // The second came while it waited, so it waits as long again, and no longer.
    world.pass(3_001);
    let (first, second) = (world.joined(join_a).clone(), world.joined(join_b).clone());
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.leader, a);
    assert_eq!(second.leader, a);
    assert_eq!(first.members.len(), 2);
    assert!(second.members.is_empty());
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));

    let who = |member: &str| Identity {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation: 1,
    };
    let follower = world.ask(sync(&who(&b)));
    assert!(!world.has(follower), "a follower waits for the leader");
    world.auto = false;
    let leader = world.ask(Request::Sync(Sync {
        who: who(&a),
        assignments: vec![(a.clone(), b"p0".to_vec()), (b.clone(), b"p1".to_vec())],
        ..Sync::default()
    }));
    assert!(
        !world.has(leader),
        "nobody hears of an assignment that is not replicated"
    );
    world.write_one();
    assert_eq!(world.synced(leader).assignment, b"p0");
    assert_eq!(world.synced(follower).assignment, b"p1");
    assert_eq!(world.synced(follower).protocol_name.as_deref(), Some("range"));
    assert_eq!(world.beat(who(&b)), ErrorCode::None);
}

#[test]
fn the_most_wanted_protocol_is_chosen() {
    let mut world = World::new(Config::default());
    let orders: [&[&str]; 3] = [
        &["range", "sticky"],
        &["sticky", "range"],
        &["sticky", "range", "other"],
    ];
    let mut ids = Vec::new();
    for (n, names) in orders.into_iter().enumerate() {
        let mut request = join("g", "", n as u128);
        request.protocols = names.iter().map(|name| protocol(name, &["t"])).collect();
        ids.push(world.ask(Request::Join(Box::new(request))));
    }
    world.pass(10_000);
    assert_eq!(world.joined(ids[0]).protocol_name.as_deref(), Some("sticky"));
    let mut request = join("g", "", 9);
    request.protocols = vec![protocol("other", &["t"])];
    let id = world.ask(Request::Join(Box::new(request)));
    assert_eq!(world.joined(id).error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_member_that_leaves_makes_the_others_rebalance() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 2);
    let id = world.ask(leave(&who[0]));
    assert_eq!(
        world.replies[&id],
        Reply::Leave(
            ErrorCode::None,
            vec![(who[0].member.clone(), None, ErrorCode::None)]
        )
    );
    assert_eq!(world.beat(who[1].clone()), ErrorCode::RebalanceInProgress);
    assert_eq!(world.beat(who[0].clone()), ErrorCode::UnknownMemberId);
    let id = world.ask(sync(&who[1]));
    assert_eq!(world.synced(id).error, ErrorCode::RebalanceInProgress);
    let id = world.ask(Request::Join(Box::new(join("g", &who[1].member, 0))));
    assert_eq!(world.joined(id).generation, 2);
    assert_eq!(world.joined(id).leader, who[1].member);
    // The old generation is over.
    assert_eq!(world.beat(who[1].clone()), ErrorCode::IllegalGeneration);
}

#[test]
fn the_last_to_leave_is_answered_when_that_is_replicated() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1);
    world.auto = false;
    let id = world.ask(leave(&who[0]));
    assert!(!world.has(id));
    world.write_one();
    assert!(world.has(id));
    assert_eq!(world.groups.group("g").unwrap().state(), GroupState::Empty);
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 2);
    for _ in 0..4 {
        world.pass(4_000);
        world.beat(who[0].clone());
    }
    let group = world.groups.group("g").unwrap();
    assert_eq!(group.members().len(), 1);
    assert_eq!(group.state(), GroupState::PreparingRebalance);
    assert_eq!(world.beat(who[1].clone()), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_rejoin_in_time_is_left_behind() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 2);
    let (_, newcomer) = world.join_new("g", 7);
    let rejoin = world.ask(Request::Join(Box::new(join("g", &who[1].member, 0))));
    for _ in 0..7 {
        world.pass(4_000);
        assert_eq!(world.beat(who[0].clone()), ErrorCode::RebalanceInProgress);
        assert!(!world.has(newcomer));
    }
    world.pass(2_000);
    // The leader was not there; one of those who were leads now.
    assert_eq!(world.joined(newcomer).generation, 2);
    assert_ne!(world.joined(rejoin).leader, who[0].member);
    assert_eq!(world.beat(who[0].clone()), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut world = World::new(Config::default());
    let (a, join_a) = world.join_new("g", 1);
    let (b, _) = world.join_new("g", 2);
    world.pass(6_000);
    let follower = Identity {
        group: "g".into(),
        member: b.clone(),
        instance: None,
        generation: 1,
    };
    let leader = Identity {
        member: a,
        ..follower.clone()
    };
    assert_eq!(world.joined(join_a).leader, leader.member);
    let waiting = world.ask(sync(&follower));
    for _ in 0..8 {
        world.pass(4_000);
        world.beat(leader.clone());
    }
    assert_eq!(world.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert_eq!(world.beat(leader), ErrorCode::UnknownMemberId);
}

#[test]
fn strangers_and_old_generations_are_told_apart() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 1).remove(0);
    let stranger = Identity {
        member: "x".into(),
        ..who.clone()
    };
    let old = Identity {
        generation: 0,
        ..who.clone()
    };
    assert_eq!(world.beat(stranger.clone()), ErrorCode::UnknownMemberId);
    assert_eq!(world.beat(old.clone()), ErrorCode::IllegalGeneration);
    assert_eq!(world.beat(simple("")), ErrorCode::InvalidGroupId);
    assert_eq!(world.beat(simple("none")), ErrorCode::UnknownMemberId);
    let id = world.ask(sync(&old));
    assert_eq!(world.synced(id).error, ErrorCode::IllegalGeneration);
    let id = world.ask(Request::Join(Box::new(join("g", "x", 0))));
    assert_eq!(world.joined(id).error, ErrorCode::UnknownMemberId);
    let id = world.ask(Request::Sync(Sync {
        protocol_name: Some("sticky".into()),
        who,
        ..Sync::default()
    }));
    assert_eq!(world.synced(id).error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn session_timeouts_have_bounds() {
    let mut world = World::new(Config::default());
    for timeout in [5_999, 1_800_001, -1] {
        let mut request = join("g", "", 1);
        request.session_timeout_ms = timeout;
        let id = world.ask(Request::Join(Box::new(request)));
        assert_eq!(world.joined(id).error, ErrorCode::InvalidSessionTimeout);
    }
    assert!(world.groups.group("g").is_none());
}

#[test]
fn a_pending_member_that_does_not_come_is_forgotten() {
    let mut world = World::new(Config::default());
    let mut request = join("g", "", 1);
    request.requires_known_member_id = true;
    let id = world.ask(Request::Join(Box::new(request)));
    let member = world.joined(id).member.clone();
    assert!(member.starts_with("client-00000000-0000-4000-8000-"), "{member}");
    world.pass(10_000);
    let id = world.ask(Request::Join(Box::new(join("g", &member, 0))));
    assert_eq!(world.joined(id).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut world = World::new(Config {
        max_size: 2,
        ..Config::default()
    });
    let who = world.stable("g", 2);
    let id = world.ask(Request::Join(Box::new(join("g", "", 9))));
    assert_eq!(world.joined(id).error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.beat(who[1].clone()), ErrorCode::None);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut world = World::new(Config::default());
    let old = static_group(&mut world);
    world.auto = false;
    let id = world.ask(Request::Join(Box::new(static_join("g", "i", 2))));
    assert!(!world.has(id));
    world.write_one();
    let reply = world.joined(id).clone();
    assert_eq!((reply.error, reply.generation), (ErrorCode::None, 1));
    assert!(reply.skip_assignment, "a leader that comes back need not assign");
    assert_ne!(reply.member, old.member);
    let new = Identity {
        member: reply.member,
        ..old.clone()
    };
    let id = world.ask(sync(&new));
    assert_eq!(world.synced(id).assignment, b"p0");
    // Its old self is fenced, whatever it says.
    assert_eq!(world.beat(old.clone()), ErrorCode::FencedInstanceId);
    let id = world.ask(sync(&old));
    assert_eq!(world.synced(id).error, ErrorCode::FencedInstanceId);
    let id = world.ask(commit(old, "t", 0, 1));
    assert_eq!(
        world.replies[&id],
        Reply::OffsetCommit(vec![(tp("t", 0), ErrorCode::FencedInstanceId)])
    );
    assert_eq!(world.beat(new), ErrorCode::None);
}

#[test]
fn a_replacement_that_was_not_written_did_not_happen() {
    let mut world = World::new(Config::default());
    let old = static_group(&mut world);
    world.auto = false;
    let id = world.ask(Request::Join(Box::new(static_join("g", "i", 2))));
    world.fail_one(ErrorCode::NotEnoughReplicas);
    assert_eq!(world.joined(id).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.beat(old), ErrorCode::None);
}

#[test]
fn a_replacement_that_a_rebalance_overtakes_is_answered_by_that() {
    let mut world = World::new(Config::default());
    let first = world.ask(Request::Join(Box::new(static_join("g", "i", 1))));
    let (dynamic, _) = world.join_new("g", 2);
    world.pass(6_001);
    let who = |member: &str| Identity {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation: 1,
    };
    let leader = world.joined(first).leader.clone();
    world.ask(sync(&who(&leader)));
    world.auto = false;
    let back = world.ask(Request::Join(Box::new(static_join("g", "i", 3))));
    assert_eq!(world.on_the_way.len(), 1, "the replacement is on its way");
    let (_, newcomer) = world.join_new("g", 4);
    world.write_one();
    assert!(!world.has(back), "the generation that it would be told is over");
    world.ask(Request::Join(Box::new(join("g", &dynamic, 0))));
    assert_eq!(world.joined(back).generation, 2);
    assert_eq!(world.joined(newcomer).generation, 2);
    assert!(!world.joined(back).skip_assignment);
}

#[test]
fn a_replacement_refused_after_its_time_makes_the_group_rebalance() {
    let mut world = World::new(Config::default());
    static_group(&mut world);
    world.auto = false;
    let id = world.ask(Request::Join(Box::new(static_join("g", "i", 2))));
    world.pass(5_000);
    assert_eq!(world.joined(id).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.groups.group("g").unwrap().state(), GroupState::Stable);
    // The log knows the old member and the group the new one: another generation, and another record.
    world.fail_one(ErrorCode::NotEnoughReplicas);
    assert_eq!(
        world.groups.group("g").unwrap().state(),
        GroupState::PreparingRebalance
    );
}

#[test]
fn a_leader_without_skipping_does_not_learn_that_it_leads() {
    let mut world = World::new(Config::default());
    let old = static_group(&mut world);
    let mut request = static_join("g", "i", 2);
    request.supports_skip_assignment = false;
    let id = world.ask(Request::Join(Box::new(request)));
    assert_eq!(world.joined(id).leader, old.member);
    assert!(world.joined(id).members.is_empty());
}

#[test]
fn a_static_member_is_removed_by_its_instance() {
    let mut world = World::new(Config::default());
    static_group(&mut world);
    let id = world.ask(Request::Leave(Leave {
        group: "g".into(),
        members: vec![
            (String::new(), Some("i".into())),
            (String::new(), Some("j".into())),
        ],
    }));
    let Reply::Leave(ErrorCode::None, rows) = &world.replies[&id] else {
        panic!("{:?}", world.replies[&id]);
    };
    assert_eq!(rows[0].2, ErrorCode::None);
    assert_eq!(rows[1].2, ErrorCode::UnknownMemberId);
    assert_eq!(world.groups.group("g").unwrap().state(), GroupState::Empty);
}

#[test]
fn an_assignment_that_was_not_written_makes_the_group_rebalance() {
    let mut world = World::new(Config::default());
    let (member, _) = world.join_new("g", 1);
    world.pass(3_000);
    world.auto = false;
    let who = Identity {
        group: "g".into(),
        member,
        instance: None,
        generation: 1,
    };
    let id = world.ask(sync(&who));
    world.fail_one(ErrorCode::NotEnoughReplicas);
    assert_eq!(world.synced(id).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(
        world.groups.group("g").unwrap().state(),
        GroupState::PreparingRebalance
    );
}

#[test]
fn an_assignment_that_is_not_acknowledged_is_waited_for_no_longer_than_the_commit_timeout() {
    let mut world = World::new(Config::default());
    let (member, _) = world.join_new("g", 1);
    world.pass(3_000);
    world.auto = false;
    let who = Identity {
        group: "g".into(),
        member,
        instance: None,
        generation: 1,
    };
    let id = world.ask(sync(&who));
    world.pass(5_000);
    assert_eq!(world.synced(id).error, ErrorCode::CoordinatorNotAvailable);
    // It is replicated after all, and is no longer what the group is about.
    world.write_one();
    assert_eq!(
        world.groups.group("g").unwrap().state(),
        GroupState::PreparingRebalance
    );
}

#[test]
fn before_and_after_it_serves_it_says_so() {
    let mut groups = Groups::new(Config::default());
    let now = Now {
        mono: 0,
        wall: ottla_types::Time(WALL),
    };
    let mut out = Vec::new();
    let request = || Request::Join(Box::new(join("g", "", 1)));
    groups
        .step(Input::Request(RequestId(1), request()), now, &mut out)
        .unwrap();
    groups
        .step(
            Input::Request(RequestId(2), Request::Heartbeat(simple("g"))),
            now,
            &mut out,
        )
        .unwrap();
    groups.step(Input::Loaded, now, &mut out).unwrap();
    groups
        .step(Input::Request(RequestId(3), request()), now, &mut out)
        .unwrap();
    groups.step(Input::Unload, now, &mut out).unwrap();
    groups
        .step(Input::Request(RequestId(4), request()), now, &mut out)
        .unwrap();
    let errors: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Reply(id, Reply::Join(reply)) => Some((id.0, reply.error)),
            Output::Reply(id, Reply::Heartbeat(error)) => Some((id.0, *error)),
            _ => None,
        })
        .collect();
    assert_eq!(
        errors,
        [
            (1, ErrorCode::CoordinatorLoadInProgress),
            (2, ErrorCode::None),
            (3, ErrorCode::NotCoordinator),
            (4, ErrorCode::NotCoordinator)
        ]
    );
}

#[test]
fn a_loaded_group_goes_on_where_it_was() {
    let mut world = World::new(Config::default());
    let who = world.stable("g", 2);
    world.groups = world.reloaded(Config::default());
    assert_eq!(world.beat(who[1].clone()), ErrorCode::None);
    let id = world.ask(sync(&who[1]));
    assert_eq!(world.synced(id).assignment, who[1].member.as_bytes());
    world.pass(20_000);
    assert_eq!(world.groups.group("g").unwrap().state(), GroupState::Empty);
}

#[test]
fn writes_are_acknowledged_in_their_order() {
    let mut world = World::new(Config::default());
    world.auto = false;
    world.ask(commit(simple("a"), "t", 0, 1));
    world.ask(commit(simple("b"), "t", 0, 1));
    let (second, _) = world.on_the_way[1];
    let error = world
        .groups
        .step(Input::Written(second), world.now(), &mut Vec::new())
        .unwrap_err();
    assert_eq!(error.invariant, "group.write-order");
}
