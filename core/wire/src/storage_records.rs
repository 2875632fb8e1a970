//! Records of the storage layer, generated from `defs/storage_records.def`: the body of a producer snapshot file, and
//! remote log metadata (KIP-405) with its framing.

include!(concat!(env!("OUT_DIR"), "/storage_records.rs"));

crate::record_framing::metadata_framing!(RemoteLogMetadataRecord);
