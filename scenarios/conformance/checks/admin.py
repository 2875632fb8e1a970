"""Java's administrative tools: topics, offsets by every kind of time, DeleteRecords, configurations."""

import json
import re
import tempfile

import records
from clients import confluent, java, kcat

TOPIC = "admin-topic"
BASE = records.TIME_BASE


def _names(bootstrap):
    return java.text("topics", bootstrap, "--list").split()


def _create(bootstrap):
    if TOPIC in confluent.admin(bootstrap).list_topics(timeout=20).topics:
        java.text("topics", bootstrap, "--delete", "--topic", TOPIC)
    out = java.text("topics", bootstrap, "--create", "--topic", TOPIC, "--partitions", "2", "--replication-factor", "1",
                    "--config", "retention.ms=-1", "--config", "segment.bytes=2097152")
    assert f"Created topic {TOPIC}" in out, out
    try:
        java.text("topics", bootstrap, "--create", "--topic", TOPIC, "--partitions", "1")
    except AssertionError as error:
        assert "already exists" in str(error), error
    else:
        raise AssertionError("a topic was created twice")


def _describe(bootstrap, partitions):
    out = java.text("topics", bootstrap, "--describe", "--topic", TOPIC)
    count = int(re.search(r"PartitionCount:\s*(\d+)", out)[1])
    assert count == partitions, f"{count} partitions, not {partitions}: {out}"
    assert "segment.bytes=2097152" in out and "retention.ms=-1" in out, out
    rows = re.findall(r"Partition:\s*(\d+)\s+Leader:\s*(\d+)\s+Replicas:\s*(\d+)\s+Isr:\s*(\d+)", out)
    assert [int(row[0]) for row in rows] == list(range(partitions)), out
    return f"{count} partitions, leader {rows[0][1]}"


def _alter(bootstrap):
    java.text("topics", bootstrap, "--alter", "--topic", TOPIC, "--partitions", "4")
    _describe(bootstrap, 4)
    try:
        java.text("topics", bootstrap, "--alter", "--topic", TOPIC, "--partitions", "3")
    except AssertionError as error:
        assert "InvalidPartitionsException" in str(error), error
        return "4 partitions, fewer are refused"
    raise AssertionError("the number of partitions was lowered")


def _configs(bootstrap):
    out = java.text("configs", bootstrap, "--describe", "--entity-type", "topics", "--entity-name", TOPIC)
    assert "segment.bytes=2097152" in out and "DYNAMIC_TOPIC_CONFIG" in out, out
    out = java.text("configs", bootstrap, "--describe", "--all", "--entity-type", "topics", "--entity-name", TOPIC)
    for name in ("cleanup.policy=delete", "compression.type=producer", "max.message.bytes=1048588",
                 "message.timestamp.type=CreateTime", "min.insync.replicas=1", "retention.bytes=-1"):
        assert name in out, f"no {name} in {out}"
    return f"{out.count('sensitive=')} settings"


def _fill(bootstrap):
    """100 records a second apart, the newest timestamp at offset 70."""
    sent = [records.Record(b"k", b"v%d" % i, timestamp=BASE + i * 1000) for i in range(100)]
    sent[70].timestamp = BASE + 1_000_000
    confluent.produce(bootstrap, TOPIC, "none", sent, **{"batch.num.messages": 10})


def _offsets(bootstrap):
    seen = {}
    cases = [("earliest", 0), ("latest", 100), ("max-timestamp", 70), (BASE + 41_500, 42), (BASE + 2_000_000, None)]
    for time, want in cases:
        seen[time] = java.offsets(bootstrap, TOPIC, time).get(0)
        assert seen[time] == want, f"--time {time}: offset {seen[time]}, not {want}"
    at = kcat.offset_for_time(bootstrap, TOPIC, BASE + 41_500)
    assert at == 42, f"kcat -Q answers {at}, not 42"
    return "earliest, latest, max-timestamp, by time, after the end"


def _delete_records(bootstrap):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"partitions": [{"topic": TOPIC, "partition": 0, "offset": 55}], "version": 1}, file)
        file.flush()
        out = java.text("delete-records", bootstrap, "--offset-json-file", file.name)
    assert re.search(r"low_watermark:\s*55", out), out
    at = java.offsets(bootstrap, TOPIC, "earliest")[0]
    assert at == 55, f"earliest offset {at}, not 55"
    got = kcat.read(bootstrap, TOPIC)
    assert [r.offset for r in got] == list(range(55, 100)), f"{len(got)} records from {got[0].offset if got else None}"
    return "earliest offset 55"


def _delete(bootstrap):
    assert TOPIC in _names(bootstrap), "kafka-topics --list does not name the topic"
    java.text("topics", bootstrap, "--delete", "--topic", TOPIC)
    assert TOPIC not in _names(bootstrap), "the topic is still listed"


def run(report, bootstrap):
    """In order: each step needs what the one before left."""
    report.step("kafka-topics --create", _create, bootstrap)
    report.step("kafka-topics --describe", _describe, bootstrap, 2)
    report.step("kafka-topics --alter --partitions", _alter, bootstrap)
    report.step("kafka-configs --describe", _configs, bootstrap)
    report.step("fill with explicit timestamps", _fill, bootstrap)
    report.step("kafka-get-offsets", _offsets, bootstrap)
    report.step("kafka-delete-records", _delete_records, bootstrap)
    report.step("kafka-topics --list, --delete", _delete, bootstrap)
