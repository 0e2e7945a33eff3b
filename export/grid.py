"""A sheet of a workbook as a plain grid: rows, widths and print set-up, which xls and xlsx draw."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple, cast

from export.breakdowns import Column
from export.cell_styles import Look
from export.sections import Kind
from rollups.timestamps import DAY_SECONDS

#: What a cell of a grid holds; dates are serial numbers already.
Content = str | int | float

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_SERIAL: Final = 25_569  # days from 1899-12-30, where spreadsheets begin to count
_FIRST_SERIAL: Final = 61  # 1900-03-01: before it, Excel counts a day that never was
#: Characters that a header or footer has at most, in xls and xlsx, with its codes.
_LONGEST_MARGIN: Final = 255


class Line(NamedTuple):
    """One row of a sheet, its cells from column A on."""

    height: float  #: points
    cells: Sequence[Content]
    looks: Sequence[Look]
    joined: tuple[tuple[int, int], ...] = ()  #: first and last column of each merged stretch


class Body(NamedTuple):
    """The rows of a table as columns, all equally long: most of what a workbook holds."""

    columns: tuple[Sequence[Content], ...] = ()
    heights: Sequence[float] = ()  #: of the rows, in points
    looks: tuple[Sequence[Look], ...] = ()  #: of the columns, for each kind of row
    kinds: Sequence[int] = ()  #: of the rows

    def lines(self) -> Iterator[Line]:
        """Yield the same, row by row."""
        rows = zip(*self.columns, strict=True)
        for cells, height, kind in zip(rows, self.heights, self.kinds, strict=True):
            yield Line(height, cells, self.looks[kind])


class Sheet(NamedTuple):
    """One sheet with its print set-up."""

    name: str
    widths: tuple[float, ...]  #: of the columns, in characters
    head: list[Line]
    body: Body = Body()
    foot: Sequence[Line] = ()
    frozen_columns: int = 0
    heading_rows: tuple[int, int] | None = None  #: frozen down to, and repeated on every page
    landscape: bool = False
    one_page: bool = False  #: all of it on one page; otherwise as wide as one page
    printed_rows: int | None = None  #: how many are printed, from the first on; None for all
    header: str = ""  #: of every printed page, in the code of spreadsheets
    footer: str = ""

    @property
    def lines(self) -> list[Line]:
        """All of its rows."""
        return [*self.head, *self.body.lines(), *self.foot]


def serials(column: Column) -> Sequence[Content]:
    """Return the values of *column*; days and hours as spreadsheets do, in days since 1899-12-30.

    Of what lies before 1900-03-01, ISO text is returned: Excel's calendar is wrong there.
    """
    if column.kind not in (Kind.DAY, Kind.HOUR):
        return column.values
    return _serials(column.kind, tuple(cast(Sequence[int], column.values)))


@lru_cache(8)  # the tables of one report have the same days, and so have those of many accounts
def _serials(kind: Kind, values: tuple[int, ...]) -> Sequence[Content]:
    numbers: Sequence[float]
    if kind is Kind.DAY:
        numbers = [day + _EPOCH_SERIAL for day in values]
    else:
        # One division of whole numbers, so that the nearest float is met.
        shift = _EPOCH_SERIAL * DAY_SECONDS
        numbers = [(second + shift) / DAY_SECONDS for second in values]
    if min(numbers, default=_FIRST_SERIAL) >= _FIRST_SERIAL:
        return numbers
    return [
        number if number >= _FIRST_SERIAL else _iso(kind, value)
        for number, value in zip(numbers, values, strict=True)
    ]


def _iso(kind: Kind, value: int) -> str:
    seconds = value * DAY_SECONDS if kind is Kind.DAY else value
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat(" ", "minutes")
    return text[:10] if kind is Kind.DAY else text[:16]


def lines_needed(text: str, width: float) -> int:
    """Return how many lines *text* takes in *width* characters, wrapped at words: an upper bound.

    Wide characters (CJK, most emoji) count as two.
    """
    needed = len(text)
    if not text.isascii():
        from unicodedata import east_asian_width

        needed += sum(east_asian_width(character) in "WF" for character in text)
    return 1 if needed <= width else ceil(needed / (width * 0.85))


def margin_text(left: str, right: str) -> str:
    """Return a header or footer in the code of spreadsheets, in small type.

    *left* is a name, in which `&` is no code; *right* may have codes, such as `&P` for the page.
    The font stands between the size and the text, which might begin with a digit.
    """
    font = '&8&"Arial,Regular"'
    end = f"&R{font}{right}"
    room = _LONGEST_MARGIN - len(f"&L{font}{end}")
    text = left.replace("&", "&&")
    if len(text) > room:
        text = f"{text[: room - 1].rstrip('&')}…"
    return f"&L{font}{text}{end}"
