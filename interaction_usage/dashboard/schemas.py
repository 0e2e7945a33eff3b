"""The shapes of the API's answers and of what it takes, for OpenAPI."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from interaction_usage.dashboard.views import MOST_FLOWS
from rollups.catalog import (
    APPLICATIONS,
    EVENTS,
    METRIC_ROWS,
    SECTIONS,
    SERVICES,
    Section,
    metrics_of,
    series_of,
)

Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0)]


class Account(BaseModel):
    """An account and its settings."""

    account: str = Field(description="The account id.")
    name: str = Field(description="The name on the report; the id if never set.")
    timezone: str = Field(description="IANA time zone of its days.", examples=["Europe/Paris"])
    dnis: bool = Field(description="Whether the DNIS section of the report applies.")
    sms: bool = Field(description="Whether the Outgoing SMS section of the report applies.")
    late_usage: Literal["revise", "adjust"] = Field(
        description="What becomes of usage that comes, or is corrected, after its report was "
        "issued: an operator may revise the report, or the next one has an adjustment."
    )


class ListedAccount(Account):
    """An account in the list, with what is new of it; some seconds old."""

    last_counted: str | None = Field(
        description="When an event was last counted; null: not for 35 days, or never."
    )
    flow_runs: int | None = Field(description="Flow runs of this month so far.")
    is_known: bool = Field(description="Whether these two were read yet.")


class AccountDetails(Account):
    """An account, with what the deployment says of it."""

    counted: bool = Field(description="Whether any event was counted for it.")
    session_limits: dict[str, int] = Field(
        description="Seconds after which a session without a stop ends, by application. A setting "
        "of the deployment; it cannot be changed here."
    )
    may_change: list[str] = Field(description="The settings that your token may change.")


class AccountChange(BaseModel):
    """What to set of an account; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(None, description="1 to 200 printable characters.")
    timezone: str | None = Field(None, description="IANA name.", examples=["Europe/Paris"])
    dnis: bool | None = None
    sms: bool | None = None
    late_usage: Literal["revise", "adjust"] | None = None


class SettingChange(BaseModel):
    """One setting of an account that got another value."""

    id: str = Field(description="For `before`; ids grow with time.")
    at: str
    by: str = Field(
        description="The label of the token, or its role where it has none; `command` for `usage "
        "account set`. For an account's token `operator` stands for all operators."
    )
    token: str | None = Field(description="The id of the token, as `usage token list` shows it.")
    field: str
    old: str | bool = Field(alias="from")
    new: str | bool = Field(alias="to")


class AccountHistory(BaseModel):
    """Changes of an account's settings, newest first."""

    changes: list[SettingChange]
    next: str | None = Field(description="The `before` of the next page; null on the last one.")


class MonthEdge(BaseModel):
    """The edge between a month in the old time zone and the next one in the new time zone."""

    before: str = Field(description="The month that ends.", examples=["2026-10"])
    month: str = Field(description="The month that begins.", examples=["2026-11"])
    ended: str = Field(description="When the first ends, in the old time zone.")
    begins: str = Field(description="When the second begins, in the new time zone.")
    seconds: int = Field(
        description="How much later it begins: so much time is on no bill; below 0, on both."
    )


class ZoneChange(BaseModel):
    """What another time zone would do to days and bills."""

    old: str = Field(alias="from")
    new: str = Field(alias="to")
    months: list[MonthEdge]
    sentences: list[str] = Field(description="The same for people; empty where the zone stays.")


class DaysWithUsage(BaseModel):
    """From when to when an account has usage."""

    first: date | None = Field(description="The first local day with usage; null if there is none.")
    last: date | None


class Zone(BaseModel):
    """A time zone."""

    name: str = Field(description="IANA name.")
    offset: int = Field(description="Its offset from UTC now, in seconds.")
    also: str = Field(description="Its country, and former names of it.")


class Completeness(BaseModel):
    """Whether a report has everything that was published."""

    status: str = Field(
        description="`issued`; `open`: the period has not ended; `provisional`: it has, and all "
        "that is published is counted; `incomplete`: something published may be missing."
    )
    complete_to: str | None = Field(
        description="Everything published before it is counted or refused; null if unknown."
    )
    pending: Whole | None = Field(
        description="Events of all accounts that were waiting a moment ago; null if unknown."
    )
    refused: Whole = Field(
        description="Events of the account in these days that lie in dead letters, not replayed."
    )
    reasons: list[str] = Field(description="Why it is incomplete, a sentence each.")
    accepted: list[str] = Field(description="What is missing and was accepted, a sentence each.")


