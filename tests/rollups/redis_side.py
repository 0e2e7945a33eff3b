"""The Redis side of the store's tests: batches written by a real Writer, keys laid open."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
from delivery import Batches
from redis.asyncio import Redis as AsyncRedis

from rollups.reading import Reading
from rollups.store import Applied, Writer
from rollups.vocabulary import APPLICATIONS

DAY = dict.fromkeys(APPLICATIONS, 86_400)

_unpack = msgspec.msgpack.decode


def write(url: str, batches: Batches, limits: Mapping[str, int] = DAY) -> list[Applied]:
    """Apply *batches* one after the other with one Writer; return what became of each."""

    async def run() -> list[Applied]:
        async with AsyncRedis.from_url(url) as redis:
            writer = Writer(redis, limits)
            await writer.prepare()
            return [await writer.apply(fence, placed) for fence, placed in batches]

    return asyncio.run(run())


def told(reading: Reading) -> dict[str, Any]:
    """Return *reading* without what is empty, for a metric without amounts says nothing."""
    members = reading._asdict()
    members["by_slot"] = {metric: slots for metric, slots in reading.by_slot.items() if slots}
    return members


def laid_open(redis: Any, account: str) -> dict[str, Any]:
    """Return everything kept of *account*, unpacked; tables as one, however they are cut up.

    Left out is what says how the events came and not which: the fences, the number of buckets, and
    which of an event's copies came first, in whose epoch its identity is remembered.
    """
    head = f"u:{{{account}}}"
    found: dict[str, Any] = defaultdict(dict)
    for key in sorted(key.decode() for key in redis.scan_iter(f"{head}*", count=1000)):
        kind = key[len(head) + 1 :].partition(":")[0]
        if kind == "i":  # u:{a}:i:<epoch>:<bucket>
            found["i"] |= dict.fromkeys(redis.smembers(key))
        elif kind == "z":  # u:{a}:z:<bucket>
            found["z"] |= redis.hgetall(key)
        elif kind == "":
            for field, size in redis.hgetall(key).items():
                if field.endswith(b"#"):  # i:<epoch># or z#
                    sizes = found["sizes"]
                    sizes[field[:1]] = sizes.get(field[:1], 0) + int(size)
        else:
            packed = kind in ("x", "p", "s", "t")
            found[key] = {
                field: _unpack(value) if packed else int(value)
                for field, value in redis.hgetall(key).items()
            }
    return dict(found)
