"""Issuing reports: checked, made, published, and read back before anybody hears of a number.

For one account or many, the steps are these; a crash between any two of them loses nothing:

1. Everything that is published of issued reports, gaps and accounts is read into Redis.
2. The periods that are issued already are left out; the others are checked and their reports made.
   (Crash: nothing has happened.)
3. Each is published as a proposal of the account's next number, and every in-sync replica has
   acknowledged it. (Crash: the report is issued, and nobody knows. Whoever issues the
   period again finds it.)
4. The topic is read up to the proposals. Each either is the first with its number: then it is that
   report. Or somebody else's is: then all of this is done again, for what was checked is not so any
   more. (Crash: as before.)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Final, NamedTuple

from interaction_usage.issued import adjusting, succession
from interaction_usage.issued.adjusting import CountEvents, Found
from interaction_usage.issued.adjustments import check_revision
from interaction_usage.issued.errors import (
    IssueError,
    MissingReportError,
    NotFinishedError,
    TooLargeError,
)
from interaction_usage.issued.manifest import manifest
from interaction_usage.issued.packing import pack
from interaction_usage.issued.succession import NewPeriod, Terms
from interaction_usage.reports.model import Adjustment, Report, Revision
from interaction_usage.reports.numbers import numbers_of
from interaction_usage.reports.service import Basis, ReportBatch, make_bases
from interaction_usage.store.account_table import ACCOUNTS
from interaction_usage.store.errors import LedgerError
from interaction_usage.store.gaps import GAPS
from interaction_usage.store.issued_table import (
    REPORTS,
    Entry,
    StoredReport,
    entries,
    entries_of_many,
    find,
    new_proposal,
    proposal_record,
    report_number,
)
from interaction_usage.store.ledger import Ledger, forget_positions
from rollups.completeness import Status

if TYPE_CHECKING:
    from interaction_usage.store.client import Client

#: How often a report is proposed before somebody else's being first each time is given up on.
_TRIES: Final = 20
#: Bytes that a record of the topic may have (`stream_app.broker`), less room for what is around it.
_LARGEST: Final = 32 * 1024 * 1024 - 64 * 1024


#: Returns what a revision changes, given what it is made of.
Explain = Callable[[Basis], Revision]


class Order(NamedTuple):
    """Reports to issue: of which days, by whom, and on what terms."""

    batch: ReportBatch
    by: str
    terms: Terms = Terms()
    explain: Explain | None = None  #: for a revision
    count_events: CountEvents | None = None  #: for adjustments; None: how many is not known


class Outcome(NamedTuple):
    """What became of an account's report."""

    account: str
    entry: Entry | None = None  #: of the issued report
    is_new: bool = False  #: whether it was issued now; otherwise it was before
    error: Exception | None = None  #: why there is none


class Preview(NamedTuple):
    """What would be issued."""

    number: str  #: that it would have
    basis: Basis
    issued: Entry | None  #: the report that is issued for this very period
    obstacles: tuple[IssueError, ...]  #: what would hold it up
    adjustments: tuple[Adjustment, ...]  #: of earlier reports


def issue(ledger: Ledger, accounts: Sequence[str], order: Order) -> Iterator[Outcome]:
    """Issue the report of each of *accounts*, unless it is issued; yield what became of it.

    Raises LedgerUnavailableError where nothing is published, and RedisError; a LedgerError after
    that is the outcome of those accounts whose report may or may not be issued.
    """
    order = order._replace(batch=_whole_second(order.batch))
    waiting = list(dict.fromkeys(accounts))
    for _ in range(_TRIES):
        _read_all(ledger, waiting)
        proposals: dict[str, StoredReport] = {}
        for outcome in _propose(ledger, waiting, order):
            if isinstance(outcome, StoredReport):
                proposals[outcome.entry.account] = outcome
            else:
                yield outcome
        if not proposals:
            return
        try:
            ledger.publish(REPORTS, [proposal_record(each) for each in proposals.values()])
        except LedgerError as error:
            yield from (Outcome(account, error=error) for account in proposals)
            return
        waiting = []
        for account, proposal in proposals.items():
            if is_first(ledger.redis, proposal.entry):
                yield Outcome(account, proposal.entry, is_new=True)
            else:
                waiting.append(account)
        if not waiting:
            return
    for account in waiting:
        message = "others issue reports of this account all the time; try again"
        yield Outcome(account, error=IssueError(message))


def _read_all(ledger: Ledger, accounts: Sequence[str]) -> None:
    """Read everything that is published; all of it once more where a number is missing in Redis.

    That is so where a node of Redis lost its last writes while somebody read the topic. It may have
    lost a gap, or the name of an account, as well: a worker reads them again, but not at once.
    """
    tables = REPORTS, GAPS, ACCOUNTS
    ledger.sync_all(tables)
    if any(map(succession.missing, entries_of_many(ledger.redis, accounts))):
        forget_positions(ledger.redis)
        ledger.sync_all(tables)


def is_first(redis: "Client", proposed: Entry) -> bool:
    """Tell whether a proposal that was read is the report with its number."""
    found = find(redis, proposed.account, proposed.ordinal)
    return found is not None and found.proposal == proposed.proposal


