"""Whether a Redis will do: it may drop no key by itself, and has every command that is used."""

import logging
from typing import Any, Final

from redis.exceptions import ResponseError

from interaction_usage.store.errors import OF_A_CLUSTER, UnfitRedis, is_denied
from interaction_usage.store.nodes import Node

log = logging.getLogger(__name__)

#: SMISMEMBER is the newest command in use.
OLDEST_REDIS: Final = (6, 2)

_UNSEEN = (
    "Redis does not let this user run INFO, so nobody sees whether it evicts keys when its memory "
    "is full, which makes wrong bills; see to it that maxmemory-policy is noeviction"
)


async def check_fitness(node: Node) -> None:
    """Raise UnfitRedis where the Redis of *node* may drop keys, or lacks a command that is used."""
    server = await _info(node, "server")
    if server is None:  # everybody may say HELLO
        redis: Any = node.redis  # its `execute_command` has no types
        greeting = _pairs(await redis.execute_command("HELLO"))
        server = {"redis_version": greeting["version"], "redis_mode": greeting["mode"]}
    version = str(server.get("valkey_version") or server["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        raise UnfitRedis(f"Redis is {version}; {oldest} is the oldest that will do")
    if server.get("redis_mode") == "cluster" and not node.share:
        raise UnfitRedis(OF_A_CLUSTER)
    memory = await _info(node, "memory")
    if memory is None:
        log.warning(_UNSEEN)
        return
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        raise UnfitRedis(
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), and a "
            "rollup that is gone makes a wrong bill; set maxmemory-policy noeviction"
        )


async def _info(node: Node, section: str) -> dict[str, Any] | None:
    """Return a section of INFO; None where this user may not run it."""
    try:
        found: dict[str, Any] = await node.redis.info(section)
    except ResponseError as error:
        if not is_denied(error):
            raise
        return None
    return found


def _pairs(answer: Any) -> dict[str, str]:
    """Return what HELLO answers, which is a list or a dictionary by the protocol."""
    pairs = answer.items() if isinstance(answer, dict) else zip(*[iter(answer)] * 2, strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
