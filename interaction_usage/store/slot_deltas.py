"""The deltas of a slot of an open day, second by second, as `apply.lua` stores them.

Few are one MessagePack list, [second, delta, ...], sorted. Where there are more than `MOST_IN_ONE`,
a change would cost the more the more there are; so then they are stored in pieces of
`PIECE_SECONDS`, each with its net and rise: a change rebuilds one piece, and combines all of them.

    mark, count | bytes, net, rise of each piece | [second of the piece, delta, ...] of each piece

Which of the two it is follows from their number alone, so equal deltas are stored as equal bytes.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from interaction_usage.store.record_layout import (
    MOST_IN_ONE,
    PIECE_SECONDS,
    PIECES,
    PIECES_HEAD,
    PIECES_MARK,
)

_HEAD: Final = struct.Struct(">BH" + "Hii" * PIECES)
_unpack = msgspec.msgpack.Decoder(list[int]).decode
_pack = msgspec.msgpack.Encoder().encode

assert _HEAD.size == PIECES_HEAD


def unpack(packed: bytes) -> list[tuple[int, int]]:
    """Return (second of the slot, delta) of each delta, in the order of their seconds."""
    if packed[0] != PIECES_MARK:
        return sorted(_pairs(packed))
    found: list[tuple[int, int]] = []
    at = PIECES_HEAD
    for piece, size in enumerate(_HEAD.unpack_from(packed)[2::3]):
        if size:
            base = piece * PIECE_SECONDS
            found += [(base + second, delta) for second, delta in _pairs(packed[at : at + size])]
            at += size
    return found


def _pairs(packed: bytes) -> Iterator[tuple[int, int]]:
    numbers = iter(_unpack(packed))
    return zip(numbers, numbers, strict=True)


def pack(deltas: Sequence[tuple[int, int]]) -> bytes:
    """Return *deltas*, of which there is at least one, sorted, as they are stored."""
    if len(deltas) <= MOST_IN_ONE:
        return _pack([number for delta in deltas for number in delta])
    pieces: list[list[tuple[int, int]]] = [[] for _ in range(PIECES)]
    for second, delta in deltas:
        pieces[second // PIECE_SECONDS].append((second % PIECE_SECONDS, delta))
    head, bodies = [PIECES_MARK, len(deltas)], []
    for piece in pieces:
        bodies.append(_pack([number for delta in piece for number in delta]) if piece else b"")
        head += (len(bodies[-1]), *_net_and_rise(piece))
    return _HEAD.pack(*head) + b"".join(bodies)


def _net_and_rise(piece: Sequence[tuple[int, int]]) -> tuple[int, int]:
    levels = list(accumulate(delta for _, delta in piece))
    if not levels:
        return 0, 0
    starts_level = piece[0][0] > 0
    return levels[-1], max(0, *levels) if starts_level else max(levels)
