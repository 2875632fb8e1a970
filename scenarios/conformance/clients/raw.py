"""Requests about configurations and log directories, written byte by byte: what a server answers, whole, with every field.

Java's tools show a part of it and take a second each; this takes a millisecond. Topics' and brokers' kinds are Kafka's numbers.
"""

import socket
import struct

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def _string(text):
    """A nullable string of the older, not flexible versions."""
    if text is None:
        return struct.pack(">h", -1)
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _compact(text):
    """A string of the flexible versions; none of ours is longer than a byte can say."""
    data = text.encode()
    return bytes([len(data) + 1]) + data


def _array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class _Reader:
    """Reads an answer."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        """Fields of a `struct` format."""
        value = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value[0] if len(value) == 1 else value

    def varint(self):
        """An unsigned varint."""
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def bytes(self, length):
        """A text of so many bytes; `None` below zero."""
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def string(self):
        """A nullable string of the older versions."""
        return self.bytes(self.take("h"))

    def compact(self):
        """A nullable string of the flexible versions."""
        return self.bytes(self.varint() - 1)

    def array(self, read):
        """An array of the older versions."""
        return [read() for _ in range(self.take("i"))]

    def compact_array(self, read):
        """An array of the flexible versions."""
        return [read() for _ in range(self.varint() - 1)]

    def tags(self):
        """Tagged fields, of which none is known here."""
        for _ in range(self.varint()):
            self.varint()
            self.at += self.varint()


class Raw:
    """A connection to one server."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 10)
        self.socket.settimeout(60)

    def call(self, key, version, body, flexible=False):
        """Sends a request; a reader at the body of its answer."""
        header = struct.pack(">hhi", key, version, 7) + _string("raw") + (b"\0" if flexible else b"")
        self.socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        (length,) = struct.unpack(">i", self._read(4))
        reader = _Reader(self._read(length))
        assert reader.take("i") == 7
        if flexible:
            reader.tags()
        return reader

    def _read(self, count):
        data = bytearray()
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            assert got, "the server closed the connection"
            data += got
        return bytes(data)

    def describe(self, kind, name, keys=None, synonyms=True, documentation=True):
        """DescribeConfigs v3 of one resource: error code, message, and a dict by key."""
        keys = struct.pack(">i", -1) if keys is None else _array([_string(k) for k in keys])
        body = _array([struct.pack(">b", kind) + _string(name) + keys]) + bytes([synonyms, documentation])
        answer = self.call(32, 3, body)
        answer.take("i")

        def config():
            name, value = answer.string(), answer.string()
            read_only, source, sensitive = answer.take("?b?")
            synonyms = answer.array(lambda: (answer.string(), answer.string(), answer.take("b")))
            kind, doc = answer.take("b"), answer.string()
            return name, {"value": value, "read_only": read_only, "source": source, "sensitive": sensitive,
                          "synonyms": synonyms, "type": kind, "doc": doc}

        def result():
            code, message = answer.take("h"), answer.string()
            answer.take("b"), answer.string()
            return code, message, dict(answer.array(config))

        return answer.array(result)[0]

    def alter(self, kind, name, changes, validate_only=False):
        """IncrementalAlterConfigs v0: `changes` are (key, operation, value). Error code and message."""
        ops = [_string(key) + struct.pack(">b", op) + _string(value) for key, op, value in changes]
        body = _array([struct.pack(">b", kind) + _string(name) + _array(ops)]) + bytes([validate_only])
        return self._altered(self.call(44, 0, body))

    def replace(self, kind, name, configs, validate_only=False):
        """AlterConfigs v1: all that is to be set, as (key, value). Error code and message."""
        configs = [_string(key) + _string(value) for key, value in configs]
        body = _array([struct.pack(">b", kind) + _string(name) + _array(configs)]) + bytes([validate_only])
        return self._altered(self.call(33, 1, body))

    @staticmethod
    def _altered(answer):
        answer.take("i")

        def result():
            row = answer.take("h"), answer.string()
            answer.take("b"), answer.string()
            return row

        return answer.array(result)[0]

    def resources(self, kinds):
        """ListConfigResources v1: error code, and (name, kind) of each, in order."""
        body = bytes([len(kinds) + 1, *kinds]) + b"\0"
        answer = self.call(74, 1, body, flexible=True)
        answer.take("i")
        code = answer.take("h")

        def resource():
            row = answer.compact(), answer.take("b")
            answer.tags()
            return row

        return code, sorted(answer.compact_array(resource))

    def log_dirs(self):
        """DescribeLogDirs v5 of all topics: error code, and a dict by directory."""
        answer = self.call(35, 5, b"\0\0", flexible=True)
        answer.take("i")
        top = answer.take("h")

        def partition():
            row = answer.take("iqq?")
            answer.tags()
            return row

        def topic():
            row = answer.compact(), sorted(answer.compact_array(partition))
            answer.tags()
            return row

        def directory():
            code, path = answer.take("h"), answer.compact()
            topics = dict(answer.compact_array(topic))
            total, usable, cordoned = answer.take("qq?")
            answer.tags()
            return path, {"error": code, "topics": topics, "total": total, "usable": usable, "cordoned": cordoned}

        return top, dict(answer.compact_array(directory))

    def move(self, directory, topic, partitions):
        """AlterReplicaLogDirs v1 of one topic: error code by partition."""
        topics = [_string(topic) + _array([struct.pack(">i", p) for p in partitions])]
        answer = self.call(34, 1, _array([_string(directory) + _array(topics)]))
        answer.take("i")
        return dict(answer.array(lambda: (answer.string(), answer.array(lambda: answer.take("ih"))))[0][1])
