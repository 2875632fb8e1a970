"""A group member by kafka-python: joins, prints `partition offset value` of each record, leaves at SIGTERM."""

import signal
import sys

from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

bootstrap, group, topic, strategy, session_ms = sys.argv[1:]
running = True


def stop(*_):
    """Ends the loop; the consumer then leaves its group."""
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
consumer = KafkaConsumer(
    topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
    partition_assignment_strategy=[{"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}[strategy]],
    session_timeout_ms=int(session_ms), heartbeat_interval_ms=300, auto_commit_interval_ms=200,
)
while running:
    for messages in consumer.poll(timeout_ms=200).values():
        for m in messages:
            print(m.partition, m.offset, m.value.decode(), flush=True)
consumer.close()
