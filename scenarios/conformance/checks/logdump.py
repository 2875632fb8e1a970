"""`ottla log dump` beside `kafka-dump-log --deep-iteration`: the same batches, records and entries in every file."""

import json
import re
import subprocess

from clients import java

PAIR = re.compile(r"([A-Za-z]+): (\S+)")
SUFFIXES = ("log", "index", "timeindex", "txnindex", "snapshot", "checkpoint")
SMALL = ("leader-epoch-checkpoint", "partition.metadata", "meta.properties", "quorum-state", ".kafka_cleanshutdown",
         "recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint",
         "cleaner-offset-checkpoint")
BATCH = {
    "baseOffset": "base_offset", "lastOffset": "last_offset", "count": "records", "baseSequence": "base_sequence",
    "lastSequence": "last_sequence", "producerId": "producer_id", "producerEpoch": "producer_epoch",
    "partitionLeaderEpoch": "leader_epoch", "isTransactional": "transactional", "isControl": "control",
    "position": "position", "size": "size", "compresscodec": "codec", "crc": "crc",
}
ENTRY = {
    "offset": {"offset": "offset", "position": "position"},
    "time": {"timestamp": "timestamp", "offset": "offset"},
    "aborted": {"producerId": "producer_id", "firstOffset": "first_offset", "lastOffset": "last_offset",
                "lastStableOffset": "last_stable_offset"},
    "producer": {"producerId": "producer_id", "producerEpoch": "producer_epoch", "coordinatorEpoch": "coordinator_epoch",
                 "lastSequence": "last_sequence", "lastOffset": "last_offset", "timestamp": "timestamp"},
}
TIMES = {"CreateTime": "create-time", "LogAppendTime": "append-time"}
KINDS = {"index": "offset", "timeindex": "time", "txnindex": "aborted", "snapshot": "producer"}


def _kafka(paths):
    """What Kafka's tool prints: a map from path to its items, each a kind with values."""
    out, _ = java.tool("dump-log", "--deep-iteration", "--files", ",".join(map(str, paths)), timeout=180, heap="512m")
    found, items, kind = {}, None, None
    for line in out.decode(errors="replace").splitlines():
        if line.startswith("Dumping "):
            items = found.setdefault(line.removeprefix("Dumping "), [])
            kind = KINDS.get(line.rsplit(".", 1)[-1])
            continue
        pairs = dict(PAIR.findall(line))
        if line.startswith("baseOffset: "):
            times = {name: int(pairs[label]) for label, name in TIMES.items() if label in pairs}
            items.append(("batch", *(pairs[name] for name in BATCH), *times.items()))
        elif line.startswith("| offset: "):
            items.append(("record", pairs["offset"]))
        elif kind and set(ENTRY[kind]) <= set(pairs):
            items.append((kind, *(pairs[name] for name in ENTRY[kind])))
    return found


def _text(value):
    """A value as Kafka's tool prints it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ours(binary, paths):
    """The same of `ottla log dump`, which says by its exit code whether anything is damaged."""
    command = [str(binary), "log", "dump", "--records", "--output", "json", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, timeout=180)
    assert done.returncode == 0, f"ottla log dump: exit {done.returncode}: {done.stderr[-800:].decode(errors='replace')}"
    found, items = {}, None
    for item in map(json.loads, done.stdout.splitlines()):
        kind = item["kind"]
        if kind == "file":
            items = found.setdefault(item["file"], [])
        elif kind == "batch":
            time = (item["timestamp_type"], item["max_timestamp"])
            items.append(("batch", *(_text(item[name]) for name in BATCH.values()), time))
        elif kind == "record":
            items.append(("record", _text(item["offset"])))
        elif kind in ENTRY:
            items.append((kind, *(_text(item[name]) for name in ENTRY[kind].values())))
    return found


def agree(binary, directory):
    """Every file that both read, item by item; the small text files are read by ours alone."""
    both = sorted(path for suffix in SUFFIXES for path in directory.rglob(f"*.{suffix}"))
    kafka, ours = _kafka(both), _ours(binary, both)
    items = 0
    for path in map(str, both):
        for at, (theirs, mine) in enumerate(zip(kafka[path], ours[path])):
            assert theirs == mine, f"{path}, item {at}: Kafka reads {theirs}, ottla reads {mine}"
        assert len(kafka[path]) == len(ours[path]), f"{path}: Kafka reads {len(kafka[path])} items, ottla {len(ours[path])}"
        items += len(ours[path])
    small = sorted(path for path in directory.rglob("*") if path.name in SMALL)
    _ours(binary, small)
    records = sum(item[0] == "record" for path in ours for item in ours[path])
    assert records > 0, f"no records in {directory}"
    return f"{len(both)} files, {items} items, {records} of them records; {len(small)} small files"
