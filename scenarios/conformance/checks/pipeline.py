"""The file pipeline, as its user walks it: `ottla connect-standalone` with what Apache Kafka ships as its three sample files, a line
that is appended while it runs, and Kafka's own worker taking over from ours and giving back."""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from clients import java, kcat, ottla
from server import free_port

TOPIC = "connect-test"
# The keys and values of Kafka 4.3.1's config/connect-*.properties; `{bootstrap}` and the offset file are the run's own. The group
# shall not wait long for a worker that was killed.
WORKER = """\
# comment
bootstrap.servers={bootstrap}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=true

offset.storage.file.filename={dir}/connect.offsets
offset.flush.interval.ms=1000
consumer.session.timeout.ms=6000
consumer.heartbeat.interval.ms=1000
plugin.path=libs/connect-file-4.3.1.jar
"""
SOURCE = "name=local-file-source\nconnector.class=FileStreamSource\ntasks.max=1\nfile=test.txt\ntopic=connect-test\n"
SINK = "name=local-file-sink\nconnector.class=FileStreamSink\ntasks.max=1\nfile=test.sink.txt\ntopics=connect-test\n"
FILES = ["connect-standalone.properties", "connect-file-source.properties", "connect-file-sink.properties"]


class Worker:
    """A `connect-standalone` of either kind, in a directory, its output in `<name>.log`."""

    def __init__(self, directory, name, command):
        self.directory, self.log = directory, directory / f"{name}.log"
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(command, cwd=directory, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def until(self, what, holds, seconds=30):
        """Waits for something the worker does."""
        end = time.monotonic() + seconds
        while not holds():
            text = self.log.read_text(errors="replace")
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}: {text[-1500:]}"
            assert time.monotonic() < end, f"not within {seconds} s: {what}; {text[-1500:]}"
            time.sleep(0.05)

    def stop(self, codes=(0,)):
        """SIGTERM, and a clean end."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert code in codes, f"exit code {code}: {self.log.read_text(errors='replace')[-1500:]}"

    def discard(self):
        """Nothing is left running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


class Pipeline:
    """The directory of a walk."""

    def __init__(self, bootstrap, directory):
        self.bootstrap, self.dir = bootstrap, Path(directory)
        self.dir.mkdir()
        texts = [WORKER.format(bootstrap=bootstrap, dir=self.dir), SOURCE, SINK]
        for name, text in zip(FILES, texts):
            (self.dir / name).write_text(text)
        (self.dir / "java.properties").write_text(texts[0].replace("plugin.path", "#plugin.path")
                                                  + f"plugin.discovery=service_load\nlisteners=http://127.0.0.1:{free_port()}\n")
        self.sent, self.workers = [], []

    def append(self, text):
        """Lines at the end of the source's file; what has no end is no line yet."""
        with open(self.dir / "test.txt", "a") as file:
            file.write(text)

    def sink(self):
        """What has arrived."""
        path = self.dir / "test.sink.txt"
        return path.read_text() if path.exists() else ""

    def start(self, kind):
        """A worker of ours or of Kafka's."""
        if kind == "java":
            command = java.command("org.apache.kafka.connect.cli.ConnectStandalone", "256m") + ["java.properties"]
        else:
            command = [str(ottla.binary), "connect-standalone", FILES[0]]
        worker = Worker(self.dir, kind, command + FILES[1:])
        self.workers.append(worker)
        return worker

    def follows(self, worker, text, seconds=30):
        """What is appended arrives, once and behind what came before."""
        expected = self.sink() + text
        self.append(text)
        worker.until(f"{text!r} arrives", lambda: len(self.sink()) >= len(expected), seconds)
        assert self.sink() == expected, self.sink()

    def walk(self):
        """Kafka's quick start, step by step."""
        ottla.run(self.bootstrap, ["topic", "delete", TOPIC, "--if-exists"])
        self.append("foo\nbar\n")
        worker = self.start("ottla")
        worker.until("both lines arrive", lambda: self.sink() == "foo\nbar\n")
        out = kcat.run(["-b", self.bootstrap, "-C", "-t", TOPIC, "-e", "-q", "-o", "beginning"]).decode()
        envelope = '{"schema":{"type":"string","optional":false},"payload":"%s"}\n'
        assert out == envelope % "foo" + envelope % "bar", out
        self.follows(worker, "another line\nhéllo wörld \\ \"x\"\n\n")
        self.append("no end")
        time.sleep(1.5)
        assert self.sink().endswith("\n\n"), self.sink()
        expected = self.sink() + "no end until now\n"
        self.append(" until now\n")
        worker.until("the whole line arrives", lambda: self.sink() == expected)
        log = worker.log.read_text()
        for name in ("local-file-source", "local-file-sink"):
            assert f"Instantiated connector {name} with version 4.3.1 of type class org.apache.kafka.connect.file" in log, log
            assert f"Created connector {name}" in log, log
        worker.stop()
        return f"{len(self.sink().splitlines())} lines"

    def restart(self):
        """A worker that starts again repeats nothing after a clean stop, and loses nothing after a kill."""
        worker = self.start("ottla")
        self.follows(worker, "after a stop\n")
        worker.process.kill()
        worker.process.wait(20)
        self.append("while it was dead\n")
        worker = self.start("ottla")
        worker.until("the line arrives", lambda: "while it was dead\n" in self.sink())
        worker.stop()
        return f"{len(self.sink().splitlines())} lines"

    def hand_over(self):
        """Kafka's worker goes on with our offset file and group, and ours with its."""
        worker = self.start("java")
        self.follows(worker, "by Kafka's worker\n", 60)
        worker.stop(codes=(0, 143))
        worker = self.start("ottla")
        self.follows(worker, "and by ours again\n")
        worker.stop()
        return "ours, Kafka's, ours"

    def discard(self):
        """Nothing is left running."""
        for worker in self.workers:
            worker.discard()


