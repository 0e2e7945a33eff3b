"""The rows of an .xls sheet as BIFF8 records: one by one, and many at once, column by column.

A table's rows have the same records at the same places; only numbers in them differ. So one row is
made as a template, repeated, and each field is filled in for all rows by one strided copy:

    template  ROW ....  NUMBER ....  MULRK ....
    buffer    ROW 4...  NUMBER 4...  MULRK 4... | ROW 5...  NUMBER 5...  MULRK 5... | ...
    field         ^                                 ^

That costs a few copies per column, where an object per cell costs a microsecond for each. Records
are those of [MS-XLS], section 2.4; whole numbers stand side by side in one MULRK.
"""

import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from struct import pack
from typing import Final, NamedTuple, cast

_ROW: Final = 0x0208
_NUMBER: Final = 0x0203
_BLANK: Final = 0x0201
_LABEL: Final = 0x00FD  # LABELSST: a text of the workbook's table of strings
_RK: Final = 0x027E
_MULRK: Final = 0x00BD

_OWN_HEIGHT: Final = 0x0100 | 0x0040  # a bit that is always set, and: the height is not the usual
_NO_ROW_STYLE: Final = 0x0F << 16

#: An RK may hold a whole number in its upper 30 bits, with the sign; this bit says that it does.
_RK_WHOLE: Final = 0b10
_RK_TOO_LARGE: Final = 0xE000_0000


class _Field(NamedTuple):
    """A number that differs from row to row: its place in a row, and those of all rows."""

    at: int
    width: int  #: bytes
    numbers: bytes


class _Cells(NamedTuple):
    """A column's cells: which record they need, and the numbers in it."""

    record: int
    width: int  #: bytes of a number
    numbers: bytes


def one(
    row: int,
    height: int,
    contents: Sequence[str | int | float],
    xfs: Sequence[int],
    place_of: Callable[[str], int],
) -> bytes:
    """Return the records of the row numbered *row*, with *contents* from column A on.

    *height* is in twentieths of a point, *xfs* are the XF indexes of the cells, *place_of* gives a
    text its place in the workbook's table of strings. An empty text is a blank cell.
    """
    records = [_row(row, height, len(contents))]
    for column, (content, xf) in enumerate(zip(contents, xfs, strict=True)):
        if content == "":
            records.append(pack("<5H", _BLANK, 6, row, column, xf))
        elif isinstance(content, str):
            records.append(pack("<5HL", _LABEL, 10, row, column, xf, place_of(content)))
        else:
            records.append(pack("<5Hd", _NUMBER, 14, row, column, xf, content))
    return b"".join(records)


def _row(row: int, height: int, columns: int) -> bytes:
    """Return what stands before the cells of a row."""
    return pack("<8HL", _ROW, 16, row, 0, columns - 1, height, 0, 0, _NO_ROW_STYLE | _OWN_HEIGHT)


def many(
    first_row: int,
    columns: Sequence[Sequence[str | int | float]],
    heights: Sequence[int],
    kinds: Sequence[int],
    styles: Mapping[int, Sequence[int]],
    string_index: Callable[[Sequence[str]], Sequence[int]],
) -> bytes | None:
    """Return the records of the rows [first_row, first_row + len(heights)), cells from column A on.

    *columns* are as long as *heights*, which are in twentieths of a point. *styles* are the XF
    indexes of the columns for each kind of row. *string_index* gives texts their places in the
    workbook's table of strings. None if a column has not only texts or only numbers, or an empty
    text: such rows must be made cell by cell.
    """
    try:
        cells = [_cells(column, string_index) for column in columns]
    except TypeError:
        return None
    rows = _little(array("H", range(first_row, first_row + len(heights))))
    begin = _row(0, 0, len(columns))
    size = len(begin)
    templates = dict.fromkeys(styles, begin)
    fields = [_Field(4, 2, rows), _Field(10, 2, _little(array("H", heights)))]
    for record, group in groupby(range(len(cells)), lambda column: cells[column].record):
        for together in [list(group)] if record == _RK else [[column] for column in group]:
            for kind, xfs in styles.items():
                templates[kind] += _record(record, together, xfs)
            fields.append(_Field(size + 4, 2, rows))
            for place, column in enumerate(together):
                fields.append(_Field(size + 10 + 6 * place, *cells[column][1:]))
            size = len(templates[kinds[0]])
    return _filled(templates, kinds, fields)


def _cells(
    column: Sequence[str | int | float], string_index: Callable[[Sequence[str]], Sequence[int]]
) -> _Cells:
    """Return how *column* is written. Raises TypeError if that is not the same for all of it."""
    if column and isinstance(column[0], str):
        different = dict.fromkeys(column)  # of which there are few, in most columns
        if not all(different):
            raise TypeError("an empty text is a blank cell")
        if set(map(type, different)) != {str}:
            raise TypeError("texts and numbers")
        texts = cast(Sequence[str], column)
        return _Cells(_LABEL, 4, _little(array("I", string_index(texts))))
    whole = _whole_numbers(column)
    if whole is not None:
        return _Cells(_RK, 4, whole)
    return _Cells(_NUMBER, 8, _little(array("d", cast(Sequence[float], column))))


def _whole_numbers(column: Sequence[str | int | float]) -> bytes | None:
    """Return *column* as RK numbers, or None if they are not all whole and from 0 to 2^29 - 1.

    The column is shifted and marked as one long number, of 32 bits for each cell; no bit of a cell
    reaches into the next one.
    """
    try:
        numbers = array("I", cast(Sequence[int], column))
    except (TypeError, OverflowError):
        return None
    size = 4 * len(numbers)
    together = int.from_bytes(_little(numbers), "little")
    if together & _in_each_cell(_RK_TOO_LARGE, len(numbers)):
        return None
    return (together << 2 | _in_each_cell(_RK_WHOLE, len(numbers))).to_bytes(size, "little")


def _in_each_cell(bits: int, count: int) -> int:
    return int.from_bytes(bits.to_bytes(4, "little") * count, "little")


def _record(record: int, columns: Sequence[int], xfs: Sequence[int]) -> bytes:
    """Return the record of neighbouring *columns* with zeros for the row and the numbers."""
    first, last = columns[0], columns[-1]
    if record == _LABEL:
        return pack("<5HL", _LABEL, 10, 0, first, xfs[first], 0)
    if record == _NUMBER:
        return pack("<5Hd", _NUMBER, 14, 0, first, xfs[first], 0)
    if first == last:
        return pack("<5HL", _RK, 10, 0, first, xfs[first], 0)
    cells = b"".join(pack("<HL", xfs[column], 0) for column in columns)
    return pack("<4H", _MULRK, 6 + len(cells), 0, first) + cells + pack("<H", last)


def _filled(
    templates: Mapping[int, bytes], kinds: Sequence[int], fields: Sequence[_Field]
) -> bytes:
    """Return a row of the template of its kind for each of *kinds*, with the *fields* filled in."""
    buffer = bytearray().join(map(templates.__getitem__, kinds))
    stride = len(buffer) // len(kinds)
    for at, width, numbers in fields:
        for byte in range(width):
            buffer[at + byte :: stride] = numbers[byte::width]
    return bytes(buffer)


def _little(numbers: "array[int] | array[float]") -> bytes:
    """Return *numbers* one after the other, the lowest byte of each first."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
