#!/usr/bin/env python3
"""Reduces the message schemas inside a Kafka release's jars to the definition files of this folder.

Usage:  python3 extract.py DIRECTORY_WITH_KAFKA_JARS VERSION
        (for example: python3 extract.py libs 4.3.1; run it in this folder, then read `git diff .`)

Only facts are kept: names, types, versions, nullability, tags, defaults, api keys, listeners. The jars needed are
kafka-clients, -metadata, -group-coordinator, -transaction-coordinator, -share-coordinator, -raft and -storage.

The format, one declaration a line, nesting by two spaces, `#` starts a comment:

    KIND NAME [key=N] versions=RANGE [stable=RANGE] flexible=RANGE [listeners=A,B]
      FIELD TYPE VERSIONS [null=RANGE] [tag=N tagged=RANGE] [default=VALUE] [ignorable] [flexible=RANGE]
      struct NAME VERSIONS          (a structure that several fields share)

KIND is request, response, header, metadata, key, value or data. RANGE is `3`, `3-5`, `3+` or `none`. `stable` is written
when the newest version is marked unstable in the schema: the generator then serves `stable` only. A default that is a
string is written in JSON's quotes; `null` is the null value. A JSON `null` in the schema means "no default", as it does
for Kafka's own generator.
"""

import json
import re
import sys
import zipfile
from pathlib import Path

# jar -> (folder inside it, predicate on the name, definition file); requests and responses go to rpc/ by API instead.
GROUPS = [
    ("kafka-clients", "common/message/", {"RequestHeader", "ResponseHeader"}, "header"),
    ("kafka-clients", "common/message/", {"ConsumerProtocolAssignment", "ConsumerProtocolSubscription"}, "consumer_protocol"),
    ("kafka-clients", "common/message/", {"DefaultPrincipalData"}, "principal"),
    ("kafka-clients", "common/message/",
     {"ControlRecordTypeSchema", "EndTxnMarker", "LeaderChangeMessage", "SnapshotHeaderRecord", "SnapshotFooterRecord",
      "KRaftVersionRecord", "VotersRecord"}, "control_records"),
    ("kafka-metadata", "common/metadata/", None, "metadata_records"),
    ("kafka-group-coordinator", "common/message/", None, "group_records"),
    ("kafka-transaction-coordinator", "common/message/", None, "txn_records"),
    ("kafka-share-coordinator", "common/message/", None, "share_records"),
    ("kafka-raft", "common/message/", None, "raft_records"),
    ("kafka-storage", "message/", None, "storage_records"),
]
KINDS = {"coordinator-key": "key", "coordinator-value": "value"}


def load(text):
    """A schema file is JSON with `//` comments."""
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda m: m.group(1) or "", text))


def schemas(libs, version, jar, folder):
    with zipfile.ZipFile(libs / f"{jar}-{version}.jar") as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(folder) and name.endswith(".json"):
                yield load(archive.read(name).decode())


def field_lines(fields, depth):
    for field in fields:
        versions = field.get("versions") or field["taggedVersions"]
        line = f"{'  ' * depth}{field['name']} {field['type']} {versions}"
        if "nullableVersions" in field:
            line += f" null={field['nullableVersions']}"
        if "tag" in field:
            line += f" tag={field['tag']} tagged={field['taggedVersions']}"
        default = field.get("default")
        if default is not None:
            if isinstance(default, bool):
                default = str(default).lower()
            if field["type"] == "string" and default != "null":
                default = json.dumps(default)
            line += f" default={default}"
        if field.get("ignorable"):
            line += " ignorable"
        if "flexibleVersions" in field:
            line += f" flexible={field['flexibleVersions']}"
        yield line
        yield from field_lines(field.get("fields", []), depth + 1)


def without_last(versions):
    low, high = versions.split("-")
    return low if int(high) - 1 == int(low) else f"{low}-{int(high) - 1}"


def message_lines(schema, unstable):
    line = f"{KINDS.get(schema['type'], schema['type'])} {schema['name']}"
    if "apiKey" in schema:
        line += f" key={schema['apiKey']}"
    line += f" versions={schema['validVersions']}"
    if unstable:
        line += f" stable={without_last(schema['validVersions'])}"
    line += f" flexible={schema.get('flexibleVersions', 'none')}"
    if "listeners" in schema:
        line += f" listeners={','.join(schema['listeners'])}"
    yield line
    yield from field_lines(schema.get("fields", []), 1)
    for struct in schema.get("commonStructs", []):
        yield f"  struct {struct['name']} {struct['versions']}"
        yield from field_lines(struct["fields"], 2)


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def write(path, source, version, blocks):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# {source} {version}\n" + "\n".join("\n".join(block) for block in blocks) + "\n")


def main(libs, version):
    here = Path(__file__).parent
    for old in here.glob("**/*.def"):
        old.unlink()
    apis, removed = {}, []
    for schema in schemas(libs, version, "kafka-clients", "common/message/"):
        if schema["type"] not in ("request", "response"):
            continue
        if schema["validVersions"] == "none":
            removed.append(schema)
        else:
            apis.setdefault(schema["apiKey"], {})[schema["type"]] = schema
    for pair in apis.values():
        # The response of an API whose newest request version is unstable is not marked: it follows its request.
        unstable = pair["request"].get("latestVersionUnstable", False)
        name = snake(pair["request"]["name"].removesuffix("Request"))
        write(here / "rpc" / f"{name}.def", "kafka-clients", version,
              [message_lines(pair[side], unstable) for side in ("request", "response")])
    removed.sort(key=lambda s: (s["apiKey"], s["type"]))
    write(here / "rpc" / "removed.def", "kafka-clients", version, [message_lines(s, False) for s in removed])
    for jar, folder, names, target in GROUPS:
        chosen = [s for s in schemas(libs, version, jar, folder) if names is None or s["name"] in names]
        chosen.sort(key=lambda s: (s.get("apiKey", -1), s["name"]))
        write(here / f"{target}.def", jar, version, [message_lines(s, False) for s in chosen])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
