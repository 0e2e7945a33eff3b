"""usage.xlsx as openpyxl reads it back."""

import re
from datetime import datetime
from io import BytesIO
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
import xlrd
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from export import xls
from export.sections import account_title
from export.text import readable
from export.xlsx import render
from interaction_usage.reports.model import FlowRuns, Report
from tests.export import samples
from tests.support.examples import examples

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"

#: Texts that look like what the file format, or XlsxWriter, puts in a string.
ESCAPES = (
    "_x0041_", "_x0041_x0042_", "_x0041_x0042_x0043_", "_x000D_", "a_x000d_b", "_x005F_",
    "__x0041_", "_x005F_x0041_", "_x0041", "x0041_", "_X0041_", "_xD800_", "&#95;x0041&#95;",
    "<r><t>XML</t></r>", "<r></r>", "<r>_x0041_x0042_</r>", "<r>&amp;_x0041_</r>",
)  # fmt: skip


def book_of(report: Report) -> Workbook:
    """Return *report* rendered and read back."""
    return load_workbook(BytesIO(render(report)))


def text_at(report: Report, sheet: int, *cells: str) -> list[str]:
    """Return the texts of *cells* as Excel shows them: each `_xHHHH_` in them is a character.

    openpyxl has rules of its own for these. Source: ECMA-376, part 1, 22.9.2.19.
    """
    with ZipFile(BytesIO(render(report))) as file:
        strings = ElementTree.fromstring(file.read("xl/sharedStrings.xml"))
        page = ElementTree.fromstring(file.read(f"xl/worksheets/sheet{sheet}.xml"))
    texts = ["".join(run.text or "" for run in item.iter(f"{_MAIN}t")) for item in strings]
    places = {cell.get("r"): cell for cell in page.iter(f"{_MAIN}c")}
    shown = []
    for name in cells:
        assert places[name].get("t") == "s"
        text = texts[int(places[name].findtext(f"{_MAIN}v") or "")]
        shown.append(re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text))
    return shown


def same(value: object) -> object:
    """Return *value*, a float to the 16 digits that XlsxWriter writes."""
    return pytest.approx(value, rel=1e-15) if isinstance(value, float) else value


@pytest.mark.parametrize("index", range(4))
def test_each_sheet_holds_what_the_xls_holds(index: int) -> None:
    """The two workbooks agree cell by cell, so that neither format is second class."""
    report = samples.with_breakdowns()
    old = xlrd.open_workbook(file_contents=xls.render(report)).sheet_by_index(index)

    new = book_of(report).worksheets[index]

    for row, cells in enumerate(new.iter_rows()):
        for column, cell in enumerate(cells):
            expected = old.cell_value(row, column) if column < old.row_len(row) else ""
            if isinstance(cell.value, datetime):
                expected = xlrd.xldate_as_datetime(expected, 0)
            assert ("" if cell.value is None else cell.value) == same(expected)


def test_the_first_sheet_prints_on_one_page() -> None:
    """Its print set-up asks for one page wide and one page high, upright, without gridlines."""
    sheet = book_of(samples.report()).worksheets[0]

    assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight or 1) == (1, 1)
    assert sheet.sheet_properties.pageSetUpPr.fitToPage
    assert sheet.page_setup.orientation == "portrait"
    assert not sheet.sheet_view.showGridLines


def test_numbers_have_their_formats() -> None:
    """Counts are grouped, averages have two decimals, minutes three."""
    sheet = book_of(samples.report()).worksheets[0]
    rows = {cells[0].value: cells for cells in sheet.iter_rows()}

    assert rows["Total"][1].number_format == "#,##0"
    assert rows["Mobile Web"][2].number_format == "#,##0.00"
    assert rows["Call Now minutes"][1].number_format == "#,##0.000"


def test_breakdowns_repeat_and_freeze_their_headings() -> None:
    """Heading rows stay in view on the screen and stand on every printed page."""
    _, days, _, flows, *_, hours = book_of(samples.with_breakdowns()).worksheets

    assert [s.print_title_rows for s in (days, hours, flows)] == ["$3:$4", "$4:$5", "$3:$3"]
    assert [s.freeze_panes for s in (days, hours, flows)] == ["B5", "B6", "B4"]
    assert [s.page_setup.orientation for s in (days, hours)] == ["landscape", "portrait"]
    assert hours.print_area.endswith("$A$1:$H$3")  # the hours themselves are not printed
    assert days.oddHeader.left.text.endswith("Acme Assurances (acme)")
    assert days.oddFooter.right.text == "Page &P of &N"


@pytest.mark.parametrize("text", samples.FORMULAS)
def test_a_formula_in_a_name_stays_text(text: str) -> None:
    """What an account or a flow is called is never run: it is a string cell, without a link."""
    book = book_of(samples.report(account=text, name=text, flows=(FlowRuns(text, 1, 0),)))

    for cell in (book.worksheets[0]["B2"], book.worksheets[1]["A4"]):
        assert (cell.data_type, cell.value) == ("s", readable(text))
        assert cell.hyperlink is None


@pytest.mark.parametrize("text", [*samples.AWKWARD, *ESCAPES])
def test_awkward_text_is_read_back(text: str) -> None:
    """Control characters, half pairs, astral characters and XML leave the file whole."""
    report = samples.report(name=text, flows=(FlowRuns(text, 1, 0),))

    assert text_at(report, 1, "B2") == [account_title(report)]
    assert text_at(report, 2, "A4") == [readable(text)]


escapes = st.lists(
    st.sampled_from(["_", "x0041_", "x005F", "<r>", "</r>", "&", "a"]), min_size=1
).map("".join)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.one_of(st.text(min_size=1, max_size=200), escapes), min_size=1, max_size=10))
def test_any_text_is_read_back(texts: list[str]) -> None:
    """Whatever flows are called, each is read back from its own row."""
    flows = tuple(FlowRuns(text, 1, 0) for text in texts)

    cells = [f"A{4 + n}" for n in range(len(texts))]

    assert text_at(samples.report(flows=flows), 2, *cells) == [readable(text) for text in texts]


def test_the_same_report_gives_the_same_bytes() -> None:
    """The file is dated by the report's as-of instant, not by a clock."""
    report = samples.with_breakdowns()

    assert render(report) == render(report)
    assert book_of(report).properties.created == datetime(2026, 11, 1, 9)  # noqa: DTZ001
