//! Which partition a record goes to: [`Partitioner`], and Kafka's three ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_io::{Env, Rng};

use super::murmur2::partition_for_key;
use super::record::Record;
use crate::TopicInfo;

/// Chooses partitions for records that name none. It is called for one record at a time.
pub trait Partitioner: Send {
    /// The partition of `record`. A number that the topic does not have makes the send fail.
    fn partition(&mut self, record: &Record<'_>, topic: &TopicInfo) -> i32;
}

impl<F: FnMut(&Record<'_>, &TopicInfo) -> i32 + Send> Partitioner for F {
    fn partition(&mut self, record: &Record<'_>, topic: &TopicInfo) -> i32 {
        self(record, topic)
    }
}

/// Kafka's default: [`Murmur2`] for records with a key, [`Sticky`] for the others.
pub struct DefaultPartitioner {
    sticky: Sticky,
}

impl DefaultPartitioner {
    /// `batch_size` says after how many bytes records without a key move on.
    pub fn new(env: &Env, batch_size: usize) -> Self {
        DefaultPartitioner {
            sticky: Sticky::new(env, batch_size),
        }
    }
}

impl Partitioner for DefaultPartitioner {
    fn partition(&mut self, record: &Record<'_>, topic: &TopicInfo) -> i32 {
        match record.key {
            Some(key) => partition_for_key(key, topic.partitions.len()),
            None => self.sticky.partition(record, topic),
        }
    }
}

/// By the hash of the key, as Java's clients do it; no key counts as an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Murmur2;

impl Partitioner for Murmur2 {
    fn partition(&mut self, record: &Record<'_>, topic: &TopicInfo) -> i32 {
        partition_for_key(record.key.unwrap_or_default(), topic.partitions.len())
    }
}

/// Stays with one partition for about a batch, then moves to another by chance (KIP-794, without its load adaptation).
pub struct Sticky {
    batch_size: usize,
    rng: Rng,
    topics: BTreeMap<Arc<str>, Stay>,
}

#[derive(Clone, Copy)]
struct Stay {
    partition: i32,
    bytes: usize,
}

impl Sticky {
    /// Moves on after `batch_size` bytes.
    pub fn new(env: &Env, batch_size: usize) -> Self {
        Sticky {
            batch_size,
            rng: env.entropy.stream("client sticky partitioner"),
            topics: BTreeMap::new(),
        }
    }
}

impl Partitioner for Sticky {
    fn partition(&mut self, record: &Record<'_>, topic: &TopicInfo) -> i32 {
        let size = record.size_bound();
        if let Some(stay) = self.topics.get_mut(&*topic.name)
            && stay.bytes < self.batch_size
            && usable(topic, stay.partition)
        {
            stay.bytes += size;
            return stay.partition;
        }
        let last = self.topics.get(&*topic.name).map(|s| s.partition);
        let mut choice: Vec<i32> = available(topic).collect();
        if choice.len() > 1 {
            choice.retain(|p| Some(*p) != last);
        }
        let partition = self.rng.pick(&choice).copied().unwrap_or(0);
        self.topics.insert(
            topic.name.clone(),
            Stay {
                partition,
                bytes: size,
            },
        );
        partition
    }
}

/// One after the other, among those that have a leader.
#[derive(Debug, Clone, Default)]
pub struct RoundRobin {
    last: BTreeMap<Arc<str>, i32>,
}

impl Partitioner for RoundRobin {
    fn partition(&mut self, _: &Record<'_>, topic: &TopicInfo) -> i32 {
        let last = self.last.get(&*topic.name).copied().unwrap_or(-1);
        let next = available(topic)
            .find(|p| *p > last)
            .or_else(|| available(topic).next())
            .unwrap_or(0);
        match self.last.get_mut(&*topic.name) {
            Some(place) => *place = next,
            None => drop(self.last.insert(topic.name.clone(), next)),
        }
        next
    }
}

fn usable(topic: &TopicInfo, partition: i32) -> bool {
    topic.partition(partition).is_some_and(|p| p.leader.is_some())
}

/// Partitions with a leader; all of them if none has one.
fn available(topic: &TopicInfo) -> impl Iterator<Item = i32> {
    let none = topic.partitions.iter().all(|p| p.leader.is_none());
    topic
        .partitions
        .iter()
        .filter(move |p| none || p.leader.is_some())
        .map(|p| p.partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionInfo;
    use ottla_io::Mono;
    use ottla_types::Uuid;

    fn topic(leaders: &[Option<i32>]) -> TopicInfo {
        let partitions = leaders.iter().zip(0..).map(|(leader, partition)| PartitionInfo {
            partition,
            leader: *leader,
            leader_epoch: 0,
            replicas: vec![1],
            isr: vec![1],
            offline: Vec::new(),
        });
        TopicInfo::new("t".into(), Uuid::ZERO, false, partitions.collect(), Mono(0))
    }

    #[test]
    fn round_robin_goes_around_and_skips_what_has_no_leader() {
        let (mut partitioner, record) = (RoundRobin::default(), Record::new("t", b"v"));
        let topic = topic(&[Some(1), None, Some(1), Some(1)]);
        let chosen: Vec<_> = (0..5).map(|_| partitioner.partition(&record, &topic)).collect();
        assert_eq!(chosen, [0, 2, 3, 0, 2]);
    }

    #[test]
    fn sticky_stays_for_a_batch_and_then_moves() {
        let rng = Rng::from_number(1, "sticky");
        let mut partitioner = Sticky {
            batch_size: 1000,
            rng,
            topics: BTreeMap::new(),
        };
        let topic = topic(&[Some(1), None, Some(1), Some(1)]);
        let record = Record::new("t", &[0; 64]);
        let chosen: Vec<_> = (0..1000)
            .map(|_| partitioner.partition(&record, &topic))
            .collect();
        let runs: Vec<_> = chosen.chunk_by(|a, b| a == b).map(<[i32]>::len).collect();
        assert!(runs.iter().rev().skip(1).all(|run| *run == 10), "{runs:?}");
        assert!([0, 2, 3].iter().all(|p| chosen.contains(p)) && !chosen.contains(&1));
    }

    #[test]
    fn keys_decide_even_when_their_partition_has_no_leader() {
        let (with, without) = (topic(&[Some(1); 3]), topic(&[None; 3]));
        let record = Record::new("t", b"v").key(b"abc");
        assert_eq!(
            Murmur2.partition(&record, &with),
            Murmur2.partition(&record, &without)
        );
    }
}
