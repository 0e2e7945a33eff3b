"""Evidence against two others: the naive reference of the tests, and the rollups' arithmetic."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.preparation import Events, Period
from interaction_usage.evidence.questions import capacity, concurrency, explain
from interaction_usage.evidence.verification import Claim, verify
from interaction_usage.explanations.claims import cells
from interaction_usage.reports.build import Account, build, period
from rollups.events import Event
from rollups.fold import OffsetEvent
from tests.evidence import naive
from tests.evidence.rows import of_events
from tests.rollups import drawing, oracle
from tests.rollups.drawing import ACCOUNTS, Range
from tests.support import reference_model

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
#: No shrinking: it would take minutes, and the cases are small.
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@st.composite
def cases(draw: Any) -> tuple[list[Event], Range, dict[str, int], datetime]:
    """Draw events, the days of a report among them, session limits, and an as-of instant."""
    days = draw(drawing.ranges())
    events = draw(drawing.sets_of_events(days.around, 2, 30))
    ends = datetime.fromtimestamp(days.around, UTC) + timedelta(days=5)
    early = datetime.fromtimestamp(days.around + draw(st.integers(0, 90_000)), UTC)
    return events, days, draw(drawing.limits()), draw(st.sampled_from([ends, early]))


#: Samoa crossed the date line: its 30th of December 2011 has no second.
_NO_DAY = date(2011, 12, 30)
_NOTHING: Any = (
    [], Range("Pacific/Apia", _NO_DAY, _NO_DAY), dict.fromkeys(drawing.APPLICATIONS, 3_600),
    datetime(2011, 12, 31, 13, tzinfo=UTC),
)  # fmt: skip


def _logs(events: list[Event]) -> dict[str, list[OffsetEvent]]:
    return {"usage.any": [OffsetEvent(offset, event) for offset, event in enumerate(events)]}


@settings(max_examples=5, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@example(_NOTHING)
@given(cases())
def test_every_cell_is_what_the_rollups_say(
    case: tuple[list[Event], Range, dict[str, int], datetime],
) -> None:
    """Two computations that share nothing, for every account, day, hour and flow."""
    events, days, limits, as_of = case
    logs = _logs([*events, *events[::2]])  # every other event comes twice
    model: dict[str, reference_model.Account] = {}
    reference_model.apply_events(model, "t/0", logs["usage.any"], limits)
    within = period(days.first, days.last, days.zone, as_of)
    claims = {}
    for name in ACCOUNTS:
        reading = reference_model.read(model.get(name, reference_model.Account()), *within.slots)
        about = Account(name, name, dnis=True, sms=True)
        claims[name] = Claim(cells(build(about, within, reading, as_of)))
    asked = Period(days.first, days.last, days.zone, as_of)
    answer = verify(Events(ArrowSource(of_events(logs)), limits), claims, asked)
    assert answer["differences"] == []
    assert answer["agrees"]
    assert sum(row["duplicates"] for row in answer["records"]) <= len(events[::2])


@settings(max_examples=5, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@example(_NOTHING, "agent")
@given(cases(), st.sampled_from(list(oracle.CURVES)))
def test_explanations_are_those_of_the_naive_reference(
    case: tuple[list[Event], Range, dict[str, int], datetime], series: str
) -> None:
    """The maximum and who was there, other ways to bill, licences: all counted second by second."""
    events, days, limits, as_of = case
    account = ACCOUNTS[0]
    mine = [event for event in events if event.account == account]
    within = period(days.first, days.last, days.zone, as_of)
    present = naive.sessions(mine, limits, series)
    source = Events(ArrowSource(of_events(_logs(events))), limits)
    asked = Period(days.first, days.last, days.zone, as_of)

    cutoff = naive.second_of(as_of)
    hours = [run.before(cutoff) for run in within.runs]
    found = explain(source, account, series, asked)
    del found["curve"]
    found["at"] = found["at"] and round(datetime.fromisoformat(found["at"]).timestamp())
    found["sessions"] = [(each["application"], each["session"]) for each in found["sessions"]]
    ends = max((run.end for run in hours if run.hours), default=within.begin)
    assert found == naive.explain(present, within.begin, ends)

    end = min(within.end, cutoff)
    assert concurrency(source, account, series, asked) == naive.concurrency(
        present, within.begin, end
    )
    licences = [1, 2, 3]
    assert capacity(source, account, series, asked, licences) == naive.capacity(
        present, within.begin, end, licences
    )
