"""Kafka's tools around groups: `kafka-consumer-groups` in all its forms, the verifiable producer, the consumer's performance test."""

import json
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from clients import confluent, java

TOPIC = "grouptools"
PARTITIONS = 2
RECORDS = 100
"""In each partition, at timestamps that ascend by a second."""
START = int(time.time() - 7200) * 1000
"""Young enough for retention to leave them alone."""
COMMITTED = 40


def _text(bootstrap, *args):
    return java.text("consumer-groups", bootstrap, *args)


def _consumer(bootstrap, group):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "logger": confluent.silent()})


def _committed(bootstrap, group, topic=TOPIC):
    """The committed offsets, by partition; None where there is none."""
    consumer = _consumer(bootstrap, group)
    try:
        rows = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=20)
        return [row.offset if row.offset >= 0 else None for row in rows]
    finally:
        consumer.close()


def _commit(bootstrap, group):
    """Commits without being a member."""
    consumer = _consumer(bootstrap, group)
    try:
        consumer.commit(offsets=[TopicPartition(TOPIC, p, COMMITTED, f"note {p}") for p in range(PARTITIONS)], asynchronous=False)
    finally:
        consumer.close()


def _prepare(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap, "logger": confluent.silent()})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
    producer = confluent.Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "logger": confluent.silent()})
    for i in range(RECORDS * PARTITIONS):
        producer.produce(TOPIC, value=b"v", partition=i % PARTITIONS, timestamp=START + i // PARTITIONS * 1000)
    assert producer.flush(20) == 0
    for group in [*(f"reset-{name}" for name in FORMS), "described", "to-delete", "to-forget"]:
        _commit(bootstrap, group)


def _from_file():
    """A file as `--export` writes it."""
    file = tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False)
    with file:
        file.write("".join(f'"{TOPIC}",{p},{60 + p}\n' for p in range(PARTITIONS)))
    return file.name


FORMS = {
    "earliest": (lambda: ["--to-earliest"], [0, 0]),
    "latest": (lambda: ["--to-latest"], [RECORDS, RECORDS]),
    "current": (lambda: ["--to-current"], [COMMITTED, COMMITTED]),
    "offset": (lambda: ["--to-offset", "7"], [7, 7]),
    "beyond": (lambda: ["--to-offset", "999"], [RECORDS, RECORDS]),
    "forward": (lambda: ["--shift-by", "15"], [55, 55]),
    "back": (lambda: ["--shift-by", "-50"], [0, 0]),
    "datetime": (lambda: ["--to-datetime", datetime.fromtimestamp(START / 1000 + 25, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000")],
                 [25, 25]),
    "duration": (lambda: ["--by-duration", "PT1H"], [RECORDS, RECORDS]),
    "file": (lambda: ["--from-file", _from_file()], [60, 61]),
}
"""Each form of `--reset-offsets`: its arguments, and where it leads."""


def _reset(bootstrap, name):
    args, wanted = FORMS[name]
    group = f"reset-{name}"
    topic = [] if name == "file" else ["--topic", TOPIC]
    out = _text(bootstrap, "--group", group, "--reset-offsets", *topic, *args(), "--execute")
    rows = [line.split() for line in out.splitlines() if line.startswith(group)]
    told = [int(row[3]) for row in sorted(rows, key=lambda row: row[2])]
    found = _committed(bootstrap, group)
    assert told == found == wanted, f"told {told}, committed {found}, wanted {wanted}: {out}"
    return f"{name}: {found}"


def _dry_run(bootstrap):
    """The default: it says what it would do, and does not."""
    out = _text(bootstrap, "--group", "described", "--reset-offsets", "--all-topics", "--to-earliest", "--export", "--dry-run")
    assert f"{TOPIC},0,0" in out.replace('"', ""), out
    assert _committed(bootstrap, "described") == [COMMITTED] * PARTITIONS
    return "exported, not done"


def _describe(bootstrap):
    out = _text(bootstrap, "--group", "described", "--describe", "--offsets")
    rows = [line.split() for line in out.splitlines() if TOPIC in line]
    assert len(rows) == PARTITIONS, out
    for row in rows:
        assert row[3:6] == [str(COMMITTED), str(RECORDS), str(RECORDS - COMMITTED)], out
    return f"lag {RECORDS - COMMITTED} in each partition"


def _state(bootstrap):
    out = _text(bootstrap, "--group", "described", "--describe", "--state")
    assert "Empty" in out, out
    listed = _text(bootstrap, "--list", "--state")
    assert any(line.split()[:1] == ["described"] and "Empty" in line for line in listed.splitlines()), listed
    return "Empty"


def _delete_offsets(bootstrap):
    out = _text(bootstrap, "--group", "to-forget", "--delete-offsets", "--topic", f"{TOPIC}:1")
    assert _committed(bootstrap, "to-forget") == [COMMITTED, None], out
    return "one partition forgotten"


def _delete(bootstrap):
    out = _text(bootstrap, "--group", "to-delete", "--delete")
    assert "was successful" in out, out
    assert _committed(bootstrap, "to-delete") == [None, None]
    missing = java.command(java.class_of("consumer-groups"), "128m")
    missing += ["--bootstrap-server", bootstrap, "--group", "never-seen", "--describe"]
    done = subprocess.run(missing, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert "does not exist" in said or "GroupIdNotFound" in said or "not found" in said, said
    return "gone; a group that never was is told from it"


def _verifiable(bootstrap):
    """The verifiable producer's own account, and the performance test that reads it as a group."""
    topic, count = "verifiable", 2000
    out, _ = java.tool("verifiable-producer", "--bootstrap-server", bootstrap, "--topic", topic, "--max-messages", str(count),
                       "--acks", "-1")
    events = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    acked = sum(event["name"] == "producer_send_success" for event in events)
    assert acked == count, f"{acked} of {count} acknowledged"
    perf, _ = java.tool("consumer-perf-test", "--bootstrap-server", bootstrap, "--topic", topic, "--group", "perf",
                        "--num-records", str(count), "--timeout", "20000")
    row = perf.decode().strip().splitlines()[-1].split(",")
    assert int(row[4]) >= count, perf
    return f"{acked} acknowledged, {row[4].strip()} read"


def run(report, bootstrap):
    """Each form with a group of its own, two JVMs at a time."""
    if not report.step("group tools: offsets to look at", _prepare, bootstrap):
        return
    begin = time.monotonic()
    steps = [("dry run", _dry_run), ("describe offsets", _describe), ("describe state, list", _state),
             ("delete offsets", _delete_offsets), ("delete", _delete), ("verifiable producer, performance test", _verifiable)]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(report.step, f"kafka-consumer-groups: reset {name}", _reset, bootstrap, name) for name in FORMS]
        runs += [pool.submit(report.step, f"group tools: {name}", function, bootstrap) for name, function in steps]
        for done in runs:
            done.result()
    report.note(f"group tools: {len(runs)} runs in {time.monotonic() - begin:.0f} s")
