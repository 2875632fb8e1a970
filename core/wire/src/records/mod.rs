//! Record batches, format version 2: read and validated in place, built, compressed and decompressed.
//!
//! - `header`: the 61 bytes in front, and the fields a broker patches in place;
//! - `batch`, `record`: iterating over batches and uncompressed records without copying;
//! - `codec`, `stream`: the compression formats, and records out of a compressed body, bounded;
//! - `validate`: what must hold before a batch may enter a log;
//! - `builder`, `control`: making batches.
//!
//! Not here: the older formats 0 and 1 (Kafka 4 has dropped them too), framing of requests, and anything
//! that knows more than one batch: offsets, producer state and indexes are the log's.

mod batch;
mod builder;
mod codec;
mod control;
mod error;
mod header;
mod record;
mod stream;
mod validate;
mod varint;

#[cfg(test)]
mod tests;

pub use batch::{BatchRef, Batches, Records};
pub use builder::{BatchBuilder, BatchOptions, BuildError};
pub use codec::{Codec, Compressor, Decompressor, Limits};
pub use control::{ControlType, EndTxnMarker, control_batch};
pub use error::{BatchError, CodecError, RecordError};
pub use header::{
    Attributes, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC_V2, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, add_sequence, field, patch,
};
pub use record::{Header, Headers, RecordRef};
pub use stream::RecordStream;
pub use validate::{BatchSummary, ErrorKind, InvalidBatch, Origin, Rules, validate_for_append};
