//! tmp
pub mod assign;
pub mod protocol;
