"""`kafka-dump-log --deep-iteration` over every file of a data directory that it can read."""

import re
from pathlib import Path

from clients import java

COMPLAINT = re.compile(
    r"isvalid: false|mismatch|non-consecutive|out of order|corrupt|exception|invalid bytes|error|unknown|could not|WARN",
    re.IGNORECASE,
)
HARMLESS = re.compile(r"^(producerId: |baseOffset: .*isvalid: true|\| (offset|key|endTxnMarker))", re.IGNORECASE)
# Kafka 4.3.1 says this of every segment that does not begin at offset 0, its own included
FIRST_OFFSET = re.compile(r"^\s+-1 is followed by \d+$")
TORN_TAIL = re.compile(r"Found \d+ invalid bytes at the end of ")
# the zeros of a preallocated index that no clean stop has trimmed: time 0, or the segment's first offset
EMPTY_TIME = re.compile(r"^\s+Index timestamp: 0, ")
EMPTY_OFFSET = re.compile(r"^\s+Index offset: (\d+), ")


def _complaints(text):
    """What the tool has to say: pairs of a line and its indented details.

    A torn tail is reported by file name only; its detail is the path that was being dumped.
    """
    found, details, current = [], None, ""
    for line in text.splitlines():
        if line.startswith("Dumping "):
            current = line.removeprefix("Dumping ")
        if line.startswith("  ") and details is not None:
            details.append(line)
        elif COMPLAINT.search(line) and not HARMLESS.match(line):
            details = [current] if TORN_TAIL.search(line) else []
            found.append((line.strip(), details))
        else:
            details = None
    return [
        (line, details)
        for line, details in found
        if not (line.startswith("Non-consecutive") and all(FIRST_OFFSET.match(d) for d in details) and details)
    ]


def _from_crash(line, details):
    """Whether a complaint only says that the active segment was cut off by a kill."""
    if TORN_TAIL.search(line):
        return _is_last(Path(details[0]))
    path = Path(line.rsplit(":", 1)[-1].strip())
    if not details or not _is_last(path.with_suffix(".log")):
        return False
    if "timestamp mismatch" in line:
        return all(EMPTY_TIME.match(d) for d in details)
    first = [EMPTY_OFFSET.match(d) for d in details] if line.startswith("Mismatches in") else [None]
    return all(m and int(m[1]) == int(path.stem) for m in first)


def _is_last(path):
    """Whether a segment is the active one of its partition."""
    return path == max(path.parent.glob("*.log"))


def files(directory):
    """Segments, indexes and producer snapshots, each kind that the tool knows."""
    found = []
    for suffix in ("log", "index", "timeindex", "txnindex", "snapshot"):
        found += sorted(p for p in directory.rglob(f"*.{suffix}") if "-delete" not in p.parent.name)
    return found


def dump(directory, crashed=None):
    """Dumps all; with `crashed`, what a kill leaves behind in an active segment is a note to it instead.

    The kernel may stop a large `write` of a process that is killed at any page, and an index that is
    preallocated still has its zeros. Neither is a fault as long as it is in an active segment and no
    acknowledged record is missing (`crash.py` shows the latter).
    """
    chosen = files(directory)
    if crashed is not None:  # the tool itself fails over a preallocated index of an empty segment
        chosen = [p for p in chosen if "index" not in p.suffix or p.with_suffix(".log").stat().st_size > 0]
    logs = [p for p in chosen if p.suffix == ".log"]
    assert logs, f"no segments in {directory}"
    # a path has no comma, and the tool wants one list; chunks keep the command line short
    seen, bad = 0, []
    for at in range(0, len(chosen), 400):
        part = ",".join(str(p) for p in chosen[at:at + 400])
        out, errors = java.tool("dump-log", "--deep-iteration", "--files", part, timeout=180, heap="512m")
        text = out.decode(errors="replace")
        seen += text.count("| offset: ")
        bad += _complaints(text) + _complaints(errors)  # its findings go to standard error
    if crashed is not None:
        for what in ("Found", "Mismatches"):
            noted = [line for line, details in bad if line.startswith(what) and _from_crash(line, details)]
            if noted:
                crashed(f"kafka-dump-log before the restart: {len(noted)} × {noted[0]}")
        bad = [pair for pair in bad if not _from_crash(*pair)]
    told = " / ".join(" ".join([line, *details[:2]]) for line, details in bad[:6])
    assert not bad, f"{len(bad)} complaints: {told}"
    return f"{len(chosen)} files ({len(logs)} segments), {seen} records"
