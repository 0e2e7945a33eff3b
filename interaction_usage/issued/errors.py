"""Why a report is not issued, or cannot be shown.

IssueError               the root
├─ NotFinishedError      the report is incomplete, or its period has not ended
├─ PeriodGapError        time between this period and the issued one beside it would be on no bill
├─ PeriodOverlapError    time of this period is on an issued report already
├─ RevisionError         what is to be revised is not there, or was revised already
├─ TooLargeError         the report is larger than a record of Kafka may be
├─ MissingReportError    a report that was issued before is gone
├─ UnknownNumberError    no issued report has this number
└─ DamagedReportError    what is stored is not what the manifest says
"""


class IssueError(Exception):
    """A report that is not issued, or not shown; a sentence without a full stop."""


def sentence(error: Exception) -> str:
    """Return what went wrong with a capital and a full stop; a report's number stays as it is."""
    text = str(error)
    first = text.partition(" ")[0]
    return f"{text[:1].upper()}{text[1:]}." if first.isalpha() else f"{text}."


class NotFinishedError(IssueError):
    """Numbers that may still change, or miss something."""


class PeriodGapError(IssueError):
    """Time that would be on no bill."""


class PeriodOverlapError(IssueError):
    """Time that would be on two bills."""


class RevisionError(IssueError):
    """A report that cannot be revised so."""


class TooLargeError(IssueError):
    """A report that does not fit into a record."""


class MissingReportError(IssueError):
    """An issued report that neither Redis nor Kafka has: another number would hide that."""

    def __init__(self, number: str) -> None:
        super().__init__(
            f"the report {number} was issued, and is neither in Redis nor in the topic of issued "
            "reports any more; restore a backup that has it (`usage restore`)"
        )


class UnknownNumberError(IssueError):
    """A number that no issued report has."""


class DamagedReportError(IssueError):
    """Bytes that are not those that were issued."""
