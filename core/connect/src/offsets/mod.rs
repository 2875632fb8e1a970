//! Offsets of sources: how they are kept ([`OffsetStore`]), read ([`OffsetReader`]) and when they may be committed ([`Ledger`]).
//!
//! `store`: the traits and keys; `file`: the worker's file; `java`: that file's format; `ledger`: what was sent and acknowledged.

mod file;
pub mod java;
mod ledger;
mod store;

pub use file::FileOffsetStore;
pub(crate) use file::directory;
pub use ledger::{Ledger, Sent};
pub use store::{OffsetKey, OffsetReader, OffsetStore, offset_json, partition_key};
