//! A server's connections against scripted peers, purely over the `ottla_io` traits.

mod connection;
mod memory;
mod support;
