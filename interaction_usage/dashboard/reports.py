"""The seam to whoever makes reports: what the dashboard asks for, and what it gets.

The dashboard computes no number of a bill. It is given something that makes reports, and shows
what that says; `interaction_usage/reports/service.py` gives it the code of `usage export`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from rollups.local_time import HourRun


class Asked(NamedTuple):
    """The report that is asked for: local days, both included, of an account that is visible."""

    account: str
    first: date
    last: date
    timezone: str | None  #: IANA name; None for the account's own
    as_of: datetime


class Impossible(ValueError):
    """Days that no report can be made for; `field` is the query's member that cannot be."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Missing(LookupError):
    """The account does not exist."""


class Counts(Protocol):
    """Exact sums of some days."""

    @property
    def flow_runs(self) -> Mapping[str, int]: ...
    @property
    def flow_runs_total(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def abandoned(self) -> int: ...
    @property
    def clicks(self) -> Mapping[str, int]: ...


class Day(Protocol):
    """One local day."""

    @property
    def day(self) -> date: ...
    @property
    def counts(self) -> Counts: ...


class Hours(Protocol):
    """Hours of the wall clock, in order, as columns."""

    @property
    def runs(self) -> Sequence[HourRun]: ...
    @property
    def peaks(self) -> Mapping[str, Sequence[int]]: ...


class FlowRuns(Protocol):
    """How often one Interaction Flow ran."""

    @property
    def flow(self) -> str: ...
    @property
    def completed(self) -> int: ...
    @property
    def abandoned(self) -> int: ...


class Concurrency(Protocol):
    """One series over all days."""

    @property
    def maximum(self) -> int: ...
    @property
    def average(self) -> float: ...
    @property
    def reported_hours(self) -> int: ...
    @property
    def busiest_hour(self) -> datetime | None: ...


class Head(Protocol):
    """What every report says of itself."""

    @property
    def account(self) -> str: ...
    @property
    def first(self) -> date: ...
    @property
    def last(self) -> date: ...
    @property
    def timezone(self) -> str: ...
    @property
    def as_of(self) -> datetime: ...


class Breakdown(Head, Protocol):
    """A report with its days and its hours."""

    @property
    def counts(self) -> Counts: ...
    @property
    def concurrency(self) -> Mapping[str, Concurrency]: ...
    @property
    def days(self) -> Sequence[Day]: ...
    @property
    def hours(self) -> Hours: ...


class FlowBreakdown(Head, Protocol):
    """A report with its flows, most used first."""

    @property
    def flows(self) -> Sequence[FlowRuns]: ...


class Reports(Protocol):
    """Makes reports. Each method raises Missing, or Impossible."""

    def check_period(self, first: date, last: date) -> None:
        """Raise Impossible unless a report may cover the local days *first* to *last*."""

    def document(self, asked: Asked) -> bytes:
        """Return the report as JSON, as `usage export --format json` writes it."""

    def spreadsheet(self, asked: Asked) -> bytes:
        """Return the report as `usage export` writes `usage.xls`."""

    def breakdown(self, asked: Asked) -> Breakdown:
        """Return the report with its days and hours."""

    def flows(self, asked: Asked) -> FlowBreakdown:
        """Return the report with its flows."""
