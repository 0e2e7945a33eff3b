"""Reading issued reports: by number, and their bytes, checked against the manifest."""

from hashlib import sha256
from typing import TYPE_CHECKING

from interaction_usage.issued.errors import DamagedReportError, UnknownNumberError
from interaction_usage.issued.packing import report_in, xls_in
from interaction_usage.store import issued_table
from interaction_usage.store.account_table import similar_id
from interaction_usage.store.issued_table import StoredReport, parse_number, report_number

if TYPE_CHECKING:
    from interaction_usage.store.client import Client


def find(redis: "Client", number: str) -> StoredReport:
    """Return the issued report with this *number*. Raises UnknownNumberError."""
    try:
        account, ordinal = parse_number(number)
    except ValueError as error:
        raise UnknownNumberError(str(error)) from None
    entry = issued_table.find(redis, account, ordinal)
    report = issued_table.stored(redis, entry) if entry else None
    if report is None:
        raise UnknownNumberError(_unknown(redis, number, account))
    return report


def _unknown(redis: "Client", number: str, account: str) -> str:
    entries = issued_table.entries(redis, account)
    if not entries:
        similar = similar_id(account, issued_table.accounts_with_reports(redis))
        hint = f"; did you mean one of {similar!r}?" if similar else ""
        return f"there is no issued report {number!r}: none was issued for {account!r}{hint}"
    newest = report_number(account, entries[-1].ordinal)
    return f"there is no issued report {number!r}; the newest of this account is {newest}"


def content(report: StoredReport, file_format: str) -> bytes:
    """Return an issued report in a format: the stored bytes of its JSON or xls.

    xlsx and csv are drawn from what is stored. Raises DamagedReportError.
    """
    if file_format == "json":
        return _checked(report, "json", report.json)
    if file_format == "xls":
        return _checked(report, "xls", xls_in(report.files))
    from export.formats import FORMATS

    return FORMATS[file_format](report_in(report.files))


def _checked(report: StoredReport, file_format: str, stored: bytes) -> bytes:
    if sha256(stored).hexdigest() != report.manifest[f"{file_format}_sha256"]:
        raise DamagedReportError(
            f"the stored {file_format} of {report.entry.number} is not the one that was issued: "
            "its SHA-256 differs from that in the manifest"
        )
    return stored
