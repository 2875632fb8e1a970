//! What assignors owe: everything to exactly one who wants it, balance, and few moves.

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::TopicPartition;
use proptest::prelude::*;

use super::*;

/// Topics `a`, `b` ... of these sizes.
fn topics(sizes: &[i32]) -> TopicSizes {
    let names = ('a'..='z').map(String::from);
    names.zip(sizes.iter().copied()).collect()
}

fn member(topics: &str) -> GroupMember {
    let topics = topics.chars().map(String::from).collect();
    GroupMember {
        subscription: Subscription {
            topics,
            ..Subscription::default()
        },
        ..GroupMember::default()
    }
}

fn members(of: &[(&str, &str)]) -> Members {
    of.iter()
        .map(|(id, topics)| ((*id).to_owned(), member(topics)))
        .collect()
}

fn shown(assignment: &Assignment) -> Vec<String> {
    let one = |(id, partitions): (&String, &Vec<TopicPartition>)| {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|p| format!("{}{}", p.topic, p.partition))
            .collect();
        format!("{id}: {}", partitions.join(" "))
    };
    assignment.iter().map(one).collect()
}

/// The members as they join again with what they got.
fn again(mut members: Members, got: &Assignment, generation: i32) -> Members {
    for (id, member) in &mut members {
        let got = got.get(id).cloned().unwrap_or_default();
        member.subscription.user_data = StickyAssignor.user_data(&got, generation);
        member.subscription.owned = got;
        member.subscription.generation = generation;
    }
    members
}

/// The examples of Kafka's documentation of the three assignors.
#[test]
fn kafkas_own_examples() {
    let two = members(&[("c0", "ab"), ("c1", "ab")]);
    assert_eq!(
        shown(&RangeAssignor.assign(&topics(&[3, 3]), &two)),
        ["c0: a0 a1 b0 b1", "c1: a2 b2"]
    );
    assert_eq!(
        shown(&RoundRobinAssignor.assign(&topics(&[3, 3]), &two)),
        ["c0: a0 a2 b1", "c1: a1 b0 b2"]
    );
    let uneven = members(&[("c0", "a"), ("c1", "ab"), ("c2", "abc")]);
    assert_eq!(
        shown(&RoundRobinAssignor.assign(&topics(&[1, 2, 3]), &uneven)),
        ["c0: a0", "c1: b0", "c2: b1 c0 c1 c2"]
    );
    assert_eq!(
        shown(&StickyAssignor.assign(&topics(&[1, 2, 3]), &uneven)),
        ["c0: a0", "c1: b0 b1", "c2: c0 c1 c2"]
    );
}

#[test]
fn static_members_come_first_in_the_order_of_their_instances() {
    let mut group = members(&[("1", "a"), ("2", "a"), ("3", "a")]);
    group.get_mut("3").unwrap().instance = Some("x".into());
    group.get_mut("2").unwrap().instance = Some("y".into());
    assert_eq!(
        shown(&RangeAssignor.assign(&topics(&[3]), &group)),
        ["1: a2", "2: a1", "3: a0"]
    );
}

#[test]
fn of_two_claims_the_later_generation_holds() {
    let mut group = members(&[("1", "a"), ("2", "a")]);
    for (id, generation) in [("1", 3), ("2", 4)] {
        let subscription = &mut group.get_mut(id).unwrap().subscription;
        subscription.owned = vec![TopicPartition::new("a", 0), TopicPartition::new("a", 1)];
        subscription.user_data = StickyAssignor.user_data(&subscription.owned, generation);
        subscription.generation = generation;
    }
    assert_eq!(
        shown(&StickyAssignor.assign(&topics(&[2]), &group)),
        ["1: a1", "2: a0"]
    );
    // Both may still consume them: nobody is given any until they have given up.
    assert_eq!(
        shown(&CooperativeStickyAssignor.assign(&topics(&[2]), &group)),
        ["1: ", "2: "]
    );
}

fn groups() -> impl Strategy<Value = (Vec<i32>, Members)> {
    let sizes = proptest::collection::vec(0i32..7, 1..5);
    sizes.prop_flat_map(|sizes| {
        let names: Vec<String> = topics(&sizes).into_keys().chain(["z".to_owned()]).collect();
        let all = names.len();
        let wants = proptest::sample::subsequence(names, 0..=all).prop_map(|names| names.concat());
        let group = proptest::collection::btree_map("[a-z]{1,3}", wants, 1..7);
        let group = group.prop_map(|g| g.into_iter().map(|(id, topics)| (id, member(&topics))).collect());
        (Just(sizes), group)
    })
}

/// Every partition that somebody wants is at exactly one member that wants it.
fn complete(topics: &TopicSizes, members: &Members, assignment: &Assignment) {
    assert_eq!(
        assignment.keys().collect::<Vec<_>>(),
        members.keys().collect::<Vec<_>>()
    );
    let mut given = BTreeSet::new();
    for (id, partitions) in assignment {
        for partition in partitions {
            let wanted = &members[id].subscription.topics;
            assert!(wanted.contains(&partition.topic), "{id} gets {partition}");
            assert!(given.insert(partition.clone()), "{partition} twice");
        }
    }
    let wanted: BTreeSet<&String> = members.values().flat_map(|m| &m.subscription.topics).collect();
    let due = topics.iter().filter(|(t, _)| wanted.contains(t));
    let due: BTreeSet<_> = due
        .flat_map(|(t, count)| (0..*count).map(|p| TopicPartition::new(t.as_str(), p)))
        .collect();
    assert_eq!(given, due);
}

