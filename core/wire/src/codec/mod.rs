//! The primitive encodings of Kafka's protocol, under everything generated: integers, varints, strings, bytes, arrays,
//! tagged fields (KIP-482). Reading borrows from the frame and is bounded; writing appends to a `Vec<u8>`.
//!
//! What is not here: messages and records (generated), record batches (`records`), connections (`ottla-rpc`).

mod error;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use crate::message::{check_decode, check_encode};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use reader::{ALLOCATION_FACTOR, ALLOCATION_FLOOR, Reader};
pub(crate) use writer::Holes;
pub use writer::*;
