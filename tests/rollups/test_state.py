"""The rule in plain Python against a sweep written from the contract alone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from interaction_usage.reports.build import Account, build, period
from interaction_usage.reports.model import Report
from rollups.catalog import APPLICATIONS
from rollups.events import CallMinutes, Event, SessionStarted, SessionStopped, SmsSent
from rollups.fold import OffsetEvent
from rollups.local_time import UnalignedZone
from rollups.timestamps import parse_rfc3339
from tests.rollups import oracle
from tests.rollups.delivery import Batches, in_order, tangled
from tests.rollups.drawing import ACCOUNTS, NOON, Range, limits, ranges, sets_of_events
from tests.support import reference_model
from tests.support.examples import examples

DAY = dict.fromkeys(APPLICATIONS, 86_400)
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def applied(batches: Batches, limits: dict[str, int] = DAY) -> dict[str, reference_model.Account]:
    """Return the rollups after *batches*, one after the other."""
    accounts: dict[str, reference_model.Account] = {}
    for fence, placed in batches:
        reference_model.apply_events(accounts, fence, placed, limits)
    return accounts


def contents(accounts: dict[str, reference_model.Account]) -> dict[str, Any]:
    """Return all but what says how the events came: the fences, and when days were changed."""
    return {
        name: (
            account.identities,
            account.sessions,
            account.corrections,
            account.voids,
            set(account.changed),
            account.deltas,
            account.counters,
            account.flows,
        )
        for name, account in accounts.items()
    }


def report(account: reference_model.Account, within: Range, as_of: datetime = LATER) -> Report:
    """Return the report over *within*, with every breakdown."""
    days = period(within.first, within.last, within.zone, as_of)
    reading = reference_model.read(account, *days.slots)
    return build(Account("a", "a", dnis=True, sms=True), days, reading, as_of)


def as_oracle(report: Report) -> dict[str, Any]:
    """Return *report* in the oracle's words."""
    flows = {}
    for flow in report.flows:
        flows |= {
            (flow.flow, "completed"): flow.completed,
            (flow.flow, "abandoned"): flow.abandoned,
        }
    return {
        "flow_runs": report.counts.flow_runs,
        "flows": {name: runs for name, runs in flows.items() if runs},
        "clicks": report.counts.clicks,
        "call_thousandths": report.counts.call_thousandths,
        "sms_with_link": report.counts.sms_with_link,
        "numbers_purchased": report.counts.numbers_purchased,
        "sessions": report.counts.sessions,
        "concurrency": {
            name: {
                "max": curve.maximum,
                "average": curve.exact_average,
                "reported_hours": curve.reported_hours,
                "busiest_hour": curve.busiest_hour and curve.busiest_hour.isoformat(),
            }
            for name, curve in report.concurrency.items()
        },
    }


# ---------------------------------------------------------------------------- by hand


def event(number: int, time: str, data: Any, account: str = "acme", source: str = "web") -> Event:
    """Return an event of 5 October 2026 at the UTC time *time*."""
    return Event(source, str(number), account, parse_rfc3339(f"2026-10-05T{time}Z"), data)


S, T = SessionStarted("s", "agent"), SessionStopped("s", "agent")
FIFTH = Range("UTC", date(2026, 10, 5), date(2026, 10, 5))


@pytest.mark.parametrize(
    ("answer", "hours"),
    [
        # s [09:59:59.9 --- 10:00:00.1)  one second of hour 9, one of hour 10
        ([("09:59:59.9", S), ("10:00:00.1", T)], {9: 1, 10: 1}),
        # s [09:00 ------ 10:00)  the hour at whose first second it ends has nothing of it
        ([("09:00:00", S), ("10:00:00", T)], {9: 1}),
        # s [09:00)09:00:01  start equals stop
        ([("09:00:00", S), ("09:00:00", T)], {9: 1}),
        # stop 08:00   s [09:59:59)10:00  the stop came first
        ([("08:00:00", T), ("09:59:59", S)], {9: 1}),
        # stop 09:00, no start
        ([("09:00:00", T)], {}),
        # s [22:30 ------ midnight and on: inferred
        ([("22:30:00", S)], {22: 1, 23: 1}),
        # s [09:10 --- 10:10)  reported twice, the earliest of each counts
        ([("09:50:00", S), ("12:10:00", T), ("10:10:00", T), ("09:10:00", S)], {9: 1, 10: 1}),
    ],
)
def test_the_hours_of_one_session(answer: list[tuple[str, Any]], hours: dict[int, int]) -> None:
    """Half-open whole seconds, reported in any order."""
    events = [event(number, *what) for number, what in enumerate(answer)]
    for order in (events, events[::-1]):
        rollups = applied(in_order(order))
        shown = report(rollups["acme"], FIFTH).hours
        assert {h.begins.hour: h.peaks["agent"] for h in shown if h.peaks["agent"]} == hours