/// Nobody has two more than somebody who could take one of them.
fn balanced(members: &Members, assignment: &Assignment) {
    for (rich, has) in assignment {
        for (poor, fewer) in assignment {
            let takes = |p: &TopicPartition| members[poor].subscription.topics.contains(&p.topic);
            assert!(
                has.len() < fewer.len() + 2 || !has.iter().any(takes),
                "{rich} has {}, {poor} {}",
                has.len(),
                fewer.len()
            );
        }
    }
}

/// How many partitions stay with whom they were.
fn kept(before: &Assignment, after: &Assignment) -> usize {
    let has = |id: &String, p: &TopicPartition| after.get(id).is_some_and(|a| a.contains(p));
    before
        .iter()
        .map(|(id, partitions)| partitions.iter().filter(|p| has(id, p)).count())
        .sum()
}

proptest! {
    #[test]
    fn all_is_given_out_once((sizes, group) in groups()) {
        let topics = topics(&sizes);
        for assignor in [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor] {
            complete(&topics, &group, &assignor.assign(&topics, &group));
        }
        balanced(&group, &StickyAssignor.assign(&topics, &group));
    }

    #[test]
    fn sticky_stays_and_stays_balanced((sizes, group) in groups(), leaves in 0usize..7, more in 0i32..3) {
        let mut topics = topics(&sizes);
        let before = StickyAssignor.assign(&topics, &group);
        let mut group = again(group, &before, 1);
        prop_assert_eq!(&StickyAssignor.assign(&topics, &group), &before, "for nothing");
        // One leaves: nobody loses anything unless balance wants it.
        if group.len() > 1 {
            let gone = group.keys().nth(leaves % group.len()).unwrap().clone();
            group.remove(&gone);
        }
        *topics.get_mut("a").unwrap() += more;
        let after = StickyAssignor.assign(&topics, &group);
        complete(&topics, &group, &after);
        balanced(&group, &after);
        let group = again(group, &after, 2);
        prop_assert_eq!(StickyAssignor.assign(&topics, &group), after);
    }

    /// With equal subscriptions: sizes differ by one at most, and no balanced assignment keeps more.
    #[test]
    fn sticky_moves_no_more_than_it_must(count in 0i32..40, first in 1usize..7, joining in 0usize..5, leaving in 0usize..5) {
        let topics = topics(&[count]);
        let named = |range: std::ops::Range<usize>| -> Members { range.map(|i| (format!("m{i}"), member("a"))).collect() };
        let before = StickyAssignor.assign(&topics, &named(0..first));
        let mut group = again(named(0..first), &before, 1);
        group.extend(named(first..first + joining));
        for gone in 0..leaving.min(group.len() - 1) {
            group.remove(&format!("m{gone}"));
        }
        let after = StickyAssignor.assign(&topics, &group);
        complete(&topics, &group, &after);
        let (low, more) = (count as usize / group.len(), count as usize % group.len());
        let sizes: Vec<usize> = after.values().map(Vec::len).collect();
        prop_assert!(sizes.iter().all(|s| *s == low || *s == low + 1));
        prop_assert_eq!(sizes.iter().filter(|s| **s == low + 1).count(), if low * group.len() == count as usize { 0 } else { more });
        let mut had: Vec<usize> = group.keys().map(|id| before.get(id).map_or(0, Vec::len)).collect();
        had.sort_by_key(|h| usize::MAX - h);
        let most: usize = had.iter().enumerate().map(|(i, h)| (*h).min(low + usize::from(i < more))).sum();
        prop_assert_eq!(kept(&before, &after), most);
    }

    /// Nothing is ever given to one while another has it, and two rebalances bring it to the end.
    #[test]
    fn cooperative_takes_before_it_gives((sizes, group) in groups(), joins in "[a-z]{1,3}") {
        let topics = topics(&sizes);
        let first = CooperativeStickyAssignor.assign(&topics, &group);
        let mut group = again(group, &first, 1);
        let all: String = topics.keys().cloned().collect();
        group.entry(joins).or_insert_with(|| member(&all));
        let second = CooperativeStickyAssignor.assign(&topics, &group);
        let owned: BTreeMap<&TopicPartition, &String> = group
            .iter()
            .flat_map(|(id, m)| m.subscription.owned.iter().map(move |p| (p, id)))
            .collect();
        for (id, partitions) in &second {
            for partition in partitions {
                prop_assert!(owned.get(partition).is_none_or(|owner| *owner == id));
            }
        }
        // Everybody has given up what it does not have any more.
        let group = again(group, &second, 2);
        let third = CooperativeStickyAssignor.assign(&topics, &group);
        complete(&topics, &group, &third);
        balanced(&group, &third);
        let group = again(group, &third, 3);
        prop_assert_eq!(CooperativeStickyAssignor.assign(&topics, &group), third);
    }
}
