"""usage.xls as xlrd reads it back."""

import struct
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import xlrd
from hypothesis import given, settings
from hypothesis import strategies as st

from export.formats import WORKBOOK_VERSION
from export.sections import account_title, sections
from export.text import readable
from export.xls import render
from interaction_usage.reports.model import FlowRuns, Report
from tests.export import samples
from tests.support.examples import examples


def book_of(report: Report) -> xlrd.Book:
    """Return *report* rendered and read back with its formats."""
    return xlrd.open_workbook(file_contents=render(report), formatting_info=True)


def look_of(book: xlrd.Book, sheet: xlrd.sheet.Sheet, row: int, column: int) -> tuple[bool, str]:
    """Return whether a cell is bold, and its number format."""
    style = book.xf_list[sheet.cell_xf_index(row, column)]
    return bool(book.font_list[style.font_index].bold), book.format_map[style.format_key].format_str


def test_the_first_sheet_holds_the_layout() -> None:
    """Every label stands in column A, every value to its right, numbers as numeric cells."""
    report = samples.report()
    sheet = book_of(report).sheet_by_name("Usage Report")
    expected = []
    for section in sections(report):
        expected.append([section.title, *section.headings])
        expected += [[row.label, *(cell.value for cell in row.cells)] for row in section.rows]

    read = [[v for v in sheet.row_values(r) if v != ""] for r in range(sheet.nrows)]

    assert read == [[value for value in row if value != ""] for row in expected]


def test_numbers_have_their_formats() -> None:
    """Counts are grouped, averages have two decimals, minutes three."""
    book = book_of(samples.report())
    sheet = book.sheet_by_index(0)
    rows = {sheet.cell_value(r, 0): r for r in range(sheet.nrows)}

    assert look_of(book, sheet, rows["Total"], 1) == (False, "#,##0")
    assert look_of(book, sheet, rows["Mobile Web"], 2) == (False, "#,##0.00")
    assert look_of(book, sheet, rows["Call Now minutes"], 1) == (False, "#,##0.000")


def test_only_section_rows_are_bold() -> None:
    """A program can tell a section from a row by its weight."""
    book = book_of(samples.report())
    sheet = book.sheet_by_index(0)

    bold = [sheet.cell_value(r, 0) for r in range(sheet.nrows) if look_of(book, sheet, r, 0)[0]]

    assert bold == [section.title for section in sections(samples.report())]


def test_the_first_sheet_prints_on_one_page() -> None:
    """Its print set-up asks for one page wide and one page high, upright, without gridlines."""
    data = render(samples.report())
    setup = data.index(struct.pack("<HH", 0x00A1, 34)) + 4  # the SETUP record
    *_, wide, high, options = struct.unpack_from("<6H", data, setup)

    assert (wide, high) == (1, 1)
    assert options & 0b10  # portrait
    assert not book_of(samples.report()).sheet_by_index(0).show_grid_lines


def test_breakdowns_follow_the_first_sheet() -> None:
    """Of days and flows; then what explains the numbers; last the hours, which are many."""
    breakdowns = ["Per day", "Sessions per day", "Interaction Flows"]
    usual = ["Usage Report", "Concurrency", "Notes"]

    names = book_of(samples.with_breakdowns()).sheet_names()
    assert names == [usual[0], *breakdowns, *usual[1:], "Per hour"]
    assert book_of(samples.report()).sheet_names() == usual


def test_hours_are_date_cells_with_their_offset() -> None:
    """Both hours called 02:00 of the fault run when clocks go back are there, reported apart."""
    book = book_of(samples.report(hours=samples.hours(745)))
    sheet = book.sheet_by_name("Per hour")

    twice = [
        (sheet.cell_type(r, 0), *sheet.row_values(r)[1:3])
        for r in range(5, sheet.nrows - 1)
        if xlrd.xldate_as_tuple(sheet.cell_value(r, 0), 0) == (2026, 10, 25, 2, 0, 0)
    ]

    assert twice == [
        (xlrd.XL_CELL_DATE, "Sunday", "+02:00"),
        (xlrd.XL_CELL_DATE, "Sunday", "+01:00"),
    ]


def test_days_have_their_weekday_and_sums_and_maxima_below() -> None:
    """31 date cells; then the sums of the first sheet, and the day with the most of each."""
    book = book_of(samples.with_breakdowns())
    sheet, others = book.sheet_by_name("Per day"), book.sheet_by_name("Sessions per day")

    days = [xlrd.xldate_as_tuple(sheet.cell_value(r, 0), 0)[:3] for r in range(4, 35)]

    assert (days[0], days[-1]) == ((2026, 10, 1), (2026, 10, 31))
    assert sheet.col_values(1)[4:12:3] == ["Thursday", "Sunday", "Wednesday"]
    assert sheet.row_values(35)[:7] == ["Sum", "", 82_701, 18_420, 7_311, 52_094, 4_876]
    assert sheet.row_values(36)[:4] == ["Maximum", "", 6 * 82_701, 6 * 18_420]
    assert others.row_values(35)[:8] == ["Sum", "", "", "", "", "", "", 41_310]
    assert others.row_values(35)[11:] == [12, 0, 903, 0]
    assert others.row_values(36)[:8] == ["Maximum", "", 186, 141, 58, 1_204, 0, 6 * 41_310]


