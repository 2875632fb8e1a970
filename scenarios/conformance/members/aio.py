"""A group member by aiokafka: joins, prints `partition offset value` of each record, leaves at SIGTERM."""

import asyncio
import signal
import sys

from aiokafka import AIOKafkaConsumer

bootstrap, group, topic, session_ms = sys.argv[1:]


async def main():
    """Consumes until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
        session_timeout_ms=int(session_ms), heartbeat_interval_ms=300, auto_commit_interval_ms=200,
    )
    await consumer.start()
    while not stop.is_set():
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            for m in messages:
                print(m.partition, m.offset, m.value.decode(), flush=True)
    await consumer.stop()


asyncio.run(main())
