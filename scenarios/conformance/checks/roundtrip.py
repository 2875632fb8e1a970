"""One directory, two servers in turn: Ottla, Kafka, Ottla, Kafka. At each hop a topic is created, a configuration changed, partitions are
added, an offset is committed and records are produced; the next server gives all of it back. Snapshots of the metadata are written every
few changes, so that each reads the other's. In between Kafka's tools look at what Ottla has written and at what it serves.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType

import records
from clients import confluent, java
from jvm import Broker
from server import Server

SETTINGS = {
    "metadata.log.max.record.bytes.between.snapshots": "2000",
    "log.initial.task.delay.ms": "500",
    # Kafka's own defaults for sessions: a predecessor that was not fenced would cost nine seconds, and be seen
}
HOPS = ["ottla", "kafka", "ottla", "kafka"]
COUNT = 50
GROUP = "round-trip"


class Told:
    """What the directory must hold by now."""

    def __init__(self):
        self.partitions, self.retention, self.values, self.committed = {}, {}, {}, {}
        self.grouped = False


def _until(what, get):
    """`get` again until it gives something that is no error: a server opens its port before it leads."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return get()
        except (KafkaException, AssertionError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: {error}") from error
            time.sleep(0.1)


def _topics(bootstrap):
    found = confluent.admin(bootstrap).list_topics(timeout=10).topics
    return {name: len(t.partitions) for name, t in found.items() if not name.startswith("__")}


def _led(bootstrap):
    found = confluent.admin(bootstrap).list_topics(timeout=10).topics
    late = [t for t, m in found.items() if any(p.leader != 1 or p.error for p in m.partitions.values())]
    assert found and not late, f"no leader of {late}"


def _retention(bootstrap, topic):
    client = confluent.admin(bootstrap)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = client.describe_configs([resource])[resource].result(20)
    return config["retention.ms"].value


def _alter(bootstrap, topic, value):
    client = confluent.admin(bootstrap)
    entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in client.incremental_alter_configs([resource]).values():
        done.result(20)


def _grow(bootstrap, topic, count):
    client = confluent.admin(bootstrap)
    client.create_partitions([NewPartitions(topic, count)])[topic].result(20)


def _consumer(bootstrap):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False,
                     "error_cb": lambda _: None, "logger": confluent.silent()})


def _commit(bootstrap, topic, offset):
    consumer = _consumer(bootstrap)
    try:
        done = consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        assert all(p.error is None for p in done), done
    finally:
        consumer.close()


def _committed(bootstrap, topics):
    consumer = _consumer(bootstrap)
    try:
        found = consumer.committed([TopicPartition(t, 0) for t in topics], timeout=10)
        assert all(p.error is None for p in found), found
        return {p.topic: p.offset for p in found}
    finally:
        consumer.close()


def _look(report, told, bootstrap):
    """Everything that earlier hops have left."""
    if told.partitions:
        _until("leaders", lambda: _led(bootstrap))
    found = _topics(bootstrap)
    assert found == told.partitions, f"topics {found}, there were {told.partitions}"
    for topic, value in told.retention.items():
        got = _retention(bootstrap, topic)
        assert got == value, f"{topic}: retention.ms={got}, it was {value}"
    for topic, want in told.values.items():
        got = [r.value for r in confluent.read(bootstrap, topic)]
        assert got == want, f"{topic}: {len(got)} records, there were {len(want)}"
        report.count(read=len(got))
    if told.committed:
        got = _until("offsets", lambda: _committed(bootstrap, list(told.committed)))
        assert got == told.committed, f"committed {got}, it was {told.committed}"
    return f"{len(found)} topics, {sum(map(len, told.values.values()))} records, {len(told.committed)} offsets"


def _change(report, told, bootstrap, hop):
    """One of each kind of change, on what every earlier hop has made too."""
    topic = f"made-{hop}"
    confluent.create(bootstrap, [topic], {"retention.ms": "1000000"})
    told.partitions[topic], told.values[topic], told.retention[topic] = 1, [], "1000000"
    _until("leaders", lambda: _led(bootstrap))
    oldest = "made-0"
    _grow(bootstrap, oldest, told.partitions[oldest] + 1)
    told.partitions[oldest] += 1
    _alter(bootstrap, oldest, str(2_000_000 + hop))
    told.retention[oldest] = str(2_000_000 + hop)
    for name, values in told.values.items():
        more = [b"%d of hop %d" % (n, hop) for n in range(COUNT)]
        confluent.produce(bootstrap, name, records.CODECS[hop % len(records.CODECS)], [records.Record(None, v) for v in more])
        values.extend(more)
        report.count(sent=len(more))
    offset = COUNT * (hop + 1) - 7
    _until("commit", lambda: _commit(bootstrap, oldest, offset))
    told.committed[oldest] = offset
    return f"{topic} made, {oldest} has {told.partitions[oldest]} partitions"