def _bad_files(bootstrap, directory):
    """What is wrong is named, with Kafka's exit codes."""
    directory.mkdir()
    worker = WORKER.format(bootstrap=bootstrap, dir=directory)
    cases = [
        (2, r"no-worker\.properties", None, SOURCE),
        (2, r'Missing required configuration "key\.converter"', worker.replace("key.converter=", "x="), SOURCE),
        (3, r"'name'", worker, SOURCE.replace("name=", "x=")),
        (3, r"contains no connector type", worker, SOURCE.replace("connector.class", "x")),
        (3, r'Missing required configuration "topic"', worker, SOURCE.replace("topic=", "x=")),
        (3, r"Failed to find any class .* JdbcSource", worker, SOURCE.replace("FileStreamSource", "JdbcSource")),
        (3, r"no-connector\.properties", worker, None),
    ]
    for number, (code, pattern, worker_text, connector_text) in enumerate(cases):
        names = []
        for name, text in (("worker", worker_text), ("connector", connector_text)):
            path = directory / f"{name}-{number}.properties"
            names.append(str(path if text is not None else directory / f"no-{name}.properties"))
            if text is not None:
                path.write_text(text)
        command = [str(ottla.binary), "connect-standalone", *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=directory)
        assert done.returncode == code and re.search(pattern, done.stderr), f"{code} {pattern}: {done.returncode} {done.stderr[-800:]}"
    done = subprocess.run([str(ottla.binary), "connect-standalone"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "USAGE" in done.stderr, done
    return f"{len(cases)} cases"


def run(report, bootstrap):
    """The walk, restarts, the hand-over, bad files."""
    base = Path(tempfile.mkdtemp(prefix="ottla-pipeline-"))
    pipeline = Pipeline(bootstrap, base / "walk")
    try:
        if report.step("pipeline: Kafka's three files, lines appended", pipeline.walk):
            if report.step("pipeline: stopped, killed, started again", pipeline.restart):
                report.step("pipeline: Kafka's connect-standalone and ours by turns", pipeline.hand_over)
        report.step("pipeline: files that are wrong", _bad_files, bootstrap, base / "bad")
    finally:
        pipeline.discard()
        shutil.rmtree(base, ignore_errors=True)
