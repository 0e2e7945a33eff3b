"""The Usage Report as data: what every renderer gets, and nothing that it must compute."""

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from rollups.vocabulary import AGENT, AGENT_SESSIONS, MOBILE_WEB, TICKET_GUIDANCE, WEB_SELF_SERVICE

#: The names people read, by the names programs use.
LABELS = {
    AGENT_SESSIONS: "Agent Application and Ticket Guidance",
    AGENT: "Agent Application",
    TICKET_GUIDANCE: "Ticket Guidance",
    MOBILE_WEB: "Mobile Web",
    WEB_SELF_SERVICE: "Web Self Service",
    "call-now": "Call Now clicks",
    "callback": "Callback clicks",
    "chat": "Chat clicks",
    "email": "Email clicks",
}

#: The two concurrency sections of the report and the series in each.
AGENT_SECTION = (AGENT_SESSIONS, AGENT, TICKET_GUIDANCE)
FLOW_SECTION = (MOBILE_WEB, WEB_SELF_SERVICE)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """One series over the whole period."""

    maximum: int  #: the largest hourly peak, in sessions
    peak_sum: int  #: the sum of the hourly peaks
    reported_hours: int  #: how many hours had a peak above 0
    busiest_hour: datetime | None  #: start of the earliest hour with the maximum, local time

    @property
    def average(self) -> float:
        """The mean hourly peak over the reported hours, unrounded; 0 where none is reported."""
        return self.peak_sum / self.reported_hours if self.reported_hours else 0

    @property
    def exact_average(self) -> Fraction:
        """The same mean as a fraction, for sums that must not round."""
        return Fraction(self.peak_sum, self.reported_hours or 1)


@dataclass(frozen=True, slots=True)
class HourPeaks:
    """One hour of the wall clock: the most sessions present at any second of it."""

    begins: datetime  #: local time, with its UTC offset
    seconds: int  #: how long the hour is: 3600, less where a clock change cuts it
    peaks: dict[str, int]  #: by series


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of one period, all exact."""

    flow_runs: dict[str, int]  #: by application
    completed: int  #: flow runs that ended completed
    abandoned: int  #: flow runs that ended abandoned
    clicks: dict[str, int]  #: by service
    call_thousandths: int  #: Call Now minutes, in thousandths of a minute
    sms_with_link: int
    numbers_purchased: int

    @property
    def flow_runs_total(self) -> int:
        """All flow runs, whatever their application or outcome."""
        return sum(self.flow_runs.values())


@dataclass(frozen=True, slots=True)
class Day:
    """One local day: its counters and each series' highest hourly peak."""

    day: date
    counts: Counts
    peaks: dict[str, int]  #: by series


@dataclass(frozen=True, slots=True)
class FlowRuns:
    """How often one Interaction Flow ran."""

    flow: str
    completed: int
    abandoned: int

    @property
    def total(self) -> int:
        """All runs of this flow."""
        return self.completed + self.abandoned


@dataclass(frozen=True, slots=True)
class Report:
    """An account's Usage Report for the local days `first` to `last`, both included."""

    account: str
    name: str
    first: date
    last: date
    timezone: str  #: IANA name
    as_of: datetime  #: hours that begin at or after this instant are not part of the report
    counts: Counts
    concurrency: dict[str, Concurrency]  #: by series
    dnis: bool  #: whether the DNIS section applies to the account
    sms: bool  #: whether the Outgoing SMS section applies to the account
    days: tuple[Day, ...] = ()  #: breakdown, in order; empty unless it was asked for
    hours: tuple[HourPeaks, ...] = ()  #: breakdown, in order; empty unless it was asked for
    flows: tuple[FlowRuns, ...] = ()  #: breakdown, most used first; empty unless asked for