class IssuedReport(BaseModel):
    """An issued report, and whether it would be another one now."""

    model_config = ConfigDict(populate_by_name=True)

    number: str = Field(examples=["acme-000001"])
    account: str
    first: str = Field(alias="from", description="First local day.")
    to: str = Field(description="Last local day, inclusive.")
    timezone: str
    issued_at: str
    revises: str | None = Field(description="The number of the report that it revises.")
    revised_by: str | None = Field(description="The number of the report that revises it.")
    changed: Whole | None = Field(
        description="How many of its numbers would be others now than what is billed, adjustments "
        "included; null where that is not known: it is revised, or many newer ones are."
    )
    adjusts: list[str] = Field(description="The numbers of the reports that it adjusts.")
    adjusted_by: list[str] = Field(description="The numbers of the reports that adjust it.")


class IssueOrder(BaseModel):
    """A report to issue."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: date = Field(alias="from", description="First local day.")
    to: date = Field(description="Last local day, inclusive.")
    revises: str | None = Field(None, max_length=140, description="The report that it replaces.")
    gap: bool = Field(False, description="Leave out time beside it that is on no report.")
    overlap: bool = Field(False, description="Bill time that is on an issued report already.")


class IssuedNumber(BaseModel):
    """The number of an issued report."""

    number: str
    new: bool = Field(description="Whether it was issued now; otherwise it was before.")


class Obstacle(BaseModel):
    """What keeps a report from being issued."""

    kind: str = Field(description="`NotFinished`, `PeriodGap`, `PeriodOverlap` or `Revision`.")
    sentence: str


class IssuePreview(BaseModel):
    """What would be issued."""

    number: str
    issued: bool = Field(description="Whether it is issued already.")
    timezone: str
    obstacles: list[Obstacle]
    report: dict[str, Any] = Field(description="The report, as it would be issued.")


class DifferentCell(BaseModel):
    """A value that is another now."""

    path: str = Field(examples=["flow_runs.total"])
    issued: Any
    now: Any


class IssuedDifference(BaseModel):
    """What an issued report would say now."""

    number: str
    changed: bool
    cells: list[DifferentCell]


class PeriodMembers(BaseModel):
    """What every report of the dashboard says of itself."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    account: str
    first: str = Field(alias="from", description="First local day.")
    to: str = Field(description="Last local day, inclusive.")
    timezone: str
    as_of: str = Field(description="Hours that begin at or after this instant are not part of it.")
    completeness: Completeness


class Runs(BaseModel):
    """Flow runs: all that were begun, and how they ended."""

    begun: Whole
    completed: Whole
    abandoned: Whole


class Span(BaseModel):
    """What an item of `days` covers: one local day, unless hours, weeks or months are asked for."""

    day: str = Field(description="The first local day.")
    last: str | None = Field(None, description="The last local day; left out where it is `day`.")
    begins: str | None = Field(None, description="Of an hour: the local instant it begins at.")


class DayOfRuns(Runs, Span):
    """Flow runs of one span."""


class Usage(PeriodMembers):
    """Flow runs per span."""

    flow: str | None
    days: list[DayOfRuns]
    total: Runs


class Ran(BaseModel):
    """How often something ran."""

    runs: Whole
    completed: Whole
    abandoned: Whole
    share: Share | None = Field(description="Of all runs, as a fraction of 1.")


class Flow(Ran):
    """How often one Interaction Flow ran."""

    flow: str


class Other(Ran):
    """The exact sum of the flows that are not listed."""

    flows: Whole


class Heat(PeriodMembers):
    """How often each flow ran, most used first."""

    flow: str | None
    flows: Annotated[list[Flow], Field(max_length=MOST_FLOWS + 1)]
    other: Other | None
    flow_count: Whole
    total: Ran


def _counters(name: str, about: str, names: Iterable[str], *, day: bool = False) -> Any:
    """Return the model of counters that are called *names*; with the *day* they are of."""
    members: dict[str, Any] = {
        each.replace("-", "_"): (Whole, Field(alias=each) if "-" in each else ...) for each in names
    }
    base = Span if day else BaseModel
    return create_model(name, __doc__=about, __base__=base, **members)


ByApplication = _counters("ByApplication", "Flow runs by application.", APPLICATIONS)
DayByApplication = _counters(
    "DayByApplication", "Flow runs by application in one span.", APPLICATIONS, day=True
)


class Applications(PeriodMembers):
    """Flow runs by application."""

    days: list[DayByApplication]  # type: ignore[valid-type]  # made from the catalogue
    total: ByApplication  # type: ignore[valid-type]
    all: Whole


Clicks = _counters("Clicks", "Clicks by service.", SERVICES)
DayOfClicks = _counters("DayOfClicks", "Clicks by service in one span.", SERVICES, day=True)


