//! What consumers exchange inside JoinGroup and SyncGroup (the embedded consumer protocol), generated. The version prefix is not in it.

include!(concat!(env!("OUT_DIR"), "/consumer_protocol.rs"));
