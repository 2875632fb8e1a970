//! Requests and responses, generated from `defs/rpc`: one module each, which also holds the nested structures.

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
