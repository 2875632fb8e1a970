//! The property suites of `ottla_io` against the real world, on a pool of workers and on one thread, over several seeds.
#![allow(
    clippy::disallowed_methods,
    reason = "tests of the crate that holds the real effects"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ottla_io::{Env, NoObserver, Rng, suite};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions, env};

const SEEDS: u64 = 4;

/// A directory that goes away with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(base: &Path, name: &str) -> Self {
        let path = base.join(format!("ottla-os-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `trial` for each kind of runtime and seed.
fn each(name: &str, trial: impl AsyncFn(&Env, &mut Rng)) {
    for workers in [0, 2] {
        let runtime = Runtime::new(RuntimeOptions { workers, blocking: 4 }).unwrap();
        let env = env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
        for seed in 0..SEEDS {
            println!("{name}: {workers} workers, seed {seed}");
            runtime.block_on(trial(&env, &mut Rng::from_number(seed, name)));
        }
        runtime.shutdown(Duration::from_secs(5));
    }
}

#[test]
fn clock() {
    each("clock", suite::clock::all);
}

#[test]
fn entropy() {
    each("entropy", suite::entropy::all);
}

#[test]
fn tasks() {
    each("tasks", suite::tasks::all);
}

#[test]
fn disk() {
    let folder = Folder::new(&std::env::temp_dir(), "disk");
    each("disk", async |env, rng| {
        suite::disk::all(&*env.disk, &folder.0, rng).await
    });
}

/// Where memory can't say whether a read would wait, reads happen inline.
#[test]
fn disk_in_memory() {
    let base = Path::new("/dev/shm");
    let folder = if base.is_dir() {
        Folder::new(base, "memory")
    } else {
        Folder::new(&std::env::temp_dir(), "memory")
    };
    each("memory", async |env, rng| {
        suite::disk::all(&*env.disk, &folder.0, rng).await
    });
}

#[test]
fn net() {
    let folder = Folder::new(&std::env::temp_dir(), "net");
    each("net", async |env, rng| {
        suite::net::all(env, "127.0.0.1", &folder.0, rng).await
    });
}

/// A name instead of an address, and small buffers, which make writes short and readers wait.
#[test]
fn net_by_name_with_small_buffers() {
    let folder = Folder::new(&std::env::temp_dir(), "small");
    let runtime = Runtime::new(RuntimeOptions {
        workers: 2,
        blocking: 4,
    })
    .unwrap();
    let options = SocketOptions {
        send_buffer: Some(4096),
        receive_buffer: Some(4096),
        backlog: 16,
    };
    let env = env(&runtime, options, Arc::new(NoObserver));
    runtime.block_on(suite::net::all(
        &env,
        "localhost",
        &folder.0,
        &mut Rng::from_number(1, "small"),
    ));
}
