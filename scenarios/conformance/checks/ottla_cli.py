"""`ottla topic`, `consume --from` and `bench`, each compared with what Java's tools or librdkafka say of the same thing."""

import json
import re

import records
from clients import confluent, java, ottla

TOPIC = "ottla-cli"
BASE = records.TIME_BASE


def _create(bootstrap):
    ottla.run(bootstrap, ["topic", "delete", TOPIC, "--if-exists"])
    made = ottla.objects(bootstrap, ["topic", "create", TOPIC, "-p", "2", "-r", "1", "--config", "retention.ms=-1"])[0]
    assert made["created"] and made["partitions"] == 2, made
    _, error = ottla.run(bootstrap, ["topic", "create", TOPIC], code=1)
    assert "TOPIC_ALREADY_EXISTS" in error, error
    ottla.run(bootstrap, ["topic", "create", TOPIC, "--if-not-exists"])
    out = java.text("topics", bootstrap, "--describe", "--topic", TOPIC)
    assert f"TopicId: {made['id']}" in out and re.search(r"PartitionCount:\s*2\b", out), out
    assert "retention.ms=-1" in out, out
    return made["id"]


def _alter(bootstrap):
    ottla.run(bootstrap, ["topic", "alter", TOPIC, "--partitions", "4"])
    out = java.text("topics", bootstrap, "--describe", "--topic", TOPIC)
    assert re.search(r"PartitionCount:\s*4\b", out), out
    _, error = ottla.run(bootstrap, ["topic", "alter", TOPIC, "--partitions", "3"], code=1)
    assert "INVALID_PARTITIONS" in error, error
    return "4 partitions, fewer are refused"


def _sent():
    return [records.Record(b"k%d" % i, b"v%d" % i, timestamp=BASE + i * 1000, shape="cli") for i in range(100)]


def _from(bootstrap):
    ottla.produce(bootstrap, TOPIC, "lz4", _sent())
    cases = {"beginning": 0, "end": None, "30": 30, "-7": 93, f"@{BASE + 41_500}": 42, f"@{BASE + 10_000_000}": None}
    for place, first in cases.items():
        got = [o["offset"] for o in ottla.objects(bootstrap, ["consume", TOPIC, "-p", "0", "--from", place, "--until-end"])]
        assert got == ([] if first is None else list(range(first, 100))), f"--from {place}: {got[:3]}..."
    at = java.offsets(bootstrap, TOPIC, BASE + 41_500)[0]
    assert at == 42, f"kafka-get-offsets answers {at}"
    return f"{len(cases)} places"


def _describe(bootstrap):
    told = ottla.objects(bootstrap, ["topic", "describe", TOPIC])[0]
    ends = java.offsets(bootstrap, TOPIC, "latest")
    assert {p["partition"]: p["end_offset"] for p in told["partitions"]} == ends, f"{told}, {ends}"
    assert [c["value"] for c in told["configs"] if c["name"] == "retention.ms"] == ["-1"], told
    return f"ends {ends}"


def _partitioner(bootstrap):
    """Records with the same key go where Java's producer puts them: murmur2 decides for both."""
    topic, keys = "ottla-cli-keys", [f"key-{i}" for i in range(200)]
    confluent.create(bootstrap, [topic], {}, partitions=5)
    lines = "".join(f"{key}\tours\n" for key in keys).encode()
    ottla.run(bootstrap, ["produce", topic, "-K", "\\t"], lines)
    java.tool("console-producer", "--bootstrap-server", bootstrap, "--topic", topic, "--reader-property", "parse.key=true",
              stdin=lines.replace(b"ours", b"java"))
    places = {"ours": {}, "java": {}}
    for o in ottla.objects(bootstrap, ["consume", topic, "--until-end"]):
        places[o["value"]][o["key"]] = o["partition"]
    assert places["ours"] == places["java"] and len(places["ours"]) == len(keys), places
    assert len(set(places["ours"].values())) == 5, places
    return f"{len(keys)} keys"


def _bench(bootstrap):
    topic, count = "ottla-cli-bench", 20000
    ottla.run(bootstrap, ["topic", "delete", topic, "--if-exists"])
    out, _ = ottla.run(bootstrap, ["bench", "produce", topic, "-c", str(count), "-r", "200", "-z", "zstd", "-q", "--output", "json"])
    sent = json.loads(out)
    assert sent["records"] == count and sent["failed"] == 0 and sent["latency_ms"]["p99"] > 0, sent
    out, _ = ottla.run(bootstrap, ["bench", "consume", topic, "--until-end", "-q", "--output", "json"])
    read = json.loads(out)
    assert read["records"] == count and read["bytes"] == count * 200, read
    end = java.offsets(bootstrap, topic, "latest")[0]
    assert end == count, f"kafka-get-offsets answers {end}"
    return f"{sent['records_per_second']:.0f} sent, {read['records_per_second']:.0f} read a second"


def _delete(bootstrap):
    ottla.run(bootstrap, ["topic", "delete", TOPIC])
    listed = [t["topic"] for t in ottla.objects(bootstrap, ["topic", "list"])]
    assert TOPIC not in listed and TOPIC not in java.text("topics", bootstrap, "--list").split(), listed
    _, error = ottla.run(bootstrap, ["consume", TOPIC], code=1)
    assert "UNKNOWN_TOPIC_OR_PARTITION" in error, error


def run(report, bootstrap):
    """In order: each step needs what the one before left."""
    report.step("ottla topic create", _create, bootstrap)
    report.step("ottla topic alter", _alter, bootstrap)
    report.step("ottla consume --from", _from, bootstrap)
    report.step("ottla topic describe", _describe, bootstrap)
    report.step("ottla produce chooses Java's partitions", _partitioner, bootstrap)
    report.step("ottla bench", _bench, bootstrap)
    report.step("ottla topic delete", _delete, bootstrap)
