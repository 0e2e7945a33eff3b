"""Samples of stored rollups, one set for each layout that was ever released.

    python -m tests.support.layout_samples

writes those of the current layout from the vectors: `tests/layouts/LAYOUT/VECTOR.STATE.backup`.
Run it once, when a layout is new, and commit what it writes: samples of older layouts are never
made again, for the code that wrote them is gone.
"""

import asyncio
import gzip
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import backup, keys
from interaction_usage.store.client import connect
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.fold import SEALED_AFTER
from rollups.watermark import Position
from tests.support import vector_files

FOLDER = Path(__file__).parents[1] / "layouts"
#: Days as they are while events may still come, and as they are for ever.
STATES = ("open", "sealed")

_LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)


def read(file: Path) -> list[backup.Record]:
    """Return the records of a sample."""
    found = []
    with gzip.open(file) as packed:
        while length := packed.read(4):
            found.append(backup.unpack(packed.read(int.from_bytes(length))))
    return found


async def _write(url: str, name: str, state: str) -> None:
    writer = Writer.of(url, _LIMITS, timeout=10.0, clock=time.time)
    await writer.prepare()
    await writer.check_limits()
    for topic, placed in vector_files.placed(name).items():
        for begin in range(0, len(placed), 1000):
            await writer.apply(f"{topic}/0", placed[begin : begin + 1000])
        await writer.advance({f"{topic}/0": Position(len(placed), 0)})
    if state == "sealed":
        now = int(time.time()) + SEALED_AFTER + 1
        for _ in range(100):
            await writer.seal(_accounts(url), now)
    await writer.close()


def _accounts(url: str) -> list[str]:
    with connect(url) as redis:
        return Rollups.live(redis).accounts()


def _samples() -> Iterator[tuple[Path, list[Any]]]:
    for name in vector_files.NAMES:
        for state in STATES:
            with redis_server() as server, connect(server.url) as redis:
                asyncio.run(_write(server.url, name, state))
                path = FOLDER / str(keys.LAYOUT) / f"{name}.{state}.backup"
                yield path, list(backup.records(redis))


if __name__ == "__main__":
    for path, records in _samples():
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.GzipFile("", "wb", 9, path.open("wb"), mtime=0) as packed:
            for record in records:
                packed.write(backup.pack(record))
        print(path.relative_to(FOLDER), path.stat().st_size, "bytes")
