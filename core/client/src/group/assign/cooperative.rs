//! `cooperative-sticky`: the sticky assignment in two rebalances. What moves is first taken from its owner, who gives it up and
//! joins again; only then it is given to the other (KIP-429). Everything else is consumed on meanwhile.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, Members, TopicSizes, sticky};
use ottla_types::TopicPartition;

/// Kafka class `CooperativeStickyAssignor`. What members have is in their subscriptions, with its generation since version 2;
/// older members tell the generation in the user data.
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn cooperative(&self) -> bool {
        true
    }

    fn user_data(&self, _: &[TopicPartition], generation: i32) -> Option<Vec<u8>> {
        Some(generation.to_be_bytes().to_vec())
    }

    fn assign(&self, topics: &TopicSizes, members: &Members) -> Assignment {
        let claims = members.iter().map(|(id, member)| {
            let subscription = &member.subscription;
            let told = || <[u8; 4]>::try_from(subscription.user_data.as_deref()?).ok();
            let generation = match subscription.generation {
                -1 => told().map_or(-1, i32::from_be_bytes),
                generation => generation,
            };
            (id.as_str(), (subscription.owned.clone(), generation))
        });
        let mut assignment = sticky::assign(topics, members, &claims.collect());
        let mut owners: BTreeMap<&TopicPartition, Vec<&str>> = BTreeMap::new();
        for (id, member) in members {
            for partition in &member.subscription.owned {
                owners.entry(partition).or_default().push(id);
            }
        }
        for (id, partitions) in &mut assignment {
            // Whoever claims it, in whatever generation, may still consume it.
            partitions.retain(|p| owners.get(p).is_none_or(|o| o.iter().all(|owner| owner == id)));
        }
        assignment
    }
}
