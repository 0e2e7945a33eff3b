"""Makes Usage Reports: an account's settings, its period, one read of the rollups, the report.

Commands, the dashboard and its API all get their reports here, so that they show the same numbers.
What a report looks like as a file is the renderers' business (`export/`).
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import Flag
from math import floor
from typing import TYPE_CHECKING, Any, NamedTuple

from interaction_usage.reports.errors import (
    AccountZoneError,
    PeriodError,
    TimeZoneError,
    UnknownAccountError,
)

if TYPE_CHECKING:
    from interaction_usage.reports.build import Period
    from interaction_usage.reports.model import Report
    from interaction_usage.store.account_settings import AccountSettings
    from interaction_usage.store.reads import Rollups
    from rollups.completeness import Completeness
    from rollups.range_snapshot import RangeSnapshot

#: A zone in which every day has begun that has begun anywhere.
_EARLIEST_ZONE = "Etc/GMT-14"

#: How many accounts are searched for ids similar to an unknown one.
_MAX_SEARCHED = 20_000


class Detail(Flag):
    """The breakdowns that a report has besides its totals."""

    TOTALS = 0
    HOURS = 1  #: by day and by hour
    FLOWS = 2  #: by Interaction Flow
    ALL = 3


class ReportRequest(NamedTuple):
    """A report to make: local days, both included, of one account."""

    account: str
    first: date
    last: date
    timezone: str | None  #: IANA name; None for the account's own
    as_of: datetime  #: hours that begin at or after this instant are left out


class ReportBatch(NamedTuple):
    """The same report of many accounts: each account's own time zone where none is given."""

    first: date
    last: date
    timezone: str | None
    as_of: datetime

    def request(self, account: str) -> ReportRequest:
        """Return the request for the report of *account*."""
        return ReportRequest(account, *self)


def make_report(
    redis: Any, request: ReportRequest, detail: Detail = Detail.ALL, *, suggest: bool = False
) -> "Report":
    """Read and compute a report. Raises ReportError, and RedisError.

    With *suggest*, UnknownAccountError has the similar ids; that reads the list of all accounts.
    """
    from interaction_usage.store import account_settings
    from interaction_usage.store.reads import read_active

    settings = account_settings.get(redis, request.account)
    within = _period(request, settings.timezone)

    def read(rollups: "Rollups") -> "_Reading | None":
        [said] = _completeness(redis, rollups, [(request, within)])
        snapshot = rollups.read(request.account, *within.slots, **_depth(detail))
        # An account that something was counted for exists: two commands less.
        exists = snapshot.totals or rollups.exists(request.account)
        return _Reading(settings, within, snapshot, said) if exists else None

    reading = read_active(redis, read)
    if reading is None:
        near = _similar_accounts(redis, request.account) if suggest else []
        raise UnknownAccountError(request.account, near)
    return _build(request, reading, detail)


def make_reports(
    redis: Any, accounts: Sequence[str], batch: ReportBatch, detail: Detail = Detail.ALL
) -> Iterator[tuple[str, "Report | Exception"]]:
    """Yield each account with its report, or with the error for which it has none.

    The accounts, which exist, are read in one round trip; where that fails because of one of them
    (values of another type under its keys), each is read alone. Raises the RedisError that Redis
    does not answer with, and LayoutDiffersError, for these concern all of them.
    """
    from redis.exceptions import ConnectionError as NoConnectionError
    from redis.exceptions import TimeoutError as NoAnswerError

    from interaction_usage.store.errors import LayoutDiffersError

    try:
        readings = _read_many(redis, accounts, batch, detail)
    except (NoConnectionError, NoAnswerError, LayoutDiffersError):
        raise
    except Exception as error:
        if len(accounts) == 1:
            yield accounts[0], error
            return
        for account in accounts:
            yield from make_reports(redis, [account], batch, detail)
        return
    for account, reading in zip(accounts, readings, strict=True):
        try:
            yield account, _build(batch.request(account), reading, detail)
        except Exception as error:  # the other accounts have nothing to do with it
            yield account, error


def check_request(first: date, last: date, timezone: str | None, as_of: datetime) -> None:
    """Raise PeriodError or TimeZoneError for days and a zone that suit no account."""
    _period(ReportRequest("", first, last, timezone, as_of), _EARLIEST_ZONE)


def _period(request: ReportRequest, own_zone: str) -> "Period":
    """Return the period of a request in its time zone, which is *own_zone* where it has none."""
    from interaction_usage.reports.build import period
    from rollups.local_time import UnalignedZone, UnknownZone

    zone = own_zone if request.timezone is None else request.timezone
    try:
        return period(request.first, request.last, zone, request.as_of)
    except UnknownZone as error:
        if request.timezone is None:
            raise AccountZoneError(request.account, str(error)) from None
        raise TimeZoneError(str(error)) from None
    except UnalignedZone as error:
        raise PeriodError(str(error)) from None


class _Reading(NamedTuple):
    """What a report is built from."""

    settings: "AccountSettings"
    within: "Period"
    snapshot: "RangeSnapshot"
    completeness: "Completeness"


def _read_many(
    redis: Any, accounts: Sequence[str], batch: ReportBatch, detail: Detail
) -> list[_Reading]:
    """Return what the report of each account is built from."""
    from interaction_usage.store.account_settings import get_many
    from interaction_usage.store.reads import read_active

    settings = get_many(redis, list(accounts))
    requests = [batch.request(account) for account in accounts]
    asked = [
        (request, _period(request, known.timezone))
        for request, known in zip(requests, settings, strict=True)
    ]
    ranges = [(request.account, *within.slots) for request, within in asked]

    def read(rollups: "Rollups") -> "tuple[list[Completeness], list[RangeSnapshot]]":
        said = _completeness(redis, rollups, asked)
        return said, rollups.read_many(ranges, **_depth(detail))

    said, snapshots = read_active(redis, read)
    return [
        _Reading(known, within, snapshot, each)
        for known, (_, within), snapshot, each in zip(settings, asked, snapshots, said, strict=True)
    ]


def _completeness(
    redis: Any, rollups: "Rollups", asked: "Sequence[tuple[ReportRequest, Period]]"
) -> "list[Completeness]":
    """Return what each report may say of itself; to be called before the rollups are read."""
    from interaction_usage.store.progress import read_known
    from rollups.completeness import judge

    periods = [(request.account, within.begin, within.end) for request, within in asked]
    known, refused = read_known(redis, rollups.keys, periods)
    return [
        judge(known, (within.begin, within.end), floor(request.as_of.timestamp()), number)
        for (request, within), number in zip(asked, refused, strict=True)
    ]


def _depth(detail: Detail) -> dict[str, bool]:
    """Return how deep the rollups are read for a report with *detail*."""
    return {"by_slot": Detail.HOURS in detail, "flows": Detail.FLOWS in detail}


def _build(request: ReportRequest, reading: _Reading, detail: Detail) -> "Report":
    from interaction_usage.reports.build import Account, build

    settings, within, snapshot, said = reading
    account = Account(request.account, settings.name, settings.dnis, settings.sms)
    return build(
        account, within, snapshot, request.as_of, breakdowns=bool(detail), completeness=said
    )


def _similar_accounts(redis: Any, account: str) -> list[str]:
    """Return existing accounts with ids like *account*, the most similar one first."""
    from difflib import get_close_matches

    from interaction_usage.store.reads import read_active

    accounts = read_active(redis, lambda rollups: rollups.accounts())
    return get_close_matches(account, accounts[:_MAX_SEARCHED], 1)
