//! Keys and values of `__share_group_state`, generated from `defs/share_records.def`, and their framing: an int16 that names the
//! record type in front of the key, another that names the version in front of the value.

include!(concat!(env!("OUT_DIR"), "/share_records.rs"));

crate::record_framing::coordinator_framing!(ShareRecordKey, ShareRecordValue);
