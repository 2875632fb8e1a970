"""`ottla produce` and `ottla consume`: our own client, through the command line a person uses.

Records travel as JSON, an object a line; bytes that are no text are base64.
"""

import base64
import json
import subprocess
from pathlib import Path

from clients import MAX_MESSAGE, TIMEOUT
from records import Record

NAME = "ottla"
CAPS = {"nullkey", "keyed", "headers", "timestamps", "tombstones", "empty", "null-headers"}
binary = Path(__file__).resolve().parent.parent.parent.parent / "target/release/ottla"
"""The program; `run.py` sets it."""


def run(bootstrap, args, stdin=b"", code=0):
    """Runs the program to its end; gives its standard output and error. `code` is the exit status that is wanted."""
    done = subprocess.run([str(binary), *args, "--bootstrap", bootstrap], input=stdin, capture_output=True, timeout=TIMEOUT)
    error = done.stderr.decode(errors="replace")
    if done.returncode != code:
        raise AssertionError(f"ottla {' '.join(args[:6])}: exit {done.returncode}, not {code}: {error[-400:]}")
    return done.stdout, error


def objects(bootstrap, args):
    """What a command prints with `--output json`."""
    out, _ = run(bootstrap, [*args, "--output", "json"])
    return [json.loads(line) for line in out.splitlines()]


def _field(data):
    """Bytes as the program takes them."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(field):
    """Bytes as the program prints them."""
    if field is None:
        return None
    return base64.b64decode(field["base64"], validate=True) if isinstance(field, dict) else field.encode()


def produce(bootstrap, topic, codec, records):
    """Sends the records in order; every one must be told as delivered."""
    lines = []
    for r in records:
        line = {"key": _field(r.key), "value": _field(r.value), "partition": 0}
        if r.headers:
            line["headers"] = [{"key": name, "value": _field(value)} for name, value in r.headers]
        if r.timestamp is not None:
            line["timestamp"] = r.timestamp
        lines.append(json.dumps(line) + "\n")
    args = ["produce", topic, "--format", "json", "-z", codec, "--max-request-size", str(MAX_MESSAGE), "--output", "json"]
    out, error = run(bootstrap, args, "".join(lines).encode())
    told = [json.loads(line) for line in out.splitlines()]
    assert [t["line"] for t in told] == list(range(1, len(records) + 1)), f"{len(told)} told, {len(records)} sent: {error}"


def read(bootstrap, topic):
    """Every record of partition 0, from the beginning to the end."""
    got = objects(bootstrap, ["consume", topic, "--partition", "0", "--until-end"])
    return [
        Record(_bytes(o["key"]), _bytes(o["value"]), [(_bytes(h["key"]).decode(), _bytes(h["value"])) for h in o["headers"]],
               o["timestamp"], offset=o["offset"])
        for o in got
    ]
