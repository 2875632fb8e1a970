//! What only a second process can show: the lock excludes others and names its holder, and signals end a process in order.
//! Runs itself again with a role as its argument.
#![allow(
    clippy::disallowed_methods,
    reason = "tests of the crate that holds the real effects"
)]
#![allow(unsafe_code, reason = "kill(2)")]

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use ottla_io::{Env, NoObserver, OpenOptions};
use ottla_os::{Runtime, RuntimeOptions, Signal, Signals, SocketOptions, env};

fn world() -> (Runtime, Env) {
    let runtime = Runtime::new(RuntimeOptions {
        workers: 1,
        blocking: 2,
    })
    .unwrap();
    let env = env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    (runtime, env)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("hold-lock") => hold_lock(Path::new(&args[2])),
        Some("wait-for-signals") => wait_for_signals(),
        // Whatever the test runner passes (filters, flags): everything is tried, it takes a moment.
        _ => {
            the_lock_excludes_other_processes();
            signals_end_in_order();
            println!("test result: ok. 2 passed");
        }
    }
}

/// Tries the lock, tells how it went, and keeps it until killed.
fn hold_lock(path: &Path) {
    let (runtime, env) = world();
    match runtime.block_on(env.disk.lock(path)) {
        Ok(_lock) => {
            println!("locked");
            loop {
                std::thread::park();
            }
        }
        Err(e) => println!("{:?} {e}", e.kind()),
    }
}

/// Tells the first signal; the second must end the process while it hangs.
fn wait_for_signals() {
    let (runtime, _) = world();
    let signals = Signals::new(&runtime).unwrap();
    println!("waiting");
    let first = runtime.block_on(signals);
    println!("{first:?}");
    loop {
        std::thread::park();
    }
}

/// This program again, in a role, with its output.
struct Other {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Other {
    fn new(args: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Other { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to our own child, which has not been waited for.
        let done = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(done, 0);
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn the_lock_excludes_other_processes() {
    let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lock-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let (runtime, env) = world();
    let lock = || runtime.block_on(env.disk.lock(&path));
    let us = format!("held by process {}", std::process::id());

    let held = lock().unwrap();
    let refused = Other::new(&["hold-lock", name]).line();
    assert!(
        refused.starts_with("WouldBlock") && refused.contains(&us) && refused.contains(name),
        "{refused}"
    );
    // Neither another handle of the file nor a refused second lock drops ours.
    drop(runtime.block_on(env.disk.open(&path, OpenOptions::Read)).unwrap());
    assert!(lock().is_err());
    let refused = Other::new(&["hold-lock", name]).line();
    assert!(
        refused.contains(&us),
        "after another handle was closed: {refused}"
    );
    drop(held);

    let mut other = Other::new(&["hold-lock", name]);
    assert_eq!(other.line(), "locked");
    let e = lock().map(drop).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WouldBlock);
    assert!(
        e.to_string()
            .contains(&format!("held by process {}", other.child.id())),
        "{e}"
    );
    drop(other);
    drop(lock().unwrap());
    std::fs::remove_file(&path).unwrap();
}

fn signals_end_in_order() {
    for (signal, name, code) in [
        (libc::SIGTERM, "Terminate", Signal::Terminate.exit_code()),
        (libc::SIGINT, "Interrupt", Signal::Interrupt.exit_code()),
    ] {
        let mut other = Other::new(&["wait-for-signals"]);
        assert_eq!(other.line(), "waiting");
        other.signal(signal);
        assert_eq!(other.line(), name);
        assert!(
            other.child.try_wait().unwrap().is_none(),
            "the first signal leaves the end to the process"
        );
        other.signal(signal);
        assert_eq!(other.child.wait().unwrap().code(), Some(code));
    }
}
