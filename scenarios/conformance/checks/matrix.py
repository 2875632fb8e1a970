"""Every producer × codec × shape, read back by every consumer and compared by checksum."""

import time
from concurrent.futures import ThreadPoolExecutor

import records
from clients import MAX_MESSAGE, confluent, java, kafka_python, kcat, ottla

CLIENTS = [java, kcat, kafka_python, confluent, ottla]
TOPIC = {
    "retention.ms": "-1",  # the explicit timestamps lie years back
    "max.message.bytes": str(MAX_MESSAGE),
    "segment.bytes": "2097152",  # a 1 MiB record and its batch must fit in one segment
}


def _topic(client, codec):
    return f"matrix-{client.NAME}-{codec}"


def _pair(report, bootstrap, client, codec, seed):
    """One producer with one codec: sends, then has every client read it back."""
    topic = _topic(client, codec)
    sent = records.make(seed, client.CAPS, text=client is java)
    window = [int(time.time() * 1000) - 5000, 0]

    def produce():
        client.produce(bootstrap, topic, codec, sent)
        report.count(sent=len(sent))
        return f"{len(sent)} records"

    if not report.step(f"produce {client.NAME} {codec}", produce):
        return
    window[1] = int(time.time() * 1000) + 5000
    sums = {}

    def read(reader):
        got = reader.read(bootstrap, topic, len(sent)) if reader is java else reader.read(bootstrap, topic)
        sums[reader.NAME] = records.compare(sent, got, window)
        report.count(read=len(got))
        return sums[reader.NAME][:16]

    for reader in CLIENTS:
        report.step(f"  read {client.NAME} {codec} by {reader.NAME}", read, reader)
    if len(set(sums.values())) > 1:
        # what was sent agrees, so it is a timestamp the producer chose that the readers see differently
        report.step(f"readers of {client.NAME} {codec} agree", _disagree, sums)


def _disagree(sums):
    raise AssertionError(f"checksums differ: {sums}")


def run(report, bootstrap, workers=3):
    """All pairs, a few at a time: the clients spend much of their time starting and waiting."""
    pairs = [(client, codec) for client in CLIENTS for codec in records.CODECS]
    topics = [_topic(*pair) for pair in pairs]
    if not report.step("create the matrix topics", confluent.create, bootstrap, topics, TOPIC):
        return
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_pair, report, bootstrap, *pair, seed) for seed, pair in enumerate(pairs)]
        for job in jobs:
            job.result()
