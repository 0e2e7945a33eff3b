"""The Usage Report as `usage.xlsx`: the same sheets as the .xls, in Excel's newer format."""

import re
from copy import deepcopy
from datetime import UTC
from html import escape
from io import BytesIO
from typing import Any, Final

from xlsxwriter import Workbook

from export.breakdowns import SHEET_ROWS
from export.cell_styles import FONT, Look
from export.grid import Line, Sheet
from export.sheets import sheets
from interaction_usage.reports.model import Report

_A4: Final = 9
_MARGIN: Final = 0.4  # of headers and footers, in inches
_OPTIONS: Final = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "default_format_properties": {"font_name": FONT, "font_size": 10},
}
_ESCAPE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_THIN: Final = 1
_MEDIUM: Final = 2


def render(report: Report) -> bytes:
    """Return *report* as the bytes of an .xlsx file; the same report gives the same bytes."""
    stream = BytesIO()
    book = Workbook(stream, deepcopy(_OPTIONS))  # XlsxWriter adds to what it is given
    # Left alone, XlsxWriter would ask the clock.
    created = report.as_of.astimezone(UTC).replace(tzinfo=None)
    book.set_properties({"title": "Usage Report", "author": "usage", "created": created})
    formats: dict[Look, Any] = {}
    for sheet in sheets(report, SHEET_ROWS["xlsx"]):
        _draw(book, formats, sheet)
    book.close()
    return stream.getvalue()


def _draw(book: Any, formats: dict[Look, Any], sheet: Sheet) -> None:
    page = book.add_worksheet(sheet.name)
    page.hide_gridlines(2)
    for index, width in enumerate(sheet.widths):
        page.set_column(index, index, width)
    _set_up_print(page, sheet)
    if sheet.heading_rows:
        page.repeat_rows(*sheet.heading_rows)
        page.freeze_panes(sheet.heading_rows[1] + 1, sheet.frozen_columns)
    for index, line in enumerate(sheet.lines):
        for look in line.looks:
            if look not in formats:
                formats[look] = book.add_format(_properties(look))
        _draw_line(page, index, line, [formats[look] for look in line.looks])


def _set_up_print(page: Any, sheet: Sheet) -> None:
    page.set_paper(_A4)
    if sheet.landscape:
        page.set_landscape()
    page.fit_to_pages(1, 1 if sheet.one_page else 0)  # 0: as many as it takes
    page.center_horizontally()
    page.set_margins(left=0.6, right=0.6, top=0.8, bottom=0.8)
    page.set_header(sheet.header, {"margin": _MARGIN})
    page.set_footer(sheet.footer, {"margin": _MARGIN})
    if sheet.printed_rows is not None:
        page.print_area(0, 0, sheet.printed_rows - 1, len(sheet.widths) - 1)


def _draw_line(page: Any, index: int, line: Line, formats: list[Any]) -> None:
    page.set_row(index, line.height)
    for first, last in line.joined:
        page.merge_range(index, first, index, last, "", formats[first])
    for column, (content, style) in enumerate(zip(line.cells, formats, strict=True)):
        if content == "":
            page.write_blank(index, column, None, style)
        elif isinstance(content, str):
            _write_text(page, index, column, content, style)
        else:
            page.write_number(index, column, content, style)


def _write_text(page: Any, row: int, column: int, text: str, style: Any) -> None:
    """Write *text* as a string cell, whatever it looks like.

    XlsxWriter takes a string from `<r>` to `</r>` for finished XML and copies it into the file. And
    of `_x0041_x0042_` it escapes the first half only, where Excel reads a character in both. Such
    texts are finished here.
    """
    if _ESCAPE.search(text) or (text.startswith("<r>") and text.endswith("</r>")):
        text = _finished(text)
    page.write_string(row, column, text, style)


def _finished(text: str) -> str:
    """Return *text* as the XML of a run, in which XlsxWriter finds nothing to escape.

    Excel reads `_x0041_` as the character of that number, and so `_x005F_` for each `_` that begins
    one (ECMA-376, part 1, 22.9.2.19). For XlsxWriter these are written as references.
    """
    escaped = escape(_ESCAPE.sub("_x005F_", text), quote=False).replace("_", "&#95;")
    return f'<r><t xml:space="preserve">{escaped}</t></r>'


def _properties(look: Look) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "font_name": FONT,
        "font_size": look.size,
        "font_color": f"#{look.ink}",
        "bold": look.bold,
        "italic": look.italic,
        "align": look.align,
        "valign": "vcenter" if look.middle else "bottom",
        "text_wrap": look.wrap,
        "indent": look.indent,
        "num_format": look.number_format,
    }
    if look.fill:
        properties["bg_color"] = f"#{look.fill}"
    if look.above:
        properties |= {"top": _THIN, "top_color": f"#{look.above}"}
    if look.below:
        heavy = _MEDIUM if look.heavy else _THIN
        properties |= {"bottom": heavy, "bottom_color": f"#{look.below}"}
    return properties
