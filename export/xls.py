"""The Usage Report as `usage.xls`: BIFF8, which Excel and LibreOffice open.

xlwt writes the styles, and what stands around the rows of each sheet, which `export.xls_frames`
keeps. It would make an object of each cell, which costs more than all the rest: `export.xls_rows`
makes the rows, and `export.xls_strings` the table of strings. Nor has it a way to repeat heading
rows on each printed page, or to print a part of a sheet: that takes built-in defined names, which
`_Book` puts into the workbook's link table.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO
from struct import pack
from typing import Any, Final

import xlwt
from xlwt.CompoundDoc import XlsDoc

from export import xls_rows
from export.breakdowns import SHEET_ROWS
from export.cell_styles import FONT, Look
from export.grid import Body, Line, Sheet
from export.sheets import sheets
from export.xls_frames import COLOURS, SheetShape, around_rows, around_sheets, margins, name_at
from export.xls_strings import Strings
from interaction_usage.reports.model import Report

_OWNER: Final = "usage"
_PRINT_AREA: Final = 0x06  # a built-in name: the cells of a sheet that are printed
_PRINT_TITLES: Final = 0x07  # the rows that are repeated on each of its pages
_LAST_COLUMN: Final = 0xFF
_FIRST_FREE_XF: Final = 0x11  # behind those that every workbook has
_ALIGNMENTS: Final = {
    "left": xlwt.Alignment.HORZ_LEFT,
    "right": xlwt.Alignment.HORZ_RIGHT,
    "center": xlwt.Alignment.HORZ_CENTER,
}


def render(report: Report) -> bytes:
    """Return *report* as the bytes of an .xls file."""
    return workbook(sheets(report, SHEET_ROWS["xls"]))


def workbook(pages: Sequence[Sheet]) -> bytes:
    """Return the bytes of an .xls file that has these sheets."""
    book = _Book()
    drawn = [_draw(book, index, sheet) for index, sheet in enumerate(pages)]
    around = around_sheets(tuple(sheet.name for sheet in pages), _OWNER)
    before = around.before + _styles(tuple(book.looks)) + around.between
    behind = book.links() + book.strings.table() + around.end
    position = len(before) + sum(map(len, around.names)) + len(behind)
    names = []
    for record, sheet in zip(around.names, drawn, strict=True):
        names.append(name_at(record, position))
        position += len(sheet)
    stream = BytesIO()
    XlsDoc().save(stream, b"".join([before, *names, behind, *drawn]))
    return stream.getvalue()


class _Book:
    """What the sheets of a workbook share: styles, texts, and which of their rows are printed."""

    def __init__(self) -> None:
        #: First and last row, last column, by sheet index and built-in name.
        self.areas: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.looks: dict[Look, int] = {}  #: with their indexes, in order
        self.strings = Strings()
        #: The same by the identity of a look, which costs less than its hash.
        self._by_identity: dict[int, int] = {}
        self._kept: list[Look] = []  # so that no other gets the identity of one of these

    def xfs(self, looks: Sequence[Look]) -> list[int]:
        """Return the indexes of the styles of *looks*; new ones are added."""
        try:
            return [self._by_identity[id(look)] for look in looks]
        except KeyError:
            return [self._xf(look) for look in looks]

    def _xf(self, look: Look) -> int:
        index = self.looks.setdefault(look, _FIRST_FREE_XF + len(self.looks))
        self._by_identity[id(look)] = index
        self._kept.append(look)
        return index

    def links(self) -> bytes:
        """Return the link table: this workbook, its sheets, and the built-in names of each."""
        if not self.areas:
            return b""
        sheets = sorted({sheet for sheet, _ in self.areas})
        table = pack("<HHHH", 0x01AE, 4, max(sheets) + 1, 0x0401)  # SUPBOOK
        table += pack("<HHH", 0x0017, 2 + 6 * len(sheets), len(sheets))  # EXTERNSHEET
        for sheet in sheets:
            table += pack("<HHH", 0, sheet, sheet)
        for (sheet, builtin), (first, last, column) in self.areas.items():
            reference = sheets.index(sheet)
            area = pack("<BHHHHH", 0x3B, reference, first, last, 0, column)  # ptgArea3d
            name = pack("<HBBHHHLBB", 0x20, 0, 1, len(area), 0, sheet + 1, 0, 0, builtin)
            table += pack("<HH", 0x0018, len(name) + len(area)) + name + area  # NAME
        return table


def _draw(book: _Book, index: int, sheet: Sheet) -> bytes:
    """Return the records of a sheet."""
    if sheet.printed_rows is not None:
        book.areas[index, _PRINT_AREA] = 0, sheet.printed_rows - 1, len(sheet.widths) - 1
    if sheet.heading_rows:
        book.areas[index, _PRINT_TITLES] = *sheet.heading_rows, _LAST_COLUMN
    below = len(sheet.head) + len(sheet.body.heights)
    rows = [_line(book, row, line) for row, line in enumerate(sheet.head)]
    rows.append(_body(book, len(sheet.head), sheet.body))
    rows += [_line(book, row, line) for row, line in enumerate(sheet.foot, below)]
    around = around_rows(_shape(sheet, below + len(sheet.foot), is_first=index == 0))
    margin = margins(sheet.header, sheet.footer)
    return b"".join([around.before, margin, around.between, *rows, around.behind])


def _shape(sheet: Sheet, rows: int, *, is_first: bool) -> SheetShape:
    frozen = (sheet.heading_rows[1] + 1, sheet.frozen_columns) if sheet.heading_rows else None
    joined = [(row, *columns) for row, line in enumerate(sheet.head) for columns in line.joined]
    return SheetShape(
        sheet.widths, rows, sheet.landscape, sheet.one_page, frozen, tuple(joined), is_first
    )


def _line(book: _Book, row: int, line: Line) -> bytes:
    xfs = book.xfs(line.looks)
    return xls_rows.one(row, _twips(line.height), line.cells, xfs, book.strings.place)


def _body(book: _Book, first_row: int, body: Body) -> bytes:
    """Return the rows of a table: all at once if its columns allow that, otherwise one by one."""
    if not body.heights:
        return b""
    # Styles are added in the order in which the rows need them, and only those that one needs.
    xfs = {kind: book.xfs(body.looks[kind]) for kind in dict.fromkeys(body.kinds)}
    twips = {height: _twips(height) for height in set(body.heights)}
    heights = list(map(twips.__getitem__, body.heights))
    rows = xls_rows.many(first_row, body.columns, heights, body.kinds, xfs, book.strings.places)
    if rows is None:
        rows = b"".join(_line(book, row, line) for row, line in enumerate(body.lines(), first_row))
    return rows


def _twips(points: float) -> int:
    return round(points * 20)


@lru_cache(64)  # nearly all workbooks use the same, in one of a few orders
def _styles(looks: tuple[Look, ...]) -> bytes:
    """Return the records of fonts, number formats and styles of *looks*."""
    book = xlwt.Workbook()
    for index, look in enumerate(looks, _FIRST_FREE_XF):
        assert book.add_style(_style(look)) == index
    records: bytes = book._Workbook__all_fonts_num_formats_xf_styles_rec()
    return records


@cache
def _style(look: Look) -> Any:
    """Return xlwt's style for *look*, the same object each time: xlwt compares by identity."""
    style = xlwt.XFStyle()
    style.num_format_str = look.number_format
    style.font = _font(look.size, look.bold, look.italic, look.ink)
    style.alignment = _alignment(look)
    style.borders = _borders(look.above, look.below, look.heavy)
    style.pattern = _pattern(look.fill)
    return style


@cache
def _font(size: int, bold: bool, italic: bool, ink: str) -> Any:
    font = xlwt.Font()
    font.name = FONT
    font.height = size * 20
    font.bold = bold
    font.italic = italic
    font.colour_index = COLOURS[ink]
    return font


@cache
def _borders(above: str, below: str, heavy: bool) -> Any:
    borders = xlwt.Borders()
    if above:
        borders.top, borders.top_colour = xlwt.Borders.THIN, COLOURS[above]
    if below:
        borders.bottom = xlwt.Borders.MEDIUM if heavy else xlwt.Borders.THIN
        borders.bottom_colour = COLOURS[below]
    return borders


@cache
def _pattern(fill: str) -> Any:
    pattern = xlwt.Pattern()
    if fill:
        pattern.pattern = xlwt.Pattern.SOLID_PATTERN
        pattern.pattern_fore_colour = COLOURS[fill]
    return pattern


def _alignment(look: Look) -> Any:
    alignment = xlwt.Alignment()
    alignment.horz = _ALIGNMENTS[look.align]
    alignment.vert = xlwt.Alignment.VERT_CENTER if look.middle else xlwt.Alignment.VERT_BOTTOM
    alignment.wrap = look.wrap
    alignment.inde = look.indent
    return alignment
