"""Hostile bytes on a socket: an error code or a closed connection, a living server, a clean log."""

import random
import socket
import struct

from checks import wire
from clients import confluent

TOPIC = "bad-input"
MEMORY_LIMIT = 256
"""MiB that the server may grow by over the whole check (only measured when we started it)."""


def alive(port):
    """ApiVersions v0 on a new connection must be answered."""
    answer = wire.exchange(port, wire.frame(wire.request(18, 0, b"")))
    assert answer is not None and struct.unpack_from(">ih", answer) == (7, 0), f"ApiVersions answers {answer!r}"


def _frames(rng):
    """Name, bytes, and whether our side then closes: nothing here may be answered with success."""
    metadata = wire.request(3, 1, struct.pack(">i", 1) + wire.string("t"))
    huge = struct.pack(">i", 0x7FFFFFFF)
    yield "random bytes", rng.randbytes(4096), True
    yield "an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10, True
    yield "length 2^31-1", huge + b"\0" * 64, False
    yield "length 200 MiB", struct.pack(">i", 200 << 20) + b"\0" * 64, False
    yield "length -1", struct.pack(">i", -1) + b"\0" * 64, False
    yield "length -2^31", struct.pack(">i", -(1 << 31)) + b"\0" * 64, False
    yield "length 0", struct.pack(">i", 0), True
    yield "length 3", struct.pack(">i", 3) + b"abc", False
    yield "half a frame", wire.frame(metadata)[:-5], True
    yield "garbage in a frame", wire.frame(b"\xff" * 300), False
    yield "unknown API key", wire.frame(wire.request(9999, 0, b"")), False
    yield "negative API key", wire.frame(wire.request(-5, 0, b"")), False
    yield "Produce version 99", wire.frame(wire.request(0, 99, b"")), False
    yield "Metadata version -1", wire.frame(wire.request(3, -1, b"")), False
    yield "Metadata cut short in its frame", wire.frame(metadata[:-1]), False
    yield "Metadata with 2^31-1 topics", wire.frame(wire.request(3, 1, huge)), False
    yield "Metadata v9 with an endless varint", wire.frame(wire.request(3, 9, b"\0" + b"\xff" * 40)), False
    yield "Metadata v9 with 2^28 tags", wire.frame(wire.request(3, 9, b"\xff\xff\xff\x7f")), False
    fetch = struct.pack(">iiiib", -1, 100, 1, 1 << 20, 0)
    yield "Fetch with 2^31-1 topics", wire.frame(wire.request(1, 4, fetch + huge)), False
    yield "Produce with 2^31-1 partitions", wire.frame(wire.produce(TOPIC, b"", partitions=0x7FFFFFFF)), False
    yield "client id of negative length", wire.frame(struct.pack(">hhih", 3, 1, 7, -9)), False
    yield "client id longer than the frame", wire.frame(struct.pack(">hhih", 3, 1, 7, 32000)), False


def _hostile_frames(port):
    rng, count = random.Random(4711), 0
    for name, data, finish in _frames(rng):
        try:
            answer = wire.exchange(port, data, finish=finish)
            assert answer is None, f"answered with {answer[:40]!r}"
            alive(port)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{name}: {error}") from error
        count += 1
    for _ in range(200):
        length = rng.randint(0, 200)
        body = rng.randbytes(length)
        if rng.random() < 0.7:  # a believable header, so that the damage reaches the decoders
            body = wire.request(rng.choice([1, 2, 3, 18, 22, 60]), rng.randint(0, 5), body)
        wire.exchange(port, wire.frame(body), finish=True)
    alive(port)
    return f"{count} kinds closed, 200 random frames survived"


def _unsupported_api_versions(port):
    """ApiVersions alone answers a version that is too new: with v0 and error 35, as KIP-511 says."""
    answer = wire.exchange(port, wire.frame(wire.request(18, 99, b"\0")))
    assert answer is not None, "closed, where the client must learn the versions"
    code = struct.unpack_from(">h", answer, 4)[0]
    assert code == 35, f"error {code}, not 35 (UNSUPPORTED_VERSION)"
    return "error 35"


