"""The Usage Report as CSV: the first sheet's rows, for spreadsheets and for scripts.

Adjustments of earlier reports follow, if there are any.

Bytes are UTF-8 with a byte order mark, because Excel takes a file without one for the machine's
own code page and spoils every name that is not ASCII (read it with `utf-8-sig`). Lines end with
CRLF and have the same number of fields each, as RFC 4180 asks. Numbers are plain: a point for
decimals, no grouping, averages unrounded.
"""

import csv
from io import StringIO

from export import adjustments
from export.sections import Cell, sections
from export.text import inert
from interaction_usage.reports.model import Report

_COLUMNS = 4
_COLUMNS_WITH_ADJUSTMENTS = 5


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
    return repr(cell.value).removesuffix(".0")


def _padded(fields: list[str], columns: int) -> list[str]:
    return fields + [""] * (columns - len(fields))
