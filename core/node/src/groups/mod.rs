//! Classic consumer groups on this node: which partition of `__consumer_offsets` coordinates a group, and the coordinators of
//! those that this node leads. What a coordinator decides is `ottla_group`'s.
//!
//! - `coordinator.rs`: one partition's machine, its appends in order, its timers;
//! - `load.rs`: replay of the partition before it is served;
//! - `topic.rs`: `__consumer_offsets` itself, and what the configuration says.

mod coordinator;
mod load;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use ottla_group as group;
use ottla_io::{Env, Rng};
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::records::Codec;

use crate::Node;
use crate::dispatch::Reject;
use crate::metrics::GroupCounts;
use crate::partition::Partition;
use coordinator::Coordinator;

pub use topic::{OFFSETS_TOPIC, offsets_topic};

/// The coordinators of the partitions that this node leads, by partition.
pub struct Coordinators {
    led: RwLock<BTreeMap<i32, Arc<Coordinator>>>,
    rng: Mutex<Rng>,
}

/// What every coordinator is made with.
struct Settings {
    machine: group::Config,
    codec: Codec,
    load_buffer: usize,
}

impl Coordinators {
    /// None yet.
    pub fn new(env: &Env) -> Self {
        Coordinators {
            led: RwLock::default(),
            rng: Mutex::new(env.entropy.stream("groups")),
        }
    }

    /// This node leads a partition: its coordinator loads, and then serves.
    pub fn lead(&self, node: &Arc<Node>, partition: &Arc<Partition>) {
        if partition.id.topic != OFFSETS_TOPIC {
            return;
        }
        let coordinator = Coordinator::start(node, partition, topic::settings(&node.broker()));
        let mut led = self.led.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        led.insert(partition.id.partition, coordinator);
    }

    /// This node leads a partition no longer: who waits is sent to the next coordinator.
    pub fn resign(&self, partition: &Partition) {
        if partition.id.topic != OFFSETS_TOPIC {
            return;
        }
        let mut led = self.led.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let coordinator = led.remove(&partition.id.partition);
        drop(led);
        if let Some(coordinator) = coordinator {
            coordinator.unload();
        }
    }

    /// Ends every coordinator, for a node that stops.
    pub fn stop(&self) {
        let mut led = self.led.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let all = std::mem::take(&mut *led);
        drop(led);
        all.values().for_each(|coordinator| coordinator.unload());
    }

    /// Topics were deleted, by name and id: what was committed for them goes.
    pub fn topics_deleted(&self, topics: &[(String, Uuid)]) {
        if !topics.is_empty() {
            let all = self.all();
            all.iter().for_each(|c| c.topics_deleted(topics.to_vec()));
        }
    }

    /// What there is here, for metrics.
    pub fn counts(&self) -> GroupCounts {
        let mut counts = GroupCounts::default();
        for coordinator in self.all() {
            coordinator.look(|groups| {
                counts.offsets += groups.committed_offsets().count();
                for group in groups.groups() {
                    *counts.by_state.entry(group.state().name()).or_default() += 1;
                }
            });
        }
        counts
    }

    /// 128 random bits, for a member's id.
    pub fn random(&self) -> u128 {
        let mut rng = self.rng.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
    }

    /// Every coordinator, by partition.
    pub fn all(&self) -> Vec<Arc<Coordinator>> {
        let led = self.led.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        led.values().cloned().collect()
    }

    fn of_partition(&self, partition: i32) -> Option<Arc<Coordinator>> {
        let led = self.led.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        led.get(&partition).cloned()
    }
}

/// Java's `String.hashCode`: over UTF-16 units, so that equal groups fall on equal partitions.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// The partition that coordinates a group (Kafka method `GroupCoordinatorService.partitionFor`).
pub fn partition_for(group: &str, partitions: i32) -> i32 {
    // Kafka takes 0 for the hash that has no absolute value.
    java_hash(group)
        .checked_abs()
        .unwrap_or(0)
        .checked_rem(partitions)
        .unwrap_or(0)
}

impl Node {
    /// The partition of `__consumer_offsets` that coordinates a group.
    pub(crate) fn partition_of_group(&self, group: &str) -> i32 {
        let image = self.image();
        let there = image.topics().by_name(OFFSETS_TOPIC).map(|t| t.partitions.size());
        let count = match there.and_then(|count| i32::try_from(count).ok()) {
            Some(count) if count > 0 => count,
            _ => self.broker().offsets_topic_num_partitions(),
        };
        partition_for(group, count)
    }

    /// The coordinator of a group, if this node leads its partition.
    pub(crate) fn coordinator_of(&self, group: &str) -> Option<Arc<Coordinator>> {
        self.coordinators.of_partition(self.partition_of_group(group))
    }

    /// Has a group's coordinator answer a request; NOT_COORDINATOR if it is not here.
    pub(crate) async fn ask_group(
        &self,
        group: &str,
        request: group::Request,
    ) -> Result<group::Reply, Reject> {
        match self.coordinator_of(group) {
            Some(coordinator) => coordinator.ask(request).await,
            None => Ok(request.refused(ErrorCode::NotCoordinator)),
        }
    }
}

/// A coordinator answered something else than what was asked; it never does.
pub fn mismatch() -> Reject {
    Reject("the group coordinator gave an answer to another question".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fall_on_the_partitions_that_kafka_gives_them() {
        // Values of Java's `"...".hashCode()`.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-1", 35_782_224),
            ("größe", 98_762_257),
            ("\u{1f600}", 1_772_899),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("a", 50), 47);
        assert_eq!(partition_for("a", 0), 0);
    }
}
