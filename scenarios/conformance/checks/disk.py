"""`kafka-dump-log --deep-iteration` over every file of a data directory that it can read."""

import mmap
import re
from pathlib import Path

from checks import segments
from clients import java

COMPLAINT = re.compile(
    r"isvalid: false|mismatch|non-consecutive|out of order|corrupt|exception|invalid bytes|error|unknown|could not|WARN",
    re.IGNORECASE,
)
HARMLESS = re.compile(r"^(producerId: |baseOffset: .*isvalid: true|\| (offset|key|endTxnMarker))", re.IGNORECASE)
# Kafka 4.3.1 says this of every segment that does not begin at offset 0, its own included
FIRST_OFFSET = re.compile(r"^\s+-1 is followed by \d+$")
TORN_TAIL = re.compile(r"Found (\d+) invalid bytes at the end of (\S+)")


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


def _torn(line, details):
    """The torn last batch that a complaint is about, if it is about nothing else."""
    told = TORN_TAIL.search(line)
    found = segments.torn(Path(details[0])) if told and details else None
    same = found and (found.size - found.end, found.path.name) == (int(told[1]), told[2])
    return found if same else None


def files(directory):
    """Segments, indexes and producer snapshots, each kind that the tool knows."""
    found = []
    for suffix in ("log", "index", "timeindex", "txnindex", "snapshot"):
        found += sorted(p for p in directory.rglob(f"*.{suffix}") if "-delete" not in p.parent.name)
    return found


def dump(directory, torn=None):
    """Dumps all, and no complaint is let pass but for one: with `torn`, a list that takes them, that the last batch of an
    active segment is cut off at the end of a page, as a kill in the middle of a `write` leaves it (`segments.torn`).

    Nothing else is tolerated, as nothing else needs to be: batches are written before the index entries that name them, and no
    file is preallocated.
    """
    chosen = files(directory)
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
    if torn is not None:
        torn += [found for found in (_torn(*pair) for pair in bad) if found]
        bad = [pair for pair in bad if not _torn(*pair)]
    told = " / ".join(" ".join([line, *details[:2]]) for line, details in bad[:6])
    assert not bad, f"{len(bad)} complaints: {told}"
    cut = "" if torn is None else f", {len(torn)} torn last batches"
    return f"{len(chosen)} files ({len(logs)} segments), {seen} records{cut}"


def narrow(segment, base):
    """That what `dump` lets pass is a torn last batch and nothing else: remainders made of a sound segment, by what they are."""
    data = segment.read_bytes()
    end, last, _ = segments.walk(data)
    page = mmap.PAGESIZE
    cut = (end - 1) // page * page
    assert end == len(data) and last + 12 <= cut, f"{segment} has no last batch over a page's end"
    kinds = {
        "torn": data[:cut],
        "half a page": data[:cut + 1],
        "not in the active segment": data[:cut],
        "another offset": data[:last] + b"\1" + data[last + 1:cut],
        "another magic": data[:last + 16] + b"\3" + data[last + 17:cut],
    }
    for kind, content in kinds.items():
        folder = base / kind / "t-0"
        folder.mkdir(parents=True)
        (folder / segment.name).write_bytes(content)
    (base / "not in the active segment" / "t-0" / f"{2**62:020}.log").touch()
    torn = []
    try:
        dump(base, torn)
    except AssertionError as error:
        assert str(error).startswith(f"{len(kinds) - 1} complaints"), error
    else:
        raise AssertionError("everything is let pass")
    let_pass = [(t.path.parent.parent.name, t.end, t.size) for t in torn]
    assert let_pass == [("torn", last, cut)], f"let pass: {let_pass}"
    return f"{len(kinds) - 1} other remainders refused"
