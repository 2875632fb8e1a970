//! The program as a process: exit codes, what is printed where, and that signals stop it cleanly.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use support::{Dir, ottla, run, signal, start, start_with, text};

/// Status and body of `http://address/path`.
#[expect(clippy::disallowed_methods, reason = "a test on the real network")]
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    (status, body.to_string())
}

#[test]
fn a_first_start_formats_and_signals_stop_it_cleanly() {
    let dir = Dir::new("start");
    for name in ["-TERM", "-INT"] {
        let (child, line) = start(&dir, 0);
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

/// A port that the system chose is the one that clients are told.
#[test]
fn clients_find_a_broker_on_port_zero() {
    let dir = Dir::new("port-zero");
    let (child, line) = start(&dir, 0);
    let (_, rest) = line.split_once("ready at ").unwrap();
    let address = rest.split([' ', '\n']).next().unwrap();
    let mut produce = ottla(&["produce", "t", "--bootstrap", address]);
    let mut produce = produce
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    produce.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let produced = produce.wait_with_output().unwrap();
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    let consumed = run(&["consume", "t", "--bootstrap", address, "--until-end"]);
    assert_eq!(text(&consumed.stdout), "one\ntwo\n", "{}", text(&consumed.stderr));
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn metrics_and_readiness_are_where_the_ready_line_says() {
    let dir = Dir::new("http");
    let (child, line) = start(&dir, 0);
    let (_, rest) = line.split_once("metrics at http://").unwrap();
    let (address, _) = rest.split_once("/metrics)").unwrap();
    let (status, body) = get(address, "/v1/ready");
    assert_eq!(status, 200, "{body}");
    let ready: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&ready["ready"], &ready["state"]),
        (&true.into(), &"RUNNING".into())
    );
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200);
    assert!(
        page.contains("\nkafka_server_kafkaserver_brokerstate 3\n"),
        "{page}"
    );
    assert!(
        page.contains("\nkafka_log_log_size{topic=\"__cluster_metadata\",partition=\"0\"} "),
        "{page}"
    );
    let process = page.lines().filter(|line| line.starts_with("process_")).count();
    assert_eq!(process, 6, "{page}");
    assert_eq!(
        get(address, "/v1/broker-state"),
        (200, "{\"brokerState\":3}\n".into())
    );
    assert_eq!(get(address, "/").0, 404);
    // A port that is taken is an error that names the key, not a node without metrics.
    let other = Dir::new("http-taken");
    let taken = format!("ottla.http.listeners=http://{address}");
    let listeners = "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0";
    let arguments = [
        "server",
        "--data-dir",
        other.path(),
        "--override",
        listeners,
        "--override",
        &taken,
    ];
    let second = run(&arguments);
    assert_eq!(second.status.code(), Some(1));
    let error = text(&second.stderr);
    assert!(
        error.contains(address) && error.contains("change ottla.http.listeners"),
        "{error}"
    );
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&format!("http://{address} serves /metrics and /v1/ready")));
}

#[test]
fn http_can_be_off() {
    let dir = Dir::new("http-off");
    let (child, line) = start_with(&dir, 0, &["--override", "ottla.http.listeners=off"]);
    assert!(
        line.starts_with("ottla is ready at") && !line.contains("metrics"),
        "{line}"
    );
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn what_a_server_wrote_is_dumped_as_sound_and_damage_fails() {
    let dir = Dir::new("dump");
    let (child, _) = start(&dir, 0);
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

/// A directory with damage in what was flushed: refused, checked, repaired, served.
#[test]
fn a_refused_directory_is_checked_repaired_and_served() {
    let dir = Dir::new("repair");
    let (child, line) = start(&dir, 0);
    let (_, rest) = line.split_once("ready at ").unwrap();
    let address = rest.split([' ', '\n']).next().unwrap().to_string();
    for record in ["one", "two", "three"] {
        let mut produce = ottla(&["produce", "t", "--bootstrap", &address]);
        let mut produce = produce.stdin(Stdio::piped()).spawn().unwrap();
        produce
            .stdin
            .take()
            .unwrap()
            .write_all(record.as_bytes())
            .unwrap();
        assert!(produce.wait().unwrap().success());
    }
    let in_use = run(&["log", "repair", dir.path(), "--accept-loss"]);
    assert_eq!(in_use.status.code(), Some(1));
    let pid = child.id().to_string();
    assert!(text(&in_use.stderr).contains(&pid), "{}", text(&in_use.stderr));
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(run(&["log", "check", dir.path()]).status.code(), Some(0));
    let log = dir.0.join("t-0/00000000000000000000.log");
    let batch = change(&log, |bytes| {
        let batch = bytes.len() / 3;
        // In the second batch: each is as long as its record makes it, the middle is in the second anyway.
        bytes[batch + batch / 2] ^= 0xff;
    });
    assert!(batch > 0);
    let check = run(&["log", "check", dir.path()]);
    assert_eq!(check.status.code(), Some(1));
    let told = text(&check.stdout);
    assert!(
        told.contains("t-0: damaged; offsets 0 to 3, 2 records in 2 batches"),
        "{told}"
    );
    assert!(
        told.contains("  lost: offset 1, 00000000000000000000.log bytes "),
        "{told}"
    );
    let refused = run(&["log", "repair", dir.path()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("nothing was changed"),
        "{}",
        text(&refused.stderr)
    );
    let repaired = run(&["log", "repair", dir.path(), "--accept-loss", "--output", "json"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", text(&repaired.stderr));
    let lines = text(&repaired.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let lost: Vec<_> = lines.iter().filter(|line| line["kind"] == "lost").collect();
    assert_eq!(
        (lost.len(), &lost[0]["first"], &lost[0]["next"]),
        (1, &1.into(), &2.into())
    );
    assert_eq!(run(&["log", "check", dir.path()]).status.code(), Some(0));
    let (child, line) = start(&dir, 0);
    let (_, rest) = line.split_once("ready at ").unwrap();
    let address = rest.split([' ', '\n']).next().unwrap();
    let consumed = run(&[
        "consume",
        "t",
        "--bootstrap",
        address,
        "--from",
        "beginning",
        "--until-end",
    ]);
    assert_eq!(
        text(&consumed.stdout),
        "one\nthree\n",
        "{}",
        text(&consumed.stderr)
    );
    signal(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    let kept = dir.0.join("t-0/ottla-lost-1");
    assert!(kept.join("account.txt").exists(), "{kept:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test on the real disk")]
fn change(file: &Path, change: impl Fn(&mut Vec<u8>)) -> usize {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, &bytes).unwrap();
    bytes.len()
}
