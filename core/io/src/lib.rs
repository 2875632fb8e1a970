//! Layer 0: the abstract I/O layer. Every effect of Ottla goes through one [`Env`] value, handed down from `main` (`core/os`) or
//! from a trial (`sim`): clocks, network, disk, randomness, tasks and the stream of domain events.
//!
//! The traits are object-safe and say what their implementations owe, durability included; `suite` holds the
//! properties that every implementation must pass. [`mem`] is a disk without a runtime, for tests, models and fuzzing.

mod clock;
mod disk;
mod entropy;
mod env;
pub mod mem;
mod net;
mod op;
#[cfg(feature = "suite")]
pub mod suite;
mod tasks;

pub use clock::{Clock, Mono, Sleep, timeout_at};
pub use disk::{
    Disk, Entry, EntryKind, File, FileId, Lock, OpenOptions, ReadResult, WriteResult, read_exact_at,
    write_all_at,
};
pub use entropy::{Entropy, Rng};
pub use env::{Env, NoObserver, Observer};
pub use net::{Listener, Net, Stream};
pub use op::Op;
pub use tasks::{BoxFuture, Outcome, ProcessStats, Task, TaskHandle, Tasks, run_blocking};
