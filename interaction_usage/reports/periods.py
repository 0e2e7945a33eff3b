"""Which periods a report may cover, whoever asks for it: one bound for commands, pages and API."""

from datetime import date
from typing import Final

from interaction_usage.reports.errors import PeriodError

#: The most local days that one report may cover: ten years.
MAX_DAYS: Final = 3660

#: The first local day that a report may cover; no event is older (`docs/events.md`).
FIRST_DAY: Final = date(2000, 1, 1)

#: A zone in which every day has begun that has begun anywhere.
EARLIEST_ZONE: Final = "Etc/GMT-14"

#: The last day for which a calendar has the day after it, in every time zone.
_LAST_DAY: Final = date(9998, 12, 31)


def check_period(first: date, last: date) -> None:
    """Raise PeriodError unless a report may cover the local days *first* to *last*, inclusive."""
    if last < first:
        raise PeriodError(f"the period is reversed: {first} comes after {last}")
    if first < FIRST_DAY or last > _LAST_DAY:
        raise PeriodError(
            f"a period lies between {FIRST_DAY} and {_LAST_DAY}, but this is {first} to {last}"
        )
    days = (last - first).days + 1
    if days > MAX_DAYS:
        raise PeriodError(
            f"a period has at most {MAX_DAYS:,} days, but {first} to {last} has {days:,}"
        )
