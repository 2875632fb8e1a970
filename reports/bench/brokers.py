"""The brokers under test as processes: how each is started on a clean data directory, what the kernel says it has used, how it stops."""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

# What Kafka's own start scripts give the JVM (bin/kafka-server-start.sh, bin/kafka-run-class.sh).
JVM = [
    "-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
]

LOG4J = """status = error
appender.c.type = Console
appender.c.name = C
appender.c.target = SYSTEM_ERR
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.c.ref = C
"""

KAFKA_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


_given = set()


def free_port():
    """A port that nobody listens on, and that was not given out here before."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class Usage:
    """What a process has used: CPU seconds of all its threads (dead ones too), and memory in MiB."""

    def __init__(self, pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu = (int(fields[11]) + int(fields[12])) / TICKS
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        self.rss = int(status["VmRSS"].split()[0]) / 1024
        self.peak = int(status["VmHWM"].split()[0]) / 1024


class Broker:
    """One broker in a folder of its own. `prepare` once, then `start` and `stop`; `remove` takes the folder away."""

    name = ""

    def __init__(self, folder, settings=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.process = None
        self.settings = tuple(settings)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def prepare(self):
        """Whatever comes before the first start."""

    def command(self):
        raise NotImplementedError

    def start(self):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at once:\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name} does not listen:\n{self.tail()}") from None
                time.sleep(0.01)

    def usage(self):
        return Usage(self.process.pid)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]


class Ottla(Broker):
    name = "ottla"
    binary = None

    def command(self):
        listeners = f"listeners=PLAINTEXT://{self.address}"
        return [self.binary, "server", "--data-dir", str(self.folder / "data"), "--log-level", "warn",
                "--override", listeners, "--override", "num.partitions=1",
                *(word for setting in self.settings for word in ("--override", setting))]


class Floor(Broker):
    name = "floor"
    binary = None

    def command(self):
        return [self.binary, str(self.port), str(self.folder / "file")]


class Kafka(Broker):
    name = "kafka"
    libs = None

    def prepare(self):
        (self.folder / "log4j2.properties").write_text(LOG4J)
        text = KAFKA_PROPERTIES.format(port=self.port, controller=free_port(), data=self.folder / "data")
        self.properties.write_text(text + "".join(f"{setting}\n" for setting in self.settings))
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatting = subprocess.run(
            self.java("kafka.tools.StorageTool", "format", "-t", "A" + cluster[1:], "-c", str(self.properties)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if formatting.returncode:
            raise RuntimeError(f"Kafka's storage tool failed:\n{formatting.stdout}")

    @property
    def properties(self):
        return self.folder / "server.properties"

    def java(self, *arguments):
        return ["java", *JVM, f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties", "-cp", f"{self.libs}/*", *arguments]

    def command(self):
        return self.java("kafka.Kafka", str(self.properties))


BROKERS = {broker.name: broker for broker in (Kafka, Ottla, Floor)}
