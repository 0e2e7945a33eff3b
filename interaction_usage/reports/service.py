"""Makes Usage Reports: an account's settings, its period, one read of the rollups, the report.

Commands, the dashboard and its API all get their reports here, so that they show the same numbers.
What a report looks like as a file is the renderers' business (`export/`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import Flag
from math import floor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from interaction_usage.reports.errors import (
    AccountZoneError,
    PeriodError,
    TimeZoneError,
    UnknownAccountError,
)
from interaction_usage.reports.periods import EARLIEST_ZONE

if TYPE_CHECKING:
    from interaction_usage.reports.build import Period
    from interaction_usage.reports.model import Report
    from interaction_usage.store.account_settings import AccountSettings
    from interaction_usage.store.issued_table import Entry
    from interaction_usage.store.reads import Rollups
    from rollups.completeness import Completeness
    from rollups.range_snapshot import RangeSnapshot
    from rollups.watermark import Position

T = TypeVar("T")


class Detail(Flag):
    """The breakdowns that a report has besides its totals."""

    TOTALS = 0
    HOURS = 1  #: by day and by hour
    FLOWS = 2  #: by Interaction Flow
    ALL = 3  #: what a file has
    HOUR_COUNTS = 4  #: the counters of each hour; with HOURS


class ReportRequest(NamedTuple):
    """A report to make: local days, both included, of one account."""

    account: str
    first: date
    last: date
    timezone: str | None  #: IANA name; None for the account's own
    as_of: datetime  #: hours that begin at or after this instant are left out
    #: The seconds [begin, end) of an issued report's period; None: what the zone's rules say now.
    seconds: tuple[int, int] | None = None


class ReportBatch(NamedTuple):
    """The same report of many accounts: each account's own time zone where none is given."""

    first: date
    last: date
    timezone: str | None
    as_of: datetime

    def request(self, account: str) -> ReportRequest:
        """Return the request for the report of *account*."""
        return ReportRequest(account, *self)


class Reading(NamedTuple):
    """What a report is built from."""

    settings: "AccountSettings"
    within: "Period"
    snapshot: "RangeSnapshot"
    completeness: "Completeness"
    issued: "Entry | None"  #: the newest issued report of the same period
    positions: "Mapping[str, Position]"
    limits: Mapping[str, int]  #: session limits; empty unless fences are read


def make_report(redis: Any, request: ReportRequest, detail: Detail = Detail.ALL) -> "Report":
    """Read and compute a report. Raises ReportError, and RedisError."""
    return build_report(request, take_reading(redis, request, detail), detail)


def take_reading(redis: Any, request: ReportRequest, detail: Detail) -> "Reading":
    """Return all that a report is built from. Raises ReportError, and RedisError."""
    from interaction_usage.store import account_settings
    from interaction_usage.store.reads import read_active

    settings = account_settings.get(redis, request.account)
    within = _period(request, settings.timezone)

    def read(rollups: "Rollups") -> "Reading | None":
        about = _about_stream(redis, rollups, [(request, within)])
        edges = _edges(within, detail)
        snapshot = rollups.read(request.account, *within.slots, **_depth(detail), edges=edges)
        # An account that something was counted for exists: two commands less.
        exists = snapshot.totals or rollups.exists(request.account)
        if not exists:
            return None
        return Reading(
            settings, within, snapshot, about.completeness[0], about.issued[0], about.positions, {}
        )

    reading = read_active(redis, read)
    if reading is None:
        raise UnknownAccountError(request.account)
    return reading


def make_reports(
    redis: Any, accounts: Sequence[str], batch: ReportBatch, detail: Detail = Detail.ALL
) -> Iterator[tuple[str, "Report | Exception"]]:
    """Yield each account with its report, or with the error for which it has none.

    The accounts, which exist, are read in one round trip; where that fails because of one of them
    (values of another type under its keys), each is read alone. Raises the RedisError that Redis
    does not answer with, and LayoutDiffersError, for these concern all of them.
    """

    def build(request: ReportRequest, reading: Reading) -> "Report":
        return build_report(request, reading, detail)

    yield from _each(redis, [*map(batch.request, accounts)], detail, build)


class Basis(NamedTuple):
    """A report, and what it was made of: enough to make it again from the events."""

    report: "Report"
    begin: int  #: the seconds [begin, end) of its period
    end: int
    #: Topic-partition (`keys.fence`) to the offset before which all events of the account are in
    #: the report, and behind which none is.
    ends: Mapping[str, int]
    limits: Mapping[str, int]  #: session limits in seconds, by application
    adjusts: bool = False  #: whether the account's reports have adjustments of earlier ones


def make_bases(
    redis: Any, requests: Sequence[ReportRequest], detail: Detail = Detail.ALL
) -> Iterator[tuple[str, Basis | Exception]]:
    """Yield each account with its report and what this was made of, as `make_reports` does."""

    def build(request: ReportRequest, reading: Reading) -> Basis:
        # Everything before the positions is counted, and they are read first. Of what is behind
        # them, the account has what its fences say, as of the moment that it was read.
        ends = {name: at.offset for name, at in reading.positions.items()}
        for name, last in reading.snapshot.fences.items():
            ends[name] = max(ends.get(name, 0), last + 1)
        report = build_report(request, reading, detail)
        adjusts = reading.settings.late_usage == "adjust"
        within = reading.within
        return Basis(report, within.begin, within.end, ends, reading.limits, adjusts)

    yield from _each(redis, requests, detail, build, fences=True)


