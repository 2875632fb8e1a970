"""A directory that lost flushed bytes: the server refuses it, `ottla log check` says what is lost, `ottla log repair` makes it
servable, Kafka's own tool finds nothing to complain about, and every record outside of the damage is read at its old offset."""

import json
import subprocess

from confluent_kafka import Consumer, Producer, TopicPartition

from checks import disk
from clients import confluent
from server import Server

TOPIC = "care"
RECORDS = 3000


def _value(i):
    return b"%06d" % i + b"." * (i * 37 % 500)


def _produce(bootstrap):
    """Small batches, over two segments."""
    producer = Producer({"bootstrap.servers": bootstrap, "batch.num.messages": 10, "enable.idempotence": True,
                         "logger": confluent.silent()})
    for i in range(RECORDS):
        producer.produce(TOPIC, value=_value(i), partition=0)
        producer.poll(0)
        if i % 10 == 9:
            producer.flush(30)
    assert producer.flush(60) == 0, "not all was delivered"


def _consume(bootstrap):
    """Offset and value of every record."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "logger": confluent.silent()})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 30)
    found = {}
    while max(found, default=-1) + 1 < end:
        batch = consumer.consume(1000, 1) or consumer.consume(1, 10)
        assert batch, f"nothing after offset {max(found, default=-1)}, the end is {end}"
        for message in batch:
            assert message.error() is None, message.error()
            found[message.offset()] = message.value()
    consumer.close()
    return found


def _log(binary, *args, code):
    done = subprocess.run([str(binary), "log", *args, "--output", "json"], capture_output=True, timeout=60)
    error = done.stderr.decode(errors="replace")
    assert done.returncode == code, f"ottla log {args[0]}: exit {done.returncode}, not {code}: {error[-600:]}"
    return [json.loads(line) for line in done.stdout.splitlines()], error


def _damage(server):
    """Overwrites 512 bytes in the middle of the active segment."""
    log = sorted((server.directory / f"{TOPIC}-0").glob("*.log"))[-1]
    data = bytearray(log.read_bytes())
    at = len(data) // 2 // 512 * 512
    data[at:at + 512] = b"\xa5" * 512
    log.write_bytes(data)
    return f"{log.name}, byte {at} of {len(data)}"


def _refused(server):
    server.launch()
    code = server.process.wait(30)
    told = server.tail()
    assert code == 1 and "ottla log check" in told, f"exit {code}: {told}"
    return "exit 1, names `ottla log check`"


def run(report, binary, base):
    """One directory through all of it."""
    server = Server(binary, base / "care")
    try:
        report.step("care: start", server.start)
        _produce(server.bootstrap)
        in_use = _log(binary, "repair", str(server.directory), "--accept-loss", code=1)[1]
        assert f"{server.process.pid}" in in_use, f"the holder is not named: {in_use}"
        server.stop()
        server.start()
        server.kill()
        where = _damage(server)
        report.step("care: a damaged directory is refused", _refused, server)
        found = {}

        def check():
            told, _ = _log(binary, "check", str(server.directory), code=1)
            found["lost"] = [(line["first"], line["next"]) for line in told if line["kind"] == "lost"]
            assert len(found["lost"]) == 1, told
            return f"{where}: lost {found['lost']}"

        def repair():
            _log(binary, "repair", str(server.directory), code=1)
            told, _ = _log(binary, "repair", str(server.directory), "--accept-loss", code=0)
            assert [(line["first"], line["next"]) for line in told if line["kind"] == "lost"] == found["lost"], told
            _log(binary, "check", str(server.directory), code=0)
            return disk.dump(server.directory)

        def served():
            server.start()
            first, after = found["lost"][0]
            expected = {i: _value(i) for i in range(RECORDS) if not first <= i < after}
            got = _consume(server.bootstrap)
            assert got == expected, f"{len(got)} records, {len(expected)} expected"
            assert 0 < after - first <= 30, found
            return f"{len(got)} records at their old offsets, {after - first} lost"

        if report.step("care: check", check) and report.step("care: repair, and kafka-dump-log on it", repair):
            report.step("care: what is left is served", served)
            report.step("care: stop", server.stop)
    finally:
        server.discard()
