"""The Redis side of the store's tests: batches written by a real Writer, keys laid open."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from interaction_usage.store import keys, nodes, scripts
from interaction_usage.store.client import connect
from interaction_usage.store.micro_batch import ApplyResult, SealedEvent
from interaction_usage.store.reads import Rollups
from interaction_usage.store.record_layout import ApplyAnswer
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS
from rollups.fold import OffsetEvent
from rollups.range_snapshot import RangeSnapshot
from tests.rollups.delivery import Batches

DAY = dict.fromkeys(APPLICATIONS, 86_400)
#: What all rollups of these tests are hashed with, so that they can be compared byte for byte.
SECRET = bytes(range(16))


@asynccontextmanager
async def writing(url: str, limits: Mapping[str, int] = DAY) -> AsyncIterator[Writer]:
    """Yield the writer of a worker that has just started."""
    with connect(url) as client:
        client.set(keys.FIRST.secret, SECRET, nx=True)
    writer = Writer.of(url, limits, timeout=10.0, clock=time.time)
    try:
        await writer.prepare()
        yield writer
    finally:
        await writer.close()


@contextmanager
def tiny_tables() -> Iterator[None]:
    """Have each bucket hold one identity or session on average: a few events fill many."""
    tiny = {"IDENTITIES_PER_BUCKET": 1, "SESSIONS_PER_BUCKET": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tiny.items():
            patch.setitem(scripts.LUA_CONSTANTS, name, value)
        for name in nodes.SCRIPTS:
            patch.setitem(nodes._SOURCES, name, scripts.guarded_source(name))
        yield


def noted_answers(writer: Writer) -> list[list[ApplyAnswer]]:
    """Return a list to which the answers to each trip with deltas are added from now on."""
    noted: list[list[ApplyAnswer]] = []
    [node] = writer.nodes.all
    whole = node.run

    async def run(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
        answers = await whole(connection, script, *calls, **more)
        if script == "apply":
            noted.append([ApplyAnswer(answer[0]) for answer in answers])
        return answers

    node.run = run  # type: ignore[method-assign]
    return noted


def write(url: str, batches: Batches, limits: Mapping[str, int] = DAY) -> list[ApplyResult]:
    """Apply *batches* one after the other with one Writer; return what became of each."""

    async def run() -> list[ApplyResult]:
        async with writing(url, limits) as writer:
            return [await writer.apply(fence, placed) for fence, placed in batches]

    return asyncio.run(run())


async def deliver(writer: Writer, fence: str, placed: Sequence[OffsetEvent]) -> list[OffsetEvent]:
    """Apply a batch; return what was refused of it."""
    refused: list[OffsetEvent] = []

    async def refuse(sealed: Sequence[SealedEvent]) -> None:
        refused.extend(item for _, item in sealed)

    await writer.apply(fence, placed, reject=refuse)
    return refused


def read(redis: Any, account: str, first: int, end: int, **depth: bool) -> RangeSnapshot:
    """Return what the rollups active say of *account* over the slots [first, end)."""
    return Rollups.live(redis).read(account, first, end, **depth)


def nonempty(reading: RangeSnapshot) -> dict[str, Any]:
    """Return *reading* without what is empty, for a metric without amounts says nothing."""
    members = reading._asdict()
    members["by_slot"] = {metric: slots for metric, slots in reading.by_slot.items() if slots}
    return members


def laid_open(redis: Any, account: str) -> dict[str, Any]:
    """Return everything kept of *account*; tables as one, however they are cut up.

    Left out is what says how the events came and not which: the fences, when a day was last
    changed, and in how many buckets the sessions are.
    """
    head = f"u:{{{account}}}"
    found: dict[str, Any] = defaultdict(dict)
    for key in sorted(key.decode() for key in redis.scan_iter(f"{head}*", count=1000)):
        kind = key[len(head) + 1 :].partition(":")[0]
        if kind == "i":  # u:{a}:i:<block>:<bucket>
            found["i"] |= dict.fromkeys(redis.smembers(key))
        elif kind == "z":  # u:{a}:z:<bucket>
            found["z"] |= redis.hgetall(key)
        elif kind == "":
            for field, value in redis.hgetall(key).items():
                if field[:2] != b"f:" and field != b"zb":
                    found[key][field] = value
        else:
            assert kind in ("d", "x", "n", "v", "p")
            fields = redis.hgetall(key)
            found[key] = {field: value for field, value in fields.items() if field != b"t"}
    return dict(found)
