#!/usr/bin/env python3
"""Apache Kafka, Ottla and the floor of a produce path under the same native load, in alternating runs; a table of medians.

README.md in this folder says what the figures mean and which traps there are."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from brokers import BROKERS, Floor, Kafka, Ottla, Usage
from rows import METRICS, MIB, ROWS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GIB = 1 << 30


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ottla", required=True, metavar="BINARY", help="built with: cargo build --release -p ottla-cli")
    p.add_argument("--kafka", metavar="DIR", help="a folder with Kafka's jars, or one that has them in libs or target/libs; "
                   "default: where scenarios/conformance/setup.sh puts them")
    p.add_argument("--floor", metavar="BINARY", help="default: built here from floor/")
    p.add_argument("--load", metavar="BINARY", help="default: built here from load/")
    p.add_argument("--work", metavar="DIR", help="where data directories go, on the disk to be measured; default: a temporary folder")
    p.add_argument("--runs", type=int, default=5, help="rounds; each runs every broker once (default 5)")
    p.add_argument("--quick", action="store_true", help="one round of a quarter of the volume: shows that all works, not how fast")
    p.add_argument("--only", action="append", metavar="ROW", choices=[r.name for r in ROWS], help="only this row; may be repeated: "
                   + ", ".join(r.name for r in ROWS))
    p.add_argument("--brokers", default="kafka,ottla,floor", help="which of them (default kafka,ottla,floor)")
    p.add_argument("--output", choices=("text", "json"), default="text")
    return p.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def jars(given):
    tried = [Path(given, sub) for sub in ("", "libs", "target/libs")] if given else [ROOT / ".ci/work/kafka/libs"]
    for folder in tried:
        if any(folder.glob("kafka_2.13-*.jar")):
            return folder
    sys.exit(f"no Kafka in {', '.join(map(str, tried))}: run scenarios/conformance/setup.sh, or say --kafka DIR")


def build_load(work):
    say("building the load generator")
    subprocess.run(["go", "build", "-o", str(work / "load"), "."], cwd=HERE / "load", check=True)
    return work / "load"


def build_floor(work):
    say("building the floor")
    target = work / "floor-build"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(HERE / "floor/Cargo.toml"),
                    "--target-dir", str(target)], check=True)
    return target / "release/floor"


def warm_memory(folder, mib):
    """Makes the kernel (and a virtual machine's host) hand out memory now, not to the broker that writes first."""
    if not mib:
        return
    path, piece = folder / "warm", bytes(MIB)
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib):
            file.write(piece)
    path.unlink()


