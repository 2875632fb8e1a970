//! The principal of a forwarded request (Envelope), generated. The version prefix is not in it.

include!(concat!(env!("OUT_DIR"), "/principal.rs"));
