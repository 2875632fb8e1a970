"""Committed offsets through the hands of several servers on one directory: what one has written the next one reads."""

from confluent_kafka import Consumer, TopicPartition

from checks import disk
from clients import TIMEOUT, confluent, java


class Commits:
    """What was committed, by group and topic, and by whom last."""

    def __init__(self, topics):
        self.topics, self.committed, self.turn = topics, {}, 0

    @staticmethod
    def _consumer(bootstrap, group):
        return Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "logger": confluent.silent()})

    def commit(self, bootstrap):
        """Simple commits in several groups, two of them by a member, and a group that is deleted again."""
        self.turn += 1
        for n in range(6):
            group = f"carried-{n}"
            consumer = self._consumer(bootstrap, group)
            if n < 2:
                consumer.subscribe([self.topics[n]])
                while not consumer.assignment():
                    consumer.poll(0.1)
            for topic in self.topics if n >= 2 else self.topics[n:n + 1]:
                offset = 10 * self.turn + n
                partition = TopicPartition(topic, 0, offset, f"turn {self.turn}")
                assert consumer.commit(offsets=[partition], asynchronous=False)[0].error is None
                self.committed[group, topic] = (offset, f"turn {self.turn}")
            consumer.close()
        client = confluent.admin(bootstrap)
        gone = f"carried-{2 + self.turn}"
        for done in client.delete_consumer_groups([gone], request_timeout=TIMEOUT).values():
            done.result(TIMEOUT)
        for key in [key for key in self.committed if key[0] == gone]:
            self.committed[key] = (None, "")
        return f"{len(self.committed)} offsets, {gone} deleted"

    def verify(self, bootstrap):
        """Every offset and its metadata."""
        for group in sorted({group for group, _ in self.committed}):
            consumer = self._consumer(bootstrap, group)
            topics = [topic for of, topic in self.committed if of == group]
            found = consumer.committed([TopicPartition(topic, 0) for topic in topics], timeout=TIMEOUT)
            consumer.close()
            for partition in found:
                want = self.committed[group, partition.topic]
                got = (partition.offset if partition.offset >= 0 else None, partition.metadata or "")
                assert got == want, f"{group}, {partition.topic}: {got}, not {want}"
        return f"{len(self.committed)} offsets"

    def dump(self, directory):
        """`kafka-dump-log --offsets-decoder` reads every record."""
        files = sorted(p for p in directory.glob("__consumer_offsets-*/*.log") if p.stat().st_size > 0)
        text = java.tool("dump-log", "--offsets-decoder", "--files", ",".join(map(str, files)))[0].decode()
        told = disk.COMPLAINT.findall("\n".join(line for line in text.splitlines() if "isvalid: true" not in line))
        assert not told, f"{told[:3]}: {text[-400:]}"
        for group, topic in self.committed:
            assert f'"group":"{group}"' in text and f'"topic":"{topic}"' in text, f"{group}, {topic} is not in {len(files)} files"
        count = text.count('"topic":')
        return f"{count} records of offsets in {len(files)} files"
