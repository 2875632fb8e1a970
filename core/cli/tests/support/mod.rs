//! The program as a process of a test, and a directory for it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A directory that is gone with the value.
pub struct Dir(pub PathBuf);

impl Dir {
    /// For the test of this name.
    pub fn new(test: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("ottla-process-{test}-{}", std::process::id()));
        let dir = Dir(path);
        dir.remove();
        dir
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test on the real disk, which tidies up"
    )]
    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A command of the program.
pub fn ottla(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(args).env_remove("OTTLA_LOG").stdin(Stdio::null());
    command
}

/// Runs the program to its end, without input.
pub fn run(args: &[&str]) -> Output {
    ottla(args).output().unwrap()
}

/// Output as text.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A server on this port, or one that the system chooses (0), and its ready line.
pub fn start(dir: &Dir, port: u16) -> (Child, String) {
    start_with(dir, port, &[])
}

/// The same with more arguments.
pub fn start_with(dir: &Dir, port: u16, more: &[&str]) -> (Child, String) {
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0");
    let mut command = ottla(&["server", "--data-dir", dir.path(), "--override", &listeners]);
    let mut child = command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line)
}

/// Sends a signal.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}
