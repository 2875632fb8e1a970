"""The few bytes of Kafka's protocol that the bad-input check writes by hand.

Only what hostile input needs: frames, a Produce v3 request, record batches of magic 2.
"""

import errno
import socket
import struct
import zlib


def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    """The checksum of record batches (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(n):
    """A zigzag varint, as records have them."""
    n, out = (n << 1) ^ (n >> 63), bytearray()
    while n > 127:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def record(delta, value):
    """One record without key or headers."""
    body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(payload, count, attributes=0, magic=2, last_delta=None, crc=None, length=None, base=0):
    """A record batch; each argument that differs from its default makes one field a lie."""
    last_delta = count - 1 if last_delta is None else last_delta
    now = 1_700_000_000_000
    tail = struct.pack(">hiqqqhii", attributes, last_delta, now, now, -1, -1, -1, count) + payload
    crc = crc32c(tail) if crc is None else crc
    size = 4 + 1 + 4 + len(tail) if length is None else length
    return struct.pack(">qiibI", base, size, 0, magic, crc) + tail


def gzip(data):
    """A gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def string(text):
    """A string of the non-flexible versions."""
    return struct.pack(">h", len(text)) + text.encode()


def request(key, version, body, correlation=7):
    """A request with header v1, without its frame length."""
    return struct.pack(">hhi", key, version, correlation) + string("bad-input") + body


def produce(topic, records, partitions=1):
    """A Produce v3 request with acks=all for partition 0."""
    body = struct.pack(">hhii", -1, -1, 10_000, 1) + string(topic) + struct.pack(">i", partitions)
    return request(0, 3, body + struct.pack(">ii", 0, len(records)) + records)


def produce_error(response, topic):
    """The error code in the answer to `produce`."""
    return struct.unpack_from(">h", response, 4 + 4 + 2 + len(topic) + 4 + 4)[0]


def frame(data):
    """`data` behind its length."""
    return struct.pack(">i", len(data)) + data


def exchange(port, data, timeout=10, finish=False):
    """Sends bytes; the answer's payload, or None when the server closed the connection.

    With `finish` our side closes after sending, as a client does that dies midway.
    """
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.settimeout(timeout)
        got = b""
        try:
            s.sendall(data)
            if finish:
                s.shutdown(socket.SHUT_WR)
            while len(got) < 4 or len(got) < 4 + struct.unpack(">i", got[:4])[0]:
                more = s.recv(65536)
                if not more:
                    return None
                got += more
        except (ConnectionResetError, BrokenPipeError):
            return None
        except TimeoutError:
            raise AssertionError(f"neither an answer nor a closed connection within {timeout} s") from None
        except OSError as error:
            # The reset came before our side was closed.
            if error.errno != errno.ENOTCONN:
                raise
            return None
        return got[4:]
