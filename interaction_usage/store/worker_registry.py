"""Which workers are alive: each sends a heartbeat, and is in a set of the workers of the last hour.

Whoever asks reads that set, never the whole keyspace.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from interaction_usage.store import keys

if TYPE_CHECKING:
    from interaction_usage.store.client import Client
    from interaction_usage.store.nodes import Nodes

#: Seconds that a heartbeat lasts.
HEARTBEAT_TTL_S: Final = 10
#: Seconds after its last heartbeat for which a worker stays in the set.
LISTED_S: Final = 3_600


class Heartbeat(NamedTuple):
    """What a worker last reported about itself."""

    worker: str  #: its name, host:process id
    report: bytes  #: JSON
    ttl_ms: int  #: for how many milliseconds it lasts


async def send_heartbeat(nodes: "Nodes", worker: str, report: bytes, now: int) -> None:
    """Store a worker's *report* as of the second *now*; drop workers unheard of for an hour."""
    await nodes.execute_all(
        ("SET", keys.worker(worker), report, "EX", HEARTBEAT_TTL_S),
        ("ZADD", keys.WORKERS, now, worker),
        ("ZREMRANGEBYSCORE", keys.WORKERS, "-inf", now - LISTED_S),
    )


def known_workers(redis: "Client") -> set[str]:
    """Return the names of all workers that sent a heartbeat within the last hour or so."""
    return {name.decode() for name in cast(list[bytes], redis.zrange(keys.WORKERS, 0, -1))}


def heartbeats(redis: "Client") -> list[Heartbeat]:
    """Return the heartbeats that last, of all workers, in the order of their latest ones."""
    names = [name.decode() for name in cast(list[bytes], redis.zrange(keys.WORKERS, 0, -1))]
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.get(keys.worker(name))
        pipe.pttl(keys.worker(name))
    answers: Any = iter(pipe.execute() if names else ())
    found = zip(names, answers, answers, strict=True)
    return [Heartbeat(name, report, ttl) for name, report, ttl in found if report is not None]
