"""What stands around the rows of an .xls, as xlwt writes it: of each shape once a process.

Most workbooks have sheets of the same shapes under the same names, and xlwt makes an object and a
record for each setting of each. So xlwt draws a sheet with marks where its margins and rows belong,
and a workbook with marks where its styles and texts do; what stands between the marks is kept.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import xlwt
from xlwt import BIFFRecords

from export.cell_styles import PALETTE

_A4: Final = 9
_SETUP_OPTIONS: Final = -24  # where they stand in the SETUP record, from its end
_OWN_FIRST_PAGE: Final = 0x80  # of them: the pages of this sheet have numbers of their own
_FIRST_FREE_COLOUR: Final = 0x20  # the palette's last rows, which charts use and we do not
#: The place of each colour in a workbook's palette.
COLOURS: Final = {rgb: _FIRST_FREE_COLOUR + i for i, rgb in enumerate(PALETTE)}

_ROWS: Final = b"<here are the rows>"
_STYLES: Final = b"<here are the styles>"
_TEXTS: Final = b"<here are sheets' names, links, and texts>"
_POSITION: Final = slice(4, 8)  # in the record of a sheet's name: where its records begin


class SheetShape(NamedTuple):
    """All that the records around a sheet's rows depend on, but for its header and footer."""

    widths: tuple[float, ...]  #: of its columns, in characters
    rows: int
    landscape: bool
    one_page: bool
    frozen: tuple[int, int] | None  #: rows and columns that stay in sight
    joined: tuple[tuple[int, int, int], ...]  #: merged cells: row, first and last column
    is_shown: bool  #: whether it is the sheet that is shown first


class AroundRows(NamedTuple):
    """The records of a sheet without its header, footer and rows."""

    before: bytes  #: what comes before header and footer
    between: bytes  #: what comes between these and the rows
    behind: bytes


class AroundSheets(NamedTuple):
    """The records of a workbook without its styles, links, texts and sheets."""

    before: bytes  #: what comes before the styles
    between: bytes  #: what comes between these and the names of the sheets
    names: tuple[bytes, ...]  #: a record each, in which its place is not filled in
    end: bytes  #: what comes between the texts and the sheets


@lru_cache(256)
def around_rows(shape: SheetShape) -> AroundRows:
    """Return the records around the rows of a sheet."""
    page = xlwt.Workbook().add_sheet("any")
    page.show_grid = False
    page.selected = shape.is_shown
    for column, width in enumerate(shape.widths):
        page.col(column).width = round(width * 256)
    _set_up_print(page, shape)
    if shape.frozen:
        page.panes_frozen = True
        page.horz_split_pos, page.vert_split_pos = shape.frozen
    page.Row = lambda _index, _page: _MarkedRow()
    page.row(0)
    page.last_used_row = shape.rows - 1
    page.first_used_col, page.last_used_col = 0, len(shape.widths) - 1
    page.merged_ranges.extend((row, row, first, last) for row, first, last in shape.joined)
    before, rest = page.get_biff_data().split(margins(*_MARKED_MARGINS))
    return AroundRows(before, *rest.split(_ROWS))


_MARKED_MARGINS: Final = "<here is the header>", "<here is the footer>"


@lru_cache(64)
def margins(header: str, footer: str) -> bytes:
    """Return the records of a sheet's header and footer."""
    records: bytes = BIFFRecords.HeaderRecord(header).get() + BIFFRecords.FooterRecord(footer).get()
    return records


@lru_cache(64)
def around_sheets(names: tuple[str, ...], owner: str) -> AroundSheets:
    """Return the records around the sheets with these *names*."""
    book = _MarkedBook()
    book.owner = owner
    for rgb, index in COLOURS.items():
        book.set_colour_RGB(index, *bytes.fromhex(rgb))
    for name in names:
        book.add_sheet(name)  # which refuses what is no name
    before, rest = book.get_biff_data().split(_STYLES)
    between, rest = rest.split(_TEXTS)
    end = BIFFRecords.EOFRecord().get()
    assert rest.startswith(end)
    records = (BIFFRecords.BoundSheetRecord(0, 0, name, book.encoding).get() for name in names)
    return AroundSheets(before, between, tuple(records), end)


def name_at(record: bytes, position: int) -> bytes:
    """Return the *record* of a sheet's name with the *position* at which its records begin."""
    end = _POSITION.stop
    return record[: _POSITION.start] + position.to_bytes(4, "little") + record[end:]


class _MarkedRow:
    """A mark where the rows of a sheet are, in the place of an xlwt row."""

    level = 0

    def get_row_biff_data(self) -> bytes:
        """Return the mark."""
        return _ROWS

    def get_cells_biff_data(self) -> bytes:
        """Return nothing more."""
        return b""


class _MarkedBook(xlwt.Workbook):  # type: ignore[misc]  # xlwt has no types
    """A workbook with marks for what differs between those with sheets of the same names."""

    def _Workbook__all_fonts_num_formats_xf_styles_rec(self) -> bytes:  # noqa: N802 - xlwt's name
        return _STYLES

    def _Workbook__boundsheets_rec(self, *_: object) -> bytes:  # noqa: N802 - the same
        return _TEXTS

    def _Workbook__sst_rec(self) -> bytes:  # noqa: N802 - the same
        return b""


def _set_up_print(page: Any, shape: SheetShape) -> None:
    page.paper_size_code = _A4
    page.portrait = not shape.landscape
    page.fit_num_pages = 1
    page.fit_width_to_pages = 1
    page.fit_height_to_pages = 1 if shape.one_page else 0  # 0: as many as it takes
    page.print_centered_horz = True
    page.left_margin = page.right_margin = 0.6
    page.top_margin = page.bottom_margin = 0.8
    page.header_margin = page.footer_margin = 0.4
    # xlwt's own way to set them takes ASCII only.
    page._Worksheet__header_str, page._Worksheet__footer_str = _MARKED_MARGINS
    settings = page._Worksheet__print_settings_rec
    page._Worksheet__print_settings_rec = lambda: _numbered_on(settings())


def _numbered_on(settings: bytes) -> bytes:
    """Return the records of a print set-up so that page numbers go on from the sheet before."""
    options = bytearray(settings)
    options[_SETUP_OPTIONS] &= ~_OWN_FIRST_PAGE
    return bytes(options)
