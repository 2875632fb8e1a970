//! `ottla topic`, `produce`, `consume` and `bench` as processes, against a server process.
//!
//! `commands`: what they do; `ends`: how they end; `server`: the server.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod ends;
mod server;
