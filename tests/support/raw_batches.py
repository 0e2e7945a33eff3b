"""Record batches written byte by byte, and published past any client library's care.

What a client library would never send, a hostile producer does: lying counts and offsets, bombs,
streams that are cut. The format is Kafka's record batch, version 2.
"""

import gzip
import socket
import struct
from collections.abc import Callable, Sequence

import cramjam
from aiokafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

_HEADER = struct.Struct(">qiibIhiqqqhii")
_BEHIND_CRC = 21


def varint(number: int) -> bytes:
    """Return *number* as Kafka writes integers in records: zigzag, 7 bits a byte."""
    value = (number << 1) ^ (number >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(
    value: bytes | None,
    offset: int = 0,
    timestamp: int = 0,
    key: bytes | None = b"acme",
    headers: Sequence[tuple[bytes, bytes | None]] = (),
) -> bytes:
    """Return a record; *offset* and *timestamp* are what it adds to those of its batch."""
    body = b"\0" + varint(timestamp) + varint(offset) + _sized(key) + _sized(value)
    body += varint(len(headers))
    body += b"".join(_sized(name) + _sized(content) for name, content in headers)
    return varint(len(body)) + body


def _sized(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content


def records(values: Sequence[bytes | None]) -> bytes:
    """Return one record for each of *values*, with offsets one after another."""
    return b"".join(record(value, offset) for offset, value in enumerate(values))


def batch(
    payload: bytes,
    count: int,
    codec: int = NONE,
    *,
    last: int | None = None,
    timestamp: int = 1_795_000_000_000,
    latest: int | None = None,
    base: int = 0,
    crc: int | None = None,
) -> bytes:
    """Return a batch around *payload*, which is compressed already if there is a *codec*.

    *last* is the difference between its last and its first offset, as its header says it.
    """
    header = _HEADER.pack(
        base, 0, -1, 2, 0, codec, count - 1 if last is None else last, timestamp,
        timestamp if latest is None else latest, -1, -1, -1, count,
    )  # fmt: skip
    raw = bytearray(header + payload)
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    right = calc_crc32c(bytes(raw[_BEHIND_CRC:]))
    struct.pack_into(">I", raw, 17, right if crc is None else crc)
    return bytes(raw)


def compressed(payload: bytes, codec: int) -> bytes:
    """Return *payload* as clients compress it."""
    return _COMPRESS[codec](payload)


def _snappy(payload: bytes) -> bytes:
    """As the Java client writes it: blocks, each behind its length."""
    blocks = [payload[at : at + 32_768] for at in range(0, len(payload), 32_768)]
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(
        struct.pack(">i", len(block)) + block for block in packed
    )  # fmt: skip


def _lz4(payload: bytes) -> bytes:
    packer = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
    packer.compress(payload)
    return bytes(packer.finish())


_COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    NONE: lambda payload: payload,
    GZIP: lambda payload: gzip.compress(payload, 1),
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: lambda payload: bytes(cramjam.zstd.compress(payload, level=3)),
}


def bomb(codec: int, size: int) -> bytes:
    """Return the payload, compressed, of one record that holds *size* zeros."""
    head = _head(size)
    if codec == SNAPPY:
        return _snappy(head + bytes(size) + b"\0")
    packer = {
        GZIP: lambda: cramjam.gzip.Compressor(level=9),
        LZ4: lambda: cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False),
        ZSTD: lambda: cramjam.zstd.Compressor(level=3),
    }[codec]()
    packer.compress(head)
    chunk = bytes(16 << 20)
    for left in range(size, 0, -len(chunk)):
        packer.compress(chunk[:left])
    packer.compress(b"\0")
    return bytes(packer.finish())


def _head(size: int) -> bytes:
    """Return a record up to its value of *size* bytes; one byte is to follow that."""
    head = b"\0\0\0" + _sized(b"acme") + varint(size)
    return varint(len(head) + size + 1) + head


def publish(bootstrap: str, topic: str, raw: bytes, partition: int = 0) -> tuple[int, int]:
    """Send the batch *raw* just as it is; return the broker's error code, and where it stands."""
    name = topic.encode()
    body = struct.pack(">hhih", 0, 7, 1, 1) + b"t"  # Produce, version 7, from a client called t
    body += struct.pack(">hhii", -1, -1, 30_000, 1)  # acks by all
    body += struct.pack(">h", len(name)) + name
    body += struct.pack(">iii", 1, partition, len(raw)) + raw
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _read(connection, 4))
        answer = _read(connection, size)
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(name) + 4 + 4)
    return error, offset


def _read(connection: socket.socket, size: int) -> bytes:
    answer = b""
    while len(answer) < size:
        more = connection.recv(size - len(answer))
        assert more, "the broker closed the connection"
        answer += more
    return answer
