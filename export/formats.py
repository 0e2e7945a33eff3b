"""The file formats of a Usage Report, by the name that `--format` takes.

A format's library is imported when the format is first rendered: xlwt and XlsxWriter cost more
to import than a report costs to write, and a command that needs neither must not pay for them.
"""

from collections.abc import Callable
from typing import Final

from interaction_usage.reports.model import Report

Renderer = Callable[[Report], bytes]


def _xls(report: Report) -> bytes:
    from export.xls import render

    return render(report)


def _xlsx(report: Report) -> bytes:
    from export.xlsx import render

    return render(report)


def _csv(report: Report) -> bytes:
    from export.csv_renderer import render

    return render(report)


def _json(report: Report) -> bytes:
    from export.json_renderer import render

    return render(report)


#: Each renderer takes a report and returns the bytes of a whole file.
FORMATS: Final[dict[str, Renderer]] = {"xls": _xls, "xlsx": _xlsx, "csv": _csv, "json": _json}
