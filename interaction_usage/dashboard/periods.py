"""The period that a request asks for: parsed from its query, then completed for an account."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Query
from redis.client import Redis

from interaction_usage.dashboard.errors import AccountNotFoundError, InvalidValueError
from interaction_usage.reports.errors import PeriodError, ReportError, UnknownAccountError
from interaction_usage.reports.periods import check_period
from interaction_usage.reports.service import ReportRequest
from interaction_usage.store import account_settings
from rollups.local_time import UnknownZone, zone
from rollups.timestamps import parse_rfc3339

#: Days of the default period, today included.
DEFAULT_DAYS: Final = 7


class PeriodQuery(NamedTuple):
    """The members of a query that say which period is asked for; None where they are left out."""

    first: date | None
    last: date | None
    timezone: str | None
    as_of: str | None


async def _query(
    first: Annotated[
        date | None, Query(alias="from", description="First local day; six days before `to`.")
    ] = None,
    to: Annotated[date | None, Query(description="Last local day, inclusive; today.")] = None,
    tz: Annotated[
        str | None, Query(description="IANA time zone; the account's own.", max_length=100)
    ] = None,
    as_of: Annotated[
        str | None,
        Query(
            description="Leave out hours that begin at or after this instant; now. With it, the "
            "same request gives the same bytes, as the command does with `--as-of`.",
            examples=["2026-11-01T09:00:00Z"],
            max_length=64,
        ),
    ] = None,
) -> PeriodQuery:
    return PeriodQuery(first, to, tz, as_of)


#: The parameter with which a route takes a period.
Period = Annotated[PeriodQuery, Depends(_query)]


def report_request(redis: Redis, account: str, period: PeriodQuery) -> ReportRequest:
    """Return the request for a report, its defaults filled in. Raises InvalidValueError."""
    instant = _instant(period.as_of) if period.as_of is not None else datetime.now(UTC)
    # Also where it is not needed: a wrong zone is refused here, before the report has its turn.
    today = _today(redis, account, period.timezone, instant)
    last = period.last or today
    try:
        first = period.first or last - timedelta(days=DEFAULT_DAYS - 1)
    except OverflowError:
        first = last
    try:
        check_period(first, last)
    except PeriodError as error:
        raise InvalidValueError(("query", "from"), str(error)) from None
    return ReportRequest(account, first, last, period.timezone, instant)


@contextmanager
def request_errors() -> Iterator[None]:
    """Turn what is wrong with a request for a report into a RequestError."""
    try:
        yield
    except UnknownAccountError:
        raise AccountNotFoundError from None
    except PeriodError as error:
        raise InvalidValueError(("query", "from"), str(error)) from None
    except ReportError as error:
        raise InvalidValueError(("query", "tz"), str(error)) from None


def _today(redis: Redis, account: str, timezone: str | None, instant: datetime) -> date:
    """Return the local day at *instant*, in the account's own time zone if none is given."""
    name = account_settings.get(redis, account).timezone if timezone is None else timezone
    try:
        return instant.astimezone(zone(name)).date()
    except UnknownZone as error:
        raise InvalidValueError(("query", "tz"), str(error)) from None
    except OverflowError:
        raise InvalidValueError(
            ("query", "as_of"), "this instant lies outside the calendar"
        ) from None


def _instant(text: str) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_rfc3339(text))
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(("query", "as_of"), str(error)) from None
