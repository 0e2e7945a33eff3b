"""The Usage Report as CSV: the first sheet's rows, for spreadsheets and for scripts.

Adjustments of earlier reports follow, if there are any.

Bytes are UTF-8 with a byte order mark, because Excel takes a file without one for the machine's
own code page and spoils every name that is not ASCII (read it with `utf-8-sig`). Lines end with
CRLF and have the same number of fields each, as RFC 4180 asks. Numbers are plain: a point for
decimals, no grouping. They have the decimals that the .xls shows, so that the two can be compared.
"""

import csv
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from typing import Final

from export import adjustments
from export.sections import Cell, Kind, sections
from export.text import inert
from interaction_usage.reports.model import Report

_COLUMNS = 4
_COLUMNS_WITH_ADJUSTMENTS = 5
_DECIMALS: Final = {
    Kind.AVERAGE: Decimal("0.01"),
    Kind.AVERAGE_CHANGE: Decimal("0.01"),
    Kind.MINUTES: Decimal("0.001"),
    Kind.MINUTES_CHANGE: Decimal("0.001"),
}


def render(report: Report) -> bytes:
    """Return *report* as the bytes of a CSV file; a text that looks like a formula is disarmed."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    columns = _COLUMNS_WITH_ADJUSTMENTS if report.adjustments else _COLUMNS
    for section in (*sections(report), *adjustments.sections(report)):
        writer.writerow(_padded([section.title, *section.headings], columns))
        for row in section.rows:
            writer.writerow(_padded([row.label, *map(_field, row.cells)], columns))
    return stream.getvalue().encode("utf-8-sig")


def _field(cell: Cell) -> str:
    if isinstance(cell.value, str):
        return inert(cell.value)
    decimals = _DECIMALS.get(cell.kind)
    if decimals is None:
        return repr(cell.value).removesuffix(".0")
    # Spreadsheets round halves up, of the 15 digits that they take a number to have.
    return str(Decimal(f"{cell.value:.15g}").quantize(decimals, ROUND_HALF_UP))


def _padded(fields: list[str], columns: int) -> list[str]:
    return fields + [""] * (columns - len(fields))
