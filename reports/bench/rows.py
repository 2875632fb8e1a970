"""What is measured, and what it has to come to."""

from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """`metric` of Ottla over that of `against` (or by itself, if that is None) is at most, or at least, `bound`."""

    metric: str
    against: str | None
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Row:
    name: str
    text: str
    mode: str
    brokers: tuple = ("kafka", "ottla", "floor")
    mib: int = 0  # moved in the measured part
    record: int = 1024
    batch: int = MIB
    linger: str = "5ms"
    codec: str = "none"
    warm_memory_mib: int = 3072
    settings: tuple = ()  # of Kafka and Ottla, beside their defaults
    targets: tuple = field(default_factory=tuple)


def produce_targets(cpu_kafka, cpu_floor, throughput):
    return (
        Target("cpu_s_gib", "kafka", at_most=cpu_kafka),
        Target("cpu_s_gib", "floor", at_most=cpu_floor),
        Target("mb_s", "kafka", at_least=throughput),
        Target("peak_mib", "kafka", at_most=0.1),
    )


ROWS = [
    Row("produce-large", "produce 1 KiB records in 1 MiB batches", "produce", mib=1536, targets=produce_targets(0.35, 1.5, 1.5)),
    Row("produce-small", "produce 1 KiB records in 16 KiB batches, linger 0", "produce", mib=512, batch=16 << 10, linger="0s",
        targets=produce_targets(0.4, 1.5, 1.3)),
    Row("produce-100b", "produce 100 B records in 1 MiB batches", "produce", mib=512, record=100, targets=produce_targets(0.25, 2.0, 1.0)),
    Row("produce-lz4", "produce 1 KiB records, LZ4 at about 2:1, in 1 MiB batches (no target)", "produce", mib=1024, codec="lz4"),
    Row("consume", "consume 1 KiB records", "consume", ("kafka", "ottla"), mib=2048, warm_memory_mib=0, targets=(
        Target("cpu_s_gib", "kafka", at_most=1.0), Target("mb_s", "kafka", at_least=1.0), Target("peak_mib", "kafka", at_most=0.1))),
    Row("e2e", "end to end, 10,000 records/s of 1 KiB, linger 0", "e2e", ("kafka", "ottla"), linger="0s", warm_memory_mib=1024, targets=(
        Target("p99_ms", "kafka", at_most=0.4), Target("cpu_s_gib", "kafka", at_most=0.4), Target("peak_mib", "kafka", at_most=0.1))),
    Row("rebalance", "200 groups of 5 members, all rebalancing at once, a commit by each member after each", "rebalance", ("kafka", "ottla"),
        warm_memory_mib=0, targets=(Target("p99_ms", "kafka", at_most=1.0), Target("cpu_ms_rebalance", "kafka", at_most=0.5),
                                    Target("peak_mib", "kafka", at_most=0.1))),
    Row("compaction", "compact 1 KiB records of 200,000 keys, all dirty, 64 MiB segments", "compact", ("kafka", "ottla"), mib=1024,
        warm_memory_mib=0, settings=("log.cleaner.backoff.ms=100",),
        targets=(Target("cpu_s_gib", "kafka", at_most=1.0), Target("mb_s", "kafka", at_least=1.0))),
    Row("start", "start to the first acknowledged record, formatted, clean; idle memory after it", "start", ("kafka", "ottla"),
        warm_memory_mib=0, targets=(Target("start_ms", None, at_most=80), Target("idle_mib", "kafka", at_most=0.1))),
]

# What each mode prints: metric, heading, decimals.
METRICS = {
    "produce": [("cpu_s_gib", "broker CPU s/GiB", 2), ("mb_s", "MB/s", 0), ("peak_mib", "peak MiB", 0), ("client_cpu_s_gib", "client CPU s/GiB", 2)],
    "e2e": [("p50_ms", "p50 ms", 2), ("p99_ms", "p99 ms", 2), ("p999_ms", "p99.9 ms", 2), ("cpu_s_gib", "broker CPU s/GiB", 1),
            ("peak_mib", "peak MiB", 0), ("client_cpu_s_gib", "client CPU s/GiB", 1), ("late_ms", "generator late ms", 1)],
    "rebalance": [("rebalances_s", "rebalances/s", 0), ("p50_ms", "p50 ms", 1), ("p99_ms", "p99 ms", 1),
                  ("cpu_ms_rebalance", "broker CPU ms/rebalance", 2), ("peak_mib", "peak MiB", 0), ("client_cpu_s", "client CPU s", 1)],
    "start": [("start_ms", "start to first ack ms", 1), ("listening_ms", "to listening ms", 1), ("idle_mib", "idle MiB", 1), ("idle_cpu_ms_s", "idle CPU ms/s", 1)],
}
METRICS["consume"] = METRICS["produce"]
METRICS["compact"] = [("cpu_s_gib", "broker CPU s/GiB of log", 2), ("mb_s", "MB/s of log", 0), ("left_mib", "left MiB", 0), ("peak_mib", "peak MiB", 0)]
