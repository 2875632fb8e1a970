"""A group member by confluent-kafka (librdkafka): joins, prints `partition offset value` of each record, leaves at SIGTERM."""

import signal
import sys

from confluent_kafka import Consumer, KafkaError

bootstrap, group, topic, strategy, session_ms = sys.argv[1:]
running = True


def stop(*_):
    """Ends the loop; the consumer then leaves its group."""
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
consumer = Consumer({
    "bootstrap.servers": bootstrap, "group.id": group, "partition.assignment.strategy": strategy,
    "auto.offset.reset": "earliest", "session.timeout.ms": int(session_ms), "heartbeat.interval.ms": 300,
    "auto.commit.interval.ms": 200, "topic.metadata.refresh.interval.ms": 1000,
})
consumer.subscribe([topic])
while running:
    message = consumer.poll(0.2)
    if message is None:
        continue
    if message.error():
        if message.error().code() != KafkaError._PARTITION_EOF:
            print(f"error {message.error()}", file=sys.stderr, flush=True)
        continue
    print(message.partition(), message.offset(), message.value().decode(), flush=True)
consumer.close()
