//! Keys and values of `__transaction_state`, generated from `defs/txn_records.def`, and their framing: an int16 that names the
//! record type in front of the key, another that names the version in front of the value.

include!(concat!(env!("OUT_DIR"), "/txn_records.rs"));

crate::record_framing::coordinator_framing!(TxnRecordKey, TxnRecordValue<'_>);
