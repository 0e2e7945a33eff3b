"""Unpacking a compressed record batch: never more than a bound, whatever its bytes claim.

43 KB of zstd can hold 1.4 GB of zeros, and no size that a producer declares can be trusted. So
each decompressor writes into a buffer of a given size, and stops where that is full. The first
buffer is as large as most batches need. Only a batch that needs more gets one of all that is
allowed: anonymous memory, which costs nothing where nothing is written.

The formats are those of the Java client, which the broker reads with, too: gzip (one member or
more), snappy (bare, or in the blocks of xerial's stream), LZ4 frames, zstd frames.
"""

import mmap
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam

#: By the number in a batch's header.
NAMES: Final[Mapping[int, str]] = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

#: What the stream of xerial's snappy begins with; two versions of 4 bytes follow.
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER: Final = len(_XERIAL) + 8
#: What events unpack to: so many times their packed size, and so many bytes on top.
_LIKELY, _SMALL = 16, 1024
_MOST_LIKELY = 256 * 1024  #: beyond which the guess is not worth it
#: How cramjam's decompressors say that the buffer is full.
_FULL: Final = "failed to write whole buffer"


class UnpackingError(Exception):
    """A batch that could not be unpacked."""


class TooLargeError(UnpackingError):
    """It unpacks to more than is allowed."""


class CorruptError(UnpackingError):
    """Its bytes are not what its codec writes."""


def unpack(codec: int, packed: memoryview, most: int, head: bytes = b"") -> memoryview:
    """Return what *packed* unpacks to, at most *most* bytes, behind *head*.

    Raises TooLargeError where it is more, and CorruptError.
    """
    likely = _LIKELY * len(packed) + _SMALL
    if likely < min(most, _MOST_LIKELY):
        try:
            return _unpack(codec, packed, memoryview(bytearray(len(head) + likely)), head)
        except TooLargeError:
            pass
    all_allowed = mmap.mmap(-1, len(head) + most + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    unpacked = _unpack(codec, packed, memoryview(all_allowed), head)
    if len(unpacked) > len(head) + most:
        raise TooLargeError
    return unpacked


def _unpack(codec: int, packed: memoryview, buffer: memoryview, head: bytes) -> memoryview:
    """Write *head*, and then what *packed* unpacks to, into *buffer*; return what is written."""
    into = _UNPACKERS.get(codec)
    if into is None:
        raise CorruptError(f"there is no codec {codec}")
    buffer[: len(head)] = head
    try:
        size = into(packed, buffer[len(head) :])
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise TooLargeError from None
        raise CorruptError(str(error)) from None
    return buffer[: len(head) + size]


def _snappy(packed: Any, buffer: Any) -> int:
    """Unpack snappy as any client writes it; streams of blocks may follow each other."""
    if packed[: len(_XERIAL)] != _XERIAL:
        return _snappy_block(packed, buffer)
    at, size = _XERIAL_HEADER, 0
    while at < len(packed):
        if packed[at : at + len(_XERIAL)] == _XERIAL:
            at += _XERIAL_HEADER
            continue
        if at + 4 > len(packed):
            raise CorruptError("a block of snappy is cut off")
        (length,) = struct.unpack_from(">I", packed, at)
        block = packed[at + 4 : at + 4 + length]
        if len(block) < length:
            raise CorruptError("a block of snappy is cut off")
        size += _snappy_block(block, buffer[size:])
        at += 4 + length
    return size


def _snappy_block(block: Any, buffer: Any) -> int:
    """Unpack a block, which begins with its size; no other size can come of it."""
    if cramjam.snappy.decompress_raw_len(block) > len(buffer):
        raise TooLargeError
    return int(cramjam.snappy.decompress_raw_into(block, buffer))


_UNPACKERS: Final[Mapping[int, Callable[[Any, Any], int]]] = {
    1: cramjam.gzip.decompress_into,
    2: _snappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
