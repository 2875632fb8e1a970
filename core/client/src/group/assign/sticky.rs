//! `sticky`: as balanced as the subscriptions allow, and of the assignments that are, one that moves little.
//!
//! Balanced, as Kafka defines it: nobody has two partitions more than another who could take one of them. First everybody
//! keeps what it has, then what is free goes to who has least, then single partitions move from those who have most until
//! it is balanced. Each move lowers the sum of squares, so it ends; with equal subscriptions no assignment moves less.

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::TopicPartition;
use ottla_wire::Reader;

use super::{Assignment, Assignor, Members, TopicSizes, in_order};
use crate::group::protocol::by_topic;

/// Kafka class `StickyAssignor`. Members give all partitions up before a rebalance, so what they had is told in the user data
/// in Kafka's form (its versions 0 and 1 are read, 1 is written).
#[derive(Debug, Clone, Copy, Default)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn user_data(&self, last: &[TopicPartition], generation: i32) -> Option<Vec<u8>> {
        write_user_data(last, generation)
    }

    fn assign(&self, topics: &TopicSizes, members: &Members) -> Assignment {
        let claims = members.iter().map(|(id, member)| {
            let data = member.subscription.user_data.as_deref();
            let (had, generation) = data.and_then(read_user_data).unwrap_or_default();
            (id.as_str(), (had, generation))
        });
        assign(topics, members, &claims.collect())
    }
}

/// What each member had, and in which generation.
pub(super) type Claims<'a> = BTreeMap<&'a str, (Vec<TopicPartition>, i32)>;

/// One run. Members are numbers in Kafka's order, topics borrow their names.
struct Run<'a> {
    ids: Vec<&'a str>,
    /// Who subscribes to each topic.
    takers: BTreeMap<&'a str, Vec<usize>>,
    /// What each member has so far: true for what it had before.
    has: Vec<BTreeMap<(&'a str, i32), bool>>,
}

/// The sticky assignment, given what everybody claims to have had.
pub(super) fn assign(topics: &TopicSizes, members: &Members, claims: &Claims<'_>) -> Assignment {
    let order = in_order(members);
    let takers = topics.keys().map(|topic| {
        let subscribes = |(index, (_, m)): (usize, &(&str, &super::GroupMember))| {
            m.subscription.topics.contains(topic).then_some(index)
        };
        let takers: Vec<usize> = order.iter().enumerate().filter_map(subscribes).collect();
        (topic.as_str(), takers)
    });
    let mut run = Run {
        ids: order.iter().map(|(id, _)| *id).collect(),
        takers: takers.collect(),
        has: vec![BTreeMap::new(); order.len()],
    };
    let mut free = run.keep(topics, claims);
    // What few can take goes first.
    free.sort_by_key(|(topic, partition)| {
        let takers = run.takers.get(topic).map_or(0, Vec::len);
        (takers, *topic, *partition)
    });
    for partition in free {
        if let Some(taker) = run.least(partition.0) {
            run.give(taker, partition, false);
        }
    }
    while run.move_one() {}
    run.result()
}

impl<'a> Run<'a> {
    /// Lets members keep what they had if they still want it and it is still there. Of two who claim one partition the later
    /// generation keeps it; with equal ones nobody does. Gives back what is free.
    fn keep(&mut self, topics: &'a TopicSizes, claims: &Claims<'_>) -> Vec<(&'a str, i32)> {
        let mut keepers: BTreeMap<(&str, i32), (i32, Option<usize>)> = BTreeMap::new();
        for (index, id) in self.ids.iter().enumerate() {
            let Some((had, generation)) = claims.get(id) else {
                continue;
            };
            let had: BTreeSet<&TopicPartition> = had.iter().collect();
            for partition in had {
                let wants = self
                    .takers
                    .get(partition.topic.as_str())
                    .is_some_and(|t| t.contains(&index));
                if !wants {
                    continue;
                }
                let key = (partition.topic.as_str(), partition.partition);
                match keepers.get_mut(&key) {
                    Some((newest, keeper)) if newest == generation => *keeper = None,
                    Some((newest, _)) if *newest > *generation => {}
                    _ => drop(keepers.insert(key, (*generation, Some(index)))),
                }
            }
        }
        let mut free = Vec::new();
        for (topic, count) in topics {
            for partition in 0..*count {
                let key = (topic.as_str(), partition);
                match keepers.get(&key).and_then(|(_, keeper)| *keeper) {
                    Some(keeper) => self.give(keeper, key, true),
                    None => free.push(key),
                }
            }
        }
        free
    }

