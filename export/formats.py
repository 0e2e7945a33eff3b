"""The file formats of a Usage Report, by the name that `--format` takes: a row and a module each.

A format's library is imported when the format is first rendered: xlwt and XlsxWriter cost more
to import than a report costs to write, and a command that needs neither must not pay for them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Final

from interaction_usage.reports.model import Report

Renderer = Callable[[Report], bytes]


def _renderer(module: str) -> Renderer:
    """Return the function `render` of *module*, which is imported when it is first called."""

    def render(report: Report) -> bytes:
        content: bytes = import_module(module).render(report)
        return content

    return render


#: The version of what a workbook's bytes look like, which the manifest of an issued report has: it
#: goes up with every change of them. 1: until 0.1; 2: page numbers, runs and sessions per day.
WORKBOOK_VERSION: Final = 3

#: Each renderer takes a report and returns the bytes of a whole file.
FORMATS: Final = {
    "xls": _renderer("export.xls"),
    "xlsx": _renderer("export.xlsx"),
    "csv": _renderer("export.csv_renderer"),
    "json": _renderer("export.json_renderer"),
}
