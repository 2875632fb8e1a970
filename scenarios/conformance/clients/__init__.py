"""The clients under test, one module each.

Every module has `NAME`, `read(bootstrap, topic)` (all of partition 0, by assignment, never a group)
and, where it can produce, `produce(bootstrap, topic, codec, records)` with its own `CAPS`: the
shapes (see `records.py`) the client can express.
"""

TIMEOUT = 90
"""Seconds that any one step of a client may take before it counts as a failure."""

MAX_MESSAGE = 4 * 1024 * 1024
"""The largest request or batch a client may make; the topics' `max.message.bytes` says the same."""
