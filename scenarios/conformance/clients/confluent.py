"""confluent-kafka (librdkafka, a current version): producer, assigned consumer, admin."""

import logging
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from clients import MAX_MESSAGE, TIMEOUT
from records import Record

NAME = "confluent-kafka"
CAPS = {"nullkey", "keyed", "headers", "timestamps", "tombstones", "empty", "null-headers"}


def _quiet(*_):
    """Errors reach us through the calls; the callback's default prints them."""


def silent():
    """A logger for librdkafka's own lines, which otherwise go to standard error."""
    logger = logging.getLogger("librdkafka")
    logger.setLevel(logging.CRITICAL)
    return logger


def produce(bootstrap, topic, codec, records, **options):
    """Sends the records in order and waits until each is acknowledged."""
    failed = []
    config = {
        "bootstrap.servers": bootstrap,
        "compression.type": codec,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.max.bytes": MAX_MESSAGE,
        "message.timeout.ms": TIMEOUT * 1000,
        "error_cb": _quiet,
        "logger": silent(),
    }
    config.update(options)
    producer = Producer(config)

    def delivered(error, _):
        if error is not None:
            failed.append(str(error))

    for r in records:
        extra = {} if r.timestamp is None else {"timestamp": r.timestamp}
        producer.produce(topic, value=r.value, key=r.key, headers=r.headers, partition=0, on_delivery=delivered, **extra)
        producer.poll(0)
    left = producer.flush(TIMEOUT)
    if failed or left:
        raise AssertionError(f"{len(failed)} records refused, {left} unanswered; first: {failed[:1]}")


def read(bootstrap, topic, start=OFFSET_BEGINNING, isolation="read_uncommitted"):
    """Every record of partition 0, from `start` to the end (of what is stable, with `read_committed`)."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "never-joined",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "check.crcs": True,
        "isolation.level": isolation,
        "fetch.wait.max.ms": 50,  # the end is known after one fetch that brought nothing
        "error_cb": _quiet,
        "logger": silent(),
    })
    got, deadline = [], time.monotonic() + TIMEOUT
    try:
        consumer.assign([TopicPartition(topic, 0, start)])
        while time.monotonic() < deadline:
            for m in consumer.consume(1000, timeout=0.05):
                if m.error() is None:
                    got.append(Record(m.key(), m.value(), m.headers() or [], m.timestamp()[1], offset=m.offset()))
                elif m.error().code() == KafkaError._PARTITION_EOF:
                    return got
                else:
                    raise AssertionError(f"consumer: {m.error()}")
        raise AssertionError(f"no end of {topic} within {TIMEOUT} s; {len(got)} records so far")
    finally:
        consumer.close()


def admin(bootstrap):
    """An admin client for the suite's own set-up."""
    return AdminClient({"bootstrap.servers": bootstrap, "error_cb": _quiet, "logger": silent()})


def create(bootstrap, topics, config, partitions=1):
    """Creates topics, replacing those of an earlier run."""
    client = admin(bootstrap)
    old = [t for t in topics if t in client.list_topics(timeout=20).topics]
    if old:
        for done in client.delete_topics(old).values():
            done.result(30)
        time.sleep(1)  # the name is free once the broker has seen the deletion
    new = [NewTopic(t, num_partitions=partitions, replication_factor=1, config=config) for t in topics]
    for name, done in client.create_topics(new).items():
        try:
            done.result(30)
        except KafkaException as error:
            raise AssertionError(f"create {name}: {error}") from error


def _spec(which):
    named = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest, "max-timestamp": OffsetSpec.max_timestamp}
    return named[which]() if which in named else OffsetSpec.for_timestamp(which)


def offsets(bootstrap, topics, which, isolation=IsolationLevel.READ_UNCOMMITTED):
    """By topic, the earliest or latest offset of partition 0 by ListOffsets, that of the newest timestamp, or the first at a time."""
    client = admin(bootstrap)  # its futures never complete once it is collected
    asked = {TopicPartition(topic, 0): _spec(which) for topic in topics}
    answers = client.list_offsets(asked, isolation_level=isolation, request_timeout=20)
    return {partition.topic: answer.result(20).offset for partition, answer in answers.items()}


def offset(bootstrap, topic, which):
    """The same of one topic."""
    return offsets(bootstrap, [topic], which)[topic]
