//! How the leader of a group shares partitions out. An assignor is a function from what all members want and have to who gets
//! what; nothing here talks to anybody, so a trial, a property and production hold the same code.
//!
//! `range`, `round_robin`: Kafka's two plain ones; `sticky`: balance with as few moves as possible; `cooperative`: the same,
//! in two steps, so that members keep what stays theirs.

mod cooperative;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_types::TopicPartition;

use super::protocol::Subscription;

pub use cooperative::CooperativeStickyAssignor;
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::StickyAssignor;

/// A member as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMember {
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// What it wants and has.
    pub subscription: Subscription,
}

/// The members, by member id.
pub type Members = BTreeMap<String, GroupMember>;

/// How many partitions each topic has; topics that do not exist are not in it.
pub type TopicSizes = BTreeMap<String, i32>;

/// Who gets what, for every member.
pub type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Shares partitions out (Kafka class `ConsumerPartitionAssignor`).
pub trait Assignor: Send + Sync {
    /// The name by which members find an assignor that they all have.
    fn name(&self) -> &'static str;

    /// Whether members keep their partitions while a rebalance goes on (KIP-429). If all assignors of a member can, it does.
    fn cooperative(&self) -> bool {
        false
    }

    /// What goes into [`Subscription::user_data`]. `last` is the member's latest assignment, given up or not, and
    /// `generation` the one it is from.
    fn user_data(&self, _last: &[TopicPartition], _generation: i32) -> Option<Vec<u8>> {
        None
    }

    /// Shares out all partitions of `topics` to members that subscribe to them.
    fn assign(&self, topics: &TopicSizes, members: &Members) -> Assignment;
}

/// An assignor by Kafka's name of it (`range`, `roundrobin`, `sticky`, `cooperative-sticky`) or of its class.
pub fn assignor(name: &str) -> Option<Arc<dyn Assignor>> {
    match name
        .strip_prefix("org.apache.kafka.clients.consumer.")
        .unwrap_or(name)
    {
        "range" | "RangeAssignor" => Some(Arc::new(RangeAssignor)),
        "roundrobin" | "RoundRobinAssignor" => Some(Arc::new(RoundRobinAssignor)),
        "sticky" | "StickyAssignor" => Some(Arc::new(StickyAssignor)),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Arc::new(CooperativeStickyAssignor)),
        _ => None,
    }
}

/// The members in Kafka's order: static ones first, by their instance ids, which outlive a restart, then by member id.
fn in_order(members: &Members) -> Vec<(&str, &GroupMember)> {
    let mut order: Vec<_> = members.iter().map(|(id, member)| (id.as_str(), member)).collect();
    order.sort_by_key(|(id, member)| (member.instance.is_none(), member.instance.as_deref(), *id));
    order
}

/// An assignment in which everybody has nothing yet.
fn nothing(members: &Members) -> Assignment {
    members.keys().map(|id| (id.clone(), Vec::new())).collect()
}
