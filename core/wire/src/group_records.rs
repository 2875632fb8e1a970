//! Keys and values of `__consumer_offsets`, generated from `defs/group_records.def`, and their framing: an int16 that names the
//! record type in front of the key, another that names the version in front of the value.

include!(concat!(env!("OUT_DIR"), "/group_records.rs"));

crate::record_framing::coordinator_framing!(GroupRecordKey, GroupRecordValue<'_>);
