"""SIGKILL under load: whatever was acknowledged is there after the restart, in order."""

import random
import threading
import time

from confluent_kafka import KafkaException, Producer

from checks import disk, segments
from clients import MAX_MESSAGE, confluent, kafka_python

TOPIC = "crash"
TARGET = range(20_000, 50_000)
"""Acknowledged records after which the server is killed, the load still running; chosen anew each time."""


def _value(i):
    return b"%09d" % i + b"." * (i * 37 % 400)


def load(server, topic):
    """Produces until killed; returns the acknowledged records as offset -> number."""
    acked, stop, target = {}, threading.Event(), random.choice(TARGET)
    producer = Producer({
        "bootstrap.servers": server.bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 1,
        "compression.type": "none", "message.timeout.ms": 4000, "message.max.bytes": MAX_MESSAGE,
        "batch.size": 65536, "error_cb": lambda _: None, "logger": confluent.silent(),
    })

    def delivered(error, message):
        if error is None:
            acked[message.offset()] = int(message.value()[:9])

    def run():
        i = 0
        while not stop.is_set():
            try:
                producer.produce(topic, value=_value(i), key=b"k%d" % (i % 100), partition=0, on_delivery=delivered)
                i += 1
            except (BufferError, KafkaException):
                producer.poll(0.01)
            producer.poll(0)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    try:
        while len(acked) < target and time.monotonic() < deadline and server.process.poll() is None:
            time.sleep(0.005)
    finally:
        server.kill()
        stop.set()
        thread.join()
    producer.purge()
    producer.flush(10)
    assert len(acked) >= target, f"{len(acked)} acknowledged in 60 s: {server.tail()}"
    return acked


def verify(report, bootstrap, acked):
    got = confluent.read(bootstrap, TOPIC)
    report.count(sent=len(acked), read=len(got))
    assert [r.offset for r in got] == list(range(len(got))), "offsets have a gap"
    numbers = [int(r.value[:9]) for r in got]
    assert all(r.value == _value(n) for r, n in zip(got, numbers)), "a value is not what was sent"
    lost = [(at, n) for at, n in sorted(acked.items()) if at >= len(got) or numbers[at] != n]
    assert not lost, f"{len(lost)} of {len(acked)} acknowledged records lost or moved; first (offset, number): {lost[0]}"
    order = [n for _, n in sorted(acked.items())]
    assert order == sorted(order), "acknowledged out of order"
    assert numbers == sorted(set(numbers)), "an idempotent producer's records are doubled or out of order"
    return f"{len(acked)} acknowledged, {len(got)} in the log"


def _continue(report, bootstrap):
    """The recovered log takes more."""
    before = confluent.read(bootstrap, TOPIC)
    confluent.produce(bootstrap, TOPIC, "lz4", before[:500])
    got = kafka_python.read(bootstrap, TOPIC)
    report.count(sent=500, read=len(got))
    assert [r.value for r in got[-500:]] == [r.value for r in before[:500]]
    return f"{len(got)} records"


def _trimmed(torn):
    """The restart has cut off what the kill left."""
    for one in torn:
        segments.trimmed(one)
    return f"{len(torn)} torn last batches"


def run(report, server, base):
    """Load, SIGKILL, dump, restart, read back, write more."""
    acked, torn = {}, []

    def produce():
        confluent.create(server.bootstrap, [TOPIC], {"segment.bytes": "1048576", "retention.ms": "-1"})
        acked.update(load(server, TOPIC))
        return f"{len(acked)} acknowledged before SIGKILL"

    if not report.step("load until SIGKILL", produce):
        return
    report.step("kafka-dump-log after SIGKILL", disk.dump, server.directory, torn)
    report.note(f"torn last batches after SIGKILL: {len(torn)} (a kill may stop a write between two pages)")
    first = min((server.directory / f"{TOPIC}-0").glob("*.log"))
    report.step("  only that would have been let pass", disk.narrow, first, base / "narrow")
    if not report.step("restart after SIGKILL", server.start):
        return
    report.step("  what was torn is cut off", _trimmed, torn)
    report.step("acknowledged records after SIGKILL", verify, report, server.bootstrap, acked)
    report.step("the recovered log goes on", _continue, report, server.bootstrap)
