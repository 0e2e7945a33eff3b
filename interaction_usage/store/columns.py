"""Columns: many whole numbers to and from bytes, by operations that each run in C.

Redis stores a day as records of one size, and a report needs the same number of each record, as a
column. A month has a thousand records of a kind, a year ten thousand; a Python statement for each
would cost more than the rest of a report. So a column is cut out of the records byte by byte
(`records[at::size]` is one pass in C) and becomes an array of the narrowest type that fits, which
is nearly always one byte a number.

A column is any sequence of int: `bytes` if every number fits in an unsigned byte, else an `array`.
Both are sliced, added up and put into lists in C.
"""

import sys
from array import array
from collections.abc import Sequence
from typing import Final

#: Type codes of arrays, from the narrowest, with their width; they are stored with the columns.
_KINDS: Final = {"B": 1, "b": 1, "h": 2, "i": 4, "q": 8}
_BOUNDS: Final = {
    kind: (0, 255) if kind == "B" else (-(1 << 8 * width - 1), (1 << 8 * width - 1) - 1)
    for kind, width in _KINDS.items()
}
#: The bytes above the lowest one if that alone determines a signed number: its sign.
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


def encode(numbers: Sequence[int]) -> tuple[str, bytes]:
    """Return the narrowest type code that fits *numbers*, and their bytes, little-endian.

    Raises OverflowError if one has more than 64 bits.
    """
    low, high = min(numbers, default=0), max(numbers, default=0)
    for kind, (least, most) in _BOUNDS.items():
        if least <= low and high <= most:
            filled = array(kind, numbers)
            if sys.byteorder == "big":
                filled.byteswap()
            return kind, filled.tobytes()
    raise OverflowError(f"a column holds numbers of 64 bits, not {low} to {high}")


def decode(kind: str, content: bytes) -> Sequence[int]:
    """Return the numbers that `encode` encoded. Raises ValueError for an unknown type code."""
    if kind not in _KINDS:
        raise ValueError(f"a column has the unknown type code {kind!r}")
    return content if kind == "B" else _array(kind, content)


def _array(kind: str, content: bytes | bytearray) -> "array[int]":
    """Return the array with this content, which is little-endian."""
    filled = array(kind)
    filled.frombytes(content)
    if sys.byteorder == "big":
        filled.byteswap()
    return filled
