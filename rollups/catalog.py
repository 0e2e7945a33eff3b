"""The catalogue: which events there are, what they count, and where each number is reported.

One row for each fact of the bill, and one place for each row. Topics, envelopes, the fold's
dispatch, the Usage Report in every format, OpenAPI, the JSON Schemas and what pages and commands
show come from here, in the order of the rows. So a new type of event takes a struct for its data
in `rollups.events`, a row in `EVENT_TYPES`, and a row in `METRIC_ROWS`. Evidence shares nothing
with this: there a counter stands in `evidence/questions.py` and `evidence/sql/amounts.sql`.

Rows that do not fit together fail when this module is imported (`check`). What is stored in Redis
goes by the ids here, and series by their place in `SERIES`, so neither may change its meaning.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_args

from rollups.events import (
    Application,
    AssistClicked,
    CallMinutes,
    Data,
    EventVoided,
    FlowRun,
    NumberPurchased,
    NumberReleased,
    Outcome,
    Service,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.slots import DAYS_PER_BLOCK

# ------------------------------------------------------------------------------ vocabulary

#: Applications a session or flow run can belong to.
APPLICATIONS: Final[tuple[str, ...]] = get_args(Application)
AGENT, TICKET_GUIDANCE, MOBILE_WEB, WEB_SELF_SERVICE = APPLICATIONS

APPLICATION_LABELS: Final = {
    AGENT: "Agent Application",
    TICKET_GUIDANCE: "Ticket Guidance",
    MOBILE_WEB: "Mobile Web",
    WEB_SELF_SERVICE: "Web Self Service",
}

#: Ways a customer asks for a person.
SERVICES: Final[tuple[str, ...]] = get_args(Service)
SERVICE_LABELS: Final = {
    "call-now": "Call Now",
    "callback": "Callback",
    "chat": "Chat",
    "email": "Email",
}

OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
COMPLETED, ABANDONED = OUTCOMES
OUTCOME_LABELS: Final = {COMPLETED: "Completed", ABANDONED: "Abandoned"}

#: What stands before the colon in the counters of single flows, as they are stored: one letter for
#: each outcome. Letters are never used again for another outcome.
FLOW_PREFIXES: Final = {COMPLETED: "c", ABANDONED: "a"}

#: How many seconds a session without a stop lasts, unless the deployment says otherwise.
DEFAULT_SESSION_LIMIT: Final = 24 * 60 * 60

# ------------------------------------------------------------------------- kinds of rows


class Unit(NamedTuple):
    """What a counter counts: `per` of what is stored are one of what is reported."""

    name: str
    per: int = 1

    def reported(self, amount: int) -> int | float:
        """Return the stored *amount* as it is reported."""
        return amount if self.per == 1 else amount / self.per


EVENTS: Final = Unit("events")
MINUTES: Final = Unit("minutes", per=1000)


class Section(NamedTuple):
    """A section of the Usage Report."""

    title: str
    applies: str = ""  #: the setting of an account that it depends on; empty: it always applies
    peaks: str = ""  #: above the columns of its curves in breakdowns; empty: the title
    meaning: str = ""  #: how its numbers are defined, in sentences for whoever pays the bill


class Series(NamedTuple):
    """A concurrency curve. Its place in `SERIES` is its name in Redis."""

    id: str
    label: str
    applications: tuple[str, ...]  #: whose sessions it is made of
    section: Section
    short_label: str = ""  #: where there is little room; empty: the label


class Metric(NamedTuple):
    """A counter: an exact integer sum, stored under its id.

    One with a `json_path` is on the report: in its section, and at that path of the JSON document.
    """

    id: str
    label: str
    section: Section | None = None  #: None: it is counted, and on no report
    json_path: tuple[str, ...] = ()
    unit: Unit = EVENTS
    heading: str | None = None  #: of its column per day; None: the label; empty: it has no column
    sum_of: tuple[str, ...] = ()  #: the ids of the counters that it sums up; itself not stored

    @property
    def column(self) -> str:
        """The heading of its column in the breakdown per day; empty if it has none."""
        if self.section is None:
            return ""
        return self.label if self.heading is None else self.heading


#: Adds what an event's data counts to the counters of its slot.
Counting = Callable[[dict[str, int], Any], None]


class Count(NamedTuple):
    """Counts each event."""

    metric: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it adds to."""
        return (self.metric,)

    def counting(self) -> Counting:
        """Return the function that counts an event's data."""
        metric = self.metric

        def count(counters: dict[str, int], data: Any) -> None:
            counters[metric] = counters.get(metric, 0) + 1

        return count


