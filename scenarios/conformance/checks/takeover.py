"""Apache Kafka's directory under Ottla: every record that Kafka served is served, byte for byte, and the logs go on.

Kafka writes every codec, keys, headers, timestamps of both types, idempotent and transactional producers (committed, aborted
and left open), moved log starts and a compacted log. It is stopped cleanly, Ottla starts on the directory by Kafka's own
server.properties; then Kafka goes on where Ottla stopped, is killed under load, and Ottla takes over once more.
"""

import random
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import IsolationLevel, KafkaException, Producer, TopicPartition

import records
from checks import crash, logdump
from checks.group_offsets import Commits
from clients import MAX_MESSAGE, TIMEOUT, confluent, kafka_python, kcat
from jvm import Broker
from server import Server

SETTINGS = {
    "log.segment.bytes": "1048576",
    # what lies below a log start goes soon: while it is there, Kafka looks for timestamps in it and finds none
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "100",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.initial.task.delay.ms": "500",
    # how long Kafka waits for a predecessor that was not fenced, and therefore for one that was killed
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}
KEEP = {"retention.ms": "-1", "segment.bytes": "1048576"}
LARGE = {**KEEP, "max.message.bytes": str(MAX_MESSAGE), "segment.bytes": "2097152"}
CODECS = [f"codec-{codec}" for codec in records.CODECS]
TOPICS = [*CODECS, "append-time", "cut", "compacted", "transactions", "open", "empty"]
LEVELS = ["read_uncommitted", "read_committed"]
SEED = 4711
MORE = 200


def _value(rng, size):
    """A value that compresses, but not to nothing: segments roll, and no codec is left out because it gains nothing."""
    return rng.randbytes(size // 2).hex().encode()


def _values(count, size, keys=100):
    """Records with values of that size."""
    rng = random.Random(SEED)
    made = [records.Record(b"key-%d" % rng.randrange(keys), _value(rng, size)) for _ in range(count)]
    for at, record in enumerate(made):
        record.offset = at
    return made


def _codecs(bootstrap):
    """Every shape of record in every codec, by idempotent producers."""
    confluent.create(bootstrap, CODECS, LARGE)
    for at, codec in enumerate(records.CODECS):
        made = records.make(SEED + at, confluent.CAPS)
        confluent.produce(bootstrap, f"codec-{codec}", codec, made[:3000:4] + made[3000:])


def _append_time(bootstrap):
    confluent.create(bootstrap, ["append-time"], {**KEEP, "message.timestamp.type": "LogAppendTime"})
    confluent.produce(bootstrap, "append-time", "snappy", _values(2000, 1000), **{"batch.num.messages": 50})


def _cut(bootstrap, directory):
    """A log start inside of a segment and of a batch, whole segments before it gone."""
    confluent.create(bootstrap, ["cut"], KEEP)
    confluent.produce(bootstrap, "cut", "none", _values(3500, 1000), **{"batch.num.messages": 40})
    client = confluent.admin(bootstrap)
    for done in client.delete_records([TopicPartition("cut", 0, 2345)]).values():
        assert done.result(30).low_watermark == 2345
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (directory / "cut-0" / f"{0:020}.log").exists():
        time.sleep(0.1)


def _compacted(bootstrap, directory):
    """A log with holes, which the cleaner has made."""
    policy = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.bytes": "1048576"}
    confluent.create(bootstrap, ["compacted"], policy)
    confluent.produce(bootstrap, "compacted", "lz4", _values(4000, 1600, 2000), **{"batch.num.messages": 40})
    checkpoint = directory / "cleaner-offset-checkpoint"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        cleaned = re.search(r"^compacted 0 (\d+)$", checkpoint.read_text() if checkpoint.exists() else "", re.MULTILINE)
        if cleaned and int(cleaned[1]) > 2000:
            return
        time.sleep(0.1)
    raise AssertionError("Kafka's cleaner did not come by within 60 s")


def _producer(bootstrap, name, codec):
    producer = Producer({
        "bootstrap.servers": bootstrap, "transactional.id": name, "compression.type": codec, "linger.ms": 2,
        "transaction.timeout.ms": 900_000, "error_cb": lambda _: None, "logger": confluent.silent(),
    })
    producer.init_transactions(TIMEOUT)
    return producer


def _transactions(bootstrap):
    """Two transactional producers at once, some of their transactions aborted, and one that knows of no transactions."""
    confluent.create(bootstrap, ["transactions"], KEEP)
    rng, sent = random.Random(SEED), 0
    pair = [_producer(bootstrap, "first", "lz4"), _producer(bootstrap, "second", "zstd")]
    plain = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "gzip",
                      "linger.ms": 2, "logger": confluent.silent()})
    for turn in range(40):
        for producer in pair:
            producer.begin_transaction()
        for i in range(30):
            for at, producer in enumerate([*pair, plain]):
                producer.produce("transactions", _value(rng, 1200), b"%d-%d-%d" % (turn, at, i), partition=0)
                sent += 1
            if i % 10 == 9:  # so that batches of the three lie between each other
                for producer in [*pair, plain]:
                    producer.flush(TIMEOUT)
        for at, producer in enumerate(pair):
            if (turn + at) % 3 == 0:
                producer.abort_transaction(TIMEOUT)
            else:
                producer.commit_transaction(TIMEOUT)
    return sent


