//! Records of `__cluster_metadata`, generated from `defs/metadata_records.def`, and their framing (KIP-631).

include!(concat!(env!("OUT_DIR"), "/metadata_records.rs"));

crate::record_framing::metadata_framing!(MetadataRecord);