def _batches(strict):
    """Name and bytes of batches that may not reach the log."""
    good = wire.record(0, b"hello") + wire.record(1, b"world")
    whole = wire.batch(good, 2)
    yield "wrong CRC", wire.batch(good, 2, crc=0x12345678)
    yield "flipped byte", whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    yield "count too high", wire.batch(good, 3)
    yield "count 2^31-1", wire.batch(good, 0x7FFFFFFF, last_delta=0x7FFFFFFE)
    yield "count too low", wire.batch(good, 1)
    yield "count negative", wire.batch(good, -1, last_delta=1)
    yield "last offset delta wrong", wire.batch(good, 2, last_delta=9)
    if strict:  # Kafka 4.3.1 takes this one and stores it with the wrong deltas
        yield "offset deltas wrong", wire.batch(wire.record(5, b"a") + wire.record(9, b"b"), 2)
    yield "magic 7", wire.batch(good, 2, magic=7)
    yield "length too long", wire.batch(good, 2, length=len(whole) + 500)
    yield "length negative", wire.batch(good, 2, length=-5)
    yield "length tiny", wire.batch(good, 2, length=3)
    yield "cut short", whole[:-4]
    yield "a few bytes only", whole[:11]
    yield "record longer than the batch", wire.batch(wire.varint(5000) + b"\0\0\0", 1)
    yield "record of negative length", wire.batch(wire.varint(-4) + b"\0\0\0", 1)
    yield "control batch from a client", wire.batch(good, 2, attributes=0x20)
    yield "codec 7", wire.batch(good, 2, attributes=7)
    for codec in (1, 2, 3, 4):
        yield f"codec {codec} over garbage", wire.batch(b"\x07not compressed at all" * 3, 2, attributes=codec)
    yield "gzip bomb", wire.batch(wire.gzip(bytes(64 << 20)), 1, attributes=1)
    yield "gzip bomb in one record", wire.batch(
        wire.gzip(wire.varint(1 << 30) + b"\0\0\0\1" + wire.varint(1 << 29) + bytes(64 << 20)), 1, attributes=1)
    yield "two batches", whole + whole[:-1] + b"!"


def _hostile_batches(port, bootstrap, strict):
    confluent.create(bootstrap, [TOPIC], {"retention.ms": "-1"})  # the timestamps lie years back
    codes, wrong, end = {}, [], 0
    for name, data in _batches(strict):
        answer = wire.exchange(port, wire.frame(wire.produce(TOPIC, data)), timeout=30)
        code = "closed" if answer is None else wire.produce_error(answer, TOPIC)
        codes.setdefault(code, []).append(name)
        before, end = end, confluent.offset(bootstrap, TOPIC, "latest")
        if code == 0:
            wrong.append(f"{name}: accepted")
        elif end != before:
            wrong.append(f"{name}: error {code}, yet the log grew from {before} to {end}")
        alive(port)
    assert not wrong, "; ".join(wrong)
    good = wire.batch(wire.record(0, b"hello"), 1)
    answer = wire.exchange(port, wire.frame(wire.produce(TOPIC, good)))
    assert answer is not None and wire.produce_error(answer, TOPIC) == 0, "the good batch was refused too"
    assert [r.value for r in confluent.read(bootstrap, TOPIC)] == [b"hello"], "the good batch does not read back"
    return "error codes: " + ", ".join(f"{code} × {len(names)}" for code, names in codes.items())


def _idle_halves(port, count):
    """Connections that each claim a large frame and send a little of it."""
    held = []
    try:
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port), 10)
            s.sendall(struct.pack(">i", 90 << 20) + b"\0\3\0\1")
            held.append(s)
        alive(port)
    finally:
        for s in held:
            s.close()
    alive(port)
    return f"{count} connections claiming 90 MiB each"


def run(report, bootstrap, server=None):
    """All of it; with a server of ours, also its memory."""
    port = int(bootstrap.rsplit(":", 1)[1])
    before = server.memory() if server else None
    report.step("hostile frames", _hostile_frames, port)
    report.step("unsupported ApiVersions", _unsupported_api_versions, port)
    report.step("hostile batches", _hostile_batches, port, bootstrap, server is not None)
    # Apache Kafka allocates what a frame claims: a hundred of these end it, so another server gets few
    report.step("half-sent frames", _idle_halves, port, 100 if server else 2)
    if server is None:
        return

    def survived():
        server.check_alive()
        grown = server.memory() - before
        assert grown < MEMORY_LIMIT, f"memory grew by {grown} MiB"
        return f"memory grew by {grown} MiB"

    report.step("server after bad input", survived)
