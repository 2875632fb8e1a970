"""Acknowledgement levels 0, 1 and all, idempotent producers, automatic topic creation, the perf tool."""

import re

import records
from clients import confluent, java, kafka_python, kcat

COUNT = 300


def _sent():
    made = [records.Record(b"k%d" % (i % 7), b"value-%d" % i, shape="acks") for i in range(COUNT)]
    for at, record in enumerate(made):
        record.offset = at
    return made


def _verify(report, bootstrap, topic, sent):
    got = kcat.read(bootstrap, topic)
    report.count(sent=len(sent), read=len(got))
    return records.compare(sent, got, (0, 1 << 62))[:16]


def _confluent(report, bootstrap, acks, idempotent):
    topic = f"acks-confluent-{acks}-{idempotent}".lower()
    sent = _sent()
    confluent.create(bootstrap, [topic], {})
    confluent.produce(bootstrap, topic, "none", sent, acks=acks, **{"enable.idempotence": idempotent})
    return _verify(report, bootstrap, topic, sent)


def _kafka_python(report, bootstrap, acks, idempotent):
    topic = f"acks-python-{acks}-{idempotent}".lower()
    sent = _sent()
    confluent.create(bootstrap, [topic], {})
    kafka_python.produce(bootstrap, topic, "lz4", sent, acks=acks, enable_idempotence=idempotent)
    return _verify(report, bootstrap, topic, sent)


def _auto_create(report, bootstrap):
    """A topic that nobody created: Metadata with automatic creation makes it on the way."""
    topic = "auto-created"
    client = confluent.admin(bootstrap)
    if topic in client.list_topics(timeout=20).topics:
        client.delete_topics([topic])[topic].result(30)
    sent = _sent()
    kcat.produce(bootstrap, topic, "none", sent)
    assert f'topic "{topic}" with 1 partitions' in kcat.metadata(bootstrap, topic), "kcat -L does not show the topic"
    return _verify(report, bootstrap, topic, sent)


def _perf(report, bootstrap):
    """kafka-producer-perf-test: an idempotent Java producer with acks=all at full speed."""
    topic, count = "perf", 20000
    confluent.create(bootstrap, [topic], {})
    out, _ = java.tool("producer-perf-test", "--topic", topic, "--num-records", str(count), "--record-size", "200",
                       "--throughput", "-1", "--bootstrap-server", bootstrap,
                       "--command-property", "acks=all", "compression.type=lz4")
    line = out.decode().strip().splitlines()[-1]
    done = re.match(r"(\d+) records sent", line)
    assert done and int(done[1]) == count, line
    end = java.offsets(bootstrap, topic, "latest")[0]
    assert end == count, f"{end} records in the log, {count} sent"
    got = confluent.read(bootstrap, topic)
    report.count(sent=count, read=len(got))
    assert [r.offset for r in got] == list(range(count)) and all(len(r.value) == 200 for r in got)
    return line[:70]


def run(report, bootstrap):
    """All of the above."""
    for acks in ("0", "1", "all"):
        report.step(f"confluent-kafka acks={acks}", _confluent, report, bootstrap, acks, False)
        number = acks if acks == "all" else int(acks)
        report.step(f"kafka-python acks={acks}", _kafka_python, report, bootstrap, number, False)
    report.step("confluent-kafka idempotent", _confluent, report, bootstrap, "all", True)
    report.step("kafka-python idempotent", _kafka_python, report, bootstrap, "all", True)
    report.step("automatic topic creation by kcat", _auto_create, report, bootstrap)
    report.step("kafka-producer-perf-test", _perf, report, bootstrap)
