"""What `/metrics` and `/v1/ready` say while a real client works: the counters move by what was sent."""

import json
import re
import time
import urllib.error
import urllib.request

import records
from clients import confluent, kcat

TOPIC = "observe"
COUNT = 1000
SERIES = re.compile(r'([a-z_:][a-z0-9_:]*)(\{(?:[a-zA-Z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (\S+)')
TOPICS = "kafka_server_brokertopicmetrics_"


def _get(server, path, method="GET"):
    """Status and text of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.http}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(server):
    """All series and their values; fails at what a strict scraper objects to."""
    status, page = _get(server, "/metrics")
    assert status == 200, f"{status}: {page}"
    series, kinds, helped = {}, {}, set()
    for line in page.splitlines():
        if line.startswith("#"):
            _, what, name, rest = line.split(" ", 3)
            seen = kinds if what == "TYPE" else helped
            assert what in ("HELP", "TYPE") and name not in seen and rest, line
            if what == "HELP":
                helped.add(name)
            else:
                assert name in helped and (rest == "counter") == name.endswith("_total"), line
                kinds[name] = rest
            continue
        found = SERIES.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        family = name if name in kinds else re.sub("_(bucket|sum|count)$", "", name)
        assert family in kinds and (family == name or kinds[family] == "histogram"), line
        assert (name, labels) not in series, line
        series[name, labels] = float(value)
    return series


def _of(series, name, **labels):
    """A series by its name and labels, in the page's order; 0 if it is not there yet."""
    text = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else None
    return series.get((name, text), 0)


def _moves(report, server):
    made = [records.Record(b"k%d" % (i % 7), b"value-%d" % i, shape="observe") for i in range(COUNT)]
    confluent.create(server.bootstrap, [TOPIC], {})
    before = scrape(server)
    confluent.produce(server.bootstrap, TOPIC, "none", made)
    got = kcat.read(server.bootstrap, TOPIC)
    report.count(sent=COUNT, read=len(got))
    after = scrape(server)

    def moved(name, **labels):
        return _of(after, name, **labels) - _of(before, name, **labels)

    log = {"topic": TOPIC, "partition": 0}
    size = moved("kafka_log_log_size", **log)
    on_disk = sum(p.stat().st_size for p in (server.directory / f"{TOPIC}-0").glob("*.log"))
    assert size == on_disk > 0, f"log size {size}, on the disk {on_disk}"
    assert moved("kafka_log_log_logendoffset", **log) == COUNT
    for labels in ({}, {"topic": TOPIC}):
        assert moved(TOPICS + "messagesin_total", **labels) == COUNT, labels
        assert moved(TOPICS + "bytesin_total", **labels) == size, labels
        # a consumer may read a stretch of the log again, never less than all
        assert size <= moved(TOPICS + "bytesout_total", **labels) <= 2 * size, labels
        assert moved(TOPICS + "failedproducerequests_total", **labels) == 0, labels
        parts = moved(TOPICS + "totalproducerequests_total", **labels)
        requests = moved("kafka_network_requestmetrics_requests_total", request="Produce")
        assert parts == requests > 0, f"{labels}: {parts} in {requests} requests of one partition each"
    timed = moved("ottla_request_duration_seconds_bucket", le="+Inf", request="Produce")
    assert timed == requests, f"{timed} of {requests} requests in the histogram"
    assert moved("ottla_request_bytes_total", request="Produce") > size
    assert moved("ottla_response_bytes_total", request="FetchConsumer") > size
    assert _of(after, "kafka_server_replicamanager_underreplicatedpartitions") == 0
    assert _of(after, "kafka_controller_kafkacontroller_activecontrollercount") == 1
    return f"{COUNT} records, {size:.0f} bytes, {requests:.0f} requests; {len(after)} series"


def _ends(server):
    """The series of a deleted topic end; what it counted stays in the sum."""
    before = scrape(server)
    admin = confluent.admin(server.bootstrap)
    admin.delete_topics([TOPIC])[TOPIC].result(30)
    deadline = time.monotonic() + 20
    while True:
        after = scrape(server)
        left = [name for name, labels in after if labels and f'topic="{TOPIC}"' in labels]
        if not left:
            break
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    name = TOPICS + "messagesin_total"
    assert _of(after, name) >= _of(before, name) >= COUNT


def _ready(server):
    status, text = _get(server, "/v1/ready")
    assert status == 200 and json.loads(text)["ready"] is True, f"{status}: {text}"
    status, text = _get(server, "/nothing")
    assert status == 404 and "/metrics" in text, f"{status}: {text}"
    status, _ = _get(server, "/metrics", "POST")
    assert status == 405, status


def run(report, server):
    """All of the above, against a server of our own."""
    report.step("readiness, unknown paths and methods over HTTP", _ready, server)
    if report.step("metrics move by what is sent and read", _moves, report, server):
        report.step("metrics of a deleted topic end", _ends, server)