class CountBy(NamedTuple):
    """Counts each event in the counter that a member of its data chooses."""

    member: str
    chosen: Mapping[Any, str]  #: value to counter

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it adds to."""
        return tuple(self.chosen.values())

    def counting(self) -> Counting:
        """Return the function that counts an event's data."""
        value_of, chosen = attrgetter(self.member), self.chosen

        def count(counters: dict[str, int], data: Any) -> None:
            metric = chosen[value_of(data)]
            counters[metric] = counters.get(metric, 0) + 1

        return count


class Sum(NamedTuple):
    """Adds up a member of the events' data, a whole number."""

    metric: str
    member: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it adds to."""
        return (self.metric,)

    def counting(self) -> Counting:
        """Return the function that counts an event's data."""
        metric, amount_of = self.metric, attrgetter(self.member)

        def count(counters: dict[str, int], data: Any) -> None:
            counters[metric] = counters.get(metric, 0) + amount_of(data)

        return count


class CountFlowRuns(NamedTuple):
    """Counts each run by its application, by its outcome, and for its flow."""

    by_application: Mapping[str, str]
    by_outcome: Mapping[str, str]
    prefixes: Mapping[str, str]  #: of the counters of single flows, by outcome

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it adds to, but those of single flows."""
        return (*self.by_application.values(), *self.by_outcome.values())

    def counting(self) -> Counting:
        """Return the function that counts an event's data: two events of five come through it."""
        by_application, by_outcome, prefixes = self

        def count(counters: dict[str, int], data: Any) -> None:
            metric, outcome = by_application[data.application], data.outcome
            counters[metric] = counters.get(metric, 0) + 1
            metric = by_outcome[outcome]
            counters[metric] = counters.get(metric, 0) + 1
            metric = f"{prefixes[outcome]}:{data.flow}"  # `flow_metric`, without a call
            counters[metric] = counters.get(metric, 0) + 1

        return count