def preview(redis: "Client", account: str, order: Order) -> Preview:
    """Return what `issue` would store, and what would hold it up. Raises ReportError."""
    order = order._replace(batch=_whole_second(order.batch))
    [(_, basis)] = make_bases(redis, [order.batch.request(account)])
    if isinstance(basis, Exception):
        raise basis
    known = entries(redis, account)
    number = report_number(account, succession.next_ordinal(known))
    if issued := _issued_already(known, basis, order.terms):
        return Preview(number, basis, issued, (), ())
    obstacles = tuple(_obstacles(known, basis, order.terms))
    new = {account: (basis, known)}
    found = adjusting.find(redis, new, order.terms, order.count_events)[account]
    if isinstance(found, IssueError):
        return Preview(number, basis, None, (*obstacles, found), ())
    return Preview(number, basis, None, obstacles, found.adjustments)


def _propose(
    ledger: Ledger, accounts: Sequence[str], order: Order
) -> Iterator[Outcome | StoredReport]:
    """Yield a proposal for each of *accounts*, or what became of it without one."""
    redis = ledger.redis
    known = dict(zip(accounts, entries_of_many(redis, accounts), strict=True))
    new: dict[str, tuple[Basis, Sequence[Entry]]] = {}
    for account, basis in make_bases(redis, [*map(order.batch.request, accounts)]):
        if isinstance(basis, Exception):
            yield Outcome(account, error=basis)
        elif holes := succession.missing(known[account]):
            number = report_number(account, holes[0])
            yield Outcome(account, error=MissingReportError(number))
        elif issued := _issued_already(known[account], basis, order.terms):
            yield Outcome(account, issued)
        elif obstacle := next(_obstacles(known[account], basis, order.terms), None):
            yield Outcome(account, error=obstacle)
        else:
            new[account] = basis, known[account]
    if not new:
        return
    adjusted = adjusting.find(redis, new, order.terms, order.count_events)
    # After the rollups were read: what they refused has its dead letter before they go on.
    rejected = ledger.dead_letter_ends()
    for account, (basis, before) in new.items():
        try:
            found = adjusted[account]
            if isinstance(found, IssueError):
                raise found
            yield proposal_of(basis, succession.next_ordinal(before), order, found, rejected)
        except IssueError as error:
            yield Outcome(account, error=error)


def _issued_already(known: Sequence[Entry], basis: Basis, terms: Terms) -> Entry | None:
    if terms.revises is not None:
        return None
    return succession.same_period(known, _new_period(basis))


def _obstacles(known: Sequence[Entry], basis: Basis, terms: Terms) -> Iterator[IssueError]:
    """Yield what keeps a report from being issued."""
    report = basis.report
    said = report.completeness
    if said.reasons:
        yield NotFinishedError(f"it is incomplete: {'; '.join(said.reasons)}")
    elif basis.end > report.as_of.timestamp():
        yield NotFinishedError(
            f"its period has not ended: its last day is {report.last}, in {report.timezone}"
        )
    elif said.status is Status.OPEN:
        yield NotFinishedError(
            "its period ended a moment ago, and is still being counted; try again in a minute"
        )
    try:
        check_revision(known, terms.revises)
        succession.check(known, _new_period(basis), terms)
    except IssueError as error:
        yield error


def _new_period(basis: Basis) -> NewPeriod:
    return NewPeriod(_period_name(basis.report), basis.begin, basis.end)


def _period_name(report: Report) -> tuple[str, str, str]:
    return report.first.isoformat(), report.last.isoformat(), report.timezone


def proposal_of(
    basis: Basis,
    ordinal: int,
    order: Order,
    adjusted: Found = adjusting.NOTHING,
    rejected: Mapping[str, int] | None = None,
) -> StoredReport:
    """Return the report with the number *ordinal*, as it is stored. Raises TooLargeError.

    The dead letters of what it does not count lie before the ends *rejected*.
    """
    account = basis.report.account
    revision = order.explain(basis) if order.explain else None
    number = report_number(account, ordinal)
    report = issued_form(basis.report, number, revision, adjusted.adjustments)
    files = render(report)
    first, last, timezone = _period_name(report)
    entry = Entry(
        account=account,
        ordinal=ordinal,
        first=first,
        last=last,
        timezone=timezone,
        begin=basis.begin,
        end=basis.end,
        issued_at=int(report.as_of.timestamp()),
        by=order.by,
        revises=order.terms.revises,
        proposal=new_proposal(),
        numbers=numbers_of(report),
        adjusts=list(adjusted.entries),
        compared=adjusted.is_complete,
    )
    made = StoredReport(
        entry,
        manifest(entry, basis._replace(report=report), files, adjusted.ends, rejected),
        files["json"],
        pack(report, files["xls"]),
    )
    size = len(made.files) + len(made.json)
    if size > _LARGEST:
        raise TooLargeError(
            f"the report has {size:,} bytes, and a record of {REPORTS.topic} may have "
            f"{_LARGEST:,}; issue shorter periods"
        )
    return made


def issued_form(
    report: Report, number: str, revision: Revision | None, adjustments: tuple[Adjustment, ...]
) -> Report:
    """Return *report* as it says of itself that it is the issued one with *number*."""
    said = report.completeness._replace(status=Status.ISSUED)
    return report._replace(
        completeness=said, number=number, revision=revision, adjustments=adjustments
    )


def render(report: Report) -> Mapping[str, bytes]:
    """Return the bytes that are kept for ever, by format."""
    from export import json_renderer, xls

    return {"json": json_renderer.canonical(report), "xls": xls.render(report)}


def _whole_second(batch: ReportBatch) -> ReportBatch:
    return batch._replace(as_of=batch.as_of.astimezone(UTC).replace(microsecond=0))
