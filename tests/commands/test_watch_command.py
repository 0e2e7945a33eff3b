"""`usage watch`: the live object in the terminal."""

import json
import time
from collections.abc import Callable

import pytest
from click.testing import Result
from redis.client import Redis
from rich.console import Console

from interaction_usage.commands.terminal import curve
from interaction_usage.commands.watch import screen
from interaction_usage.store import account_settings, keys
from interaction_usage.store.progress import encoded
from rollups.catalog import SERIES
from rollups.completeness import Progress
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]


@pytest.fixture(autouse=True)
def _an_account(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        account_settings.put(MemoryLedger(redis), "acme", timezone="Asia/Kathmandu")


def test_once_as_json(usage: Usage) -> None:
    """The same object as the API's."""
    answer = json.loads(usage("watch", "acme", "--once", "--json").stdout)
    assert answer["account"] == "acme"
    assert answer["timezone"] == "Asia/Kathmandu"
    assert answer["series"]["agent"]["now"] == 0
    assert len(answer["curve"]["levels"]["agent"]) == 3600
    assert answer["stale"]["reason"] == "no-worker"
    assert answer["completeness"]["status"] == "incomplete"


def test_once_for_people(usage: Usage) -> None:
    """Every series, and why the numbers may be old."""
    shown = usage("watch", "acme", "--once").stdout
    for title in ("Agents together", "Agent Application", "Mobile Web", "Web Self Service"):
        assert title in shown
    assert "No worker runs" in shown


def test_what_may_be_missing_is_said_as_in_reports(usage: Usage, redis_url: str) -> None:
    """From what workers leave in Redis; where everything is counted, there is nothing to say."""
    assert "Incomplete: No worker has reported" in usage("watch", "acme", "--once").stdout
    with Redis.from_url(redis_url) as redis:
        now = int(time.time())
        for pending, complete_to, expected in ((0, now, False), (70, now - 60, True)):
            seen = Progress(now, complete_to, {}, pending)
            redis.set(keys.PROGRESS, encoded(seen), ex=10)
            redis.set(keys.REFUSED_READ, b"1")
            shown = " ".join(usage("watch", "acme", "--once").stdout.split())
            assert ("Incomplete: 70 published events are not counted yet" in shown) is expected
            assert ("Incomplete" in shown) is expected


def test_live_for_some_seconds(usage: Usage) -> None:
    """It ends by itself, with code 0."""
    done = usage("watch", "acme", "--seconds", "1")
    assert done.exit_code == 0
    assert "Last 60 minutes" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(["nobody"], 1, "There is no account 'nobody'"), (["acme", "--json"], 2, "--once")],
)
def test_what_it_cannot_show(usage: Usage, arguments: list[str], code: int, words: str) -> None:
    """A sentence, and the exit code of its kind."""
    done = usage("watch", *arguments)
    assert done.exit_code == code
    assert words in done.stderr


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_narrow_terminal_has_fewer_columns_and_no_cut_ones(width: int) -> None:
    """What is left out first is of the least use; the curve takes what is left."""
    numbers = {"now": 1_234, "peak": 5_678, "peak_at": "2026-10-01T14:45:00+05:45", "open_long": 9}
    look = {
        "account": "acme", "timezone": "Asia/Kathmandu", "stale": None,
        "as_of": "2026-10-01T09:10:00Z", "stream": {"lag": 0, "events_per_second": 3.5},
        "hour": {"from": "2026-10-01T14:00:00+05:45", "to": "2026-10-01T15:00:00+05:45"},
        "series": dict.fromkeys(SERIES, numbers),
        "curve": {"levels": {key: [*range(3600)] for key in SERIES}},
        "completeness": {"reasons": []},
    }  # fmt: skip
    terminal = Console(width=width, color_system=None, force_terminal=True)
    with terminal.capture() as captured:
        terminal.print(screen(look, width))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert "1,234" in shown
    assert "▁" in shown
    assert ("Long" in shown) == (width >= 80)
    assert "14:55:00 · 3.5 events/s" in shown  # of the account's clocks, as all other times


@pytest.mark.parametrize(
    ("levels", "columns", "drawn"),
    [
        ([0, 0, 0], 3, "   "),
        ([0, 4, 8], 3, " ▄█"),
        ([1, 0, 100], 3, "▁ █"),  # what is above 0 is seen
        ([0, 7, 0, 0, 0, 1], 3, "█ ▂"),  # the most of each two seconds
        ([5], 40, "█"),
    ],
)
def test_a_curve_in_block_characters(levels: list[int], columns: int, drawn: str) -> None:
    """As high as the most of its stretch."""
    assert curve(levels, columns) == drawn
