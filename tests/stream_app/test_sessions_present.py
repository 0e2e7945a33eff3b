"""The sum of sessions that are present now, over all accounts, read a few accounts at a time."""

from collections.abc import Sequence
from typing import Any

import pytest

from interaction_usage.servers.redis_server import RedisServer
from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from rollups.fold import OffsetEvent
from stream_app.codec import decode
from stream_app.sessions_present import ACCOUNTS_PER_LOOK, SessionsPresent
from stream_app.topics import SESSIONS
from tests.store.redis_side import write
from tests.support.event_lines import event

pytestmark = pytest.mark.servers

#: 2026-10-01T10:00:00Z, when sessions start.
BEGIN = 1_790_848_800


def sessions(accounts: Sequence[str], kind: str = "started") -> list[OffsetEvent]:
    """Return the start, or the stop a minute later, of one agent session of each account."""
    time = "2026-10-01T10:00:00Z" if kind == "started" else "2026-10-01T10:01:00Z"
    data = {"session": "s", "application": "agent"}
    lines = [
        event(f"{kind} {name}", f"session.{kind}", data, subject=name, time=time)
        for name in accounts
    ]
    return [OffsetEvent(number, decode(SESSIONS, line)) for number, line in enumerate(lines)]


def test_a_pass_over_all_accounts_gives_the_sum(server: RedisServer, redis: Any) -> None:
    """One session in each of 200 accounts, of which 30 stop; then 10 accounts are gone."""
    names = [f"account-{number}" for number in range(200)]
    write(server.url, [("a/0", sessions(names)), ("b/0", sessions(names[:30], "stopped"))])
    now = [BEGIN + 30]
    present = SessionsPresent(server.url, lambda: now[0])
    looks = 0
    while present.current is None:
        present.look()
        looks += 1
    assert looks >= 200 / ACCOUNTS_PER_LOOK / 4  # SSCAN may give more at once
    assert present.current["agent"] == present.current["agent-sessions"] == 200
    assert present.current["mobile-web"] == 0

    now[0] = BEGIN + 90
    one_pass(present)
    assert present.current["agent"] == 170
    redis.srem(keys.FIRST.accounts, *names[190:])
    one_pass(present)
    assert present.current["agent"] == 160
    assert sum(Rollups.live(redis).levels(name, now[0])["agent"] for name in names[:190]) == 160
    present.forget()
    assert present.current is None


def one_pass(present: SessionsPresent) -> None:
    """Read every account once more."""
    present.look()
    while present._cursor:
        present.look()


def test_without_accounts_there_are_no_sessions(server: RedisServer, redis: Any) -> None:
    """Which is known after the first look."""
    present = SessionsPresent(server.url, lambda: BEGIN)
    present.look()
    assert present.current is not None
    assert set(present.current.values()) == {0}
