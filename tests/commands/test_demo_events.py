"""The demo's events: a year with seasons, weekends and episodes, and a live hour that goes on."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import orjson
import pytest
from redis.client import Redis

from interaction_usage.commands.demo import has_desktop
from interaction_usage.commands.demo_companies import COMPANIES, Company
from interaction_usage.commands.demo_events import Published, Timeline, day_events, day_of
from interaction_usage.commands.demo_reports import issue_months, late_corrections, months_before
from rollups.local_time import midnight, zone
from stream_app.codec import decode
from stream_app.rejection import RejectedError
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.memory_ledger import MemoryLedger

ACME = COMPANIES[0]
TODAY = date(2026, 10, 28)  # a Wednesday
NOON = datetime(2026, 10, 28, 12, tzinfo=UTC).timestamp()


def on(days_ago: int, company: Company = ACME) -> list[Published]:
    """Return the events of a day."""
    return day_events(7, company, TODAY - timedelta(days=days_ago), TODAY)


def kinds(events: list[Published]) -> Counter[str]:
    """Return how many there are of each type."""
    return Counter(orjson.loads(each.value)["type"] for each in events)


@pytest.mark.parametrize("company", COMPANIES, ids=lambda company: company.id)
def test_events_are_counted_or_refused_as_the_demo_says(company: Company) -> None:
    """Every event can be decoded, but for those that are broken on purpose; most are not."""
    refused = 0
    for each in [event for ago in (0, 4, 8, 30) for event in on(ago, company)]:
        try:
            decode(each.topic, each.value)
        except RejectedError:
            refused += 1
            assert each.is_broken, each.value
        else:
            assert not each.is_broken, each.value
    assert refused < 100


def test_the_same_day_has_the_same_events() -> None:
    """So that it can be published again, or an event of it be taken back."""
    assert on(3) == on(3)
    assert on(3) != on(10)
    ids = [orjson.loads(each.value)["id"] for ago in range(9) for each in on(ago)]
    assert len(set(ids)) == len(ids)


def test_a_year_has_growth_weekends_and_episodes() -> None:
    """A newcomer finds each of them in the charts."""
    usual = kinds(on(1))
    assert len(on(364)) < len(on(1)) / 2  # a year ago
    assert len(on(3)) < len(on(1)) / 1.7  # a Sunday
    assert kinds(on(22))["usage.sms.sent"] > 3 * usual["usage.sms.sent"]  # a campaign
    begin = midnight(TODAY - timedelta(days=8), zone(ACME.timezone))
    hours = Counter(int(each.time - begin) // 3600 for each in on(8))
    assert all(hours[hour] > 5 for hour in (8, 9, 14, 15))
    assert sum(hours[hour] for hour in (11, 12, 13)) <= 4  # an outage; calls that ended late


def test_the_live_hour_goes_on_as_the_day_was() -> None:
    """No crowd arrives as the demo starts: a minute has about as many events as those before."""
    timeline = Timeline(7, NOON)
    before = list(timeline.due(NOON))
    assert all(first.time <= second.time for first, second in pairwise(before))
    last_hour = sum(each.time > NOON - 3600 for each in before)
    minutes = [len(list(timeline.due(NOON + 60 * minute))) for minute in range(1, 61)]
    assert last_hour / 2 < sum(minutes) < last_hour * 2
    assert max(minutes) < last_hour / 60 * 5 + 5
    tomorrow = list(timeline.due(NOON + 86_400))
    assert len(tomorrow) > len(before) / 4  # it goes on after midnight


@pytest.mark.parametrize("ago", range(7))
def test_whoever_watches_sees_something_on_any_day_of_the_week(ago: int) -> None:
    """No company is closed on the day of the demo, at least not at noon, nor on the day after."""
    today = TODAY - timedelta(days=ago)
    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC).timestamp()
    timeline = Timeline(7, noon)
    list(timeline.due(noon))
    assert len(list(timeline.due(noon + 3600))) > 300
    list(timeline.due(noon + 86_400))
    assert len(list(timeline.due(noon + 90_000))) > 300


def test_history_begins_with_the_newest_day() -> None:
    """And leaves nothing out: it ends where what is due begins."""
    timeline = Timeline(7, NOON)
    days = [day_of(ACME, each.time) for each in timeline.history(5) if each.key == b"acme"]
    due = {day_of(ACME, each.time) for each in timeline.due(NOON) if each.key == b"acme"}
    assert {TODAY, TODAY - timedelta(days=1)} <= due
    assert abs((days[0] - TODAY).days) <= 2
    assert {TODAY - timedelta(days=ago) for ago in range(2, 6)} <= set(days)


def test_a_late_correction_takes_back_events_of_the_month_before() -> None:
    """Of the report that was issued last, so that it differs now."""
    voids = list(islice(late_corrections(7, ACME, TODAY), 100))
    assert voids
    for each in voids:
        decode(each.topic, each.value)
        original = orjson.loads(each.value)["data"]["event"]
        assert original["time"].startswith("2026-09-1")


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Yield a client of a Redis with one event of the account acme."""
    fill(redis_url, [flow("1")])
    with Redis.from_url(redis_url) as client:
        yield client
        client.flushdb()


def test_the_last_months_are_issued_as_far_as_history_goes(redis: Redis) -> None:
    """One after the other, without a gap; where history is short, only what it covers."""
    now = datetime(2026, 10, 28, 12, tzinfo=UTC)
    assert months_before(TODAY)[0] == (date(2026, 7, 1), date(2026, 7, 31))
    assert issue_months(MemoryLedger(redis), ["acme"], 20, now) == []
    numbers = issue_months(MemoryLedger(redis), ["acme"], 365, now)
    assert numbers == ["acme-000001", "acme-000002", "acme-000003"]


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ({"DISPLAY": ""}, True, False),
        ({}, True, False),
        ({"DISPLAY": ":0"}, False, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, True, False),
    ],
)
def test_a_browser_opens_where_somebody_sits(
    environment: dict[str, str], is_terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a desktop, and neither in a script nor on a server."""
    monkeypatch.setattr("sys.platform", "linux")
    assert has_desktop(environment, is_terminal=is_terminal) is expected
