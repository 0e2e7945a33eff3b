"""Finding what a new report has to adjust: earlier reports beside what is counted of them now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from export.json_renderer import document
from interaction_usage.issued.adjustments import (
    adjusted_by,
    billed,
    cells,
    changed_since,
    difference,
    to_compare,
)
from interaction_usage.issued.comparison import Frame
from interaction_usage.issued.errors import IssueError, NotFinishedError
from interaction_usage.issued.succession import Terms
from interaction_usage.reports.bill import Numbers
from interaction_usage.reports.build import Account, period_of_seconds
from interaction_usage.reports.model import Adjustment, Report
from interaction_usage.reports.numbers import numbers_of
from interaction_usage.reports.service import Basis, Detail, ReportRequest, make_bases
from interaction_usage.store import late_usage
from interaction_usage.store.issued_table import Adjusted, Entry
from interaction_usage.store.reads import Rollups

if TYPE_CHECKING:
    from datetime import datetime

    from interaction_usage.store.client import Client

#: Seconds by which the clocks of two machines may differ.
_CLOCKS_S: Final = 600


class Found(NamedTuple):
    """What a report adjusts: as its files say it, and as it is remembered."""

    adjustments: tuple[Adjustment, ...] = ()
    entries: tuple[Adjusted, ...] = ()
    #: By the number of the adjusted report the end offset of each topic-partition.
    ends: Mapping[str, Mapping[str, int]] = {}
    is_complete: bool = False  #: whether all earlier reports were compared


NOTHING: Final = Found()


class Question(NamedTuple):
    """Which events changed a report since it was billed?"""

    entry: Entry
    last: Entry  #: the report that billed it last: itself, or the last one that adjusts it
    before: Numbers  #: what was billed
    now: Basis


class Answer(NamedTuple):
    """How many events changed each number, by path; and what else is to be known, in clauses."""

    events: Mapping[str, int] | None
    notes: tuple[str, ...] = ()


#: Answers questions from the events, all of them at once. Raises IssueError.
CountEvents = Callable[[Sequence[Question]], Sequence[Answer]]


_NOT_COUNTED: Final = Answer(None)


class _Candidate(NamedTuple):
    """A report that may have to be adjusted."""

    entry: Entry
    known: Sequence[Entry]  #: all reports of the account


def find(
    redis: "Client", new: Mapping[str, tuple[Basis, Sequence[Entry]]], terms: Terms,
    count_events: CountEvents | None,
) -> dict[str, Found | IssueError]:  # fmt: skip
    """Return what the *new* report of each account has to adjust, or why that cannot be known.

    Each account has what its new report is made of, and its issued reports so far.
    """
    if not new:
        return {}
    candidates = [
        _Candidate(entry, known)
        for basis, known in new.values()
        for entry in to_compare(known, terms.revises, every=basis.adjusts)
    ]
    found: dict[str, Found | IssueError] = {
        account: Found(is_complete=basis.adjusts and terms.revises is None)
        for account, (basis, _) in new.items()
    }
    as_of = next(iter(new.values()))[0].report.as_of
    if not (candidates := _changed(redis, candidates, as_of)):
        return found
    bases = make_bases(redis, [_request(each.entry, as_of) for each in candidates], Detail.TOTALS)
    questions: list[Question] = []
    for each, (account, basis) in zip(candidates, bases, strict=True):
        try:
            questions += _differing(each, basis, terms)
        except IssueError as error:
            found[account] = error
    try:
        answers = count_events(questions) if count_events else [_NOT_COUNTED] * len(questions)
    except IssueError as error:
        return found | {each.entry.account: error for each in questions}
    for question, answer in zip(questions, answers, strict=True):
        account = question.entry.account
        so_far = found[account]
        if isinstance(so_far, Found):
            found[account] = _with(so_far, question, answer)
    return found


def _changed(
    redis: "Client", candidates: Sequence[_Candidate], as_of: "datetime"
) -> list[_Candidate]:
    """Return those that may differ from what is billed."""
    now = int(as_of.timestamp())
    since = [changed_since(*each, now) for each in candidates]
    wanted = [
        (each.entry, second - _CLOCKS_S)
        for each, second in zip(candidates, since, strict=True)
        if second is not None
    ]
    late = {entry.number for entry in late_usage.changed_since(Rollups.live(redis), wanted)}
    return [
        each
        for each, second in zip(candidates, since, strict=True)
        if second is None or each.entry.number in late
    ]


def _request(entry: Entry, as_of: "datetime") -> ReportRequest:
    first, last = date.fromisoformat(entry.first), date.fromisoformat(entry.last)
    seconds = entry.begin, entry.end
    return ReportRequest(entry.account, first, last, entry.timezone, as_of, seconds)


def _differing(candidate: _Candidate, basis: Basis | Exception, terms: Terms) -> Iterator[Question]:
    """Yield the question about a report that differs from what is billed. Raises IssueError."""
    entry, known = candidate
    if isinstance(basis, Exception):
        raise IssueError(f"{entry.number} cannot be compared with what is counted: {basis}")
    before = billed(entry, known, terms.revises)
    if not difference(before, counted(basis)):
        return
    if reasons := basis.report.completeness.reasons:
        raise NotFinishedError(
            f"{entry.number}, which it adjusts, is incomplete: {'; '.join(reasons)}"
        )
    yield Question(entry, _last(entry, known, terms.revises), before, basis)


def _with(found: Found, question: Question, answer: Answer) -> Found:
    """Return *found* and the adjustment of one more report."""
    entry, _, before, basis = question
    report, now = basis.report, counted(basis)
    made = Adjustment(
        entry.number, report.first, report.last, report.timezone,
        cells(before, now, answer.events), answer.notes,
    )  # fmt: skip
    return found._replace(
        adjustments=(*found.adjustments, made),
        entries=(*found.entries, Adjusted(entry.ordinal, difference(before, now))),
        ends={**found.ends, entry.number: basis.ends},
    )


def counted(basis: Basis) -> Numbers:
    """Return the numbers that are counted now, whichever sections apply to the account now."""
    return numbers_of(basis.report._replace(dnis=True, sms=True))


def frame_of(entry: Entry, report: Report, limits: Mapping[str, int]) -> Frame:
    """Return the frame of what is counted now of an issued report: its seconds, every section."""
    first, last = date.fromisoformat(entry.first), date.fromisoformat(entry.last)
    within = period_of_seconds(first, last, entry.timezone, entry.begin, entry.end)
    account = Account(report.account, report.name, dnis=True, sms=True)
    return Frame(account, within, report.as_of, limits, document)


def _last(entry: Entry, known: Sequence[Entry], besides: int | None) -> Entry:
    """Return the report that billed the period of *entry* last."""
    found = [each for each, _ in adjusted_by(known, entry.ordinal) if each.ordinal != besides]
    return found[-1] if found else entry
