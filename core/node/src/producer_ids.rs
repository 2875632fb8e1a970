//! Producer ids for InitProducerId, from blocks of the controller (KIP-730): an id is never given twice, whatever crashes.

use std::sync::Mutex;

use ottla_metadata::controller::{ApiError, ProducerIdBlock, allocate_producer_ids};
use ottla_types::ProducerId;

use crate::Node;

/// The rest of the current block.
#[derive(Default)]
pub struct ProducerIds {
    block: Mutex<Option<ProducerIdBlock>>,
    /// One task fetches a block, the others wait for it.
    fetching: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    /// The next id.
    pub async fn next(&self, node: &Node) -> Result<ProducerId, ApiError> {
        loop {
            if let Some(id) = self.take() {
                return Ok(id);
            }
            let _one = self.fetching.lock().await;
            if let Some(id) = self.take() {
                return Ok(id);
            }
            let (broker, epoch) = (node.node_id().0, node.broker_epoch());
            let block = node
                .controller
                .change(move |p| allocate_producer_ids(p.image, broker, epoch))
                .await?;
            *self.block.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(block);
        }
    }

    fn take(&self) -> Option<ProducerId> {
        let mut block = self.block.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let block = block.as_mut().filter(|b| b.len > 0)?;
        let id = block.start;
        (block.start, block.len) = (block.start + 1, block.len - 1);
        Some(id)
    }
}
