"""Members of the consumer group that do not report to this Redis: strangers.

Two deployments that read the same topics with one group, and keep their rollups apart (by their
`USAGE_REDIS_PREFIX`, or in two Redis), share the partitions: each counts a part of the events.
Every worker is a client with its own name, under which it also sends heartbeats to its Redis; so a
member whose name Redis does not know counts for somebody else.
"""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from redis.exceptions import RedisError

from interaction_usage.store.client import connect_late
from interaction_usage.store.worker_registry import known_workers
from stream_app.kafka_state import SHARED, GroupState, Obstacle, group_obstacle
from stream_app.telemetry import worker_name

#: What the client id of a worker begins with; its name follows.
_CLIENT: Final = "usage-worker-"
#: What it begins with for workers of earlier versions, of which nothing can be known.
_EARLIER: Final = "faust-"
#: Seconds after which a member is a stranger: one that starts sends its first heartbeat by then.
_PATIENCE_S: Final = 20.0
#: Seconds that Redis may take to answer.
_TIMEOUT_S: Final = 5.0


def client_id() -> str:
    """Return the name by which Kafka knows this worker."""
    return f"{_CLIENT}{worker_name()}"


def strangers(clients: Iterable[str], workers: Collection[str]) -> list[str]:
    """Return the members among *clients* that are none of the *workers*, by name."""
    names = {each.removeprefix(_CLIENT) for each in clients if not each.startswith(_EARLIER)}
    return sorted(names.difference(workers))


def stranger_obstacle(group: str, names: Collection[str]) -> Obstacle:
    """Return what strangers with these *names* in a consumer *group* mean."""
    who = ", ".join(names)
    does = "reads" if len(names) == 1 else "read"
    return Obstacle(
        "consumer group", SHARED,
        f"{who} {does} as the consumer group {group} and not for this Redis: a part of the events "
        "is not counted here",
        "Give each deployment that reads the same topics its own USAGE_GROUP or USAGE_TOPIC_PREFIX",
    )  # fmt: skip


class GroupWatch:
    """Judges the group, again and again, for a worker whose rollups are in the Redis at *url*."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        timeouts: Any = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._redis, self._clock = connect_late(url, **timeouts), clock
        self._since: dict[str, float] = {}  # by name, when it was first no worker of this Redis
        self._workers: set[str] = set()  # that were found in Redis

    def judge(self, name: str, group: GroupState) -> Obstacle | None:
        """Return what is in the way of this worker; not for an event loop's own thread."""
        if obstacle := group_obstacle(name, group):
            return obstacle
        if strangers(group.clients, self._workers):
            try:
                self._workers = known_workers(self._redis)
            except (RedisError, OSError):  # readiness says that by itself
                return None
        now, found = self._clock(), strangers(group.clients, self._workers)
        self._since = {each: self._since.get(each, now) for each in found}
        lasting = [each for each in found if now - self._since[each] >= _PATIENCE_S]
        return stranger_obstacle(name, lasting) if lasting else None
