//! What the commands do: topics, records there and back, places to begin, a bench.

use crate::server::{Server, failure, success};
use crate::support::text;
use serde_json::{Value, json};

fn objects(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_topic_from_its_making_to_its_end() {
    let server = Server::new("topic");
    let made = server.ok(&[
        "topic",
        "create",
        "orders",
        "users",
        "-p",
        "2",
        "--config",
        "retention.ms=60000",
        "--output",
        "json",
    ]);
    let made = objects(&made);
    assert_eq!(
        (&made[0]["topic"], &made[1]["topic"]),
        (&json!("orders"), &json!("users"))
    );
    assert_eq!(
        (&made[0]["created"], &made[0]["partitions"]),
        (&json!(true), &json!(2))
    );

    let again = server.run(&["topic", "create", "orders"]);
    assert!(
        failure(&again).contains("--if-not-exists"),
        "{}",
        text(&again.stderr)
    );
    server.ok(&["topic", "create", "orders", "--if-not-exists"]);
    let bad = server.run(&["topic", "create", "a b", "--config", "retention.ms=60000"]);
    assert!(failure(&bad).contains("a-z A-Z 0-9"), "{}", text(&bad.stderr));
    let bad = server.run(&["topic", "create", "c", "--config", "retention.sm=60000"]);
    assert!(failure(&bad).contains("retention.sm"), "{}", text(&bad.stderr));
    assert_eq!(server.ok(&["topic", "list"]), "orders\nusers\n");

    server.produce(&["orders", "-p", "1", "-q"], "a\nb\n");
    let described = server.ok(&["topic", "describe", "orders"]);
    assert!(
        described.contains("2 partitions, replication factor 1"),
        "{described}"
    );
    assert!(described.contains("retention.ms=60000 (topic)"), "{described}");
    let described = &objects(&server.ok(&["topic", "describe", "orders", "--output", "json"]))[0];
    assert_eq!(described["id"], made[0]["id"]);
    assert_eq!(described["partitions"][1]["end_offset"], 2);
    // The topic's own, and what every cluster of 4.1 and later begins with (KIP-966).
    let set: Vec<&str> = described["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|config| config["name"].as_str().unwrap())
        .collect();
    assert_eq!(set, ["min.insync.replicas", "retention.ms"], "{described}");
    let all = &objects(&server.ok(&["topic", "describe", "orders", "--all-configs", "--output", "json"]))[0];
    assert!(all["configs"].as_array().unwrap().len() > 20, "{all}");
    assert_eq!(
        objects(&server.ok(&["topic", "describe", "--output", "json"])).len(),
        2
    );

    assert_eq!(
        server.ok(&["topic", "alter", "orders", "--partitions", "5"]),
        "topic `orders` has 5 partitions\n"
    );
    let fewer = server.run(&["topic", "alter", "orders", "--partitions", "3"]);
    assert!(
        failure(&fewer).contains("INVALID_PARTITIONS"),
        "{}",
        text(&fewer.stderr)
    );
    let nothing = server.run(&["topic", "alter", "orders"]);
    assert_eq!(nothing.status.code(), Some(2));

    let deleted = server.run(&["topic", "delete", "orders", "nope"]);
    assert!(failure(&deleted).contains("`nope`"), "{}", text(&deleted.stderr));
    assert_eq!(text(&deleted.stdout), "deleted topic `orders`\n");
    server.ok(&["topic", "delete", "orders", "--if-exists"]);
    assert_eq!(server.ok(&["topic", "list"]), "users\n");
}

/// Whether the broker serves the change or not, the user is told what became of it.
#[test]
fn a_configuration_is_altered_or_it_is_said_what_to_do() {
    let server = Server::new("configs");
    server.ok(&["topic", "create", "t"]);
    let altered = server.run(&["topic", "alter", "t", "--config", "retention.ms=7000"]);
    if altered.status.success() {
        let described = server.ok(&["topic", "describe", "t"]);
        assert!(described.contains("retention.ms=7000"), "{described}");
    } else {
        let error = failure(&altered);
        assert!(
            error.contains("IncrementalAlterConfigs") && error.contains("topic create NAME --config"),
            "{error}"
        );
    }
}

#[test]
fn records_come_back_as_they_were_sent() {
    let server = Server::new("json");
    server.ok(&[
        "topic",
        "create",
        "t",
        "copy",
        "-p",
        "3",
        "--config",
        "retention.ms=-1",
    ]);
    let sent = [
        json!({"partition": 0, "key": "k", "value": "v", "headers": [{"key": "a", "value": "1"}, {"key": "a", "value": null}], "timestamp": 1_600_000_000_000i64}),
        json!({"partition": 0, "key": null, "value": "", "headers": [], "timestamp": 0}),
        json!({"partition": 0, "key": "", "value": null, "headers": [{"key": "b", "value": {"base64": "/wA="}}], "timestamp": 5}),
        json!({"partition": 0, "key": {"base64": "AP8="}, "value": {"base64": "gIA="}, "headers": [], "timestamp": 1_700_000_000_123i64}),
        json!({"partition": 2, "key": "é\n\"", "value": "line 1\nline 2\u{0}", "headers": [], "timestamp": 7}),
    ];
    let lines: String = sent.iter().map(|record| format!("{record}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let places = server.produce(
            &["t", "--format", "json", "-z", codec, "--output", "json", "-q"],
            &lines,
        );
        assert_eq!(objects(&places).len(), sent.len());
    }
    let read = server.ok(&["consume", "t", "--until-end", "--output", "json"]);
    let read = objects(&read);
    assert_eq!(read.len(), 5 * sent.len());
    for partition in [0, 2] {
        let of = |records: &[Value]| -> Vec<Value> {
            records
                .iter()
                .filter(|r| r["partition"] == partition)
                .cloned()
                .collect()
        };
        let expected = of(&sent);
        for (i, record) in of(&read).iter().enumerate() {
            assert_eq!(record["offset"], i);
            for (field, value) in expected[i % expected.len()].as_object().unwrap() {
                assert_eq!(record[field], *value, "{field} of {record}");
            }
        }
    }
    // What one prints the other takes.
    let all = server.ok(&["consume", "t", "-e", "--format", "json"]);
    server.produce(&["copy", "--format", "json"], &all);
    let mut copied = objects(&server.ok(&["consume", "copy", "-e", "--format", "json"]));
    let mut all = objects(&all);
    for records in [&mut copied, &mut all] {
        records.iter_mut().for_each(|r| r["topic"] = Value::Null);
        records.sort_by_key(|r| (r["partition"].as_i64(), r["offset"].as_i64()));
    }
    assert_eq!(copied, all);
}

#[test]
fn lines_with_keys_headers_and_nulls() {
    let server = Server::new("lines");
    server.ok(&["topic", "create", "t"]);
    let options = [
        "t",
        "-K",
        "\\t",
        "-H",
        "a=1",
        "-H",
        "b",
        "--null-marker",
        "~",
        "--timestamp",
        "2026-11-24T00:00:00Z",
    ];
    let output = server.feed(&[&["produce"], &options[..]].concat(), b"k1\tv\tw\n~\t\nk3\t~");
    assert_eq!(
        text(&output.stderr),
        "ottla: 3 records (7 bytes) to `t`: partition 0 offsets 0..2\n"
    );
    let shown = server.ok(&[
        "consume",
        "t",
        "-e",
        "-f",
        r"%t/%p/%o %d [%h] %k(%K)=%v(%V)\n",
        "--null-marker",
        "-",
    ]);
    let expected = "\
t/0/0 2026-11-24T00:00:00.000Z [a=1,b=-] k1(2)=v\tw(3)
t/0/1 2026-11-24T00:00:00.000Z [a=1,b=-] -(-1)=(0)
t/0/2 2026-11-24T00:00:00.000Z [a=1,b=-] k3(2)=-(-1)
";
    assert_eq!(shown, expected);
    assert_eq!(server.ok(&["consume", "t", "-e"]), "v\tw\n\n\n");
    assert_eq!(
        server.ok(&["consume", "t", "-e", "-K", ": "]),
        "k1: v\tw\n: \nk3: \n"
    );
    server.produce(&["t", "--key", "fixed"], "x");
    assert_eq!(
        server.ok(&["consume", "t", "--from", "-1", "-e", "-K", "="]),
        "fixed=x\n"
    );
}

#[test]
fn reading_begins_where_it_is_told() {
    let server = Server::new("from");
    server.ok(&["topic", "create", "t", "--config", "retention.ms=-1"]);
    let lines: String = (0..10)
        .map(|i| format!("{}\n", json!({"value": i.to_string(), "timestamp": 1_000 * i})))
        .collect();
    server.produce(&["t", "--format", "json"], &lines);
    for (from, expected) in [
        ("beginning", "0123456789"),
        ("0", "0123456789"),
        ("7", "789"),
        ("-2", "89"),
        ("-99", "0123456789"),
        ("-0", ""),
        ("end", ""),
        ("42", ""),
        ("@6000", "6789"),
        ("@5500", "6789"),
        ("@1970-01-01T00:00:08Z", "89"),
        ("@2030-01-01", ""),
        ("@-1h", ""),
    ] {
        let read = server.ok(&["consume", "t", "--from", from, "--until-end", "-f", "%v"]);
        assert_eq!(read, expected, "{from}");
    }
    assert_eq!(server.ok(&["consume", "t", "--count", "3", "-f", "%v"]), "012");
    assert_eq!(server.ok(&["consume", "t", "--count", "0"]), "");
    assert_eq!(
        server.run(&["consume", "t", "--from", "yesterday"]).status.code(),
        Some(2)
    );
    let nowhere = server.run(&["consume", "t", "--partition", "0,4"]);
    assert!(
        failure(&nowhere).contains("no partition 4"),
        "{}",
        text(&nowhere.stderr)
    );
    // An offset that comes later is waited for; what comes before it is not shown.
    let later = server
        .command(&["consume", "t", "--from", "12", "--count", "1"])
        .spawn()
        .unwrap();
    server.produce(&["t"], "ten\neleven\ntwelve\n");
    assert_eq!(success(later.wait_with_output().unwrap()), "twelve\n");
}

#[test]
fn a_bench_counts_what_it_did() {
    let server = Server::new("bench");
    let options = [
        "bench", "produce", "b", "--count", "5000", "-p", "2", "-z", "lz4", "--output", "json",
    ];
    let sent = &objects(&server.ok(&options))[0];
    assert_eq!(
        (&sent["records"], &sent["bytes"], &sent["failed"]),
        (&json!(5000), &json!(5_120_000), &json!(0))
    );
    assert!(sent["latency_ms"]["p99.9"].as_f64().unwrap() >= sent["latency_ms"]["p50"].as_f64().unwrap());
    let options = ["bench", "consume", "b", "--until-end", "--output", "json"];
    let read = &objects(&server.ok(&options))[0];
    assert_eq!(
        (&read["records"], &read["bytes"]),
        (&json!(5000), &json!(5_120_000))
    );
    let slow = [
        "bench",
        "produce",
        "b",
        "--rate",
        "200",
        "--duration",
        "1s",
        "--output",
        "json",
    ];
    let slow = &objects(&server.ok(&slow))[0];
    let records = slow["records"].as_u64().unwrap();
    assert!((150..=200).contains(&records), "{slow}");
    let text = server.ok(&["bench", "consume", "b", "--until-end"]);
    assert!(
        text.starts_with(&format!("{} records (", 5000 + records)),
        "{text}"
    );
}