    fn load(&self, member: usize) -> usize {
        self.has.get(member).map_or(0, BTreeMap::len)
    }

    fn give(&mut self, member: usize, partition: (&'a str, i32), had: bool) {
        if let Some(has) = self.has.get_mut(member) {
            has.insert(partition, had);
        }
    }

    /// Who has least among those who can take the topic.
    fn least(&self, topic: &str) -> Option<usize> {
        let takers = self.takers.get(topic)?.iter().copied();
        takers.min_by_key(|member| (self.load(*member), *member))
    }

    /// Moves one partition from somebody who has most to somebody who has at least two less and can take it; of what can move,
    /// something that was not held before if there is such. False when it is balanced.
    fn move_one(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.has.len()).collect();
        order.sort_by_key(|member| (usize::MAX - self.load(*member), *member));
        for from in order {
            let load = self.load(from);
            let Some(has) = self.has.get(from) else { continue };
            let mut best: Option<(bool, usize, (&'a str, i32), usize)> = None;
            let mut to_of: BTreeMap<&str, Option<usize>> = BTreeMap::new();
            for (partition, had) in has {
                let to = *to_of
                    .entry(partition.0)
                    .or_insert_with(|| self.least(partition.0));
                let Some(to) = to.filter(|to| self.load(*to) + 2 <= load) else {
                    continue;
                };
                let candidate = (*had, self.load(to), *partition, to);
                // The last of equals goes, so that runs stay runs.
                if best.is_none_or(|b| (candidate.0, candidate.1) <= (b.0, b.1)) {
                    best = Some(candidate);
                }
            }
            if let Some((_, _, partition, to)) = best {
                if let Some(has) = self.has.get_mut(from) {
                    has.remove(&partition);
                }
                self.give(to, partition, false);
                return true;
            }
        }
        false
    }

    fn result(self) -> Assignment {
        let each = self.ids.iter().zip(self.has);
        each.map(|(id, has)| {
            let partitions = has.into_keys().map(|(topic, p)| TopicPartition::new(topic, p));
            ((*id).to_owned(), partitions.collect())
        })
        .collect()
    }
}

/// Version 1 of the user data: topics with their partitions, then the generation.
fn write_user_data(last: &[TopicPartition], generation: i32) -> Option<Vec<u8>> {
    if last.is_empty() {
        return None;
    }
    let topics = by_topic(last);
    let mut bytes = i32::try_from(topics.len()).ok()?.to_be_bytes().to_vec();
    for (topic, partitions) in topics {
        bytes.extend(i16::try_from(topic.len()).ok()?.to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend(i32::try_from(partitions.len()).ok()?.to_be_bytes());
        bytes.extend(partitions.iter().flat_map(|p| p.to_be_bytes()));
    }
    bytes.extend(generation.to_be_bytes());
    Some(bytes)
}

/// `None` for what is no user data of this assignor: such a member has had nothing, as Kafka takes it.
fn read_user_data(bytes: &[u8]) -> Option<(Vec<TopicPartition>, i32)> {
    let mut reader = Reader::new(bytes);
    let topics = reader.count(false, "previous_assignment", 6, 0).ok()?;
    let mut had = Vec::new();
    for _ in 0..topics {
        let topic = reader.string(false, "topic").ok()?;
        let partitions = reader.i32s(false, "partitions").ok()?;
        had.extend(partitions.into_iter().map(|p| TopicPartition::new(topic, p)));
    }
    let generation = if reader.remaining() == 0 {
        -1
    } else {
        reader.i32().ok()?
    };
    Some((had, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_kafkas() {
        let had = [
            TopicPartition::new("a", 1),
            TopicPartition::new("b", 0),
            TopicPartition::new("a", 0),
        ];
        let bytes = write_user_data(&had, 7).unwrap();
        let expected: &[u8] = &[
            0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'b', 0, 0, 0, 1, 0, 0, 0, 0,
            0, 0, 0, 7,
        ];
        assert_eq!(bytes, expected);
        let (mut read, generation) = read_user_data(&bytes).unwrap();
        let mut had = had.to_vec();
        had.sort();
        read.sort();
        assert_eq!((read, generation), (had.clone(), 7));
        let (_, none) = read_user_data(&bytes[..bytes.len() - 4]).unwrap();
        assert_eq!(none, -1);
        assert_eq!(read_user_data(&[0, 0, 0]), None);
        assert_eq!(read_user_data(&[127, 255, 255, 255, 0]), None);
    }
}
