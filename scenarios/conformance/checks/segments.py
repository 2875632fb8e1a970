"""Walking over the batches of a segment, and the one remainder that a kill may leave behind them."""

import hashlib
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

HEADER = 61
"""Bytes of a batch's header; the first 12 say its offset and its length."""


@dataclass
class Torn:
    """A segment whose last batch is cut off: `end` bytes of whole batches, `digest` over them, `size` bytes in all."""

    path: Path
    end: int
    size: int
    digest: str


def walk(data):
    """Where the whole batches of a segment end, where the last of them begins, and the offset that has to follow them."""
    at, last, following = 0, 0, None
    while at + HEADER <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        if length < HEADER - 12 or at + 12 + length > len(data):
            break
        following = base + struct.unpack_from(">i", data, at + 23)[0] + 1
        last, at = at, at + 12 + length
    return at, last, following


def torn(path):
    """The remainder behind the whole batches of an active segment, if it is what a kill leaves, else None.

    The kernel looks for a fatal signal between the pages (or folios) of one `write`, so that a process that is killed leaves a
    prefix of what it was writing that ends with a page. Nothing a process can do keeps that from happening: Kafka's own
    segments have it too. It has these marks, and zeros, a later batch or half a page have not.
    """
    if path != max(path.parent.glob("*.log")):
        return None
    data = path.read_bytes()
    end, _, following = walk(data)
    rest = data[end:]
    if not rest or len(data) % mmap.PAGESIZE:
        return None
    if following is None:
        following = int(path.stem)
    if rest[:8] != struct.pack(">q", following)[:len(rest)]:
        return None
    if len(rest) >= 12 and struct.unpack_from(">i", rest, 8)[0] + 12 <= len(rest):
        return None
    if len(rest) >= 17 and rest[16] != 2:
        return None
    return Torn(path, end, len(data), hashlib.sha256(data[:end]).hexdigest())


def trimmed(before):
    """That a restart has cut off the remainder and kept every whole batch; what was written since may follow."""
    data = before.path.read_bytes()
    assert hashlib.sha256(data[:before.end]).hexdigest() == before.digest, f"{before.path}: whole batches changed"
    end, _, _ = walk(data)
    assert end == len(data) >= before.end, f"{before.path}: {len(data) - end} bytes behind the last whole batch"
