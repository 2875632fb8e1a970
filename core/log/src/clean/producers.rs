//! What must stay for the producers: without the batch that holds its last sequence an idempotent producer's next batch would be out of
//! sequence after a recovery from the log, and its last one could be appended twice (KAFKA-5490).

use crate::producers::Producers;
use ottla_types::{Offset, ProducerEpoch, ProducerId};
use ottla_wire::records::BatchHeader;
use std::collections::BTreeMap;

/// The last of each producer that the log knows (Kafka's `UnifiedLog.lastRecordsOfActiveProducers`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastRecords(BTreeMap<ProducerId, (Option<Offset>, ProducerEpoch)>);

impl From<&Producers> for LastRecords {
    fn from(producers: &Producers) -> Self {
        let last = |(id, entry): (ProducerId, &crate::ProducerEntry)| {
            (id, (entry.last().map(|b| b.last_offset), entry.epoch))
        };
        LastRecords(producers.entries().map(last).collect())
    }
}

impl LastRecords {
    /// Whether this batch is its producer's last: the one with its last sequence, or the marker that named its epoch, if it has
    /// written nothing in it since.
    pub fn names(&self, header: &BatchHeader) -> bool {
        if !header.has_producer_id() {
            return false;
        }
        match self.0.get(&header.producer_id) {
            Some((Some(offset), _)) => header.last_offset() == *offset,
            Some((None, epoch)) => header.attributes.is_control() && header.producer_epoch == *epoch,
            None => false,
        }
    }
}
