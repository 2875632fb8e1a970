//! Layer 6: the real I/O on tokio and Linux. Sockets, files, clocks, randomness, threads and signals; every `unsafe` and every
//! ambient effect of the project lives here. Nothing here knows Kafka.
//!
//! [`Runtime`] is the threads; [`env()`] is what a node gets. What is promised stands with the traits in `ottla_io`, and its
//! property suites run against this crate in `tests/`.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is the door that the ban points to"
)]

#[cfg(not(target_os = "linux"))]
compile_error!("the real I/O is written for Linux: preadv2, sendfile, fcntl locks, statvfs");

mod calls;
mod clock;
mod disk;
mod entropy;
mod error;
mod file;
mod limits;
mod lock;
mod net;
mod process;
mod runtime;
mod sendfile;
mod signals;
mod stream;
mod tasks;

pub use limits::raise_open_files;
pub use net::SocketOptions;
pub use runtime::{Runtime, RuntimeOptions, env};
pub use signals::{Signal, Signals};
