"""Retention by time and by size: whole segments go, consumed or not, and the log start moves."""

import time

import records
from clients import confluent, java

WAIT = 60
"""Kafka starts its cleaning tasks 30 s after the server; ours may be as slow."""


def _fill(bootstrap, topic, config):
    """About 5 MiB in records of 10 KB, so that at 1 MiB a segment there are several."""
    confluent.create(bootstrap, [topic], {"segment.bytes": "1048576", **config})
    sent = [records.Record(None, b"%05d" % i + b"x" * 10_000) for i in range(520)]
    confluent.produce(bootstrap, topic, "none", sent, **{"batch.num.messages": 10})
    return java.offsets(bootstrap, topic, "latest")[0]


def _moved(bootstrap, topic, end, enough):
    """Waits until the earliest offset is where it should be, then shows it with the tool."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline and not enough(confluent.offset(bootstrap, topic, "earliest")):
        time.sleep(0.3)
    first = java.offsets(bootstrap, topic, "earliest")[0]
    assert enough(first), f"earliest offset {first} of {end} after {WAIT} s"
    assert java.offsets(bootstrap, topic, "latest")[0] == end, "the end of the log moved"
    got = confluent.read(bootstrap, topic, first)
    assert [r.offset for r in got] == list(range(first, end)), "what is left does not read back"
    return f"earliest offset now {first} of {end}"


def _by_size(bootstrap):
    end = _fill(bootstrap, "retention-size", {"retention.bytes": "2097152", "retention.ms": "-1"})
    # at least retention.bytes stay, at most one segment more
    return _moved(bootstrap, "retention-size", end, lambda first: end - 320 <= first <= end - 200)


def _by_time(bootstrap):
    end = _fill(bootstrap, "retention-time", {"retention.ms": "1500"})
    # the active segment goes as well once all of it is old
    return _moved(bootstrap, "retention-time", end, lambda first: first == end)


def run(report, bootstrap):
    """Both kinds; nobody has read either topic before."""
    report.step("retention by size", _by_size, bootstrap)
    report.step("retention by time", _by_time, bootstrap)
