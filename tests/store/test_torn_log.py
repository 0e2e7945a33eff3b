"""A Redis whose append-only file ends in the middle of a script, and that crashes again later."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.servers.child import ServerDiedError, ServerMissingError
from interaction_usage.servers.redis_server import RedisServer, binary
from interaction_usage.store import keys
from interaction_usage.store.writer import Writer
from rollups.events import Event, FlowRun
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY, SECRET, laid_open


@pytest.fixture(params=["redis", "valkey"])
def keeping(
    request: pytest.FixtureRequest, tmp_path: Path, leave_out: Callable[[str], None]
) -> Iterator[RedisServer]:
    """Yield a server that keeps its data."""
    try:
        binary(request.param)
    except ServerMissingError as error:
        leave_out(f"a torn append-only file on {request.param}: {error}")
    server = RedisServer(tmp_path, flavour=request.param)
    server.start()
    yield server
    server.kill()


def batch(number: int, account: str) -> list[OffsetEvent]:
    """Return ten flow runs, at ten offsets of their own."""
    events = [
        Event("test", f"{number}-{each}", account, NOON * SECOND, FlowRun(f"f{each}", "agent"))
        for each in range(10)
    ]
    return [OffsetEvent(10 * number + each, event) for each, event in enumerate(events)]


def count(server: RedisServer, upto: int, fence: str = "a/0", account: str = "acme") -> None:
    """Be a worker that has just started: read from where the rollups end, some batches far."""

    async def run() -> None:
        with Redis.from_url(server.url) as client:
            client.set(keys.FIRST.secret, SECRET, nx=True)
        writer = Writer.of(server.url, DAY, 5.0, clock=time.time)
        begins = (await writer.begin([fence]))[fence]
        for number in range(begins // 10, upto):
            await writer.apply(fence, batch(number, account), 10 * number + 10, NOON)
        await writer.close()

    asyncio.run(run())


def what_is_kept(server: RedisServer) -> dict[str, Any]:
    """Return everything of the account."""
    with Redis.from_url(server.url) as client:
        return laid_open(client, "acme")


def tear(server: RedisServer) -> None:
    """Kill the server, and cut its newest file in the middle of its last script."""
    server.kill()
    newest = max(
        (server.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime
    )
    content = newest.read_bytes()
    begins, ends = content.rindex(b"MULTI"), content.rindex(b"EXEC")
    assert begins < ends
    newest.write_bytes(content[: (begins + ends) // 2])


def crash(server: RedisServer) -> None:
    """Kill the server, and start it again, once it has written its new file to the end."""
    with Redis.from_url(server.url) as client:
        deadline = time.monotonic() + 20
        while client.info("persistence")["aof_rewrite_in_progress"]:
            assert time.monotonic() < deadline, "the rewrite does not come to its end"
            time.sleep(0.02)
    server.kill()
    server.start()


def test_half_a_script_never_comes_back(keeping: RedisServer) -> None:
    """[0][1][2, torn]  restart  [other account]  crash, restart  [2][3]: each counts once.

    Redis 7.0 would go on writing behind the half, and run it at the second start, with the script
    of the other account: identities of 2 would be known whose events nobody counted.
    """
    count(keeping, 4)
    expected = what_is_kept(keeping)
    with Redis.from_url(keeping.url) as client:
        client.flushall()
    count(keeping, 3)
    tear(keeping)
    keeping.start()
    count(keeping, 1, "b/0", "other")
    crash(keeping)
    count(keeping, 4)
    assert what_is_kept(keeping) == expected
    crash(keeping)
    assert what_is_kept(keeping) == expected
    with Redis.from_url(keeping.url) as client:
        assert client.hget(keys.FIRST.positions, "a/0") == b"40 %d" % NOON


def refusals(server: RedisServer) -> list[str]:
    """Start the server, however often that takes; return why it ended by itself.

    Not where its port is taken: whoever writes the new file has that for a moment longer.
    """
    answer: list[str] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            server.start()
        except ServerDiedError as refused:
            if "Failed listening" not in str(refused):
                answer.append(str(refused))
            time.sleep(0.1)
        else:
            return answer
    pytest.fail(f"it never started: {answer}")


def test_a_crash_in_the_middle_of_the_new_file_costs_one_start_more(keeping: RedisServer) -> None:
    """[torn file][new file begun, not done]: Redis 7.0 cuts the torn one, ends, and then starts."""
    count(keeping, 4)
    expected = what_is_kept(keeping)
    with Redis.from_url(keeping.url) as client:
        client.flushall()
    count(keeping, 3)
    tear(keeping)
    keeping.start()
    count(keeping, 1, "b/0", "other")
    keeping.kill()
    refused = refusals(keeping)
    assert all("the truncated file is not the last file" in answer for answer in refused)
    assert len(refused) <= 1
    count(keeping, 4)
    assert what_is_kept(keeping) == expected
