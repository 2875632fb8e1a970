//! Blocks of producer ids for brokers to hand out (Kafka class `ProducerIdControlManager`, KIP-730).

use super::{ApiError, check_broker_epoch};
use crate::image::MetadataImage;
use crate::records::Records;
use ottla_types::{ErrorCode, ProducerId};
use ottla_wire::metadata_records::{MetadataRecord, ProducerIdsRecord};

/// How many ids a broker gets at once.
pub const PRODUCER_ID_BLOCK_SIZE: i32 = 1000;

/// Producer ids that one broker may hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub start: ProducerId,
    /// How many.
    pub len: i32,
}

/// The next block, for an incarnation of a broker.
pub fn allocate_producer_ids(
    image: &MetadataImage,
    broker_id: i32,
    broker_epoch: i64,
) -> Result<(Records, ProducerIdBlock), ApiError> {
    check_broker_epoch(image, broker_id, broker_epoch)?;
    let start = image.next_producer_id();
    let next_producer_id = start.checked_add(PRODUCER_ID_BLOCK_SIZE.into()).ok_or_else(|| {
        let message =
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
        ApiError::new(ErrorCode::UnknownServerError, message)
    })?;
    let mut records = Records::new(image.metadata_version());
    records.push(&MetadataRecord::ProducerIds(ProducerIdsRecord {
        broker_id,
        broker_epoch,
        next_producer_id,
    }))?;
    Ok((
        records,
        ProducerIdBlock {
            start,
            len: PRODUCER_ID_BLOCK_SIZE,
        },
    ))
}
