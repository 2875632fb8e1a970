"""kcat (librdkafka in C): produces from standard input with delimiters, reads with lengths first.

Headers are set per run and a timestamp cannot be set at all, so each shape is a run of its own.
"""

import subprocess

from clients import MAX_MESSAGE, TIMEOUT
from records import Record

NAME = "kcat"
CAPS = {"nullkey", "keyed", "headers", "fixed-headers", "tombstones"}
KEY_END = "<~k~>"
RECORD_END = "<~r~>"


def run(args, stdin=None):
    """Runs kcat to its end; its standard error becomes the failure's message."""
    done = subprocess.run(["kcat", *args], input=stdin, capture_output=True, timeout=TIMEOUT)
    if done.returncode != 0:
        raise AssertionError(f"kcat {' '.join(args[:6])}: {done.stderr.decode(errors='replace')[-400:]}")
    return done.stdout


def _produce_run(bootstrap, topic, codec, batch):
    """Sends records that agree in their headers and in whether they have a key."""
    args = ["-P", "-b", bootstrap, "-t", topic, "-p", "0", "-z", codec, "-D", RECORD_END]
    args += ["-X", f"message.max.bytes={MAX_MESSAGE}", "-X", "acks=all"]
    if batch[0].key is not None:
        args += ["-K", KEY_END]
    if batch[0].value is None:
        args += ["-Z"]
    for name, value in batch[0].headers:
        args += ["-H", f"{name}={value.decode()}"]
    lines = []
    for record in batch:
        if record.key is not None:
            lines.append(record.key + KEY_END.encode())
        lines.append((record.value or b"") + RECORD_END.encode())
    run(args, b"".join(lines))


def produce(bootstrap, topic, codec, records):
    """Sends the records in order, one kcat run per stretch of records that share its options."""
    batch = []

    def options(record):
        return record.key is None, record.value is None, record.headers

    for record in records:
        if batch and options(batch[0]) != options(record):
            _produce_run(bootstrap, topic, codec, batch)
            batch = []
        batch.append(record)
    if batch:
        _produce_run(bootstrap, topic, codec, batch)


def _headers(text):
    """`a=1,b=NULL` as kcat prints headers; our names and values hold neither sign."""
    if not text:
        return []
    pairs = [part.split(b"=", 1) for part in text.split(b",")]
    return [(name.decode(), None if value == b"NULL" else value) for name, value in pairs]


def read(bootstrap, topic, isolation="read_uncommitted"):
    """Every record of partition 0, from the beginning to the end."""
    out = run(["-C", "-b", bootstrap, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q",
                "-X", f"fetch.message.max.bytes={MAX_MESSAGE}", "-X", "check.crcs=true",
                "-X", f"isolation.level={isolation}", "-X", "fetch.wait.max.ms=50",
                "-f", "%o %T %K %S %h\n%k%s\n"])
    got, at = [], 0
    while at < len(out):
        end = out.index(b"\n", at)
        offset, time, key_size, value_size, headers = out[at:end].split(b" ", 4)
        at, fields = end + 1, []
        for size in (int(key_size), int(value_size)):
            fields.append(None if size < 0 else out[at:at + size])
            at += max(size, 0)
        got.append(Record(*fields, _headers(headers), int(time), offset=int(offset)))
        at += 1
    return got


def metadata(bootstrap, topic):
    """What `kcat -L` says about a topic."""
    return run(["-L", "-b", bootstrap, "-t", topic]).decode()


def offset_for_time(bootstrap, topic, time):
    """What `kcat -Q` answers for a timestamp."""
    out = run(["-Q", "-b", bootstrap, "-t", f"{topic}:0:{time}"]).decode()
    return int(out.rsplit("offset", 1)[1].strip())
