//! The program as a process: exit codes, what is printed where, and that signals stop it cleanly.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A directory that is gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Dir {
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

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ottla(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(args).env_remove("OTTLA_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    ottla(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A server on ports that the system chooses, and its ready line.
fn start(dir: &Dir) -> (Child, String) {
    let listeners = "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0";
    let mut command = ottla(&["server", "--data-dir", dir.path(), "--override", listeners]);
    let mut child = command
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

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn a_first_start_formats_and_signals_stop_it_cleanly() {
    let dir = Dir::new("start");
    for name in ["-TERM", "-INT"] {
        let (child, line) = start(&dir);
        assert!(line.starts_with("ottla is ready at 127.0.0.1:"), "{line}");
        let second = run(&["server", "--data-dir", dir.path()]);
        assert_eq!(second.status.code(), Some(1));
        assert!(
            text(&second.stderr).contains(&child.id().to_string()),
            "the holder's pid is named"
        );
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(dir.0.join(".kafka_cleanshutdown").exists());
    }
    let info = run(&["storage", "info", "--data-dir", dir.path(), "--output", "json"]);
    assert_eq!(info.status.code(), Some(0));
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["state"], "formatted");
}

#[test]
fn what_a_server_wrote_is_dumped_as_sound_and_damage_fails() {
    let dir = Dir::new("dump");
    let (child, _) = start(&dir);
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    let log = dir.0.join("__cluster_metadata-0/00000000000000000000.log");
    let checkpoint = dir.0.join("bootstrap.checkpoint");
    for file in [&log, &checkpoint] {
        let output = run(&["log", "dump", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("FeatureLevelRecord v0 { name: \"metadata.version\""));
    }
    damage(&log);
    let output = run(&["log", "dump", log.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("DAMAGED"));
    assert!(
        text(&output.stderr).contains("damage found, 1 in all"),
        "{}",
        text(&output.stderr)
    );
}

#[expect(clippy::disallowed_methods, reason = "a test on the real disk")]
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test on the real disk")]
fn a_file_needs_a_format_first_and_its_mistakes_are_named() {
    let dir = Dir::new("file");
    std::fs::create_dir_all(&dir.0).unwrap();
    let file = dir.0.join("server.properties");
    let name = file.to_str().unwrap();
    let good = format!(
        "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:9093\nlog.dirs={}/data\n",
        dir.path()
    );
    std::fs::write(&file, &good).unwrap();
    let output = run(&["server", name]);
    assert_eq!(output.status.code(), Some(1));
    let command = format!("`ottla storage format --config {name}`");
    assert!(
        text(&output.stderr).contains(&command),
        "{}",
        text(&output.stderr)
    );
    let format = ["storage", "format", "--config", name];
    assert_eq!(run(&format).status.code(), Some(0));
    assert_eq!(run(&format).status.code(), Some(1), "it is formatted already");
    assert_eq!(
        run(&[&format[..], &["--ignore-formatted"]].concat())
            .status
            .code(),
        Some(0)
    );
    std::fs::write(
        &file,
        format!("{good}num.partition=3\nauthorizer.class.name=org.example.A\n"),
    )
    .unwrap();
    let output = run(&["server", name]);
    assert_eq!(output.status.code(), Some(1));
    let place = format!("{name}:8: authorizer.class.name");
    assert!(text(&output.stderr).contains(&place), "{}", text(&output.stderr));
}

#[test]
fn version_and_ids() {
    let output = run(&["version"]);
    assert!(text(&output.stdout).contains("4.3.1") && text(&output.stdout).contains("faults: off"));
    let output = run(&["storage", "random-uuid"]);
    assert_eq!(text(&output.stdout).trim_end().len(), 22);
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(run(&["--log-level", "a=b=c", "version"]).status.code(), Some(2));
}
