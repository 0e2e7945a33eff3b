"""The Usage Report as `usage.xls`: BIFF8, which Excel and LibreOffice open.

xlwt writes every record but four kinds. It has no way to repeat heading rows on each printed page,
or to print a part of a sheet: that takes built-in defined names, which `_Book` adds to the
workbook's link table. It numbers the pages of each sheet from 1. And it makes an object of each
cell, which costs more than all the rest: `export.xls_rows` makes the rows, and those of a sheet
stand where xlwt expects its first one; `export.xls_strings` makes the table of strings. What xlwt
writes the same in every workbook is kept.
"""

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from io import BytesIO
from struct import pack
from typing import Any, Final

import xlwt

from export import xls_rows
from export.breakdowns import SHEET_ROWS
from export.cell_styles import FONT, PALETTE, Look
from export.grid import Body, Line, Sheet
from export.sheets import sheets
from export.xls_strings import string_table
from interaction_usage.reports.model import Report

_A4: Final = 9
_PRINT_AREA: Final = 0x06  # a built-in name: the cells of a sheet that are printed
_PRINT_TITLES: Final = 0x07  # the rows that are repeated on each of its pages
_LAST_COLUMN: Final = 0xFF
_SETUP_OPTIONS: Final = -24  # where they stand in the SETUP record, from its end
_OWN_FIRST_PAGE: Final = 0x80  # of them: the pages of this sheet have numbers of their own
_FIRST_FREE_XF: Final = 0x11  # behind those that every workbook has
_FIRST_FREE_COLOUR: Final = 0x20  # the palette's last rows, which charts use and we do not
_COLOURS: Final = {rgb: _FIRST_FREE_COLOUR + i for i, rgb in enumerate(PALETTE)}
_ALIGNMENTS: Final = {
    "left": xlwt.Alignment.HORZ_LEFT,
    "right": xlwt.Alignment.HORZ_RIGHT,
    "center": xlwt.Alignment.HORZ_CENTER,
}


#: Methods of xlwt's sheet whose records do not depend on anything that is set here.
_SAME_IN_EVERY_SHEET: Final = (
    "_Worksheet__bof_rec", "_Worksheet__calc_settings_rec",
    "_Worksheet__defaultrowheight_rec", "_Worksheet__protection_rec", "_Worksheet__bitmaps_rec",
    "_Worksheet__eof_rec",
)  # fmt: skip


def render(report: Report) -> bytes:
    """Return *report* as the bytes of an .xls file."""
    return workbook(sheets(report, SHEET_ROWS["xls"]))


def workbook(pages: Sequence[Sheet]) -> bytes:
    """Return the bytes of an .xls file that has these sheets."""
    book = _Book()
    for rgb, index in _COLOURS.items():
        book.set_colour_RGB(index, *bytes.fromhex(rgb))
    for index, sheet in enumerate(pages):
        _draw(book, index, sheet)
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


