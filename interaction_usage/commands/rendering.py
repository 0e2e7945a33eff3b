"""A report as the bytes of a file, for the commands that write one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.formats import FORMATS
from interaction_usage.reports.service import Detail

if TYPE_CHECKING:
    from interaction_usage.reports.model import Report

#: Formats with more than the report's first sheet.
_WITH_BREAKDOWNS = ("xls", "xlsx")


def detail_of(file_format: str) -> Detail:
    """Return the breakdowns that a file of *file_format* shows."""
    return Detail.ALL if file_format in _WITH_BREAKDOWNS else Detail.TOTALS


def render(report: "Report", file_format: str) -> bytes:
    """Return the content of a file of *file_format*."""
    return FORMATS[file_format](report)


def notices(report: "Report", file_format: str) -> list[str]:
    """Return a sentence for each breakdown that *file_format* has to cut."""
    if file_format not in _WITH_BREAKDOWNS:
        return []
    from export.breakdowns import notices

    return notices(report, file_format)


def why_unfinished(report: "Report") -> str:
    """Return why the numbers of *report* may still change or miss something; empty if all is well.

    Well is a report that is issued, or provisional: its period has ended, and all is counted.
    """
    from rollups.completeness import Status

    said = report.completeness
    if said.status is Status.INCOMPLETE:
        return why_incomplete(said.reasons)
    return "Open: the period has not ended." if said.status is Status.OPEN else ""


def why_incomplete(reasons: Sequence[str]) -> str:
    """Return the *reasons* why something published may be missing, in a line; empty without any."""
    return f"Incomplete: {'; '.join(reasons)}." if reasons else ""