class Connectivity(PeriodMembers):
    """Clicks by service."""

    days: list[DayOfClicks]  # type: ignore[valid-type]
    total: Clicks  # type: ignore[valid-type]
    all: Whole


class Turned(Runs):
    """Flow runs, and the clicks on call, callback and chat; None where a flow is given."""

    call_now: Whole | None = Field(alias="call-now")
    callback: Whole | None
    chat: Whole | None
    turned: Whole | None = Field(description="The three together.")
    share: Share | None = Field(description="Turned per run begun.")


class DayTurned(Turned, Span):
    """The same of one span."""


class Resolution(PeriodMembers):
    """Flow runs against those that turned to call, callback or chat."""

    flow: str | None
    days: list[DayTurned]
    total: Turned


class DayOfPeaks(Span):
    """A span's highest concurrency, the earliest hour that had it, the mean hourly peak."""

    max: Whole
    hour: str | None
    average: Share
    reported_hours: Whole = Field(description="Hours whose peak is above 0.")


class Series(BaseModel):
    """A concurrency series over all days."""

    max: Whole
    average: Share
    reported_hours: Whole
    busiest_hour: str | None
    days: list[DayOfPeaks]


class HeatMap(BaseModel):
    """Peaks by span and hour of the clock."""

    days: list[str]
    peaks: dict[str, list[list[Whole | None]]] = Field(
        description="Series to a list per span of 24 peaks; null where it has no such hour."
    )


class Concurrency(PeriodMembers):
    """Concurrency per span."""

    series: dict[str, Series]
    heat: HeatMap


class ReportedSeries(BaseModel):
    """A concurrency series in the Usage Report."""

    max: Whole
    average: Share
    reported_hours: Whole
    busiest_hour: str | None


class ReportedSessions(BaseModel):
    """The sessions of an application that start in the period; null where nobody counted them."""

    started: Whole | None
    without_stop: Whole | None = Field(
        description="Of the started ones: no stop of them has arrived, so their end is inferred."
    )


#: The models of the report's members that are not simply called as the member is.
_NAMES: Final = {
    ("flow_runs",): ("FlowRunsReported", "Flow runs in the Usage Report."),
    ("flow_runs", "by_application"): ("ByApplication", "Flow runs by application."),
    ("assistance",): ("Clicks", "Clicks by service."),
    ("dnis",): ("Dnis", "The DNIS section."),
}