class _Book(xlwt.Workbook):  # type: ignore[misc]  # xlwt has no types
    """A workbook whose sheets may repeat rows on every printed page, or print a part."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = "usage"
        #: First and last row, last column, by sheet index and built-in name.
        self.areas: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._looks: dict[Look, int] = {}
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
        index = self._looks.setdefault(look, _FIRST_FREE_XF + len(self._looks))
        self._by_identity[id(look)] = index
        self._kept.append(look)
        return index

    def string_index(self, texts: Sequence[str]) -> list[int]:
        """Return the places of *texts* in the table of strings; new ones are added."""
        places = {text: self.add_str(text) for text in dict.fromkeys(texts)}
        self._Workbook__sst._add_calls += len(texts) - len(places)  # each use of a text counts
        return list(map(places.__getitem__, texts))

    def _Workbook__sst_rec(self) -> bytes:  # noqa: N802 - xlwt's own name, overridden
        """Return the table of strings."""
        table = self._Workbook__sst
        return string_table(table._str_indexes, table._add_calls)

    def _Workbook__all_fonts_num_formats_xf_styles_rec(self) -> bytes:  # noqa: N802 - the same
        """Return the styles of the looks that are in use, in the order of their indexes."""
        return _styles(tuple(self._looks))

    def _Workbook__all_links_rec(self) -> bytes:  # noqa: N802 - xlwt's own name, overridden
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


def _draw(book: _Book, index: int, sheet: Sheet) -> None:
    page = book.add_sheet(sheet.name)
    page.show_grid = False
    for column, width in enumerate(sheet.widths):
        page.col(column).width = round(width * 256)
    _set_up_print(page, sheet)
    for name in _SAME_IN_EVERY_SHEET:
        setattr(page, name, partial(_of_every_sheet, name))
    if sheet.printed_rows is not None:
        book.areas[index, _PRINT_AREA] = 0, sheet.printed_rows - 1, len(sheet.widths) - 1
    if sheet.heading_rows:
        book.areas[index, _PRINT_TITLES] = *sheet.heading_rows, _LAST_COLUMN
        page.panes_frozen = True
        page.horz_split_pos = sheet.heading_rows[1] + 1
        page.vert_split_pos = sheet.frozen_columns
    below = len(sheet.head) + len(sheet.body.heights)
    rows = [_line(book, row, line) for row, line in enumerate(sheet.head)]
    rows.append(_body(book, len(sheet.head), sheet.body))
    rows += [_line(book, row, line) for row, line in enumerate(sheet.foot, below)]
    _put_rows(page, below + len(sheet.foot), len(sheet.widths), b"".join(rows))
    page.merged_ranges.extend(
        (row, row, first, last)
        for row, line in enumerate(sheet.head)
        for first, last in line.joined
    )


class _Rows:
    """All rows of a sheet, as records, in the place of an xlwt row."""

    level = 0

    def __init__(self, records: bytes) -> None:
        self.records = records

    def get_row_biff_data(self) -> bytes:
        """Return all the records."""
        return self.records

    def get_cells_biff_data(self) -> bytes:
        """Return nothing more."""
        return b""


def _put_rows(page: Any, rows: int, columns: int, records: bytes) -> None:
    """Put the *records* of all rows into a sheet, and their bounds."""
    page.Row = lambda _index, _page: _Rows(records)
    page.row(0)
    page.last_used_row = rows - 1
    page.first_used_col, page.last_used_col = 0, columns - 1


def _line(book: _Book, row: int, line: Line) -> bytes:
    xfs = book.xfs(line.looks)
    return xls_rows.one(row, _twips(line.height), line.cells, xfs, book.add_str)


def _body(book: _Book, first_row: int, body: Body) -> bytes:
    """Return the rows of a table: all at once if its columns allow that, otherwise one by one."""
    if not body.heights:
        return b""
    # Styles are added in the order in which the rows need them, and only those that one needs.
    xfs = {kind: book.xfs(body.looks[kind]) for kind in dict.fromkeys(body.kinds)}
    twips = {height: _twips(height) for height in set(body.heights)}
    heights = [twips[height] for height in body.heights]
    rows = xls_rows.many(first_row, body.columns, heights, body.kinds, xfs, book.string_index)
    if rows is None:
        rows = b"".join(_line(book, row, line) for row, line in enumerate(body.lines(), first_row))
    return rows


def _twips(points: float) -> int:
    return round(points * 20)


def _set_up_print(page: Any, sheet: Sheet) -> None:
    page.paper_size_code = _A4
    page.portrait = not sheet.landscape
    page.fit_num_pages = 1
    page.fit_width_to_pages = 1
    page.fit_height_to_pages = 1 if sheet.one_page else 0  # 0: as many as it takes
    page.print_centered_horz = True
    page.left_margin = page.right_margin = 0.6
    page.top_margin = page.bottom_margin = 0.8
    page.header_margin = page.footer_margin = 0.4
    # xlwt's own way to set them takes ASCII only.
    page._Worksheet__header_str, page._Worksheet__footer_str = sheet.header, sheet.footer
    settings = page._Worksheet__print_settings_rec
    page._Worksheet__print_settings_rec = lambda: _numbered_on(settings())


@cache
def _of_every_sheet(name: str) -> bytes:
    """Return the records that xlwt's method *name* returns of any sheet that is drawn here."""
    records: bytes = getattr(xlwt.Workbook().add_sheet("any"), name)()
    return records


def _numbered_on(settings: bytes) -> bytes:
    """Return the records of a print set-up so that page numbers go on from the sheet before."""
    options = bytearray(settings)
    options[_SETUP_OPTIONS] &= ~_OWN_FIRST_PAGE
    return bytes(options)


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
    font.colour_index = _COLOURS[ink]
    return font


@cache
def _borders(above: str, below: str, heavy: bool) -> Any:
    borders = xlwt.Borders()
    if above:
        borders.top, borders.top_colour = xlwt.Borders.THIN, _COLOURS[above]
    if below:
        borders.bottom = xlwt.Borders.MEDIUM if heavy else xlwt.Borders.THIN
        borders.bottom_colour = _COLOURS[below]
    return borders


@cache
def _pattern(fill: str) -> Any:
    pattern = xlwt.Pattern()
    if fill:
        pattern.pattern = xlwt.Pattern.SOLID_PATTERN
        pattern.pattern_fore_colour = _COLOURS[fill]
    return pattern


def _alignment(look: Look) -> Any:
    alignment = xlwt.Alignment()
    alignment.horz = _ALIGNMENTS[look.align]
    alignment.vert = xlwt.Alignment.VERT_CENTER if look.middle else xlwt.Alignment.VERT_BOTTOM
    alignment.wrap = look.wrap
    alignment.inde = look.indent
    return alignment
