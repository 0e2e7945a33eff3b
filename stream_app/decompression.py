"""Decompressing a record batch: never more than a bound, whatever its bytes claim.

43 KB of zstd can hold 1.4 GB of zeros, and no size that a producer declares can be trusted. So
each decompressor writes into a buffer of a given size, and stops where that is full. The first
buffer is as large as most batches need. Only a batch that needs more gets one of all that is
allowed: anonymous memory, which costs nothing where nothing is written.

The formats are those of the Java client, which the broker uses, too: gzip (one member or
more), snappy (bare, or in the blocks of xerial's stream), LZ4 frames, zstd frames.
"""

import mmap
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam

from stream_app.errors import BatchTooLargeError, CorruptBatchError

#: By the number in a batch's header.
NAMES: Final[Mapping[int, str]] = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

#: What the stream of xerial's snappy begins with; two versions of 4 bytes follow.
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER: Final = len(_XERIAL) + 8
#: What events decompress to: so many times their compressed size, and so many bytes on top.
_LIKELY, _SMALL = 16, 1024
_MOST_LIKELY = 256 * 1024  #: beyond which the guess is not worth it
#: What cramjam's decompressors raise when the buffer is full.
_FULL: Final = "failed to write whole buffer"


def decompress(codec: int, compressed: memoryview, most: int, head: bytes = b"") -> memoryview:
    """Return what *compressed* decompresses to, at most *most* bytes, behind *head*.

    Raises BatchTooLargeError where it is more, and CorruptBatchError.
    """
    likely = _LIKELY * len(compressed) + _SMALL
    if likely < min(most, _MOST_LIKELY):
        try:
            return _decompress(codec, compressed, memoryview(bytearray(len(head) + likely)), head)
        except BatchTooLargeError:
            pass
    all_allowed = mmap.mmap(-1, len(head) + most + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    decompressed = _decompress(codec, compressed, memoryview(all_allowed), head)
    if len(decompressed) > len(head) + most:
        raise BatchTooLargeError
    return decompressed


def _decompress(codec: int, compressed: memoryview, buffer: memoryview, head: bytes) -> memoryview:
    """Write *head*, and then what *compressed* decompresses to, into *buffer*; return both."""
    into = _DECOMPRESSORS.get(codec)
    if into is None:
        raise CorruptBatchError(f"there is no codec {codec}")
    buffer[: len(head)] = head
    try:
        size = into(compressed, buffer[len(head) :])
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise BatchTooLargeError from None
        raise CorruptBatchError(str(error)) from None
    return buffer[: len(head) + size]


def _snappy(compressed: Any, buffer: Any) -> int:
    """Decompress snappy as any client writes it; streams of blocks may follow each other."""
    if compressed[: len(_XERIAL)] != _XERIAL:
        return _snappy_block(compressed, buffer)
    at, size = _XERIAL_HEADER, 0
    while at < len(compressed):
        if compressed[at : at + len(_XERIAL)] == _XERIAL:
            at += _XERIAL_HEADER
            continue
        if at + 4 > len(compressed):
            raise CorruptBatchError("a block of snappy is cut off")
        (length,) = struct.unpack_from(">I", compressed, at)
        block = compressed[at + 4 : at + 4 + length]
        if len(block) < length:
            raise CorruptBatchError("a block of snappy is cut off")
        size += _snappy_block(block, buffer[size:])
        at += 4 + length
    return size


def _snappy_block(block: Any, buffer: Any) -> int:
    """Decompress a block, which begins with its exact size."""
    if cramjam.snappy.decompress_raw_len(block) > len(buffer):
        raise BatchTooLargeError
    return int(cramjam.snappy.decompress_raw_into(block, buffer))


_DECOMPRESSORS: Final[Mapping[int, Callable[[Any, Any], int]]] = {
    1: cramjam.gzip.decompress_into,
    2: _snappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
