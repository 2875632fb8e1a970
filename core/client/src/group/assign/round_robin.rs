//! `roundrobin`: the partitions of all topics in a row, dealt to the members in turn; who does not subscribe is passed over.

use ottla_types::TopicPartition;

use super::{Assignment, Assignor, Members, TopicSizes, in_order, nothing};

/// Kafka class `RoundRobinAssignor`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(&self, topics: &TopicSizes, members: &Members) -> Assignment {
        let mut assignment = nothing(members);
        let order = in_order(members);
        let mut turn = 0;
        for (topic, count) in topics {
            for partition in 0..*count {
                // From whose turn it is on, once around.
                let taker = order
                    .iter()
                    .enumerate()
                    .cycle()
                    .skip(turn)
                    .take(order.len())
                    .find(|(_, (_, m))| m.subscription.topics.contains(topic));
                let Some((index, (id, _))) = taker else { break };
                turn = (index + 1) % order.len();
                if let Some(mine) = assignment.get_mut(*id) {
                    mine.push(TopicPartition::new(topic.as_str(), partition));
                }
            }
        }
        assignment
    }
}
