"""The sheets of a workbook as plain grids, so that xls and xlsx only have to draw them.

The first sheet is `export.layout`'s; each breakdown follows on a sheet of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from typing import Final
from unicodedata import east_asian_width

from export import look
from export.breakdowns import Table, Value, tables
from export.layout import Kind, Row, Section, account_title, period, sections
from export.look import Look
from export.model import Report

#: What a cell of a grid holds; dates are serial numbers already.
Content = str | int | float

_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's dates have no zone
_DAY: Final = timedelta(days=1)
_FIRST_SERIAL: Final = 61  # 1900-03-01: before it, Excel counts a day that never was

_FIRST_WIDTHS: Final = (44, 13, 13, 27)
_WIDTHS: Final = {Kind.DAY: 14, Kind.HOUR: 19, Kind.TEXT: 58, Kind.MOMENT: 11}
_NUMBER_WIDTH: Final = 13.5
_ROW_HEIGHT: Final = 21  # of the first sheet, in points
_LINE_HEIGHT: Final = 13.5  # of text in 10 points, itself in points
_LONGEST_SUBTITLE_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a sheet, its cells from column A on."""

    height: float  #: points
    cells: Sequence[Content]
    looks: Sequence[Look]
    joined: tuple[tuple[int, int], ...] = ()  #: first and last column of each merged stretch


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet with its print set-up."""

    name: str
    widths: tuple[float, ...]  #: of the columns, in characters
    lines: list[Line]
    frozen_columns: int = 0
    heading_rows: tuple[int, int] | None = None  #: frozen down to, and repeated on every page
    landscape: bool = False
    one_page: bool = False  #: all of it on one page; otherwise as wide as one page


def sheets(report: Report, sheet_rows: int) -> list[Sheet]:
    """Return the sheets of *report*; none has more than *sheet_rows* rows."""
    about = f"{_shortened(account_title(report))}  ·  {period(report)}  ·  {report.timezone}"
    return [first_sheet(report), *(_breakdown(t, about) for t in tables(report, sheet_rows))]


def first_sheet(report: Report) -> Sheet:
    """Return the sheet `Usage Report`, which the breakdowns leave as it is."""
    title, *others = sections(report)
    lines = [Line(40, _across(title.title), [look.TITLE] * 4)]
    lines += [_heading_line(row) for row in title.rows]
    for section in others:
        lines.append(_section_line(section))
        lines += [_value_line(row) for row in section.rows]
    return Sheet("Usage Report", _FIRST_WIDTHS, lines, one_page=True)


def serial(value: date) -> float | str:
    """Return local *value* as days since 1899-12-30, as spreadsheets count them.

    What lies before 1900-03-01 is returned as ISO text: Excel's calendar is wrong there.
    """
    if isinstance(value, datetime):
        days = (value.replace(tzinfo=None) - _EPOCH) / _DAY
        return days if days >= _FIRST_SERIAL else value.isoformat(" ", "minutes")[:16]
    number = value.toordinal() - _EPOCH.toordinal()
    return number if number >= _FIRST_SERIAL else value.isoformat()


def lines_needed(text: str, width: float) -> int:
    """Return how many lines *text* takes in *width* characters, wrapped at words: an upper bound.

    Wide characters (CJK, most emoji) count as two.
    """
    needed = sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
    return 1 if needed <= width else ceil(needed / (width * 0.85))


def _shortened(name: str) -> str:
    longest = _LONGEST_SUBTITLE_NAME
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _heading_line(row: Row) -> Line:
    text = row.cells[0].value
    lines = lines_needed(str(text), sum(_FIRST_WIDTHS[1:]))
    looks = [look.HEADED, look.ANSWER, look.ANSWER, look.ANSWER]
    return Line(
        _ROW_HEIGHT + (lines - 1) * _LINE_HEIGHT, _across(row.label, text), looks, ((1, 3),)
    )


def _section_line(section: Section) -> Line:
    kinds = (Kind.INTEGER, Kind.AVERAGE, Kind.MOMENT)
    looks = [look.SECTION, *(look.section_heading(kind) for kind in kinds)]
    return Line(28, _across(section.title, *section.headings), looks)


def _value_line(row: Row) -> Line:
    looks = [look.LABEL, *(look.value(cell.kind) for cell in row.cells), look.BLANK, look.BLANK]
    return Line(_ROW_HEIGHT, _across(row.label, *(cell.value for cell in row.cells)), looks[:4])


def _across(*cells: Content) -> list[Content]:
    """Return *cells*, and empty ones up to the first sheet's last column."""
    return [*cells, "", "", ""][:4]


def _breakdown(table: Table, about: str) -> Sheet:
    kinds = [column.kind for column in table.columns]
    lines = [
        Line(26, [table.name], [look.SHEET_TITLE]),
        Line(18, [about], [look.SUBTITLE]),
    ]
    if table.notice:
        lines.append(Line(18, [table.notice], [look.NOTICE]))
    headings = _headings(table)
    heading_rows = (len(lines), len(lines) + len(headings) - 1)
    lines += headings
    lines += _text_lines(table, kinds) if kinds[0] is Kind.TEXT else _dated_lines(table, kinds)
    lines.append(Line(20, [_content(v) for v in table.total], [look.total(k) for k in kinds]))
    widths = tuple(_WIDTHS.get(kind, _NUMBER_WIDTH) for kind in kinds)
    return Sheet(table.name, widths, lines, 1, heading_rows, landscape=sum(widths) > 110)


def _headings(table: Table) -> list[Line]:
    looks = [look.heading(column.kind) for column in table.columns]
    names = [column.heading for column in table.columns]
    groups = [column.group for column in table.columns]
    if not any(groups):
        return [Line(22, names, looks)]
    starts = [i for i, group in enumerate(groups) if group and group != groups[i - 1]]
    spans = ((start, start + groups.count(groups[start]) - 1) for start in starts)
    above = [group if i in starts else "" for i, group in enumerate(groups)]
    joined = tuple((first, last) for first, last in spans if first < last)
    return [Line(20, above, [look.GROUP] * len(groups), joined), Line(50, names, looks)]


def _text_lines(table: Table, kinds: list[Kind]) -> list[Line]:
    width = _WIDTHS[Kind.TEXT]
    looks = [look.value(kind) for kind in kinds]
    lines = []
    for row in table.rows:
        height = 4 + lines_needed(str(row[0]), width) * _LINE_HEIGHT
        lines.append(Line(height, [_content(cell) for cell in row], looks))
    return lines


def _dated_lines(table: Table, kinds: list[Kind]) -> list[Line]:
    """Return the lines of a table by day or hour; hours have a rule above each local midnight."""
    usual = [look.value(kind) for kind in kinds]
    opening = [look.first_of_day(kind) for kind in kinds] if kinds[0] is Kind.HOUR else usual
    lines: list[Line] = []
    day: date | None = None
    for row in table.rows:
        begins, *others = row
        assert isinstance(begins, date)
        begun = begins.date() if isinstance(begins, datetime) else begins
        cells = [serial(begins), *map(_content, others)]
        lines.append(Line(16, cells, usual if begun == day else opening))
        day = begun
    return lines


def _content(value: Value) -> Content:
    return serial(value) if isinstance(value, date) else value
