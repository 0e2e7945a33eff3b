"""Columns: many whole numbers at once in and out of bytes, by steps that each run in C.

What Redis keeps of a day are records of one size, and a report needs the same number of each, one
below the other. A month has a thousand records of a kind, a year ten thousand; a step of Python
for each costs more than all the rest of a report. So a column is cut out of the records byte by
byte (`records[at::size]` is one pass in C) and becomes an array of the narrowest kind that holds
it, which is nearly always one byte a number.

A column is whatever is a sequence of int: `bytes` where every number fits in an unsigned byte, else
an `array`. Both are cut, added up and put into lists in C.
"""

import sys
from array import array
from collections.abc import Sequence
from typing import Final

#: Kinds of arrays by width, from the narrowest; what they are called in what is kept for ever.
_KINDS: Final = {"B": 1, "b": 1, "h": 2, "i": 4, "q": 8}
_BOUNDS: Final = {
    kind: (0, 255) if kind == "B" else (-(1 << 8 * width - 1), (1 << 8 * width - 1) - 1)
    for kind, width in _KINDS.items()
}
#: What the bytes above a byte are if it alone tells a signed number: its sign.
_SIGN: Final = bytes(128) + b"\xff" * 128


def unsigned(records: bytes, size: int, at: int, width: int) -> Sequence[int]:
    """Return the big-endian number that each record of *size* bytes has in *width* bytes *at*."""
    count = len(records) // size
    high, zeros = at, bytes(count)
    while high < at + width - 1 and records[high::size] == zeros:
        high += 1
    if high == at + width - 1:
        return records[high::size]
    filled = bytearray(8 * count)
    for place in range(at + width - high):  # from the lowest byte up
        filled[place::8] = records[at + width - 1 - place :: size]
    return _array("Q", filled)


def signed(records: bytes, size: int, at: int, width: int) -> Sequence[int]:
    """Return the same where the numbers have a sign, in two's complement."""
    low = records[at + width - 1 :: size]
    sign = low.translate(_SIGN)
    if all(records[higher::size] == sign for higher in range(at, at + width - 1)):
        return _array("b", low)
    filled = bytearray(8 * len(low))
    for place in range(8):
        inside = place < width
        filled[place::8] = (
            records[at + width - 1 - place :: size]
            if inside
            else records[at::size].translate(_SIGN)
        )
    return _array("q", filled)


def written(numbers: Sequence[int]) -> tuple[str, bytes]:
    """Return the narrowest kind that holds *numbers*, and their bytes, the lowest first.

    Raises OverflowError where one has more than 64 bits.
    """
    low, high = min(numbers, default=0), max(numbers, default=0)
    for kind, (least, most) in _BOUNDS.items():
        if least <= low and high <= most:
            filled = array(kind, numbers)
            if sys.byteorder == "big":
                filled.byteswap()
            return kind, filled.tobytes()
    raise OverflowError(f"a column holds numbers of 64 bits, not {low} to {high}")


def read(kind: str, content: bytes) -> Sequence[int]:
    """Return the numbers that `written` wrote. Raises ValueError for a kind it never told."""
    if kind not in _KINDS:
        raise ValueError(f"a column of the unknown kind {kind!r}")
    return content if kind == "B" else _array(kind, content)


def _array(kind: str, content: bytes | bytearray) -> "array[int]":
    """Return the array with this content, of which the lowest byte of a number comes first."""
    filled = array(kind)
    filled.frombytes(content)
    if sys.byteorder == "big":
        filled.byteswap()
    return filled
