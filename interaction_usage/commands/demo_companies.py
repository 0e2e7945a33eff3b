"""The demo's made-up accounts: how busy each is, by season, weekday and hour, and what happened.

Days are counted back from the day on which the demo runs, so that there is always something to
find in the last month. That day is a busy one, whatever the day of the week.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

#: How much of today's usage an account had a year ago.
_A_YEAR_AGO: Final = 0.35


class Episode(NamedTuple):
    """Something out of the ordinary, and what it did to usage."""

    title: str
    days_ago: int  #: of its first day
    days: int = 1
    hours: tuple[float, float] = (0, 24)  #: of the local day, [from, to)
    customers: float = 1  #: times as many sessions of customers; 0: nothing ran at all
    messages: float = 1  #: times as many SMS messages
    refused: float = 0  #: share of events that came without their data

    def covers(self, days_ago: int) -> bool:
        """Tell whether the day so many days ago is one of its days."""
        return self.days_ago >= days_ago > self.days_ago - self.days


class Company(NamedTuple):
    """A made-up account."""

    id: str
    name: str
    timezone: str
    agents: int  #: at work on a usual weekday
    customers: int  #: sessions of customers on a usual weekday
    seasons: tuple[float, ...]  #: usage of each month, 1 being usual
    free_days: tuple[int, ...]  #: days of the week with less of everything, 0 being Monday
    episodes: tuple[Episode, ...]


COMPANIES: Final = (
    Company(
        "acme", "Acme Insurance", "Europe/Paris", agents=36, customers=90,
        seasons=(1.25, 1.2, 1.1, 1, 0.95, 0.9, 0.75, 0.7, 0.95, 1.05, 1.1, 1.15),
        free_days=(5, 6),
        episodes=(
            Episode("an outage", 8, hours=(10, 14), customers=0),
            Episode("an SMS campaign", 26, days=7, customers=1.7, messages=6),
            Episode("an app that sent broken events", 4, hours=(9, 12), refused=0.15),
            Episode("a new app, out today", 0, days=7, customers=6),
        ),
    ),
    Company(
        "bluebird", "Bluebird Airlines", "America/New_York", agents=44, customers=120,
        seasons=(0.8, 0.8, 0.95, 1, 1.05, 1.3, 1.4, 1.35, 1, 0.9, 0.95, 1.2),
        free_days=(5, 6),
        episodes=(
            Episode("a storm, with many flights cancelled", 15, days=2, customers=2.6),
            Episode("an SMS campaign", 80, days=14, customers=1.4, messages=5),
            Episode("a sale that began today", 0, days=7, customers=6),
        ),
    ),
    Company(
        "kumari", "Kumari Telecom", "Asia/Kathmandu", agents=24, customers=70,
        seasons=(0.95, 0.95, 1, 1, 1, 1.05, 1.1, 1.1, 1, 1.2, 1.1, 0.95),
        free_days=(5,),
        episodes=(
            Episode("a broken line to half of the valley", 6, hours=(16, 22), customers=5),
            Episode("a new tariff from today on", 0, days=7, customers=6),
        ),
    ),
)  # fmt: skip


def busyness(company: Company, day: date, today: date) -> float:
    """Return how busy *company* is on *day*: 1 on a usual weekday at about *today*.

    From *today* on no day is free, for whoever watches wants to see something.
    """
    years = (today - day).days / 365
    growth = max(_A_YEAR_AGO, 1 - (1 - _A_YEAR_AGO) * years)
    weekly = 0.4 if day < today and day.weekday() in company.free_days else 1.0
    return growth * weekly * _season(company, day)


def _season(company: Company, day: date) -> float:
    """Return the season's factor, which moves from the middle of a month to that of the next."""
    month, share = day.month - 1, (day.day - 15) / 30
    near = company.seasons[(month + (1 if share > 0 else -1)) % 12]
    return company.seasons[month] * (1 - abs(share)) + near * abs(share)


def episodes_of(company: Company, day: date, today: date) -> Iterator[Episode]:
    """Yield what happened on *day*."""
    days_ago = (today - day).days
    return (episode for episode in company.episodes if episode.covers(days_ago))
