"""Apache Kafka's own command-line tools, in a JVM each.

The console producer reads text lines and cannot set timestamps. The console consumer writes raw
bytes, so with separators that no record holds its output is exact.
"""

import os
import subprocess
from pathlib import Path

from clients import MAX_MESSAGE, TIMEOUT
from records import Record

NAME = "java"
CAPS = {"nullkey", "keyed", "headers", "tombstones", "empty", "null-headers"}
NULL = "<~null~>"
FIELD_END = "<~f~>"
RECORD_END = "<~r~>\n"
HERE = Path(__file__).resolve().parent.parent
TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "org.apache.kafka.tools.ConfigCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "storage": "org.apache.kafka.tools.StorageTool",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "metadata-shell": "org.apache.kafka.shell.MetadataShell",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
}
OLD_NAMES = {
    "configs": "kafka.admin.ConfigCommand",
    "dump-log": "kafka.tools.DumpLogSegments",
    "storage": "kafka.tools.StorageTool",
}
libs = HERE.parent.parent / ".ci/work/kafka/libs"
"""The folder of Kafka's jars; `run.py --libs` changes it."""


def class_of(tool):
    """The main class; some tools moved from kafka.* to org.apache.kafka.tools between versions."""
    if tool in OLD_NAMES:
        import zipfile
        jar = next(libs.glob("kafka-tools-[0-9]*.jar"))
        name = TOOLS[tool]
        if name.replace(".", "/") + ".class" not in zipfile.ZipFile(jar).namelist():
            return OLD_NAMES[tool]
    return TOOLS[tool]


def command(main, heap):
    """The start of a command line for a main class; short-lived, hence the cheap JVM options."""
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            f"-Dlog4j2.configurationFile={HERE}/java/log4j2.properties", "-cp", f"{libs}/*", main]


def tool(name, *args, stdin=None, timeout=TIMEOUT, heap="256m"):
    """Runs a tool to its end and returns its output."""
    env = dict(os.environ, LC_ALL="C.UTF-8")
    done = subprocess.run(command(class_of(name), heap) + list(args), input=stdin, capture_output=True, timeout=timeout, env=env)
    if done.returncode != 0:
        text = (done.stdout[-500:] + done.stderr[-1500:]).decode(errors="replace")
        raise AssertionError(f"kafka-{name} {' '.join(args)[:200]}: exit {done.returncode}: {text}")
    return done.stdout, done.stderr.decode(errors="replace")


def text(name, bootstrap, *args, **options):
    """Runs a tool against the server and returns its standard output as text."""
    return tool(name, "--bootstrap-server", bootstrap, *args, **options)[0].decode()


def produce(bootstrap, topic, codec, records):
    """Sends the records as lines `headers TAB key TAB value`."""
    lines = []
    for r in records:
        headers = ",".join(f"{k}:{NULL if v is None else v.decode()}" for k, v in r.headers) or NULL
        key = NULL if r.key is None else r.key.decode()
        value = NULL if r.value is None else r.value.decode()
        lines.append(f"{headers}\t{key}\t{value}\n")
    args = ["--topic", topic, "--compression-codec", codec, "--timeout", "20",
            "--command-property", f"max.request.size={MAX_MESSAGE}", "--request-required-acks", "all"]
    for setting in ("parse.key=true", "parse.headers=true", f"null.marker={NULL}"):
        args += ["--reader-property", setting]
    _, errors = tool("console-producer", "--bootstrap-server", bootstrap, *args, stdin="".join(lines).encode())
    if "ERROR" in errors:
        raise AssertionError(f"console producer: {errors[-600:]}")


def _headers(data):
    """`a:1,b:<null>` or NO_HEADERS as the console consumer prints them."""
    if data == b"NO_HEADERS":
        return []
    pairs = [part.split(b":", 1) for part in data.split(b",")]
    return [(name.decode(), None if value == NULL.encode() else value) for name, value in pairs]


def read(bootstrap, topic, count):
    """The first `count` records of partition 0; the tool stops after a number of records only."""
    args = ["--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", str(count),
            "--timeout-ms", "20000", "--command-property", f"max.partition.fetch.bytes={MAX_MESSAGE}"]
    settings = {"print.timestamp": "true", "print.offset": "true", "print.headers": "true", "print.key": "true",
                "key.separator": FIELD_END, "line.separator": RECORD_END, "null.literal": NULL}
    for key, value in settings.items():
        args += ["--formatter-property", f"{key}={value}"]
    out, _ = tool("console-consumer", "--bootstrap-server", bootstrap, *args)
    got = []
    for line in out.split(RECORD_END.encode())[:-1]:
        time, offset, headers, key, value = line.split(FIELD_END.encode(), 4)
        key, value = (None if field == NULL.encode() else field for field in (key, value))
        got.append(Record(key, value, _headers(headers), int(time.split(b":")[1]), offset=int(offset.split(b":")[1])))
    return got


def offsets(bootstrap, topic, time):
    """`kafka-get-offsets --time`: a map from partition to offset (None when there is none)."""
    out = text("get-offsets", bootstrap, "--topic", topic, "--time", str(time))
    found = {}
    for line in out.split():
        name, partition, at = line.rsplit(":", 2)
        assert name == topic, f"get-offsets names {name}, not {topic}"
        found[int(partition)] = int(at) if at else None
    return found
