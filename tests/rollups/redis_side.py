"""The Redis side of the store's tests: batches written by a real Writer, keys laid open."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from delivery import Batches

from rollups.fold import Placed
from rollups.reading import Reading
from rollups.reads import Rollups
from rollups.vocabulary import APPLICATIONS
from rollups.writer import Applied, Writer

DAY = dict.fromkeys(APPLICATIONS, 86_400)


@asynccontextmanager
async def writing(url: str, limits: Mapping[str, int] = DAY) -> AsyncIterator[Writer]:
    """Yield the writer of a worker that has just started."""
    writer = Writer.of(url, limits, timeout=10.0)
    try:
        await writer.prepare()
        yield writer
    finally:
        await writer.close()


def write(url: str, batches: Batches, limits: Mapping[str, int] = DAY) -> list[Applied]:
    """Apply *batches* one after the other with one Writer; return what became of each."""

    async def run() -> list[Applied]:
        async with writing(url, limits) as writer:
            return [await writer.apply(fence, placed) for fence, placed in batches]

    return asyncio.run(run())


async def deliver(writer: Writer, fence: str, placed: Sequence[Placed]) -> list[Placed]:
    """Apply a batch as an agent does: what is held is refused, the rest applied; return that."""
    refused: list[Placed] = []
    while True:
        left = [item for item in placed if item not in refused]
        held = (await writer.apply(fence, left)).held
        if not held:
            return refused
        refused += [item.placed for item in held]


def read(redis: Any, account: str, first: int, end: int, **depth: bool) -> Reading:
    """Return what the rollups in force say of *account* over the slots [first, end)."""
    return Rollups.live(redis).read(account, first, end, **depth)


def told(reading: Reading) -> dict[str, Any]:
    """Return *reading* without what is empty, for a metric without amounts says nothing."""
    members = reading._asdict()
    members["by_slot"] = {metric: slots for metric, slots in reading.by_slot.items() if slots}
    return members


def laid_open(redis: Any, account: str) -> dict[str, Any]:
    """Return everything kept of *account*; tables as one, however they are cut up.

    Left out is what says how the events came and not which: the fences, when a day was last
    touched, and which of an event's copies came first, in whose epoch it is remembered.
    """
    head = f"u:{{{account}}}"
    found: dict[str, Any] = defaultdict(dict)
    for key in sorted(key.decode() for key in redis.scan_iter(f"{head}*", count=1000)):
        kind = key[len(head) + 1 :].partition(":")[0]
        if kind == "i":  # u:{a}:i:<epoch>:<bucket>
            found["i"] |= dict.fromkeys(redis.smembers(key))
        elif kind == "z":  # u:{a}:z:<epoch>:<bucket>
            found["z"] |= redis.hgetall(key)
        elif kind == "":
            for field, value in redis.hgetall(key).items():
                if field[:2] in (b"i:", b"z:"):
                    sizes = found["sizes"]
                    sizes[field[:1]] = sizes.get(field[:1], 0) + int(value)
                elif field[:2] != b"f:":
                    found[key][field] = value
        else:
            assert kind in ("d", "x", "n")
            fields = redis.hgetall(key)
            found[key] = {field: value for field, value in fields.items() if field != b"t"}
    return dict(found)
