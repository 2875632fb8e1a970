//! Valid batches to build segments from.

use ottla_wire::records::{BatchHeader, EndTxnMarker, HEADER_SIZE};

/// A batch of `records` records with a body of `body` bytes that nobody reads. `producer` is id, epoch, base sequence and whether
/// the batch is transactional.
pub fn data_batch(
    records: i32,
    body: usize,
    timestamp: i64,
    producer: Option<(i64, i16, i32, bool)>,
) -> Vec<u8> {
    let (producer_id, producer_epoch, base_sequence, transactional) = producer.unwrap_or((-1, -1, -1, false));
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: (HEADER_SIZE - 12 + body) as i32,
        partition_leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: Default::default(),
        last_offset_delta: records - 1,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count: records,
    };
    if transactional {
        header.attributes.0 |= 0x10;
    }
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend((0..body).map(|i| (i as i64 ^ timestamp) as u8));
    header.crc = crc32c::crc32c(&bytes[21..]);
    bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
    bytes
}

/// A marker's batch.
pub fn marker_batch(producer_id: i64, producer_epoch: i16, committed: bool, timestamp: i64) -> Vec<u8> {
    let marker = EndTxnMarker {
        committed,
        coordinator_epoch: 3,
    };
    marker
        .to_batch(timestamp, producer_id, producer_epoch, 0, 0)
        .expect("a marker")
}