def _reported_members(path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the members below *path* of the report's counters, as fields of a model."""
    members: dict[str, Any] = {}
    for metric in METRIC_ROWS:
        if not metric.json_path or metric.json_path[: len(path)] != path:
            continue
        name = metric.json_path[len(path)]
        if (*path, name) == metric.json_path:
            kind: Any = Whole if metric.unit is EVENTS else Share
        else:
            kind = _reported_member((*path, name), metric.section)
        alias = name.replace("-", "_")
        members.setdefault(alias, (kind, ... if alias == name else Field(alias=name)))
    return members


def _reported_member(path: tuple[str, ...], section: Section | None) -> Any:
    """Return the model of what lies at *path* of the report; or None, if its section may be off."""
    title = section.title if section else path[-1]
    named = "".join(part.title() for name in path for part in name.replace("-", "_").split("_"))
    name, about = _NAMES.get(path, (named, f"The {title} section."))
    model = create_model(name, __doc__=about, **_reported_members(path))
    return model | None if section and section.applies and len(path) == 1 else model


def _report() -> Any:
    """Return the model of the Usage Report: its members in the order of the document."""
    members: dict[str, Any] = {
        "account": (str, ...),
        "name": (str, ...),
        "first": (str, Field(alias="from")),
        "to": (str, ...),
        "timezone": (str, ...),
        "as_of": (str, ...),
    }
    for section in SECTIONS:
        if series_of(section):
            members["concurrency"] = (dict[str, ReportedSeries], ...)
            members["sessions"] = (dict[str, ReportedSessions], ...)
        for metric in metrics_of(section):
            name = metric.json_path[0]
            members[name] = (_reported_member((name,), section), ...)
    members["completeness"] = (Completeness, ...)
    members["number"] = (str | None, Field(None, description="Of the issued report that it is."))
    members["revises"] = (str | None, Field(None, description="The report that it revises."))
    about = "The Usage Report, as `usage export --format json` writes it."
    return create_model("Report", __doc__=about, **members)


Report = _report()


class Dashboard(BaseModel):
    """All reports of the dashboard and the Usage Report, from one reading."""

    usage: Usage
    applications: Applications
    concurrency: Concurrency
    resolution: Resolution
    connectivity: Connectivity
    heat: Heat
    report: Report  # type: ignore[valid-type]


class LiveSeries(BaseModel):
    """A series at this second."""

    now: Whole = Field(description="Sessions present at this second.")
    peak: Whole = Field(description="The most at any second of this hour so far.")
    peak_at: str | None = Field(description="The first second with that peak.")
    open: Whole = Field(description="Sessions that were begun and not stopped.")
    open_long: Whole = Field(description="Of these, those for longer than `long_after`.")
    oldest_began: str | None = Field(description="When the oldest of those began.")


class ClockHour(BaseModel):
    """An hour of the account's wall clock."""

    first: str = Field(alias="from")
    to: str


class Curve(BaseModel):
    """Sessions present at each second, up to `as_of`."""

    first: int = Field(alias="from", description="The first second, since 1970-01-01T00:00:00Z.")
    levels: dict[str, list[int]]


class Alive(BaseModel):
    """That the server runs."""

    status: str = Field(description="`alive`.")


class Ready(BaseModel):
    """Whether the server can answer."""

    status: str = Field(description="`ready` or `not-ready`.")
    reasons: list[str] = Field(description="Why it cannot; empty if it can.")


class Stream(BaseModel):
    """How the stream of all accounts is; for operators, and null for an account's token."""

    workers: Whole | None
    events_per_second: Share | None
    lag: Whole | None = Field(description="Events not counted yet; null if unknown.")


class Stale(BaseModel):
    """Why the numbers may be older than they look."""

    reason: str = Field(
        description="`redis-away`, `layout` (the rollups are of another version), `no-worker`, "
        "`worker-waits`, `kafka-away` (no broker answers), `kafka-denied` (a right is missing), "
        "`topic-missing`, `lag`, or for operators `gaps`."
    )
    message: str


class Live(BaseModel):
    """The current hour, as it happens."""

    account: str
    as_of: str
    timezone: str
    hour: ClockHour
    series: dict[str, LiveSeries]
    curve: Curve
    long_after: dict[str, int] = Field(
        description="Seconds after which an open session is one for long, by application."
    )
    stream: Stream
    stale: Stale | None
    warnings: list[str] = Field(
        description="What may become trouble later, such as topics that Kafka deletes events from; "
        "for operators, and empty for an account's token."
    )


class EvidenceEvent(BaseModel):
    """An event behind a number, and where it is in Kafka."""

    source: str
    id: str
    type: str
    time: str
    topic: str
    partition: Whole
    offset: Whole
    reason: str | None = Field(None, description="Why, of a correction; left out of other events.")
    actor: str | None = Field(None, description="Who made a correction, if it says so.")


class PresentSession(BaseModel):
    """A session that was present at a second."""

    application: str
    session: str | None = Field(description="Null where a setting hides sessions from accounts.")
    start: str = Field(description="The first second at which it was present, local time.")
    stop: str = Field(description="The second after the last one.")
    inferred: bool = Field(description="Whether it has no stop, so that its end is inferred.")
    corrected: bool = Field(description="Whether a correction replaced its start and stop.")
    events: list[EvidenceEvent]


class MinuteCurve(BaseModel):
    """The highest level of each minute of an hour."""

    begins: str
    minutes: list[Whole]


class Explanation(BaseModel):
    """When a maximum was reached, and who was there; computed from the events."""

    account: str
    series: str
    max: Whole
    at: str | None = Field(description="The first second with the maximum, local time.")
    seconds_at_max: Whole
    agrees: bool = Field(description="Whether the rollups have the same maximum.")
    sessions: list[PresentSession]
    rollups: Whole = Field(description="The maximum that the rollups have.")
    curve: MinuteCurve | None = Field(description="The hour of it; null where nothing is present.")
    made_from: dict[str, Any] = Field(description="What the answer was made from.")


class OtherCounts(BaseModel):
    """Other ways to bill the same curve; computed from the events."""

    max: Whole
    sustained: dict[str, Whole] = Field(
        description="Minutes to the most sessions for so many minutes in a row."
    )
    accumulated: dict[str, Whole] = Field(
        description="Minutes to the most sessions for so many minutes in all."
    )
    percentile: dict[str, Whole] = Field(
        description="Percentiles over the highest level of each minute."
    )
    time_average: Share
    seconds: Whole = Field(description="The seconds of the period up to the as-of instant.")
    made_from: dict[str, Any] = Field(description="What the answer was made from.")


class Capacity(BaseModel):
    """What a licence of so many sessions would have meant."""

    sessions: Whole
    started: Whole
    refused: Whole
    seconds_above: Whole
    episodes: Whole
    longest: Whole


class Sentence(BaseModel):
    """What went wrong, in a sentence."""

    detail: str
