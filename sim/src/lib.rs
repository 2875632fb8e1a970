//! The trial: the I/O layer [`ottla_io`] on a deterministic executor, with worlds of nodes whose network, disks and clocks fail
//! as a seed or a plan says. Equal seeds give byte-identical traces.
//!
//! [`run`] makes a [`World`] and runs a scenario in it; a [`Plan`] is the schedule of faults as data. What is tried, the
//! workloads and the checkers come with the scenarios.

// rustdoc gets no RUSTFLAGS; what it reads was compiled with the flag all the same.
#[cfg(not(any(madsim, doc)))]
compile_error!(
    "ottla-sim needs `--cfg madsim`, which .cargo/config.toml sets: a RUSTFLAGS in the environment replaces it. \
     Unset RUSTFLAGS, or add `--cfg madsim` to it."
);

pub mod campaign;
mod clock;
pub mod disk;
mod entropy;
mod executor;
pub mod net;
pub mod plan;
pub mod scenario;
mod swarm;
mod tasks;
mod timers;
mod trace;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use disk::faults::DiskFaults;
pub use net::link::NetConfig;
pub use plan::{Fault, Plan, PlanError, Step, Survives};
pub use swarm::Swarm;
pub use trace::Fnv;
pub use world::{Host, Options, Report, World, run};

/// A panic of one task must not hide behind a poisoned lock: it is recorded, and the world runs on to its end.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