def _open(bootstrap):
    """A transaction that never ends: what is behind its first record is not stable."""
    confluent.create(bootstrap, ["open"], KEEP)
    confluent.produce(bootstrap, "open", "none", _values(50, 100))
    producer = _producer(bootstrap, "never-ends", "none")
    producer.begin_transaction()
    for i in range(20):
        producer.produce("open", b"open %d" % i, partition=0)
    producer.flush(TIMEOUT)
    confluent.produce(bootstrap, "open", "none", _values(50, 100))
    producer.purge()


def _fill(broker):
    """All of it, what can be at once."""
    bootstrap = broker.bootstrap
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(_transactions, bootstrap), pool.submit(_compacted, bootstrap, broker.directory),
                pool.submit(_codecs, bootstrap), pool.submit(_append_time, bootstrap), pool.submit(_cut, bootstrap, broker.directory),
                pool.submit(_open, bootstrap),
                pool.submit(confluent.create, bootstrap, ["empty"], KEEP)]
        for job in jobs:
            job.result()


def _offsets(bootstrap, topics):
    """What ListOffsets says of the topics: a map from topic to offsets by what was asked for."""
    asked = ["earliest", "latest", "max-timestamp", records.TIME_BASE + 123_456, 4_000_000_000_000]
    found = {which: confluent.offsets(bootstrap, topics, which) for which in asked}
    found["stable"] = confluent.offsets(bootstrap, topics, "latest", IsolationLevel.READ_COMMITTED)
    return {topic: {which: of[topic] for which, of in found.items()} for topic in topics}


def _levels(topic):
    """Where nothing is transactional, one isolation level is as good as the other."""
    return LEVELS if topic in ("transactions", "open", "codec-none") else LEVELS[:1]


def _served(bootstrap, topics):
    """What a server serves: a map from topic to its records at each isolation level, and its offsets."""
    offsets = _offsets(bootstrap, topics)
    with ThreadPoolExecutor(4) as pool:
        jobs = {(topic, level): pool.submit(confluent.read, bootstrap, topic, isolation=level)
                for topic in topics for level in _levels(topic)}
        return {topic: ({level: jobs[topic, level].result() for level in _levels(topic)}, offsets[topic]) for topic in topics}


def _same(report, reader, bootstrap, seen):
    """Every topic as `seen`, through one client at both isolation levels."""
    count = 0
    for topic, (wanted, _) in seen.items():
        for level, want in wanted.items():
            got = reader.read(bootstrap, topic, isolation=level)
            try:
                records.compare(want, got, (0, 0))
            except AssertionError as error:
                raise AssertionError(f"{topic}, {level}: {error}") from None
            count += len(got)
    report.count(read=count)
    return f"{count} records of {len(seen)} topics"


def _same_offsets(bootstrap, seen):
    found = _offsets(bootstrap, list(seen))
    for topic, (_, want) in seen.items():
        assert found[topic] == want, f"{topic}: ListOffsets says {found[topic]}, Kafka said {want}"
    return f"{len(seen)} topics"


def _read_by(readers, report, who, bootstrap, seen):
    with ThreadPoolExecutor(len(readers)) as pool:
        jobs = [pool.submit(report.step, f"  read {who} by {reader.NAME}", _same, report, reader, bootstrap, seen)
                for reader in readers]
        for job in jobs:
            job.result()
    report.step(f"  offsets of {who}", _same_offsets, bootstrap, seen)


def _some(seen):
    """That the directory is what this check is about."""
    levels, offsets = seen["transactions"]
    assert 0 < len(levels["read_committed"]) < len(levels["read_uncommitted"]), "no transaction was aborted, or all were"
    assert seen["open"][1]["stable"] < seen["open"][1]["latest"], "no transaction is open"
    assert seen["cut"][1]["earliest"] == 2345
    kept = [r.offset for r in seen["compacted"][0]["read_uncommitted"]]
    gaps = sum(after != before + 1 for before, after in zip(kept, kept[1:]))
    assert gaps > 100, f"the compacted log has {gaps} holes"
    total = sum(len(levels["read_uncommitted"]) for levels, _ in seen.values())
    hidden = offsets["latest"] - len(levels["read_committed"])
    return f"{total} records; {hidden} offsets of aborted or control records, {gaps} holes"


