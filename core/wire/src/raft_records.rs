//! The content of the `quorum-state` file, generated. Kafka writes it as JSON; the schema gives fields and defaults.

include!(concat!(env!("OUT_DIR"), "/raft_records.rs"));
