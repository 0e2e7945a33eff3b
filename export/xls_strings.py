"""The table of strings of an .xls: the record SST, cut into CONTINUE records as it must be.

xlwt adds to a growing piece for each text; here texts are encoded once a process, for most are the
same in every workbook, and joined. Records are those of [MS-XLS], section 2.4.265.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from struct import pack
from typing import Final

_SST: Final = 0x00FC
_CONTINUE: Final = 0x003C
_MOST_BYTES: Final = 0x2020  #: of a record, without its head
_COUNTS_BYTES: Final = 8
_MOST_CHARACTERS: Final = 32_767
_HEAD: Final = 3  #: length and options, which stand in one record with the first character


class Strings:
    """The texts of a workbook: their places in its table, and how often they are used."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._uses = 0

    def place(self, text: str) -> int:
        """Return the place of a *text* that is used once more; a new one is added."""
        self._uses += 1
        return self._places.setdefault(text, len(self._places))

    def places(self, texts: Sequence[str]) -> list[int]:
        """Return the same of each of *texts*."""
        known = {text: self.place(text) for text in dict.fromkeys(texts)}
        self._uses += len(texts) - len(known)
        return list(map(known.__getitem__, texts))

    def table(self) -> bytes:
        """Return the records of the texts."""
        return string_table(self._places, self._uses)


def string_table(texts: Iterable[str], uses: int) -> bytes:
    """Return the records of *texts*, in the order of their places, which are used so often."""
    known = list(texts)
    first, *more = _pieces(known)
    table = pack("<2H2I", _SST, _COUNTS_BYTES + len(first), uses, len(known)) + first
    return table + b"".join([pack("<2H", _CONTINUE, len(piece)) + piece for piece in more])


def _pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield what each record holds of *texts*, the first without its counts."""
    parts, size = list[bytes](), _COUNTS_BYTES
    for text in texts:
        packed = _packed(text)
        size += len(packed)
        if size <= _MOST_BYTES:
            parts.append(packed)
            continue
        piece, free = b"".join(parts), _MOST_BYTES - (size - len(packed))
        *full, rest = _cut(packed, free)
        yield piece + full[0]
        yield from full[1:]
        parts, size = [rest], len(rest)
    yield b"".join(parts)


def _cut(packed: bytes, free: int) -> Iterator[bytes]:
    """Yield the pieces of a text, the first of at most *free* bytes; the last may have more room.

    A character is never cut, nor is the head parted from the first one; each piece but the first
    begins with the options.
    """
    width = 2 if packed[2] else 1
    at = 0
    if free >= _HEAD + width:
        at = _HEAD + (free - _HEAD) // width * width
        yield packed[:at]
        options = bytes([packed[2]])
    else:
        yield b""
        at = min(len(packed), _HEAD + (_MOST_BYTES - _HEAD) // width * width)
        if at == len(packed):
            yield packed
            return
        yield packed[:at]
        options = bytes([packed[2]])
    step = (_MOST_BYTES - 1) // width * width
    while len(packed) - at > step:
        yield options + packed[at : at + step]
        at += step
    yield options + packed[at:]


@lru_cache(1024)
def _packed(text: str) -> bytes:
    """Return *text* with its length, in one byte a character if Latin-1 has all of them."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a cell holds {_MOST_CHARACTERS:,} characters, not {len(text):,}")
    try:
        encoded = text.encode("latin1")
    except UnicodeEncodeError:
        encoded = text.encode("utf_16_le")
        return pack("<HB", len(encoded) // 2, 1) + encoded
    return pack("<HB", len(encoded), 0) + encoded
