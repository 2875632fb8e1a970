//! Partitions that a group assigns: they are there for the user, and wait until their committed offsets are known.

use std::collections::BTreeSet;

use ottla_types::TopicPartition;

use super::partition::Assigned;
use super::session::Key;
use super::{Consumer, OffsetReset};
use crate::Error;

impl Consumer {
    /// Reads these partitions and no others. Those that stay go on; new ones are held.
    pub(crate) fn assign_held(&mut self, partitions: &BTreeSet<TopicPartition>) {
        let mut before = std::mem::take(&mut self.assigned);
        for partition in partitions {
            let key: Key = (partition.topic.as_str().into(), partition.partition);
            let kept = before.remove(&key);
            let generation = self.next_generation();
            let assigned = kept.unwrap_or_else(|| Assigned {
                generation,
                held: true,
                ..Assigned::default()
            });
            self.assigned.insert(key, assigned);
        }
    }

    /// The partitions that are held.
    pub(crate) fn held(&self) -> Vec<TopicPartition> {
        let held = self.assigned.iter().filter(|(_, assigned)| assigned.held);
        held.map(|((topic, partition), _)| TopicPartition::new(&**topic, *partition))
            .collect()
    }

    /// Lets a held partition go at its committed offset, or where `auto.offset.reset` says. One that was sought meanwhile stays
    /// where it is.
    pub(crate) fn release(
        &mut self,
        partition: &TopicPartition,
        committed: Option<i64>,
    ) -> Result<(), Error> {
        let (generation, reset) = (self.next_generation(), self.config.auto_offset_reset);
        let wall = self.cluster.env().clock.wall().as_millis();
        let Ok(assigned) = self.at(partition) else {
            return Ok(());
        };
        if !assigned.held {
            return Ok(());
        }
        match (committed, reset.spec(wall)) {
            (Some(offset), _) => assigned.go(offset, generation),
            (None, Some(spec)) => assigned.ask(spec, generation),
            (None, None) => {
                debug_assert_eq!(reset, OffsetReset::None);
                return Err(Error::NoOffset {
                    partition: partition.clone(),
                });
            }
        }
        Ok(())
    }

    /// Positions that are known, by partition.
    pub(crate) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        let known = self.assigned.iter().filter_map(|((topic, partition), assigned)| {
            let position = assigned.position.filter(|_| !assigned.held)?;
            Some((TopicPartition::new(&**topic, *partition), position))
        });
        known.collect()
    }

    /// An error that the user must do something about.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.errors.pop_front()
    }
}
