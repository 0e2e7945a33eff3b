"""The sheet of a breakdown: its columns as wide as their numbers, weekends shaded, sums below."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from itertools import chain
from operator import ne
from typing import Final, cast

from export import cell_styles
from export.breakdowns import Column, Table
from export.grid import Body, Line, Sheet, lines_needed, serials
from export.sections import Kind
from rollups.timestamps import DAY_SECONDS

_WIDTHS: Final = {
    Kind.DAY: 12, Kind.WEEKDAY: 12, Kind.HOUR: 18, Kind.TEXT: 58, Kind.MOMENT: 11
}  # fmt: skip
_LEAST_WIDTH: Final = 11.5  # for "Application" in a heading
_FORMATS: Final = {Kind.INTEGER: "{:,}", Kind.MINUTES: "{:,.3f}"}
_BODY_HEIGHT: Final = 16  # of a row, in points
_LINE_HEIGHT: Final = 13.5  # of text in 10 points, itself in points
_LANDSCAPE_FROM: Final = 110  # characters of all columns together
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_ROWS_ON_A_PAGE: Final = {False: 60, True: 40}  # that can be read, upright and in landscape
_SATURDAY: Final = 2  # 1970-01-03, counted from 1970-01-01

_NOT_PRINTED: Final = (
    "These {rows:,} hours are not printed. To print them, clear the print area of this sheet."
)


def table_sheet(table: Table, about: str) -> Sheet:
    """Return the sheet of *table*; *about* says below its title whose report it is part of."""
    kinds = [column.kind for column in table.columns]
    is_hourly = kinds[0] is Kind.HOUR
    lines = [
        Line(26, [table.name], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
    ]
    if table.notice:
        lines.append(Line(18, [table.notice], [cell_styles.NOTICE]))
    if is_hourly:
        hint = _NOT_PRINTED.format(rows=len(table.columns[0].values))
        lines.append(Line(18, [hint], [cell_styles.SUBTITLE]))
    printed_rows = len(lines) if is_hourly else None
    headings = _headings(table)
    heading_rows = (len(lines), len(lines) + len(headings) - 1)
    widths = _column_widths(table)
    landscape = sum(widths) > _LANDSCAPE_FROM
    return Sheet(
        table.name,
        widths,
        [*lines, *headings],
        _body(table),
        _foot(table),
        frozen_columns=1,
        heading_rows=heading_rows,
        landscape=landscape,
        one_page=len(table.columns[0].values) <= _ROWS_ON_A_PAGE[landscape],
        printed_rows=printed_rows,
    )


def _column_widths(table: Table) -> tuple[float, ...]:
    """Return the widths of the columns, so that the largest number of each has room."""
    widths = [_WIDTHS.get(column.kind) or _number_width(column) for column in table.columns]
    groups = [column.group for column in table.columns]
    for group in dict.fromkeys(filter(None, groups)):  # and a heading above one or two columns
        places = [place for place, each in enumerate(groups) if each == group]
        missing = len(group) + 2 - sum(widths[place] for place in places)
        for place in places:
            widths[place] += max(0, missing / len(places))
    return tuple(widths)


def _number_width(column: Column) -> float:
    shown = _FORMATS.get(column.kind, "{}")
    longest = max(len(shown.format(value)) for value in (column.total or 0, column.highest or 0))
    return max(_LEAST_WIDTH, longest + 2)


def _foot(table: Table) -> list[Line]:
    """Return the rows of sums and maxima."""
    kinds = [column.kind for column in table.columns]
    return [
        Line(20, row, [cell_styles.summary(kind, is_first=number == 0) for kind in kinds])
        for number, row in enumerate(table.summaries)
    ]


def _body(table: Table) -> Body:
    """Return the rows of a table: of a calendar, or of Interaction Flows."""
    columns = tuple(map(serials, table.columns))
    kinds = [column.kind for column in table.columns]
    first = table.columns[0]
    if first.kind is Kind.TEXT:
        width = _WIDTHS[Kind.TEXT]
        heights = [4 + lines_needed(str(text), width) * _LINE_HEIGHT for text in first.values]
        usual = [cell_styles.value(kind) for kind in kinds]
        return Body(columns, heights, (usual,), [0] * len(heights))
    looks = tuple(
        [cell_styles.in_calendar(kind, is_weekend=is_weekend, opens=opens) for kind in kinds]
        for is_weekend in (False, True)
        for opens in (False, True)
    )
    rows = _calendar_kinds(first.kind, tuple(cast(Sequence[int], first.values)))
    return Body(columns, [_BODY_HEIGHT] * len(rows), looks, rows)


@lru_cache(8)  # as `grid.serials`
def _calendar_kinds(kind: Kind, values: tuple[int, ...]) -> Sequence[int]:
    """Return for each row whether it opens a day or a month, and 2 more if it is at a weekend."""
    days: Sequence[int] = values
    if kind is Kind.HOUR:
        days = [second // DAY_SECONDS for second in values]
        opening = list(map(ne, days, chain((None,), days)))
    else:
        opening = [_day_of_month(day) == 1 and place > 0 for place, day in enumerate(days)]
    return [
        opens + 2 * ((day - _SATURDAY) % 7 < 2) for day, opens in zip(days, opening, strict=True)
    ]


def _day_of_month(day: int) -> int:
    return date.fromordinal(day + _EPOCH_ORDINAL).day


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
