"""The shapes of the report pages' data, and of the Usage Report."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from interaction_usage.dashboard.schemas.shared import Completeness, Share, Whole
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
