//! A server process and commands that talk to it.

use std::io::Write;
use std::process::{Child, Output, Stdio};

use crate::support::{Dir, ottla, start, text};

/// A server, stopped with the value.
pub struct Server {
    pub child: Child,
    address: String,
    _dir: Dir,
}

#[expect(clippy::disallowed_methods, reason = "a test of a real process")]
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    pub fn new(test: &str) -> Server {
        let dir = Dir::new(test);
        // The broker has to know its port, so that it can tell it to clients.
        let port = free_port();
        let (child, line) = start(&dir, port);
        let address = format!("127.0.0.1:{port}");
        assert!(
            line.starts_with(&format!("ottla is ready at {address} ")),
            "{line}"
        );
        Server {
            child,
            address,
            _dir: dir,
        }
    }

    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = ottla(args);
        command.args(["--bootstrap", &self.address]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Stdout of a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        success(self.run(args))
    }

    pub fn feed(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn produce(&self, args: &[&str], input: &str) -> String {
        success(self.feed(&[&["produce"], args].concat(), input.as_bytes()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn success(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

pub fn failure(output: &Output) -> &str {
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stderr)
}