def test_heading_rows_are_repeated_on_every_page() -> None:
    """Each breakdown names its heading rows in Print_Titles, the name that printing looks for."""
    book = book_of(samples.with_breakdowns())

    areas = {(n.scope, n.name): n.result.value[0].coords[2:4] for n in book.name_obj_list}
    titles = {sheet: rows for (sheet, name), rows in areas.items() if name == "Print_Titles"}

    assert titles == {1: (2, 4), 2: (2, 4), 3: (2, 3), 6: (3, 5)}
    assert areas[6, "Print_Area"] == (0, 3)  # of the hours, what says that they are not printed


def test_a_cut_sheet_says_so_and_adds_up() -> None:
    """65,600 flows: the sheet is full, its notice is read first, and its rows sum to the total."""
    sheet = book_of(samples.report(flows=samples.flows(65_600))).sheet_by_index(1)

    runs = sheet.col_values(1)[4:-1]

    assert sheet.nrows <= 65_536
    assert sheet.cell_value(2, 0) == (
        "The 73 least used flows are in the row “other”: a sheet holds 65,536 rows."
    )
    assert sheet.cell_value(sheet.nrows - 2, 0) == "other"
    assert sum(runs) == sheet.cell_value(sheet.nrows - 1, 1)


@pytest.mark.parametrize("text", samples.FORMULAS)
def test_a_formula_in_a_name_stays_text(text: str) -> None:
    """What an account or a flow is called is never run: it is a string cell."""
    book = book_of(samples.report(account=text, name=text, flows=(FlowRuns(text, 1, 0),)))

    for sheet, row, column in ((book.sheet_by_index(0), 1, 1), (book.sheet_by_index(1), 3, 0)):
        assert sheet.cell_type(row, column) == xlrd.XL_CELL_TEXT
        assert sheet.cell_value(row, column) == readable(text)


@pytest.mark.parametrize("text", samples.AWKWARD)
def test_awkward_text_is_read_back(text: str) -> None:
    """Control characters, half pairs, astral characters and long names leave the file whole."""
    report = samples.report(name=text, flows=(FlowRuns(text, 1, 0),))
    book = book_of(report)

    assert book.sheet_by_index(0).cell_value(1, 1) == account_title(report)
    assert book.sheet_by_index(1).cell_value(3, 0) == readable(text)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=30))
def test_any_text_is_read_back(texts: list[str]) -> None:
    """Whatever flows are called, each is read back from its own row."""
    flows = tuple(FlowRuns(text, 1, 0) for text in texts)

    sheet = book_of(samples.report(flows=flows)).sheet_by_index(1)

    assert sheet.col_values(0)[3:-1] == [readable(text) for text in texts]


def test_a_long_name_wraps_instead_of_widening() -> None:
    """A name of 200 characters gets a higher row; columns stay as wide as they were."""
    usual = book_of(samples.report()).sheet_by_index(0)
    long = book_of(samples.report(name="Consolidated " * 15)).sheet_by_index(0)

    assert long.colinfo_map[1].width == usual.colinfo_map[1].width
    assert long.rowinfo_map[1].height > 3 * usual.rowinfo_map[1].height
    assert (1, 2, 1, 4) in long.merged_cells


#: SHA-256 of the sample's bytes, by workbook version.
DIGESTS = {3: "86133a7e9230c81b44e9dcefb27a5143c233a8e6a0b89f7de25d6d43b6377376"}


def test_other_bytes_are_another_version_of_the_workbook() -> None:
    """Issued reports are made again byte for byte, or say that another version made them.

    If this fails, and bytes are meant to change: raise `WORKBOOK_VERSION`, add a digest here.
    """
    digest = sha256(render(samples.with_breakdowns(number="acme-000001"))).hexdigest()
    assert {WORKBOOK_VERSION: digest} == DIGESTS


def test_the_same_report_gives_the_same_bytes() -> None:
    """Nothing in the file depends on when it was written."""
    assert render(samples.with_breakdowns()) == render(samples.with_breakdowns())


@pytest.mark.servers
def test_no_library_is_imported_before_it_is_needed() -> None:
    """The table of formats alone imports neither xlwt nor XlsxWriter."""
    code = "import sys, export.formats; print({'xlwt', 'xlsxwriter', 'orjson'} & set(sys.modules))"
    root = Path(__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)

    assert done.stdout == "set()\n", done.stderr