def _refused(binary, broker):
    """Ottla on a directory that a JVM holds: refused, by the pid of that JVM."""
    command = Server(binary, broker.directory, broker).command()
    done = subprocess.run(command, capture_output=True, timeout=30)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode not in (0, None) and str(broker.process.pid) in text, f"exit {done.returncode}: {text[-500:]}"
    return text.strip().splitlines()[-1][-160:]


def _more(report, bootstrap, seen):
    """Every topic takes more records, idempotent and compressed, and has them at the end."""
    more = _values(MORE, 300)
    before = confluent.offsets(bootstrap, list(seen), "latest")

    def one(topic, codec):
        confluent.produce(bootstrap, topic, codec, more)
        got = confluent.read(bootstrap, topic, before[topic])
        assert [(r.key, r.value) for r in got] == [(r.key, r.value) for r in more], f"{topic}: {len(got)} of {len(more)}"
        report.count(sent=len(more), read=len(got))

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(one, topic, records.CODECS[at % len(records.CODECS)]) for at, topic in enumerate(seen)]
        for job in jobs:
            job.result()
    return f"{len(more)} records each"


def _settled(bootstrap, topics):
    """Waits until Kafka leads its partitions: it opens its port a moment before."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return _offsets(bootstrap, topics)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _again(report, broker, seen):
    """Kafka serves what it served and what Ottla has appended since."""
    _settled(broker.bootstrap, list(seen))
    now = _served(broker.bootstrap, list(seen))
    for topic, (levels, _) in seen.items():
        for level, want in levels.items():
            got = now[topic][0][level]
            stable = level == "read_uncommitted" or topic != "open"
            assert len(got) == len(want) + (MORE if stable else 0), f"{topic}, {level}: {len(got)} records, {len(want)} before"
            records.compare(want, got[:len(want)], (0, 0))
            report.count(read=len(got))
    seen.update(now)
    return f"{sum(len(levels['read_uncommitted']) for levels, _ in now.values())} records"


def run(report, binary, base, offsets=False):
    """The chain of servers on one directory; with `offsets`, what groups commit goes through their hands as well."""
    broker = Broker(base / "kafka", SETTINGS, standalone=True)
    ottla = Server(binary, broker.directory, broker)
    try:
        _chain(report, broker, ottla, offsets)
    finally:
        broker.discard()
        ottla.discard()


def _chain(report, broker, ottla, offsets):
    seen, acked = {}, {}
    commits = Commits(["codec-none", "codec-gzip"])
    of_groups = {Commits.commit, Commits.verify, Commits.dump}

    def start():
        broker.format()
        return broker.start()

    def look():
        seen.update(_served(broker.bootstrap, TOPICS))
        return _some(seen)

    def load():
        confluent.create(broker.bootstrap, [crash.TOPIC], KEEP)
        acked.update(crash.load(broker, crash.TOPIC))
        return f"{len(acked)} acknowledged before SIGKILL"

    def steps(*all_of_them):
        return all(report.step(*one) for one in all_of_them if offsets or getattr(one[1], "__func__", None) not in of_groups)

    if not steps(("start Apache Kafka", start), ("  fill its directory", _fill, broker), ("  what Kafka serves", look),
                 ("  groups commit", commits.commit, broker.bootstrap),
                 ("a directory that a JVM holds is refused", _refused, ottla.binary, broker),
                 ("  stop Kafka cleanly", broker.stop),
                 ("ottla log dump agrees with kafka-dump-log", logdump.agree, ottla.binary, broker.directory),
                 ("ottla on Kafka's directory", ottla.start)):
        return
    _read_by([confluent, kcat, kafka_python], report, "it", ottla.bootstrap, seen)
    if not steps(("  it takes more", _more, report, ottla.bootstrap, seen),
                 ("  it knows what groups have committed", commits.verify, ottla.bootstrap),
                 ("  groups commit", commits.commit, ottla.bootstrap), ("  stop with SIGTERM", ottla.stop),
                 ("  kafka-dump-log --offsets-decoder", commits.dump, broker.directory),
                 ("Kafka on the directory after ottla", broker.start), ("  it serves all", _again, report, broker, seen),
                 ("  it knows what groups have committed", commits.verify, broker.bootstrap),
                 ("  groups commit", commits.commit, broker.bootstrap),
                 ("  load until SIGKILL", load), ("ottla on a killed Kafka's directory", ottla.start)):
        return
    _read_by([confluent, kcat], report, "it", ottla.bootstrap, seen)
    steps(("  acknowledged by Kafka before SIGKILL", crash.verify, report, ottla.bootstrap, acked),
          ("  it knows what groups have committed", commits.verify, ottla.bootstrap),
          ("  it takes more", _more, report, ottla.bootstrap, seen), ("  stop with SIGTERM", ottla.stop),
          ("  ottla log dump of what both wrote", logdump.agree, ottla.binary, broker.directory))
