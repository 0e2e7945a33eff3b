"""usage.xls and usage.xlsx opened by a program people use: LibreOffice, without a window."""

import csv
import re
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from export.formats import FORMATS
from interaction_usage.reports.model import Report
from rollups.catalog import SERIES
from tests.export import samples

Need = Callable[[str, str], object]


def converted(report: Report, file_format: str, target: str, folder: Path) -> Path:
    """Return the file that LibreOffice makes of *report*, with a fresh profile in *folder*."""
    source = folder / f"usage.{file_format}"
    source.write_bytes(FORMATS[file_format](report))
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    options = ["--headless", "--convert-to", target, "--outdir", str(folder)]
    command = ["soffice", profile, *options, str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / f"usage.{target.partition(':')[0]}"


def output_of(*command: str | Path) -> str:
    """Return what *command* prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("file_format", ["xls", "xlsx"])
def test_the_report_prints_on_one_page(file_format: str, need: Need, tmp_path: Path) -> None:
    """One A4 page, with the numbers as a person reads them."""
    need("soffice", "LibreOffice")
    need("pdftotext", "poppler-utils")
    page = converted(samples.report(), file_format, "pdf", tmp_path)

    facts = output_of("pdfinfo", page)
    text = output_of("pdftotext", "-layout", page, "-")

    assert "Pages:           3\n" in facts  # what averages are made of, and the notes
    assert "A4" in facts
    *pages, _ = text.split("\f")
    first, basis, notes = pages
    for shown in ("82,701", "6,482.125", "125.66", "2026-10-25 02:00 +01:00"):
        assert shown in first
    for number, page in enumerate(pages, 1):
        for shown in ("Acme Assurances (acme)", "2026-10-01 to 2026-10-31", "Provisional"):
            assert shown in page
        assert f"Page {number} of 3" in page
    assert "Sum of hourly peaks" in basis
    assert "Everything published before 2026-11-01 09:59:58 +01:00" in " ".join(notes.split())


@pytest.mark.parametrize("file_format", ["xls", "xlsx"])
def test_the_first_sheet_is_shown_as_in_our_csv(
    file_format: str, need: Need, tmp_path: Path
) -> None:
    """LibreOffice's CSV of what it shows is ours, rounded halves and all, but for the grouping."""
    need("soffice", "LibreOffice")
    halves = [(1, 8), (5, 8), (25_133, 200), (201, 200), (1, 3)]  # .125, .625, .665, 1.005, .3333
    curves = [samples.curve(9, *half) for half in halves]
    report = samples.report(
        concurrency=dict(zip(SERIES, curves, strict=True)), name="Acme", account="Acme"
    )
    shown = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true"

    theirs = converted(report, file_format, shown, tmp_path).read_text("utf-8")

    ours = FORMATS["csv"](report).decode("utf-8-sig")
    assert list(csv.reader(StringIO(ours))) == [
        [re.sub(r"(?<=\d),(?=\d{3})", "", field) for field in row]
        for row in csv.reader(StringIO(theirs))
    ]


def test_heading_rows_stand_on_every_page(need: Need, tmp_path: Path) -> None:
    """240 flows take several pages, and each names its columns; hours are not printed."""
    need("soffice", "LibreOffice")
    need("pdftotext", "poppler-utils")
    report = samples.report(flows=samples.flows(240), hours=samples.hours(240))
    pages = output_of("pdftotext", "-layout", converted(report, "xls", "pdf", tmp_path), "-")

    first, *others, _basis, notes, hours = pages.rstrip("\f").split("\f")

    assert "Usage Report" in first
    assert len(others) > 3
    assert all("Share of total" in page for page in others)
    assert "Definitions" in notes
    assert "These 240 hours are not printed" in hours
    assert "00:00" not in hours


@pytest.mark.parametrize("separators", ["44", "59/9/124"], ids=["commas", "semicolons"])
def test_no_name_in_a_csv_file_becomes_a_formula(
    separators: str, need: Need, tmp_path: Path
) -> None:
    """Also where formulas are evaluated, and where the comma is the decimal sign."""
    need("soffice", "LibreOffice")
    reports = [samples.report(name=text) for text in samples.FORMULAS]
    (tmp_path / "names.csv").write_bytes(b"".join(map(FORMATS["csv"], reports)))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    read = f"--infilter=CSV:{separators},34,76,1,,de-DE,false,true,false,false,false,-1,true"
    command = ["soffice", profile, "--headless", read, "--convert-to", "fods", "names.csv"]
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=tmp_path)
    assert "table:formula" not in (tmp_path / "names.fods").read_text("utf-8")