class Load:
    """The load generator: `begin` returns when it is connected and warm, `go` measures."""

    def __init__(self, binary, *args):
        self.process = subprocess.Popen([str(binary), *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self):
        if self.process.stdout.readline().strip() != "READY":
            raise RuntimeError("the load generator failed before it was ready")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.result()

    def result(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator failed")
        return json.loads(line)

    def end(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measured(row, broker, load, quick):
    """One run of a row against one broker that has been started."""
    size = row.mib * MIB // (4 if quick else 1)
    flags = ["-broker", broker.address, "-record", row.record, "-batch", row.batch, "-linger", row.linger, "-codec", row.codec]
    if row.mode == "produce":
        flags += ["-bytes", size, "-warm", size // 4]
    elif row.mode == "consume":
        filled = Load(load, "produce", *flags, "-bytes", size + MIB)
        filled.result()
        filled.end()
        flags += ["-bytes", size, "-warm", size // 2]
    elif row.mode == "rebalance":
        flags += ["-rounds", 5 if quick else 30]
    elif row.mode == "compact":
        flags += ["-bytes", size, "-data", broker.folder / "data"]
    else:
        flags += ["-duration", "3s" if quick else "15s", "-warm-for", "2s" if quick else "10s"]
    generator = Load(load, row.mode, *flags, "-gate")
    try:
        generator.begin()
        warm_memory(broker.folder, row.warm_memory_mib)
        before = broker.usage()
        result = generator.go()
        after = broker.usage()
    finally:
        generator.end()
    if row.mode == "rebalance":
        return result | {"cpu_ms_rebalance": (after.cpu - before.cpu) * 1e3 / result["rebalances"], "peak_mib": after.peak}
    gib = result["bytes"] / GIB
    return result | {
        "cpu_s_gib": (after.cpu - before.cpu) / gib,
        "client_cpu_s_gib": result["client_cpu_s"] / gib,
        "peak_mib": after.peak,
    }


def started(broker, load, quick):
    """Start to first acknowledged record on a clean data directory that has the topic already, then what the idle broker uses."""
    broker.start()
    once = Load(load, "produce", "-broker", broker.address, "-bytes", 1024)
    once.result()
    once.end()
    broker.stop()
    run = Load(load, "start", "-broker", broker.address, "--", *broker.command())
    try:
        result = run.result()
        time.sleep(1)
        before, rest = Usage(result["pid"]), 2 if quick else 10
        time.sleep(rest)
        after = Usage(result["pid"])
        os.kill(result["pid"], 15)
    finally:
        run.end()
    return result | {"idle_mib": after.rss, "idle_cpu_ms_s": (after.cpu - before.cpu) * 1e3 / rest}


def one(row, kind, load, work, quick):
    folder = Path(tempfile.mkdtemp(prefix=f"{row.name}-{kind.name}-", dir=work))
    broker = kind(folder / "broker", row.settings)
    try:
        broker.prepare()
        if row.mode == "start":
            return started(broker, load, quick)
        broker.start()
        return measured(row, broker, load, quick)
    finally:
        broker.remove()
        shutil.rmtree(folder, ignore_errors=True)


def alternate(row, names, load, work, runs, quick):
    """Rounds of one run per broker, in an order that turns from round to round. Results by broker, one per round."""
    names = [n for n in names if n in row.brokers]
    results = {n: [] for n in names}
    for n in range(runs):
        turn = n % len(names)
        for name in names[turn:] + names[:turn]:
            result = one(row, BROKERS[name], load, work, quick)
            results[name].append(result)
            shown = "  ".join(f"{text} {result[m]:.{d}f}" for m, text, d in METRICS[row.mode] if m in result)
            say(f"{row.name} {n + 1}/{runs} {name:6} {shown}")
    return results


def check(target, results):
    """A target's figure: the median over the rounds of Ottla's value, or of its ratio to the other's in the same round."""
    ours = [r[target.metric] for r in results.get("ottla", [])]
    if target.against:
        theirs = [r[target.metric] for r in results.get(target.against, [])]
        ours = [a / b for a, b in zip(ours, theirs) if b]
    if not ours:
        return None
    value = statistics.median(ours)
    passed = value <= target.at_most if target.at_most is not None else value >= target.at_least
    return value, passed


def checks(row, results):
    found = []
    for target in row.targets:
        outcome = check(target, results)
        if outcome is None:
            continue
        bound = f"≤ {target.at_most:g}" if target.at_most is not None else f"≥ {target.at_least:g}"
        found.append({"metric": target.metric, "against": target.against, "bound": bound, "value": outcome[0], "passed": outcome[1]})
    return found


def table(row, results, found):
    metrics = METRICS[row.mode]
    lines = [f"### {row.name}: {row.text}", "", "| | " + " | ".join(text for _, text, _ in metrics) + " |", "| --- |" + " ---: |" * len(metrics)]
    for name, runs in results.items():
        cells = (f"{statistics.median([r[m] for r in runs]):,.{d}f}" for m, _, d in metrics)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if found:
        lines += ["", "| Ottla's | over | is | target | |", "| --- | --- | ---: | --- | --- |"]
        text = {m: t for m, t, _ in metrics}
        for c in found:
            lines.append(f"| {text[c['metric']]} | {c['against'] or ''} | {c['value']:.2f} | {c['bound']} | {'pass' if c['passed'] else 'FAIL'} |")
    return "\n".join(lines) + "\n"


def machine():
    memory = int(Path("/proc/meminfo").read_text().split()[1]) >> 20
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}"


def main():
    args = arguments()
    names = args.brokers.split(",")
    unknown = set(names) - set(BROKERS)
    if unknown:
        sys.exit(f"--brokers knows {', '.join(BROKERS)}, not {', '.join(unknown)}")
    runs = 1 if args.quick else args.runs
    work = Path(tempfile.mkdtemp(prefix="ottla-bench-", dir=args.work))
    try:
        load = Path(args.load).resolve() if args.load else build_load(work)
        Ottla.binary = str(Path(args.ottla).resolve())
        if "floor" in names:
            Floor.binary = str(Path(args.floor).resolve() if args.floor else build_floor(work))
        if "kafka" in names:
            Kafka.libs = jars(args.kafka)
        report = {"format": 1, "machine": machine(), "runs": runs, "quick": args.quick, "rows": {}}
        failed = 0
        for row in (r for r in ROWS if not args.only or r.name in args.only):
            results = alternate(row, names, load, work, runs, args.quick)
            found = checks(row, results)
            failed += sum(not c["passed"] for c in found)
            report["rows"][row.name] = {"runs": results, "checks": found}
            if args.output == "text":
                print(table(row, results, found), flush=True)
        if args.output == "json":
            print(json.dumps(report, indent=1))
        elif not args.quick:
            print(f"Medians of {runs} on {report['machine']}; ratios are medians of the ratios within a round.")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed and not args.quick else 0)


if __name__ == "__main__":
    main()
