"""Whether a Redis is fit for rollups: it drops no key by itself, and has every command needed."""

import logging
from typing import Any, Final

from redis.exceptions import ResponseError

from interaction_usage.store.errors import IS_CLUSTER_NODE, UnfitRedisError, is_denied
from interaction_usage.store.nodes import Node

log = logging.getLogger(__name__)

#: SMISMEMBER is the newest command in use.
OLDEST_REDIS: Final = (6, 2)

_CANNOT_CHECK = (
    "Redis does not let this user run INFO, so it is unknown whether it evicts keys when memory is "
    "full, which makes wrong bills; make sure that maxmemory-policy is noeviction"
)


async def check_fitness(node: Node) -> None:
    """Raise UnfitRedisError if the Redis of *node* may drop keys, or lacks a needed command."""
    server = await _info(node, "server")
    if server is None:  # every user may run HELLO
        redis: Any = node.redis  # its `execute_command` has no types
        greeting = _pairs(await redis.execute_command("HELLO"))
        server = {"redis_version": greeting["version"], "redis_mode": greeting["mode"]}
    version = str(server.get("valkey_version") or server["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        raise UnfitRedisError(f"Redis is {version}; the oldest supported version is {oldest}")
    if server.get("redis_mode") == "cluster" and not node.primary:
        raise UnfitRedisError(IS_CLUSTER_NODE)
    memory = await _info(node, "memory")
    if memory is None:
        log.warning(_CANNOT_CHECK)
        return
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        raise UnfitRedisError(
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), and a "
            "missing rollup makes a wrong bill; set maxmemory-policy noeviction"
        )


async def _info(node: Node, section: str) -> dict[str, Any] | None:
    """Return a section of INFO; None if this user may not run it."""
    try:
        answer: dict[str, Any] = await node.redis.info(section)
    except ResponseError as error:
        if not is_denied(error):
            raise
        return None
    return answer


def _pairs(answer: Any) -> dict[str, str]:
    """Return the answer to HELLO, which is a list or a dictionary, depending on the protocol."""
    pairs = answer.items() if isinstance(answer, dict) else zip(*[iter(answer)] * 2, strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
