"""The period that a request asks for, from its query."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from interaction_usage.dashboard.auth import Allowed
from interaction_usage.dashboard.errors import Invalid
from interaction_usage.dashboard.reports import Asked, Impossible
from interaction_usage.store import account_settings
from rollups.local_time import UnknownZone, zone
from rollups.timestamps import parse_rfc3339

#: Days that are shown if none are asked for, today included.
DEFAULT_DAYS: Final = 7


def asked(
    request: Request,
    account: str,
    asker: Allowed,
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
) -> Asked:
    """Return the period asked for. Raises NoSuchAccount and Invalid."""
    asker.must_see(account)
    known = account_settings.get(request.app.state.redis, account)
    instant = _instant(as_of) if as_of is not None else datetime.now(UTC)
    try:
        today = instant.astimezone(zone(known.timezone if tz is None else tz)).date()
    except UnknownZone as error:
        raise Invalid(("query", "tz"), str(error)) from None
    except OverflowError:
        raise Invalid(("query", "as_of"), "this instant lies outside the calendar") from None
    last = to or today
    try:
        begin = first or last - timedelta(days=DEFAULT_DAYS - 1)
    except OverflowError:
        begin = last
    try:
        request.app.state.reports.check_period(begin, last)
    except Impossible as error:
        raise Invalid(("query", error.field), str(error)) from None
    return Asked(account, begin, last, tz, instant)


def _instant(text: str) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_rfc3339(text))
    except (ValueError, OverflowError) as error:
        raise Invalid(("query", "as_of"), str(error)) from None


Period = Annotated[Asked, Depends(asked)]
