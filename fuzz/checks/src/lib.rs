//! What must hold for any bytes at all: one function for each fuzz target, from input to panic. libFuzzer calls them
//! (`fuzz/targets`), proptest calls them (`tests/twins.rs`), and the committed corpus goes through them in the usual test run
//! (`tests/corpus.rs`).
//!
//! The input's format is ours ([`input::Input`]), so that a corpus outlives an upgrade of anything.

pub mod batches;
pub mod connect;
pub mod env;
pub mod frames;
pub mod group_records;
pub mod input;
pub mod log_dir;
pub mod properties;
pub mod record_batches;
pub mod requests;
pub mod seeds;
pub mod segment;

/// A target: its name, as in `fuzz/targets` and `fuzz/corpus`, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("log_recovery", log_recovery),
    ("requests", requests::check),
    ("record_batches", record_batches::check),
    ("frames", frames::check),
    ("properties", properties::check),
    ("connect", connect::check),
    ("group_records", group_records::check),
];

/// A damaged segment through `ottla_log`'s scan if the first byte is even, a damaged log directory through `ottla_store` if it is
/// odd.
pub fn log_recovery(data: &[u8]) {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => segment::check(rest),
        Some((_, rest)) => log_dir::check(rest),
        None => {}
    }
}