class SessionEdge(NamedTuple):
    """The start or the stop of a session: what the curves are made of.

    A session is counted as often as it is one, however many events there are of it: where its
    earliest start lies, once what is stored of it is known (`lua/apply.lua`).
    """

    is_start: bool
    started: Mapping[str, str]  #: application to the counter of sessions that were started
    unstopped: Mapping[str, str]  #: application to the counter of those of them without a stop

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it changes."""
        return (*self.started.values(), *self.unstopped.values())


class SessionCorrection(NamedTuple):
    """Replaces all that is known of a session, in the curves and in the counters of sessions."""

    started: Mapping[str, str]  #: application to the counter of sessions that were started
    unstopped: Mapping[str, str]  #: application to the counter of those of them without a stop

    @property
    def metrics(self) -> tuple[str, ...]:
        """The counters that it changes."""
        return (*self.started.values(), *self.unstopped.values())


class TakeBack(NamedTuple):
    """Takes back what another event counted: one whose type counts by rules of its own."""


#: The rules by which the events of a type are counted one by one.
CountingRules = tuple[Count | CountBy | Sum | CountFlowRuns, ...]


class EventType(NamedTuple):
    """A type of event: the attribute `type`, the topic, the data, and what it counts."""

    name: str
    topic: str
    data: type[Data]
    counts: CountingRules | SessionEdge | SessionCorrection | TakeBack

    @property
    def rules(self) -> CountingRules | None:
        """The rules by which its events are counted one by one; None: by what else is known.

        A void can take back an event of a type that has some.
        """
        if isinstance(self.counts, SessionEdge | SessionCorrection | TakeBack):
            return None
        return self.counts


# --------------------------------------------------------------------------------- rows

FLOWS_RUN: Final = Section(
    "Interaction Flows Run",
    meaning="Each run of an Interaction Flow counts once, for the application that it ran in, "
    "whether it was completed or abandoned.",
)
AGENT_CONCURRENCY: Final = Section(
    "Concurrent Agent Sessions",
    peaks="Peak agent sessions",
    meaning="Sessions of agents that were open at the same second. “Agent Application and Ticket "
    "Guidance” counts the sessions of both together; its maximum is not the sum of their maxima, "
    "which may lie at different times.",
)
FLOW_CONCURRENCY: Final = Section(
    "Concurrent Interaction Flows",
    peaks="Peak Interaction Flows",
    meaning="Sessions of customers that were open at the same second.",
)
ASSISTANCE: Final = Section(
    "Assistance Services",
    meaning="Clicks with which a customer asked for a person: a call at once, a callback, a chat "
    "or an email.",
)
DNIS: Final = Section(
    "DNIS Service",
    applies="dnis",
    meaning="Phone numbers that were purchased, and the minutes of Call Now calls, counted in "
    "thousandths of a minute.",
)
SMS: Final = Section(
    "Outgoing SMS",
    applies="sms",
    meaning="SMS messages that were sent and contain a campaign link. Messages without one are "
    "not counted here.",
)

#: The settings of an account that a section may depend on.
APPLICABLE: Final = ("dnis", "sms")

#: Agent and ticket-guidance sessions together, as one curve.
AGENT_SESSIONS: Final = "agent-sessions"

SERIES_ROWS: Final = (
    Series(
        AGENT_SESSIONS, "Agent Application and Ticket Guidance", (AGENT, TICKET_GUIDANCE),
        AGENT_CONCURRENCY, short_label="Agents together",
    ),
    Series(AGENT, APPLICATION_LABELS[AGENT], (AGENT,), AGENT_CONCURRENCY),
    Series(
        TICKET_GUIDANCE, APPLICATION_LABELS[TICKET_GUIDANCE], (TICKET_GUIDANCE,), AGENT_CONCURRENCY
    ),
    Series(MOBILE_WEB, APPLICATION_LABELS[MOBILE_WEB], (MOBILE_WEB,), FLOW_CONCURRENCY),
    Series(
        WEB_SELF_SERVICE, APPLICATION_LABELS[WEB_SELF_SERVICE], (WEB_SELF_SERVICE,),
        FLOW_CONCURRENCY,
    ),
)  # fmt: skip


def runs_of(application: str) -> str:
    """Return the counter of flow runs of *application*."""
    return f"runs.{application}"


def runs_ending(outcome: str) -> str:
    """Return the counter of flow runs with *outcome*."""
    return f"outcome.{outcome}"


def clicks_on(service: str) -> str:
    """Return the counter of clicks on *service*."""
    return f"clicks.{service}"


def sessions_of(application: str) -> str:
    """Return the counter of sessions of *application* that were started."""
    return f"sessions.{application}"


def unstopped_of(application: str) -> str:
    """Return the counter of those of these sessions that no stop is known of."""
    return f"unstopped.{application}"


RUNS: Final = {application: runs_of(application) for application in APPLICATIONS}
ENDINGS: Final = {outcome: runs_ending(outcome) for outcome in OUTCOMES}
CLICKS: Final = {service: clicks_on(service) for service in SERVICES}
STARTED: Final = {application: sessions_of(application) for application in APPLICATIONS}
UNSTOPPED: Final = {application: unstopped_of(application) for application in APPLICATIONS}

#: All flow runs: the one sum of other counters.
RUNS_TOTAL: Final = "runs"
CALL_THOUSANDTHS: Final = "call.minutes"
SMS_WITH_LINK: Final = "sms.link"
SMS_WITHOUT_LINK: Final = "sms.plain"
NUMBERS_PURCHASED: Final = "numbers.purchased"
NUMBERS_RELEASED: Final = "numbers.released"

METRIC_ROWS: Final = (
    Metric(RUNS_TOTAL, "Total", FLOWS_RUN, ("flow_runs", "total"), sum_of=tuple(RUNS.values())),
    *(
        Metric(
            metric, APPLICATION_LABELS[name], FLOWS_RUN, ("flow_runs", "by_application", name)
        )
        for name, metric in RUNS.items()
    ),
    *(Metric(metric, OUTCOME_LABELS[name], FLOWS_RUN) for name, metric in ENDINGS.items()),
    *(
        Metric(metric, f"{SERVICE_LABELS[name]} clicks", ASSISTANCE, ("assistance", name))
        for name, metric in CLICKS.items()
    ),
    Metric(NUMBERS_PURCHASED, "Phone numbers purchased", DNIS, ("dnis", "numbers_purchased")),
    Metric(NUMBERS_RELEASED, "Phone numbers released"),
    Metric(CALL_THOUSANDTHS, "Call Now minutes", DNIS, ("dnis", "call_minutes"), MINUTES),
    Metric(
        SMS_WITH_LINK, "SMS messages sent with a campaign link", SMS, ("sms", "messages_with_link"),
        heading="SMS with a campaign link",
    ),
    Metric(SMS_WITHOUT_LINK, "SMS messages sent without a campaign link"),
    *(Metric(metric, f"{APPLICATION_LABELS[name]} sessions") for name, metric in STARTED.items()),
    *(
        Metric(metric, f"{APPLICATION_LABELS[name]} sessions without a stop")
        for name, metric in UNSTOPPED.items()
    ),
)  # fmt: skip

EVENT_TYPES: Final = (
    EventType(
        "usage.session.started", "usage.sessions", SessionStarted,
        SessionEdge(True, STARTED, UNSTOPPED),
    ),
    EventType(
        "usage.session.stopped", "usage.sessions", SessionStopped,
        SessionEdge(False, STARTED, UNSTOPPED),
    ),
    EventType(
        "usage.flow.run", "usage.flows", FlowRun, (CountFlowRuns(RUNS, ENDINGS, FLOW_PREFIXES),)
    ),
    EventType("usage.assist.clicked", "usage.clicks", AssistClicked, (CountBy("service", CLICKS),)),
    EventType(
        "usage.call.minutes", "usage.calls", CallMinutes, (Sum(CALL_THOUSANDTHS, "thousandths"),)
    ),
    EventType(
        "usage.sms.sent", "usage.sms", SmsSent,
        (CountBy("link", {True: SMS_WITH_LINK, False: SMS_WITHOUT_LINK}),),
    ),
    EventType(
        "usage.number.purchased", "usage.numbers", NumberPurchased, (Count(NUMBERS_PURCHASED),)
    ),
    EventType("usage.number.released", "usage.numbers", NumberReleased, (Count(NUMBERS_RELEASED),)),
    EventType("usage.event.voided", "usage.corrections", EventVoided, TakeBack()),
    EventType(
        "usage.session.corrected", "usage.corrections", SessionCorrected,
        SessionCorrection(STARTED, UNSTOPPED),
    ),
)  # fmt: skip

# ------------------------------------------------------------------- derived from the rows

#: The ids of the concurrency curves. A series' index in this tuple is its name in Redis.
SERIES: Final = tuple(row.id for row in SERIES_ROWS)
SERIES_LABELS: Final = {row.id: row.label for row in SERIES_ROWS}

#: The series that a session of an application is part of.
SERIES_OF: Final = {
    name: tuple(row.id for row in SERIES_ROWS if name in row.applications) for name in APPLICATIONS
}

#: The types of events that a void can take back.
VOIDABLE: Final = tuple(row for row in EVENT_TYPES if row.rules is not None)

#: Every stored counter of an account but those of its flows.
METRICS: Final = tuple(row.id for row in METRIC_ROWS if not row.sum_of)

#: Those of sessions, which layouts of rollups before 6 do not have.
SESSION_METRICS: Final = frozenset((*STARTED.values(), *UNSTOPPED.values()))

#: The sections of the report below its heading, in order: the curves come after the flow runs.
SECTIONS: Final = tuple(
    dict.fromkeys(
        (
            FLOWS_RUN,
            *(row.section for row in SERIES_ROWS),
            *(row.section for row in METRIC_ROWS if row.section and row.json_path),
        )
    )
)


def metrics_of(section: Section) -> tuple[Metric, ...]:
    """Return the counters that a section of the report shows, in order."""
    return tuple(row for row in METRIC_ROWS if row.section == section and row.json_path)


def series_of(section: Section) -> tuple[Series, ...]:
    """Return the curves that a section of the report shows, in order."""
    return tuple(row for row in SERIES_ROWS if row.section == section)


def counting(rules: Iterable[Count | CountBy | Sum | CountFlowRuns]) -> Counting:
    """Return one function for *rules*."""
    first, *others = (rule.counting() for rule in rules)
    if not others:
        return first

    def count(counters: dict[str, int], data: Any) -> None:
        first(counters, data)
        for other in others:
            other(counters, data)

    return count


# ---------------------------------------------------------------------------- the checks

#: A record of a block's nets names a day and a series in one byte: day of the block * series +
#: series (`store.day_encoding.NET`). Another number of series changes what such a byte means, and
#: with it every record that is stored: it takes a rebuild.
MAX_SERIES: Final = 256 // DAYS_PER_BLOCK

#: Members of the JSON document that are no counters'.
_OTHER_MEMBERS: Final = (
    "account", "name", "from", "to", "timezone", "as_of", "concurrency", "sessions",
)  # fmt: skip


class CatalogError(ValueError):
    """Rows of the catalogue that contradict each other."""


def check(
    types: Iterable[EventType] = EVENT_TYPES,
    metrics: Iterable[Metric] = METRIC_ROWS,
    series: Iterable[Series] = SERIES_ROWS,
    prefixes: Mapping[str, str] = FLOW_PREFIXES,
) -> None:
    """Raise CatalogError unless every event counts something, and every name means one thing."""
    types, metrics, series = tuple(types), tuple(metrics), tuple(series)
    _check_types(types, metrics)
    _check_metrics(metrics)
    _check_series(series)
    if set(prefixes) != set(OUTCOMES) or any(len(prefix) != 1 for prefix in prefixes.values()):
        raise CatalogError("each outcome needs one letter in FLOW_PREFIXES")
    _check_unique("letters of outcomes", prefixes.values())


def _check_types(types: tuple[EventType, ...], metrics: tuple[Metric, ...]) -> None:
    _check_unique("event types", (row.name for row in types))
    _check_unique("structs of event types", (row.data.__name__ for row in types))
    counted: set[str] = set()
    for row in types:
        if isinstance(row.counts, SessionEdge | SessionCorrection | TakeBack):
            if row.data is not _read_by(row.counts):
                raise CatalogError(
                    f"{row.name}: no session or correction can be read from {row.data.__name__}"
                )
            if not isinstance(row.counts, TakeBack):
                counted.update(row.counts.metrics)
            continue
        if not row.counts:
            raise CatalogError(f"{row.name} counts nothing")
        members = row.data.__struct_fields__
        for rule in row.counts:
            counted.update(rule.metrics)
            if isinstance(rule, CountBy | Sum) and rule.member not in members:
                raise CatalogError(f"{row.name}: its data has no member {rule.member}")
    stored = {row.id for row in metrics if not row.sum_of}
    if unknown := counted - stored:
        raise CatalogError(f"no row in METRIC_ROWS for {', '.join(sorted(unknown))}")
    if idle := stored - counted:
        raise CatalogError(f"no event counts {', '.join(sorted(idle))}")


def _read_by(counts: SessionEdge | SessionCorrection | TakeBack) -> type[Data]:
    """Return the only type of data that an event which *counts* so may have."""
    match counts:
        case SessionEdge(is_start=True):
            return SessionStarted
        case SessionEdge():
            return SessionStopped
        case SessionCorrection():
            return SessionCorrected
        case TakeBack():
            return EventVoided


def _check_metrics(metrics: tuple[Metric, ...]) -> None:
    _check_unique("metrics", (row.id for row in metrics))
    stored = {row.id for row in metrics if not row.sum_of}
    reported = [row for row in metrics if row.json_path]
    _check_unique("rows of the report", ((row.section, row.label) for row in reported))
    sections: dict[str, Section] = {}
    for row in metrics:
        # `fold.is_flow_metric` tells single flows by their colon; digits are fields of series.
        if len(row.id) < 3 or ":" in row.id or row.id[0].isdigit():
            raise CatalogError(f"a counter cannot be called {row.id!r}")
        if unknown := set(row.sum_of) - stored:
            raise CatalogError(f"{row.id} is a sum of unknown counters: {', '.join(unknown)}")
    for row in reported:
        if row.section is None:
            raise CatalogError(f"{row.id} has a place in the JSON document, but no section")
        if row.section.applies and row.section.applies not in APPLICABLE:
            raise CatalogError(f"{row.section.title}: no setting {row.section.applies!r}")
        if row.json_path[0] in _OTHER_MEMBERS or len(row.json_path) < 2:
            raise CatalogError(f"{row.id} cannot be at {'.'.join(row.json_path)}")
        if sections.setdefault(row.json_path[0], row.section) != row.section:
            raise CatalogError(f"two sections share the member {row.json_path[0]}")
    paths = {row.json_path for row in reported}
    _check_unique("paths in the JSON document", (row.json_path for row in reported))
    if any(path[:length] in paths for path in paths for length in range(1, len(path))):
        raise CatalogError("a path in the JSON document leads through another")


def _check_series(series: tuple[Series, ...]) -> None:
    _check_unique("series", (row.id for row in series))
    if len(series) > MAX_SERIES:
        raise CatalogError(f"{len(series)} series; a record of nets has room for {MAX_SERIES}")
    for row in series:
        if not row.applications or not set(row.applications) <= set(APPLICATIONS):
            raise CatalogError(f"{row.id}: sessions of which applications?")


def _check_unique(what: str, names: Iterable[Any]) -> None:
    twice = [str(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CatalogError(f"{what} listed twice: {', '.join(twice)}")


check()