def test_two_applications_make_one_curve() -> None:
    """The peak of agent-sessions is not the sum of the two peaks."""
    # agent            [09:00 ---- 09:10)
    # ticket-guidance                    [09:10 ---- 09:20)
    guidance = SessionStarted("s", "ticket-guidance"), SessionStopped("s", "ticket-guidance")
    answer = zip(("09:00:00", "09:10:00", "09:10:00", "09:20:00"), (S, T, *guidance), strict=True)
    rollups = applied(in_order(event(number, *what) for number, what in enumerate(answer)))
    curves = report(rollups["acme"], FIFTH).concurrency
    assert [curves[name].maximum for name in ("agent-sessions", "agent", "ticket-guidance")] == [
        1
    ] * 3


def test_a_late_stop_moves_an_end_out_or_in() -> None:
    """An inferred end is replaced by the stop, whether earlier or later."""
    for stop, hours in (("12:30:00", 4), ("09:30:00", 1)):
        events = [event(1, "09:00:00", S), event(2, stop, T)]
        rollups = applied(in_order(events), DAY | {"agent": 7200})
        assert report(rollups["acme"], FIFTH).concurrency["agent"].reported_hours == hours


def test_hours_at_or_after_the_as_of_instant_are_left_out() -> None:
    """The hour that has begun is part of the report, the one that begins now is not."""
    rollups = applied(in_order([event(1, "09:00:00", S)]))
    for time, hours in (("09:00:00", 0), ("09:00:01", 1), ("10:00:00", 1), ("10:00:01", 2)):
        as_of = datetime.fromisoformat(f"2026-10-05T{time}+00:00")
        assert report(rollups["acme"], FIFTH, as_of).concurrency["agent"].reported_hours == hours


def test_one_id_from_two_sources_is_two_events() -> None:
    """Source and id together are the identity; the pair again is the same event."""
    events = [event(1, "09:00:00", SmsSent(), source=source) for source in ("web", "ivr", "web")]
    assert report(applied(in_order(events))["acme"], FIFTH).counts.sms_with_link == 2


def test_the_same_pair_for_another_account_is_that_accounts() -> None:
    """Accounts share nothing."""
    events = [event(1, "09:00:00", SmsSent(), account=account) for account in ("a", "b")]
    rollups = applied(in_order(events))
    assert [report(rollups[name], FIFTH).counts.sms_with_link for name in ("a", "b")] == [1, 1]


def test_large_sums_are_exact() -> None:
    """Call minutes are thousandths in whole numbers, beyond what a float could hold."""
    huge = 2**53 + 1
    events = [event(1, "09:00:00", CallMinutes(huge)), event(2, "21:00:00", CallMinutes(huge))]
    assert report(applied(in_order(events))["acme"], FIFTH).counts.call_thousandths == 2 * huge


def test_the_same_batch_again_changes_nothing() -> None:
    """Whole, in part, and behind the fence."""
    log = [OffsetEvent(n, event(n, "09:00:00", CallMinutes(n + 1))) for n in range(6)]
    once = applied([("t/0", log)])
    again = applied([("t/0", log[:4]), ("t/0", log[2:]), ("t/0", log[:1]), ("t/0", log)])
    assert again == once