def _each(
    redis: Any,
    requests: Sequence[ReportRequest],
    detail: Detail,
    build: "Callable[[ReportRequest, Reading], T]",
    *,
    fences: bool = False,
) -> Iterator[tuple[str, T | Exception]]:
    """Yield each request's account with what *build* returns of it, or with an error."""
    from redis.exceptions import ConnectionError as NoConnectionError
    from redis.exceptions import TimeoutError as NoAnswerError

    from interaction_usage.store.errors import LayoutDiffersError

    try:
        readings = _read_many(redis, requests, detail, fences)
    except (NoConnectionError, NoAnswerError, LayoutDiffersError):
        raise
    except Exception as error:
        if len(requests) == 1:
            yield requests[0].account, error
            return
        for request in requests:
            yield from _each(redis, [request], detail, build, fences=fences)
        return
    for request, reading in zip(requests, readings, strict=True):
        try:
            yield request.account, build(request, reading)
        except Exception as error:  # the other accounts have nothing to do with it
            yield request.account, error


def check_request(first: date, last: date, timezone: str | None, as_of: datetime) -> None:
    """Raise PeriodError or TimeZoneError for days and a zone that suit no account."""
    _period(ReportRequest("", first, last, timezone, as_of), EARLIEST_ZONE)


def _period(request: ReportRequest, own_zone: str) -> "Period":
    """Return the period of a request in its time zone, which is *own_zone* where it has none."""
    from interaction_usage.reports.build import period, period_of_seconds
    from rollups.local_time import UnalignedZone, UnknownZone

    zone = own_zone if request.timezone is None else request.timezone
    try:
        if request.seconds is not None:
            return period_of_seconds(request.first, request.last, zone, *request.seconds)
        return period(request.first, request.last, zone, request.as_of)
    except UnknownZone as error:
        if request.timezone is None:
            raise AccountZoneError(request.account, str(error)) from None
        raise TimeZoneError(str(error)) from None
    except UnalignedZone as error:
        raise PeriodError(str(error)) from None


def _read_many(
    redis: Any, requests: Sequence[ReportRequest], detail: Detail, fences: bool
) -> list[Reading]:
    """Return what each report is built from."""
    from interaction_usage.store.account_settings import get_many
    from interaction_usage.store.reads import read_active

    settings = get_many(redis, [request.account for request in requests])
    asked = [
        (request, _period(request, known.timezone))
        for request, known in zip(requests, settings, strict=True)
    ]
    ranges = [(request.account, *within.slots) for request, within in asked]

    def read(rollups: "Rollups") -> "tuple[_AboutStream, list[RangeSnapshot], dict[str, int]]":
        about = _about_stream(redis, rollups, asked)
        limits = rollups.limits() if fences else {}
        edges = [_edges(within, detail) for _, within in asked]
        snapshots = rollups.read_many(ranges, **_depth(detail), fences=fences, edges=edges)
        return about, snapshots, limits

    about, snapshots, limits = read_active(redis, read)
    rows = zip(settings, asked, snapshots, about.completeness, about.issued, strict=True)
    return [
        Reading(known, within, snapshot, said, issued, about.positions, limits)
        for known, (_, within), snapshot, said, issued in rows
    ]


class _AboutStream(NamedTuple):
    """What is known beside the rollups: of the stream, and of each report."""

    positions: "Mapping[str, Position]"
    completeness: "list[Completeness]"  #: of each report
    issued: "list[Entry | None]"  #: for each report the newest issued one of its period


def _about_stream(
    redis: Any, rollups: "Rollups", asked: "Sequence[tuple[ReportRequest, Period]]"
) -> _AboutStream:
    """Return what each report may say of itself; to be called before the rollups are read."""
    from interaction_usage.store.progress import ReportPeriod, read_known
    from rollups.completeness import judge

    periods = [
        ReportPeriod(
            request.account, within.begin, within.end,
            (within.first.isoformat(), within.last.isoformat(), within.timezone),
        )
        for request, within in asked
    ]  # fmt: skip
    known, refused, issued = read_known(redis, rollups.keys, periods)
    said = [
        judge(known, (within.begin, within.end), floor(request.as_of.timestamp()), number)
        for (request, within), number in zip(asked, refused, strict=True)
    ]
    return _AboutStream(known.positions, said, issued)


def _depth(detail: Detail) -> dict[str, bool]:
    """Return how deep the rollups are read for a report with *detail*."""
    return {"by_slot": Detail.HOUR_COUNTS in detail, "flows": Detail.FLOWS in detail}


def _edges(within: "Period", detail: Detail) -> Sequence[int]:
    """Return the slots between which counters are summed for a report with *detail*."""
    from interaction_usage.reports.build import day_edges

    return day_edges(within) if Detail.HOURS in detail else ()


def build_report(request: ReportRequest, reading: Reading, detail: Detail) -> "Report":
    """Return the report that *reading* gives."""
    from interaction_usage.reports.build import Account, build

    settings, within, snapshot, said, issued = reading[:5]
    account = Account(request.account, settings.name, settings.dnis, settings.sms)
    report = build(
        account, within, snapshot, request.as_of, breakdowns=bool(detail),
        hour_counts=Detail.HOUR_COUNTS in detail, completeness=said,
    )  # fmt: skip
    has_ended = within.end <= request.as_of.timestamp()
    return _as_issued(report, issued) if issued and has_ended else report


def _as_issued(report: "Report", issued: "Entry") -> "Report":
    """Return *report*, which says so where it bills what the one *issued* for its period does."""
    from interaction_usage.reports.numbers import is_equal, numbers_of
    from rollups.completeness import Status

    if not is_equal(issued.numbers, numbers_of(report)):
        return report
    said = report.completeness._replace(status=Status.ISSUED)
    return report._replace(completeness=said, number=issued.number)
