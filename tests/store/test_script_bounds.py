"""What one call of a script does is bounded, whatever an account has; and all of it is counted."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.micro_batch import DeltaSizes
from interaction_usage.store.record_layout import ApplyAnswer
from interaction_usage.store.writer import Writer
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped, SmsSent
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY, laid_open, noted_answers, read, write, writing

#: Commands that one call may send to Redis: about three milliseconds.
MOST_COMMANDS = 900


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Yield one server: what a script does is the same on all."""
    with redis_server() as running:
        yield running


def event(number: int, second: int, data: Any) -> OffsetEvent:
    """Return an event of acme."""
    return OffsetEvent(number, Event("test", str(number), "acme", second * SECOND, data))


def everything(rng: random.Random) -> list[OffsetEvent]:
    """Return events that each need something else: days, flows, sessions, full slots."""
    answer: list[tuple[int, Any]] = [(day * 86_400, SmsSent()) for day in range(1_500)]
    answer += [(NOON + n % 3_000, FlowRun(f"flow {n}", "agent")) for n in range(4_000)]
    answer += [(NOON + n % 9_000, SessionStarted(f"s{n}", "agent")) for n in range(9_000)]
    answer += [
        (NOON + rng.randrange(9_000), SessionStopped(f"s{rng.randrange(9_000)}", "agent"))
        for _ in range(1_500)
    ]
    return [event(number, *what) for number, what in enumerate(answer)]


class Counting:
    """Sends the calls of a writer one by one, and notes how many commands each sent to Redis."""

    def __init__(self, writer: Writer, redis: Redis) -> None:
        [node] = writer.nodes.all
        self._whole, self._redis = node.run, redis
        self.most: dict[str, int] = {}
        node.run = self._run  # type: ignore[method-assign]

    async def _run(self, connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
        answers = []
        for call in calls:
            before = self._sent()
            answers += await self._whole(connection, script, call, **more)
            self.most[script] = max(self._sent() - before, self.most.get(script, 0))
        return answers

    def _sent(self) -> int:
        answer = self._redis.info("commandstats").items()
        return sum(stat["calls"] for name, stat in answer if not name.endswith(("evalsha", "info")))


def test_no_call_does_more_than_some_hundred_commands(server: Any, redis: Redis) -> None:
    """However the events of one account are spread; then sealed, and forgotten."""
    placed = everything(random.Random(4))

    async def run() -> dict[str, int]:
        async with writing(server.url) as writer:
            counting = Counting(writer, redis)
            for at in range(0, len(placed), 4_000):
                await writer.apply("t/0", placed[at : at + 4_000])
            await writer.seal(["acme"], int(writer.clock()) + SEALED_AFTER)
            return counting.most

    most = asyncio.run(run())
    assert set(most) == {"apply", "close", "seal", "forget"}
    assert max(most.values()) < MOST_COMMANDS, most
    left = {key.decode().split(":")[2] for key in redis.scan_iter("u:{acme}:*", count=1000)}
    assert left == {"k", "n"}
    totals = read(redis, "acme", 0, NOON // 900 + 300).totals
    assert totals["sms.link"] == 1_500
    assert totals["runs.agent"] == 4_000


def test_smaller_deltas_come_to_the_same(server: Any, redis: Redis) -> None:
    """In parts of any size, as the script asks for: byte for byte the same is kept."""
    placed = everything(random.Random(5))[2_000:6_500]
    dumps = []
    for size in (1_000, 4_500, 7):
        redis.flushall()
        cuts = [placed[at : at + size] for at in range(0, len(placed), size)]
        write(server.url, [("t/0", cut) for cut in cuts], DAY)
        dumps.append(laid_open(redis, "acme"))
    assert dumps[0] == dumps[1] == dumps[2]


def test_deltas_are_as_large_as_the_load_of_the_ones_before_says() -> None:
    """[1500: 3 times too much][375: a little much][300: much room], and at last no limit."""
    sizes = DeltaSizes()
    sizes.was_applied("acme", 1_500, 75)
    assert sizes.limits == {}
    sizes.was_too_much("acme", 1_500, 300)
    assert sizes.limits == {"acme": 375}
    sizes.was_applied("acme", 374, 10)  # what was left of a micro-batch
    assert sizes.limits == {"acme": 375}
    sizes.was_applied("acme", 375, 94)
    assert sizes.limits == {"acme": 337}
    sizes.was_too_much("acme", 2, 101)
    assert sizes.limits == {"acme": 1}
    for _ in range(99):
        sizes.was_applied("acme", sizes.limit("acme"), 20)
    assert sizes.limits == {}
    sizes.was_applied("acme", 1_000, 100)
    assert sizes.limits == {"acme": 750}


def test_deltas_of_a_busy_account_are_hardly_ever_sent_in_vain(server: Any, redis: Redis) -> None:
    """Of nine micro-batches that are each too much for one script, after the first few."""
    placed = everything(random.Random(6))[2_000:14_000]

    async def run() -> list[list[ApplyAnswer]]:
        async with writing(server.url) as writer:
            answers = noted_answers(writer)
            for at in range(0, len(placed), 1_500):
                await writer.apply("t/0", placed[at : at + 1_500])
            return answers

    trips = asyncio.run(run())
    codes = [code for trip in trips for code in trip]
    assert codes.count(ApplyAnswer.APPLIED) > 20
    assert codes.count(ApplyAnswer.TOO_MUCH) < 3, codes
    assert len(trips) < 13


def test_a_delta_that_is_a_little_too_much_is_cut_to_size(server: Any, redis: Redis) -> None:
    """1,500 identities are in all of 370 buckets; a fifth of them is not in a fifth of these."""
    known = [event(number, NOON, SmsSent()) for number in range(71_000)]
    others = [event(number, NOON, SmsSent()) for number in range(71_000, 72_500)]

    async def run() -> list[list[ApplyAnswer]]:
        async with writing(server.url) as writer:
            for at in range(0, len(known), 1_000):
                await writer.apply("t/0", known[at : at + 1_000])
        async with writing(server.url) as writer:  # which knows nothing of the account
            answers = noted_answers(writer)
            await writer.apply("t/0", others)
            return answers

    first, *more = asyncio.run(run())
    assert first == [ApplyAnswer.TOO_MUCH]
    assert more == [[ApplyAnswer.APPLIED] * 6]
