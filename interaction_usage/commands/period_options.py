"""The options for the period of a command: `--from` and `--to`, or `--month`.

An invalid period is wrong usage, and reported before anything is connected to.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import Any

import click

from interaction_usage.reports.errors import PeriodError
from interaction_usage.reports.periods import check_period


class Day(click.ParamType):
    """A calendar day, `2026-10-01`."""

    name = "day"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Return the day that *value* names."""
        if isinstance(value, date):
            return value
        try:
            year, month, day = value.split("-")
            return _day(year, month, day)
        except ValueError:
            self.fail(f"{value!r} is not a calendar day; write it like 2026-10-01", param, ctx)


class Month(click.ParamType):
    """A calendar month, `2026-10`, as its first and its last day; `previous` is the last whole one.

    That is by the calendar of UTC: it has ended everywhere 12 hours after midnight.
    """

    name = "month"

    def convert(
        self,
        value: str | tuple[date, date],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[date, date]:
        """Return the days of the month that *value* names."""
        if isinstance(value, tuple):
            return value
        if value == "previous":
            this_month = datetime.now(UTC).date().replace(day=1)
            last = this_month - timedelta(days=1)
            return last.replace(day=1), last
        try:
            year, month = value.split("-")
            first = _day(year, month, "01")
            following = first.replace(day=28) + timedelta(days=4)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a calendar month; write it like 2026-10", param, ctx)
        return first, following - timedelta(days=following.day)


class Instant(click.ParamType):
    """An instant, `2026-11-01T09:00:00Z`."""

    name = "instant"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant that *value* names, in UTC."""
        if isinstance(value, datetime):
            return value
        from rollups.timestamps import parse_rfc3339

        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_rfc3339(value))
        except OverflowError:
            self.fail(f"{value!r} lies outside the calendar", param, ctx)
        except ValueError as error:
            self.fail(f"{error}; write it like 2026-11-01T09:00:00Z", param, ctx)


def period_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options of a period; it gets `first` and `last`, both included."""

    @wraps(command)
    def with_period(
        *, first: date | None, last: date | None, month: tuple[date, date] | None, **others: Any
    ) -> None:
        if month is not None:
            if first is not None or last is not None:
                raise click.UsageError("Give --month, or --from and --to, not both.")
            first, last = month
        if first is None and last is None:
            raise click.UsageError("Give a period: --month 2026-10, or --from and --to.")
        if first is None:
            raise click.UsageError("Missing option '--from': the first day of the period.")
        if last is None:
            raise click.UsageError("Missing option '--to': the last day of the period.")
        try:
            check_period(first, last)
        except PeriodError as error:
            raise click.UsageError(str(error)) from None
        command(first=first, last=last, **others)

    for option in (
        click.option("--month", type=Month(), help="A whole month, like 2026-10, or previous."),
        click.option("--to", "last", type=Day(), help="Last day, inclusive."),
        click.option("--from", "first", type=Day(), help="First day, inclusive."),
    ):
        with_period = option(with_period)
    return with_period


def _day(year: str, month: str, day: str) -> date:
    text = year + month + day
    if text.isascii() and text.isdigit() and len(year) == 4 and len(month) <= 2 >= len(day):
        return date(int(year), int(month), int(day))
    raise ValueError(text)
