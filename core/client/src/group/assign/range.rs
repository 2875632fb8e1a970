//! `range`: each topic by itself, in runs of neighbouring partitions; the first members get one more where it does not come
//! out even. Partitions of equal number of several topics come to one member.

use ottla_types::TopicPartition;

use super::{Assignment, Assignor, Members, TopicSizes, in_order, nothing};

/// Kafka class `RangeAssignor`, without regard to racks (KIP-881).
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, topics: &TopicSizes, members: &Members) -> Assignment {
        let mut assignment = nothing(members);
        let order = in_order(members);
        for (topic, count) in topics {
            let takers: Vec<&str> = order
                .iter()
                .filter(|(_, m)| m.subscription.topics.contains(topic))
                .map(|(id, _)| *id)
                .collect();
            let mut next = 0..*count;
            let (count, share) = (usize::try_from(*count).unwrap_or(0), takers.len().max(1));
            for (index, id) in takers.iter().enumerate() {
                let size = count / share + usize::from(index < count % share);
                let run = next.by_ref().take(size);
                if let Some(mine) = assignment.get_mut(*id) {
                    mine.extend(run.map(|p| TopicPartition::new(topic.as_str(), p)));
                }
            }
        }
        assignment
    }
}