def test_a_fence_alone_is_enough() -> None:
    """At or below it nothing is counted, even what no identity would betray."""
    # counted [5)6   then another event at 5, and one at 6
    one, other, third = (event(n, "09:00:00", SmsSent()) for n in range(3))
    batches = [
        ("t/0", [OffsetEvent(5, one)]),
        ("t/0", [OffsetEvent(5, other), OffsetEvent(6, third)]),
    ]
    assert report(applied(batches)["acme"], FIFTH).counts.sms_with_link == 2


# -------------------------------------------------------------------------- at random


@given(st.data(), ranges(), limits())
@settings(deadline=None, max_examples=examples(80))
def test_the_report_is_what_the_contract_says(
    data: st.DataObject, within: Range, limits: dict[str, int]
) -> None:
    """Any events in any order, any zone, range and as-of instant: equal to the naive sweep."""
    events = data.draw(sets_of_events(within.around))
    batches = tangled(events, data.draw(st.integers(0, 2**32)))
    as_of = datetime.fromtimestamp(within.around, UTC) + timedelta(
        minutes=data.draw(st.sampled_from([0, 1, 14, 15, 720, 10_000]))
    )
    assume(within.first <= as_of.astimezone(oracle.time_zone(within.zone)).date())
    for name, account in applied(batches, limits).items():
        mine = [event for event in events if event.account == name]
        try:
            shown = report(account, within, as_of)
        except UnalignedZone:
            assume(False)
        expected = oracle.report(mine, limits, within.zone, within.first, within.last, as_of)
        assert as_oracle(shown) == expected


@given(sets_of_events(size=30), st.integers(0, 2**32), limits())
@settings(deadline=None, max_examples=examples(40))
def test_the_order_and_number_of_deliveries_never_matter(
    events: list[Event], seed: int, limits: dict[str, int]
) -> None:
    """Any shuffle, duplication, split and re-read gives identical rollups."""
    once = applied(in_order(events), limits)
    assert contents(applied(tangled(events, seed), limits)) == contents(once)
    assert contents(applied(tangled(events, seed, partitions=1, batch=1), limits)) == contents(once)


@given(sets_of_events(days=1, size=25), ranges())
@settings(deadline=None, max_examples=examples(20))
def test_breakdowns_add_up_to_the_whole(events: list[Event], place: Range) -> None:
    """Days and flows add up to the period's counters; the highest hour is the maximum."""
    within = Range(place.zone, date(2026, 10, 3), date(2026, 10, 7))
    for account in applied(in_order(events)).values():
        whole = report(account, within)
        for counter in ("call_thousandths", "sms_with_link", "numbers_purchased", "completed"):
            parts = [getattr(day.counts, counter) for day in whole.days]
            assert sum(parts) == getattr(whole.counts, counter)
        runs = Counter[str]()
        for day in whole.days:
            runs.update(day.counts.flow_runs)
        assert runs == Counter(whole.counts.flow_runs)
        assert sum(flow.total for flow in whole.flows) == whole.counts.flow_runs_total
        for series, curve in whole.concurrency.items():
            assert max(day.peaks[series] for day in whole.days) == curve.maximum
            assert sum(hour.peaks[series] for hour in whole.hours) == curve.peak_sum


@given(sets_of_events(size=25), st.integers(-300, 300), st.integers(0, 200))
@settings(deadline=None, max_examples=examples(40))
def test_a_reading_continues_where_another_ends(
    events: list[Event], shift: int, length: int
) -> None:
    """Two neighbouring readings carry and sum up to the one that spans both."""
    first = NOON // 900 + shift
    for account in applied(in_order(events)).values():
        whole = reference_model.read(account, first, first + length + 50)
        left = reference_model.read(account, first, first + 50)
        right = reference_model.read(account, first + 50, first + length + 50)
        for series, carry in left.carry.items():
            net = sum(left.curves[series].nets)
            assert right.carry[series] == carry + net
        sums = Counter(left.totals)
        sums.update(right.totals)
        assert {metric: total for metric, total in sums.items() if total} == whole.totals


def test_every_account_that_had_an_event_is_there() -> None:
    """Also one whose only event was a stop without a start."""
    events = [event(1, "09:00:00", T, account=account) for account in ACCOUNTS]
    assert sorted(applied(in_order(events))) == sorted(ACCOUNTS)
