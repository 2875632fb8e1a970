"""Members of consumer groups, one kind per real client: processes that print the records they get and can be told to leave or killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from clients import java, ottla

HERE = Path(__file__).resolve().parent
NODE = HERE.parent.parent.parent / ".ci/work/node/node_modules"
SESSION_MS = 6000
"""The shortest session that Kafka's brokers grant by default."""


def _script(name):
    return [sys.executable, str(HERE / name)]


def _confluent(bootstrap, group, topic, strategy):
    return _script("confluent.py") + [bootstrap, group, topic, strategy, str(SESSION_MS)]


def _kafka_python(bootstrap, group, topic, strategy):
    return _script("kafka_python.py") + [bootstrap, group, topic, strategy, str(SESSION_MS)]


def _aiokafka(bootstrap, group, topic, _):
    return _script("aio.py") + [bootstrap, group, topic, str(SESSION_MS)]


def _kafkajs(bootstrap, group, topic, _):
    return ["node", str(HERE / "kafkajs.js"), bootstrap, group, topic, str(SESSION_MS)]


def _kcat(bootstrap, group, topic, strategy):
    settings = [f"partition.assignment.strategy={strategy}", f"session.timeout.ms={SESSION_MS}", "heartbeat.interval.ms=300",
                "auto.offset.reset=earliest", "auto.commit.interval.ms=200"]
    return ["kcat", "-b", bootstrap, *(arg for s in settings for arg in ("-X", s)), "-q", "-u", "-f", "%p %o %s\n", "-G", group, topic]


def _console(bootstrap, group, topic, _):
    settings = [f"session.timeout.ms={SESSION_MS}", "heartbeat.interval.ms=300", "auto.commit.interval.ms=200",
                "auto.offset.reset=earliest"]
    args = ["--bootstrap-server", bootstrap, "--topic", topic, "--group", group]
    for setting in settings:
        args += ["--command-property", setting]
    for setting in ("print.partition=true", "print.offset=true", "key.separator= "):
        args += ["--formatter-property", setting]
    return java.command(java.class_of("console-consumer"), "128m") + args


def _verifiable(bootstrap, group, topic, _):
    return java.command(java.class_of("verifiable-consumer"), "128m") + [
        "--bootstrap-server", bootstrap, "--topic", topic, "--group-id", group, "--verbose", "--reset-policy", "earliest",
        "--enable-autocommit", "--session-timeout", str(SESSION_MS)]


def _ottla(bootstrap, group, topic, strategy):
    return [str(ottla.binary), "consume", topic, "--bootstrap", bootstrap, "--group", group, "--assignor", strategy,
            "--session-timeout", f"{SESSION_MS}ms", "--commit-interval", "200ms", "--format", r"%p %o %v\n"]


KINDS = {"confluent": _confluent, "kafka-python": _kafka_python, "aiokafka": _aiokafka, "kafkajs": _kafkajs, "kcat": _kcat,
         "console-consumer": _console, "verifiable-consumer": _verifiable, "ottla": _ottla}


class Member:
    """A running member. `records` is what it has got: (partition, offset, value)."""

    def __init__(self, kind, bootstrap, group, topic, strategy="range"):
        self.kind, self.records, self.noise = kind, [], []
        env = dict(os.environ, LC_ALL="C.UTF-8", NODE_PATH=str(NODE), PYTHONDONTWRITEBYTECODE="1")
        self.process = subprocess.Popen(KINDS[kind](bootstrap, group, topic, strategy), stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                record = self._record(line.strip())
            except (ValueError, KeyError):
                record = None
            if record:
                self.records.append(record)
            else:
                self.noise.append(line)

    def _record(self, line):
        if self.kind == "verifiable-consumer":
            event = json.loads(line)
            return (event["partition"], event["offset"], event["value"]) if event["name"] == "record_data" else None
        fields = line.replace("Partition:", "").replace("Offset:", "").split()
        return (int(fields[0]), int(fields[1]), fields[2]) if len(fields) == 3 else None

    def leave(self):
        """As a person who stops a consumer does it."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        """As a machine that vanishes."""
        self.process.kill()

    def ended(self):
        """Waits for the process and for the last of what it printed."""
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.kind} still runs 20 s after it was told to leave: {self.tail()}") from None
        self.reader.join(5)

    def discard(self):
        """Makes sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)

    def tail(self):
        """The end of what it printed beside records."""
        return "".join(self.noise)[-600:]
