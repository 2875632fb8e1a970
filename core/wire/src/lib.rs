//! Layer 1: Kafka's wire protocol, pure. Framing, headers, the advertised table, messages and records generated from Kafka
//! 4.3.1's schemas, record batches in place.
//!
//! Decoding borrows from the frame, is bounded by it, and never panics. What is not here: sockets and correlation
//! (`ottla-rpc`), what a request means (`ottla-node` and the machines).

pub mod advertised;
pub mod api_key;
pub mod codec;
pub mod consumer_protocol;
pub mod control_records;
pub mod framing;
pub mod group_records;
pub mod header;
mod message;
pub mod messages;
pub mod metadata_records;
pub mod principal;
pub mod raft_records;
mod record_framing;
pub mod records;
pub mod share_records;
pub mod storage_records;
#[cfg(feature = "testgen")]
pub mod testgen;
pub mod txn_records;

pub use api_key::ApiKey;
pub use codec::{DecodeError, DecodeErrorKind, EncodeError, Reader};
pub use message::{EncodeAround, Message, Request};
