//! One batch of one partition on its way: records being collected, then bytes that are sent, and sent again unchanged.

use std::sync::Arc;

use bytes::Bytes;
use ottla_io::Mono;
use ottla_wire::records::{
    BatchBuilder, BatchHeader, BatchOptions, BuildError, Codec, Compressor, HEADER_SIZE, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, field,
};

use super::record::Completion;
use crate::Error;

/// A producer's id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What makes a batch recognisable to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) sequence: i32,
}

/// A batch's records.
pub(crate) enum Content {
    /// Collected, not written yet.
    Records(BatchBuilder),
    /// As they go out, with the stamp they carry.
    Written(Bytes, Option<Stamp>),
}

/// A batch.
pub(crate) struct Batch {
    /// Rises with each batch of the producer, so it orders those of a partition.
    pub(crate) id: u64,
    pub(crate) content: Content,
    pub(crate) count: i32,
    pub(crate) created: Mono,
    /// Given when it is first sent, kept for each retry.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) attempts: u32,
    /// Whether an attempt may have written it although it was reported as failed.
    pub(crate) maybe_written: bool,
    /// It may have been written, and the broker does not know it (any more): it waits until those behind it tell.
    pub(crate) doubted: bool,
    /// Bytes of `buffer.memory` that it holds.
    pub(crate) reserved: usize,
    pub(crate) completion: Arc<Completion>,
    pub(crate) last_error: Option<Error>,
}

impl Batch {
    /// Size before compression, or as it goes out.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Records(builder) => builder.size_in_bytes(),
            Content::Written(bytes, _) => bytes.len(),
        }
    }

    /// Writes the batch, once; after that only a new stamp changes its bytes.
    pub(crate) fn write(
        &mut self,
        codec: Codec,
        level: i32,
        compressor: &mut Compressor,
    ) -> Result<Bytes, BuildError> {
        let content = std::mem::replace(&mut self.content, Content::Written(Bytes::new(), None));
        let bytes = match content {
            Content::Written(bytes, stamp) if stamp == self.stamp => bytes,
            Content::Written(bytes, _) => restamp(bytes, self.stamp),
            Content::Records(builder) => {
                let mut options = BatchOptions {
                    codec,
                    level,
                    ..BatchOptions::default()
                };
                if let Some(stamp) = self.stamp {
                    options.producer_id = stamp.identity.id;
                    options.producer_epoch = stamp.identity.epoch;
                    options.base_sequence = stamp.sequence;
                }
                Bytes::from(builder.finish(&options, compressor)?)
            }
        };
        self.content = Content::Written(bytes.clone(), self.stamp);
        Ok(bytes)
    }
}

/// The same batch with another stamp and the CRC that goes with it.
fn restamp(bytes: Bytes, stamp: Option<Stamp>) -> Bytes {
    let mut batch = Vec::from(bytes);
    let Some(mut header) = BatchHeader::parse(&batch) else {
        return batch.into();
    };
    header.producer_id = stamp.map_or(NO_PRODUCER_ID, |s| s.identity.id);
    header.producer_epoch = stamp.map_or(NO_PRODUCER_EPOCH, |s| s.identity.epoch);
    header.base_sequence = stamp.map_or(NO_SEQUENCE, |s| s.sequence);
    if let Some(head) = batch.get_mut(..HEADER_SIZE) {
        head.copy_from_slice(&header.to_bytes());
    }
    let crc = crc32c::crc32c(batch.get(field::ATTRIBUTES..).unwrap_or_default());
    if let Some(place) = batch.get_mut(field::CRC..field::ATTRIBUTES) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    batch.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::records::BatchRef;

    fn batch(records: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        for i in 0..records {
            builder
                .append(1_000 + i as i64, Some(b"key"), Some(&[b'v'; 100]), &[])
                .unwrap();
        }
        Batch {
            id: 1,
            content: Content::Records(builder),
            count: records as i32,
            created: Mono(0),
            stamp: None,
            attempts: 0,
            maybe_written: false,
            doubted: false,
            reserved: 0,
            completion: Completion::new("t".into(), 0),
            last_error: None,
        }
    }

    #[test]
    fn a_retry_sends_the_same_bytes_and_a_new_stamp_changes_only_the_header() {
        for codec in Codec::ALL {
            let mut batch = batch(7);
            batch.stamp = Some(Stamp {
                identity: Identity { id: 42, epoch: 1 },
                sequence: 9,
            });
            let mut compressor = Compressor::new();
            let first = batch
                .write(codec, codec.default_level(), &mut compressor)
                .unwrap();
            let again = batch
                .write(codec, codec.default_level(), &mut compressor)
                .unwrap();
            assert_eq!(first, again);
            batch.stamp = Some(Stamp {
                identity: Identity { id: 42, epoch: 2 },
                sequence: 0,
            });
            let other = batch
                .write(codec, codec.default_level(), &mut compressor)
                .unwrap();
            let (old, new) = (BatchRef::first(&first).unwrap(), BatchRef::first(&other).unwrap());
            new.verify_crc().unwrap();
            assert_eq!(old.body(), new.body());
            assert_eq!((new.header().producer_epoch, new.header().base_sequence), (2, 0));
            assert_eq!(new.header().record_count, 7);
        }
    }
}
