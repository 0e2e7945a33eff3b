"""The CSV file as the csv module reads it back."""

import csv
import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.csv_renderer import render
from export.sections import account_title
from export.text import inert
from interaction_usage.reports.model import Report
from tests.export import samples


def rows_of(report: Report) -> list[list[str]]:
    """Return *report* rendered and read back."""
    return list(csv.reader(StringIO(render(report).decode("utf-8-sig"), newline="")))


def test_values_stand_beside_their_labels() -> None:
    """Numbers are plain: a point for decimals, no grouping, the decimals of the xls."""
    rows = rows_of(samples.report())

    assert ["Total", "82701", "", ""] in rows
    assert ["Call Now minutes", "6482.125", "", ""] in rows
    assert ["Mobile Web", "1204", "125.66", "2026-10-25 02:00 +01:00"] in rows
    assert ["Concurrent Agent Sessions", "Maximum", "Average", "Busiest hour"] in rows


def test_a_whole_average_has_decimals_too() -> None:
    """No reported hour is an average of 0 and no busiest hour."""
    assert ["Web Self Service", "0", "0.00", ""] in rows_of(samples.report())


def test_the_file_is_what_excel_and_rfc_4180_ask_for() -> None:
    """A byte order mark, CRLF at the end of every line, as many fields in each."""
    data = render(samples.report(name="Rückruf"))

    assert data.startswith(b"\xef\xbb\xbfUsage Report,,,\r\n")
    assert data.count(b"\n") == data.count(b"\r\n") == 29
    assert {len(row) for row in rows_of(samples.report())} == {4}


@pytest.mark.parametrize("text", samples.FORMULAS)
def test_a_formula_in_a_name_is_disarmed(text: str) -> None:
    """No field begins with a character that makes a spreadsheet calculate."""
    report = samples.report(account=text, name=text)

    fields = [field for row in rows_of(report) for field in row]

    for part in (part for field in fields for part in re.split("[;\t|]", field)):
        seen = "".join(part.split()).strip('\u200b\ufeff\u202e\u2060\u2068"')
        assert not seen.startswith(tuple("=+-@＝＋－＠﹦﹢﹣﹫⁼⁺₋−–"))
    assert inert(account_title(report)) in fields


@pytest.mark.parametrize(
    "text", ["a=1", "Acme; Sons", "1+1", "re: mail", "é", "'quoted'", "می‌خواهم"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """An apostrophe that is not needed would be part of the name."""
    assert inert(text) == text


@pytest.mark.parametrize("text", samples.AWKWARD)
def test_awkward_text_is_read_back(text: str) -> None:
    """Quotes, line ends, control characters and half pairs leave the file whole."""
    report = samples.report(name=text)

    assert rows_of(report)[1] == ["Account", inert(account_title(report)), "", ""]


@given(st.text(max_size=200))
def test_any_name_is_read_back(name: str) -> None:
    """Whatever an account is called, its row has that name, with an apostrophe if need be."""
    report = samples.report(name=name)

    assert rows_of(report)[1][1] == inert(account_title(report))
