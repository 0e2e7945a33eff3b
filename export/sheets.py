"""The sheets of a workbook as plain grids, so that xls and xlsx only have to draw them.

The first sheet is `export.sections`'s; each breakdown has one of its own; the last has the notes.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from math import ceil
from operator import ne
from typing import Final, NamedTuple, cast

from export import adjustments, cell_styles, changes
from export.breakdowns import Column, Table, tables
from export.cell_styles import Look
from export.notes import notes
from export.sections import Cell, Kind, Row, Section, account_title, period, sections
from export.text import isolated, readable
from interaction_usage.reports.model import Report
from rollups.timestamps import DAY_SECONDS

#: What a cell of a grid holds; dates are serial numbers already.
Content = str | int | float

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_SERIAL: Final = 25_569  # days from 1899-12-30, where spreadsheets begin to count
_FIRST_SERIAL: Final = 61  # 1900-03-01: before it, Excel counts a day that never was

_FIRST_WIDTHS: Final = (44, 13, 13, 27)
_NOTE_WIDTHS: Final = (32, 86)
_CHANGES_WIDTHS: Final = (44, 26, 26, 40, 70)
_ADJUSTMENT_WIDTHS: Final = (58, 15, 24, 24, 11)
_WIDTHS: Final = {Kind.DAY: 14, Kind.HOUR: 19, Kind.TEXT: 58, Kind.MOMENT: 11}
_NUMBER_WIDTH: Final = 13.5
_ROW_HEIGHT: Final = 21  # of the first sheet, in points
_BODY_HEIGHT: Final = 16  # of a table's rows, in points
_LINE_HEIGHT: Final = 13.5  # of text in 10 points, itself in points
_LONGEST_SUBTITLE_NAME: Final = 60


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
    foot: tuple[Line, ...] = ()
    frozen_columns: int = 0
    heading_rows: tuple[int, int] | None = None  #: frozen down to, and repeated on every page
    landscape: bool = False
    one_page: bool = False  #: all of it on one page; otherwise as wide as one page

    @property
    def lines(self) -> list[Line]:
        """All of its rows."""
        return [*self.head, *self.body.lines(), *self.foot]


def sheets(report: Report, sheet_rows: int) -> list[Sheet]:
    """Return the sheets of *report*; none has more than *sheet_rows* rows."""
    title = isolated(_shortened(account_title(report)))
    about = f"{title}  ·  {period(report)}  ·  {report.timezone}"
    breakdowns = [_breakdown(table, about) for table in tables(report, sheet_rows)]
    more = [changes_sheet(report, about)] if report.revision else []
    more += [adjustments_sheet(report, about)] if report.adjustments else []
    return [first_sheet(report), *more, *breakdowns, _notes_sheet(report, about)]


def first_sheet(report: Report) -> Sheet:
    """Return the sheet `Usage Report`, which the breakdowns leave as it is."""
    title, *others = sections(report)
    lines = [Line(40, _across(title.title), [cell_styles.TITLE] * 4)]
    lines += [_heading_line(row) for row in title.rows]
    for section in others:
        lines.append(_section_line(section))
        lines += [_value_line(row) for row in section.rows]
    return Sheet("Usage Report", _FIRST_WIDTHS, lines, one_page=True)


def _notes_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet `Notes`: what the numbers mean, and whether they are all there."""
    lines = [
        Line(26, ["Notes"], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
    ]
    looks = [cell_styles.NOTE_TITLE, cell_styles.value(Kind.TEXT)]
    for note in notes(report):
        for title, text in zip(chain((note.title,), repeat("")), note.texts, strict=False):
            height = 6 + lines_needed(text, _NOTE_WIDTHS[1]) * _LINE_HEIGHT
            lines.append(Line(height, [title, readable(text)], looks))
    return Sheet("Notes", _NOTE_WIDTHS, lines)


def changes_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet of a revision: what it changes, and the events that changed it."""
    rows = []
    for row in changes.rows(report):
        cells = [readable(cell) for cell in row]
        needed = max(map(lines_needed, cells, _CHANGES_WIDTHS))
        is_heading = row[0] in changes.HEADINGS
        look = cell_styles.NOTE_TITLE if is_heading else cell_styles.value(Kind.TEXT)
        rows.append(Line(4 + needed * _LINE_HEIGHT, cells, [look] * len(cells)))
    lines = [
        Line(26, [changes.title(report)], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
        Line(18, [changes.summary(report)], [cell_styles.SUBTITLE]),
        *rows,
    ]
    return Sheet(changes.title(report), _CHANGES_WIDTHS, lines, landscape=True)


def adjustments_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet `Adjustments`: what the report bills of earlier ones."""
    lines = [
        Line(26, [adjustments.TITLE], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
        Line(18, [adjustments.summary(report)], [cell_styles.SUBTITLE]),
    ]
    pairs = zip(adjustments.sections(report), report.adjustments, strict=True)
    for section, adjustment in pairs:
        headings = [cell_styles.section_heading(Kind.INTEGER)] * len(section.headings)
        lines.append(Line(28, [section.title, *section.headings], [cell_styles.SECTION, *headings]))
        for row in section.rows:
            cells = [row.label, *(cell.value for cell in row.cells)]
            height = 6 + lines_needed(row.label, _ADJUSTMENT_WIDTHS[0]) * _LINE_HEIGHT
            looks = [cell_styles.WRAPPED_LABEL, *map(_adjusted_look, row.cells)]
            lines.append(Line(height, cells, looks))
        for note in adjustment.notes:
            lines.append(Line(18, [readable(note)], [cell_styles.NOTICE]))
    return Sheet(adjustments.TITLE, _ADJUSTMENT_WIDTHS, lines, landscape=True)


def _adjusted_look(cell: Cell) -> Look:
    look = cell_styles.value(cell.kind)
    return look._replace(align="right", indent=0)


def serials(column: Column) -> Sequence[Content]:
    """Return the values of *column*; days and hours as spreadsheets do, in days since 1899-12-30.

    Of what lies before 1900-03-01, ISO text is returned: Excel's calendar is wrong there.
    """
    if column.kind not in (Kind.DAY, Kind.HOUR):
        return column.values
    values = cast(Sequence[int], column.values)
    numbers: Sequence[float]
    if column.kind is Kind.DAY:
        numbers = [day + _EPOCH_SERIAL for day in values]
    else:
        # One division of whole numbers, so that the nearest float is met.
        shift = _EPOCH_SERIAL * DAY_SECONDS
        numbers = [(second + shift) / DAY_SECONDS for second in values]
    if min(numbers, default=_FIRST_SERIAL) >= _FIRST_SERIAL:
        return numbers
    return [
        number if number >= _FIRST_SERIAL else _iso(column.kind, value)
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


def _shortened(name: str) -> str:
    longest = _LONGEST_SUBTITLE_NAME
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _heading_line(row: Row) -> Line:
    text = row.cells[0].value
    lines = lines_needed(str(text), sum(_FIRST_WIDTHS[1:]))
    looks = [cell_styles.HEADED, cell_styles.ANSWER, cell_styles.ANSWER, cell_styles.ANSWER]
    return Line(
        _ROW_HEIGHT + (lines - 1) * _LINE_HEIGHT, _across(row.label, text), looks, ((1, 3),)
    )


def _section_line(section: Section) -> Line:
    kinds = (Kind.INTEGER, Kind.AVERAGE, Kind.MOMENT)
    looks = [cell_styles.SECTION, *(cell_styles.section_heading(kind) for kind in kinds)]
    return Line(28, _across(section.title, *section.headings), looks)


def _value_line(row: Row) -> Line:
    looks = [
        cell_styles.LABEL,
        *(cell_styles.value(cell.kind) for cell in row.cells),
        cell_styles.BLANK,
        cell_styles.BLANK,
    ]
    return Line(_ROW_HEIGHT, _across(row.label, *(cell.value for cell in row.cells)), looks[:4])


def _across(*cells: Content) -> list[Content]:
    """Return *cells*, and empty ones up to the first sheet's last column."""
    return [*cells, "", "", ""][:4]


def _breakdown(table: Table, about: str) -> Sheet:
    kinds = [column.kind for column in table.columns]
    lines = [
        Line(26, [table.name], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
    ]
    if table.notice:
        lines.append(Line(18, [table.notice], [cell_styles.NOTICE]))
    headings = _headings(table)
    heading_rows = (len(lines), len(lines) + len(headings) - 1)
    lines += headings
    totals = [column.total for column in table.columns]
    foot = Line(20, totals, [cell_styles.total(kind) for kind in kinds])
    widths = tuple(_WIDTHS.get(kind, _NUMBER_WIDTH) for kind in kinds)
    return Sheet(
        table.name,
        widths,
        lines,
        _body(table),
        (foot,),
        frozen_columns=1,
        heading_rows=heading_rows,
        landscape=sum(widths) > 110,
    )


def _body(table: Table) -> Body:
    """Return the rows of a table; hours have a rule above each local midnight."""
    kinds = [column.kind for column in table.columns]
    columns = tuple(map(serials, table.columns))
    usual = [cell_styles.value(kind) for kind in kinds]
    first, count = table.columns[0], len(columns[0])
    if first.kind is Kind.HOUR:
        opening = [cell_styles.first_of_day(kind) for kind in kinds]
        days = [second // DAY_SECONDS for second in cast(Sequence[int], first.values)]
        begins_day = list(map(ne, days, chain((None,), days)))
        return Body(columns, [_BODY_HEIGHT] * count, (usual, opening), begins_day)
    heights: list[float] = [_BODY_HEIGHT] * count
    if first.kind is Kind.TEXT:
        width = _WIDTHS[Kind.TEXT]
        heights = [4 + lines_needed(str(text), width) * _LINE_HEIGHT for text in first.values]
    return Body(columns, heights, (usual,), [0] * count)


def _headings(table: Table) -> list[Line]:
    looks = [cell_styles.heading(column.kind) for column in table.columns]
    names = [column.heading for column in table.columns]
    groups = [column.group for column in table.columns]
    if not any(groups):
        return [Line(22, names, looks)]
    starts = [i for i, group in enumerate(groups) if group and group != groups[i - 1]]
    spans = ((start, start + groups.count(groups[start]) - 1) for start in starts)
    above = [group if i in starts else "" for i, group in enumerate(groups)]
    joined = tuple((first, last) for first, last in spans if first < last)
    return [Line(20, above, [cell_styles.GROUP] * len(groups), joined), Line(50, names, looks)]
