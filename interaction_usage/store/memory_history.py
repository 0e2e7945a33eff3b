"""How much memory Redis used, noted once an hour, so that its growth can be seen.

The worker that looks for all notes it: the sum over the nodes of a cluster. What else lives on the
same servers is part of it, for it shares the memory limit.
"""

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

from interaction_usage.store import keys
from interaction_usage.store.client import Client

if TYPE_CHECKING:
    from interaction_usage.store.nodes import Nodes

HOUR_S: Final = 3_600
#: Hours that are kept, and days whose growth is looked at.
_KEPT_HOURS, _DAYS = 35 * 24, 14
#: Days of growth from which on a typical one is known.
_ENOUGH_DAYS: Final = 3


async def note_memory(nodes: "Nodes", now: int) -> None:
    """Note what is used in the hour of *now*, unless that is noted, or this user may not ask."""
    hour = now // HOUR_S
    if await nodes.execute("HEXISTS", keys.MEMORY, hour):
        return
    try:
        used = [int((await node.redis.info("memory"))["used_memory"]) for node in nodes.all]
    except ResponseError:
        return
    await nodes.execute("HSET", keys.MEMORY, hour, sum(used))
    fields = [int(field) for field in await nodes.execute("HKEYS", keys.MEMORY)]
    if old := [field for field in fields if field <= hour - _KEPT_HOURS]:
        await nodes.execute("HDEL", keys.MEMORY, *old)


def read_memory(redis: Client) -> dict[int, int]:
    """Return the bytes that were in use, by the hour since 1970."""
    stored = cast(dict[bytes, bytes], redis.hgetall(keys.MEMORY))
    return {int(hour): int(used) for hour, used in stored.items()}


def memory_in_use(redis: Client) -> tuple[int, int] | None:
    """Return the memory limit and what is in use, in bytes; None if this user may not ask.

    Both are sums over the nodes of a cluster; the limit is 0 where one of them has none.
    """
    of_nodes: dict[str, Any] = (
        {"target_nodes": RedisCluster.PRIMARIES} if isinstance(redis, RedisCluster) else {}
    )
    try:
        answer = cast(Any, redis).info("memory", **of_nodes)
    except ResponseError:
        return None
    nodes = [answer] if "used_memory" in answer else list(answer.values())
    limits = [int(node.get("maxmemory", 0)) for node in nodes]
    return sum(limits) if all(limits) else 0, sum(int(node["used_memory"]) for node in nodes)


def daily_growth(history: Mapping[int, int]) -> float | None:
    """Return by how many bytes a typical day grows: the median, so that one load of history counts
    as one day.

    None while fewer than three days can be compared with the one before.
    """
    days = {hour // 24: history[hour] for hour in sorted(history)}  # each day's last
    grown = [used - days[day - 1] for day, used in sorted(days.items()) if day - 1 in days]
    return statistics.median(grown[-_DAYS:]) if len(grown) >= _ENOUGH_DAYS else None
