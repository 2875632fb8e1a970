"""The records that are sent, and how what comes back is compared with them.

A topic holds every shape a client can express, in order, so that one reading of it covers them all;
a mismatch names the shape of the first record that differs.
"""

import hashlib
import random
from dataclasses import dataclass, field

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
SIZES = [1, 2, 15, 64, 127, 128, 1000, 4096, 8191, 16384, 65535, 262144, 1000000, 1048576]
SMALL = {"nullkey": 1100, "keyed": 1100, "headers": 400, "timestamps": 400, "tombstones": 200}
TIME_BASE = 1_700_000_000_000


@dataclass
class Record:
    """One record; `timestamp` is None where the client chooses it, `shape` is for messages only."""

    key: bytes | None
    value: bytes | None
    headers: list = field(default_factory=list)
    timestamp: int | None = None
    shape: str = ""
    offset: int | None = None


def _bytes(rng, size, text):
    """`size` bytes: any at all, or characters that fit in one line of a console."""
    if text:
        half = rng.choices(b"abcdefghijklmnopqrstuvwxyz0123456789 .:;-_/", k=(size + 1) // 2)
        return bytes(half + half)[:size]
    return rng.randbytes(size // 2) + bytes(size - size // 2 - 1) + b"\x7f" if size > 1 else rng.randbytes(1)


def _headers(rng, i, caps, text):
    """Headers of record `i`: fixed for a client that sets them per run, else of every kind."""
    if "fixed-headers" in caps:
        return [("trace", b"abc123"), ("origin", b"conformance")]
    made = [("trace", b"id-%d" % i), ("trace", b"again")]
    if i % 3 == 0 and "null-headers" in caps:
        made.append(("nothing", None))
    if i % 3 == 1:
        made.append(("long", _bytes(rng, 300, True).replace(b":", b"_")))
    return made


def make(seed, caps, text=False):
    """The records for one topic, of the shapes in `caps`; the same for the same seed."""
    rng = random.Random(seed)
    made = []
    for shape, count in SMALL.items():
        if shape not in caps:
            continue
        for i in range(count):
            key = None if shape == "nullkey" else b"key-%d" % rng.randrange(200)
            value = None if shape == "tombstones" else _bytes(rng, rng.randint(1, 96), text)
            record = Record(key, value, shape=shape)
            if shape == "headers":
                record.headers = _headers(rng, i, caps, text)
            if shape == "timestamps":
                record.timestamp = TIME_BASE + i * 1000 + rng.randint(-5000, 5000)
            made.append(record)
    if "empty" in caps:
        made += [Record(b"empty", b"", shape="empty"), Record(b"", b"v", shape="empty"), Record(None, b"", shape="empty")]
    for size in SIZES:
        made.append(Record(b"size-%d" % size, _bytes(rng, size, text), shape=f"size {size}"))
    for at, record in enumerate(made):
        record.offset = at
    return made


def _put(digest, data):
    """Feeds one nullable field, length first, so that no two sequences of fields look alike."""
    if data is None:
        digest.update(b"\xff\xff\xff\xff")
    else:
        digest.update(len(data).to_bytes(4, "big") + data)


def checksum(records, times=None):
    """SHA-256 over offset, key, value, headers and (where `times[i]` is true) the timestamp."""
    digest = hashlib.sha256()
    for i, record in enumerate(records):
        digest.update(record.offset.to_bytes(8, "big"))
        _put(digest, record.key)
        _put(digest, record.value)
        digest.update(len(record.headers).to_bytes(4, "big"))
        for name, value in record.headers:
            _put(digest, name.encode())
            _put(digest, value)
        known = record.timestamp is not None if times is None else i < len(times) and times[i]
        _put(digest, b"%d" % record.timestamp if known else None)
    return digest.hexdigest()


def _brief(data):
    """A field for a message: whole when short, else its start, length and checksum."""
    if data is None or len(data) <= 40:
        return repr(data)
    return f"{data[:16]!r}... ({len(data)} B, {hashlib.sha256(data).hexdigest()[:12]})"


def compare(sent, got, window):
    """Checks a reading against what was sent; returns the checksum of all that was read.

    `window` is the time (in ms) between which timestamps chosen by a client must lie.
    """
    times = [r.timestamp is not None for r in sent]
    if checksum(sent) != checksum(got, times):
        for want, have in zip(sent, got):
            for name in ("offset", "key", "value", "headers", "timestamp"):
                a, b = getattr(want, name), getattr(have, name)
                if a != b and not (name == "timestamp" and a is None):
                    show = _brief if name in ("key", "value") else repr
                    raise AssertionError(
                        f"record {want.offset} ({want.shape}): {name} sent {show(a)}, read {show(b)}"
                    )
        raise AssertionError(f"sent {len(sent)} records, read {len(got)}")
    for want, have in zip(sent, got):
        if want.timestamp is None and not window[0] <= have.timestamp <= window[1]:
            raise AssertionError(f"record {want.offset} ({want.shape}): timestamp {have.timestamp} outside {window}")
    return checksum(got)
