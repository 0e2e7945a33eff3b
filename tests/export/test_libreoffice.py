"""usage.xls and usage.xlsx opened by a program people use: LibreOffice, without a window."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export.formats import FORMATS
from interaction_usage.reports.model import Report
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
    return folder / f"usage.{target}"


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

    assert "Pages:           2\n" in facts  # the notes are the second
    assert "A4" in facts
    first, notes, _ = text.split("\f")
    for shown in ("82,701", "6,482.125", "125.66", "2026-10-25 02:00 +01:00", "Page 1"):
        assert shown in first
    assert "Everything published before 2026-11-01 09:59:58 +01:00" in " ".join(notes.split())


@pytest.mark.parametrize("file_format", ["xls", "xlsx"])
def test_the_first_sheet_is_read_as_written(file_format: str, need: Need, tmp_path: Path) -> None:
    """LibreOffice's own CSV of the first sheet has the labels, and the numbers as numbers."""
    need("soffice", "LibreOffice")

    lines = converted(samples.report(), file_format, "csv", tmp_path).read_text("latin-1")
    lines = lines.splitlines()

    assert lines[0] == "Usage Report,,,"
    assert "Total,82701,," in lines
    assert "Call Now minutes,6482.125,," in lines
    assert "Mobile Web,1204,125.656695156695,2026-10-25 02:00 +01:00" in lines


def test_heading_rows_stand_on_every_page(need: Need, tmp_path: Path) -> None:
    """Ten days by hour take several pages, and each names its columns."""
    need("soffice", "LibreOffice")
    need("pdftotext", "poppler-utils")
    report = samples.report(hours=samples.hours(240))
    pages = output_of("pdftotext", "-layout", converted(report, "xls", "pdf", tmp_path), "-")

    first, *others, notes = pages.rstrip("\f").split("\f")

    assert "Usage Report" in first
    assert len(others) > 3
    assert all("Hour begins" in page for page in others)
    assert "Notes" in notes


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
