//! How the commands end: pipes that close, signals, errors, brokers that are away, and back-pressure.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::server::{Server, failure};
use crate::support::{run, signal, text};

#[test]
fn a_pipe_that_nobody_reads_any_more_is_no_error() {
    let server = Server::new("pipe");
    let lines: String = (0..100_000).map(|i| format!("{i}\n")).collect();
    server.produce(&["t"], &lines);
    let mut child = server.command(&["consume", "t"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "0\n");
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn signals_end_both_directions_in_an_orderly_way() {
    let server = Server::new("signals");
    server.ok(&["topic", "create", "t"]);
    let mut reader = server.command(&["consume", "t"]).spawn().unwrap();
    // The record waits for its batch; the signal has to send it.
    let mut writer = server
        .command(&["produce", "t", "--linger", "20s"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(b"first\nrest of a li").unwrap();
    wait_until(|| read_bytes(&writer) >= 17);
    signal(&writer, "-INT");
    let (output, took) = timed(|| writer.wait_with_output().unwrap());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stderr),
        "ottla: 1 record (5 bytes) to `t`: partition 0 offset 0\n"
    );
    let mut line = String::new();
    BufReader::new(reader.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "first\n");
    signal(&reader, "-INT");
    let output = reader.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(text(&output.stderr), "ottla: 1 record (5 bytes) read of `t`\n");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test of how long another process takes"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = std::time::Instant::now();
    (work(), begun.elapsed())
}

/// What a process has read so far, the start of the program apart.
fn read_bytes(child: &Child) -> u64 {
    let open = std::fs::read_link(format!("/proc/{}/fd/0", child.id())).unwrap();
    let info = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    assert!(open.to_string_lossy().starts_with("pipe:"), "{open:?}");
    let rchar = info.lines().find_map(|line| line.strip_prefix("rchar: "));
    rchar.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for another process")]
fn wait_until(mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            // What was read has also to be looked at.
            return std::thread::sleep(Duration::from_millis(300));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to pass in 10 s");
}

#[test]
fn errors_name_the_record_and_what_to_do_next() {
    let server = Server::new("errors");
    server.ok(&["topic", "create", "t"]);
    let output = server.feed(&["produce", "t", "-K", ":"], b"a:1\nb:2\nc\nd:4\n");
    let error = failure(&output);
    assert!(
        error.contains("2 records (4 bytes) to `t`, 1 failed: partition 0 offsets 0..1"),
        "{error}"
    );
    assert!(error.contains("line 3: it has no key separator `:`"), "{error}");
    let output = server.feed(&["produce", "t", "--partition", "9"], b"x\n");
    assert!(failure(&output).contains("line 1: there is no partition t-9"));
    let long = vec![b'x'; 2 << 20];
    let output = server.feed(&["produce", "t"], &long[..(1 << 20) + 50]);
    assert!(
        failure(&output).contains("--max-request-size"),
        "{}",
        text(&output.stderr)
    );
    let output = server.feed(&["produce", "t", "--max-request-size", "3M"], &long);
    let error = failure(&output);
    assert!(
        error.contains("line 1: ") && error.contains("max.message.bytes"),
        "the broker's own limit: {error}"
    );
    let output = server.run(&["consume", "nope"]);
    let error = failure(&output);
    assert!(
        error.contains("`nope`") && error.contains("ottla topic list"),
        "{error}"
    );
    assert_eq!(server.ok(&["topic", "list"]), "t\n", "reading makes no topic");
}

#[test]
fn a_broker_that_is_away_is_told_in_time() {
    let commands: [&[&str]; 4] = [
        &["topic", "list"],
        &["consume", "t"],
        &["produce", "t"],
        &["bench", "produce", "t"],
    ];
    for command in commands {
        // Port 1 refuses.
        let away = ["--bootstrap-server", "127.0.0.1:1", "--timeout", "1s"];
        let (output, took) = timed(|| run(&[command, &away].concat()));
        assert!(took < Duration::from_secs(10), "{took:?}");
        let error = failure(&output);
        assert!(
            error.contains("127.0.0.1:1") && error.contains("ottla server") && error.contains("--bootstrap"),
            "{error}"
        );
    }
    let output = run(&["topic", "list", "--bootstrap", "nowhere"]);
    assert!(failure(&output).contains("`nowhere` has no port"));
}

#[test]
fn a_broker_that_dies_fails_the_records_it_did_not_take() {
    let mut server = Server::new("dies");
    server.ok(&["topic", "create", "t"]);
    let options = ["produce", "t", "--timeout", "2s", "--delivery-timeout", "2s"];
    let mut child = server.command(&options).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    wait_until(|| server.ok(&["consume", "t", "-e"]) == "one\n");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    input.write_all(b"two\nthree\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let error = failure(&output);
    assert!(error.contains("1 record (3 bytes) to `t`, 2 failed"), "{error}");
    assert!(
        error.contains("2 records between lines 2 and 3: ") && error.contains("delivery.timeout.ms"),
        "{error}"
    );
}

#[test]
fn stdin_is_read_no_faster_than_the_broker_takes_it() {
    let server = Server::new("pressure");
    server.ok(&["topic", "create", "t"]);
    let line = "x".repeat(1_000);
    let mut yes = std::process::Command::new("yes")
        .arg(&line)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut command = server.command(&["produce", "t"]);
    let mut child = command.stdin(yes.stdout.take().unwrap()).spawn().unwrap();
    // More than any buffer holds, so that it runs.
    wait_until(|| read_bytes(&child) > 50 << 20);
    signal(&server.child, "-STOP");
    let stopped = read_bytes(&child);
    let mut standing = stopped;
    for _ in 0..20 {
        wait_until(|| true);
        wait_until(|| true);
        let now = read_bytes(&child);
        if std::mem::replace(&mut standing, now) == now {
            break;
        }
    }
    wait_until(|| true);
    assert_eq!(read_bytes(&child), standing, "it stands still");
    let more = standing - stopped;
    signal(&server.child, "-CONT");
    wait_until(|| read_bytes(&child) > standing + (10 << 20));
    yes.kill().unwrap();
    yes.wait().unwrap();
    let peak = peak_memory(&child);
    let status = child.wait().unwrap();
    assert!(status.success());
    assert!(
        more < 50 << 20,
        "{more} bytes were read while nothing could be sent"
    );
    assert!(peak < 200 << 10, "{peak} KiB of memory at most");
}

fn peak_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