def _tools(bootstrap):
    """What Kafka's tools say of a running Ottla."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(java.text, tool, bootstrap, *args)
                for tool, args in (("metadata-quorum", ["describe", "--status"]), ("metadata-quorum", ["describe", "--replication"]),
                                   ("features", ["describe"]))]
        jobs.append(pool.submit(java.tool, "cluster", "cluster-id", "--bootstrap-server", bootstrap))
        status, replication, features, cluster = [job.result() for job in jobs]
    assert re.search(r"LeaderId:\s+1\n", status) and re.search(r"MaxFollowerLag:\s+0\n", status), status
    assert re.search(r'CurrentVoters:.*"id": 1, "directoryId": "\S{22}".*CONTROLLER://127.0.0.1', status), status
    assert re.search(r"^1\s.*\s0\s.*Leader", replication, re.MULTILINE), replication
    for name, level in (("metadata.version", "4.3-IV0"), ("kraft.version", "1"), ("eligible.leader.replicas.version", "1")):
        assert re.search(rf"Feature: {name}\s.*FinalizedVersionLevel: {level}\s", features), features
    assert "Cluster ID: " in cluster[0].decode(), cluster
    return "metadata-quorum, features, cluster"


def _written(directory):
    """What Kafka's tools read of the metadata that Ottla has written."""
    folder = directory / "__cluster_metadata-0"
    snapshots = sorted(folder.glob("*.checkpoint"))
    assert len(snapshots) > 2, f"{len(snapshots)} snapshots"
    paths = [*sorted(folder.glob("*.log")), snapshots[-1]]
    with ThreadPoolExecutor(2) as pool:
        dumped = pool.submit(java.tool, "dump-log", "--cluster-metadata-decoder", "--files", ",".join(map(str, paths)))
        shell = pool.submit(java.tool, "metadata-shell", "--snapshot", str(snapshots[-1]), "find", "/image/topics/byName")
        dumped, shell = dumped.result()[0].decode(), shell.result()[0].decode()
    kinds = set(re.findall(r'"type":"([A-Z_]+)_RECORD"', dumped))
    assert {"TOPIC", "PARTITION", "REGISTER_BROKER", "BROKER_REGISTRATION_CHANGE", "FEATURE_LEVEL"} <= kinds, kinds
    wrong = [line for line in dumped.splitlines() if "isvalid: false" in line or "Could not" in line or "Error" in line]
    assert not wrong, wrong[:3]
    for kind in ("LeaderChange", "SnapshotHeader", "KRaftVersion", "KRaftVoters", "SnapshotFooter"):
        assert kind in dumped, f"no {kind} in {dumped[:2000]}"
    assert "/image/topics/byName/made-0" in shell, shell[-500:]
    return f"{len(paths) - 1} segments, {len(snapshots)} snapshots, {len(kinds)} kinds of records"


def _ahead(broker, before):
    """A start of Kafka that found nobody to wait for."""
    said = broker.log.read_text(errors="replace")[before:]
    waited = "Another broker is registered" in said or "DUPLICATE_BROKER_REGISTRATION" in said
    assert not waited, "it waited for its predecessor's session to end"
    return "no session to wait for"


def run(report, binary, base):
    """The chain."""
    broker = Broker(base / "round-trip", SETTINGS, standalone=True)
    ottla = Server(binary, broker.directory, broker)
    try:
        _chain(report, broker, ottla)
    finally:
        broker.discard()
        ottla.discard()


def _chain(report, broker, ottla):
    told = Told()
    for hop, kind in enumerate(HOPS):
        server = {"ottla": ottla, "kafka": broker}[kind]
        before = broker.log.stat().st_size if broker.log.exists() else 0
        steps = [(f"round trip {hop}: start {kind}", server.start), ("  what was there is there", _look, report, told, server.bootstrap),
                 ("  changes", _change, report, told, server.bootstrap, hop), ("  and they are there", _look, report, told, server.bootstrap)]
        if kind == "kafka":
            steps.append(("  it found a stopped broker", _ahead, broker, before))
        elif hop == 2:
            steps.append(("  Kafka's tools ask it", _tools, server.bootstrap))
        steps.append(("  stop", server.stop))
        if kind == "ottla":
            steps.append(("  Kafka's tools read its metadata", _written, server.directory))
        for step in steps:
            if not report.step(*step):
                return
