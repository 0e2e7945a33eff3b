"""Redis restarts without its last writes while rollups are read or written: no half is taken."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import backup, keys
from interaction_usage.store.client import connect
from interaction_usage.store.reads import Rollups
from rollups.events import Event, SmsSent
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.test_backup import copied, values, write

ACCOUNTS = 20


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RedisServer]:
    """Yield a Redis that keeps its data, with rollups of some accounts."""
    with redis_server(tmp_path / "redis") as running:
        events = [Event("s", f"{n}", f"a{n:02}", NOON * SECOND, SmsSent()) for n in range(ACCOUNTS)]
        write(running.url, [("t/0", [OffsetEvent(n, each) for n, each in enumerate(events)])])
        yield running


def restart_without_last_writes(server: RedisServer) -> None:
    """Kill *server*, and start it without the last hundred bytes of what it wrote."""
    server.kill()
    files = (server.folder / "appendonlydir").glob("*.incr.aof")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, newest.stat().st_size - 100)
    server.start()


def interrupted(server: RedisServer, records: list[Any]) -> Iterator[Any]:
    """Yield *records*; in the middle of them the server restarts."""
    for number, record in enumerate(records):
        if number == ACCOUNTS // 2:
            restart_without_last_writes(server)
        yield record


def test_a_restore_during_which_redis_lost_writes_is_not_activated(kept: RedisServer) -> None:
    """What was written before the restart may be missing, and what comes after hides it."""
    with connect(kept.url) as redis:
        made = copied(redis)
        before = values(redis, keys.FIRST)
        with pytest.raises(backup.BackupError, match="restarted"):
            backup.restore(redis, interrupted(kept, made), replace=True)
        assert Rollups.live(redis).keys == keys.FIRST
        assert values(redis, keys.FIRST) == before
        assert values(redis, keys.numbered(1)) == {}
        done = backup.restore(redis, made, replace=True)
        assert values(redis, done.active) == before


def test_a_backup_during_which_redis_lost_writes_has_no_end(kept: RedisServer) -> None:
    """Its positions may be ahead of the accounts that were read after the restart."""
    with connect(kept.url) as redis:
        reading = backup.records(redis)
        for _ in range(ACCOUNTS // 2):
            next(reading)
        restart_without_last_writes(kept)
        with pytest.raises(backup.BackupError, match="restarted"):
            list(reading)
