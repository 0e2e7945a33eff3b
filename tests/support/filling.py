"""Fills a Redis with events, as a worker would write them."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from interaction_usage.store.client import connect
from interaction_usage.store.keys import Namespace
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.fold import OffsetEvent
from stream_app.codec import decode
from stream_app.topics import TOPIC_OF
from tests.support.caught_up import caught_up

LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)


def fill(
    url: str,
    lines: Iterable[bytes],
    limits: Mapping[str, int] = LIMITS,
    log: str = "0",
    at: Namespace | None = None,
) -> None:
    """Write the events in *lines*; a *log* of another name begins at its own offset 0.

    Into the active rollups, or those *at* a namespace.
    """
    topics: dict[str, list[OffsetEvent]] = defaultdict(list)
    for line in lines:
        answer: dict[str, Any] = json.loads(line)
        topic = TOPIC_OF[answer["type"]]
        topics[topic].append(OffsetEvent(len(topics[topic]), decode(topic, line)))

    async def write() -> None:
        writer = Writer.of(url, limits, timeout=10.0, at=at, clock=time.time)
        await writer.prepare()
        for topic, placed in topics.items():
            for begin in range(0, len(placed), 2000):
                await writer.apply(f"{topic}/{log}", placed[begin : begin + 2000])
        await writer.close()

    # In a thread of its own: a browser's tests have a running event loop in theirs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(write())).result()
    with connect(url) as client:
        caught_up(client)
