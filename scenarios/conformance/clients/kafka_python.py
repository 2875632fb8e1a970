"""kafka-python: an implementation of the protocol in Python, independent of librdkafka and Java.

It refuses to send a header without a value.
"""

import logging

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from clients import MAX_MESSAGE, TIMEOUT
from records import Record

NAME = "kafka-python"
CAPS = {"nullkey", "keyed", "headers", "timestamps", "tombstones", "empty"}

logging.getLogger("kafka").setLevel(logging.ERROR)


def produce(bootstrap, topic, codec, records, acks="all", **options):
    """Sends the records in order; every send must be acknowledged."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        acks=acks,
        max_request_size=MAX_MESSAGE,
        linger_ms=5,
        **options,
    )
    try:
        sends = [
            producer.send(topic, value=r.value, key=r.key, headers=r.headers, partition=0, timestamp_ms=r.timestamp)
            for r in records
        ]
        producer.flush(timeout=TIMEOUT)
        for send in sends:
            send.get(timeout=TIMEOUT)
    finally:
        producer.close()


def read(bootstrap, topic, isolation="read_uncommitted"):
    """Every record of partition 0, from the beginning to the end."""
    partition = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, check_crcs=True,
                             isolation_level=isolation)
    try:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        got, idle = [], 0
        while consumer.position(partition) < end:
            polled = consumer.poll(timeout_ms=1000).get(partition, [])
            idle = 0 if polled else idle + 1
            if idle > 20:
                raise AssertionError(f"nothing at offset {consumer.position(partition)} of {end} for 20 s")
            got += [Record(m.key, m.value, list(m.headers), m.timestamp, offset=m.offset) for m in polled]
        return got
    finally:
        consumer.close()
