"""Redis: whether it is fit to keep rollups, and whether this user may read and write them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError, ResponseError

from interaction_usage.doctor.findings import Area, Finding
from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.errors import is_denied, permanent_fault, shown
from interaction_usage.store.preflight import OLDEST_REDIS
from rollups.quantity import quantity

REDIS: Final = Area("redis")

#: Seconds that the clocks of this machine and of Redis may differ by.
_CLOCKS: Final = 5.0

#: Shares of its memory limit from which a Redis deserves a look, and from which it is urgent.
_MUCH, _TOO_MUCH = 0.7, 0.9
#: Days that the memory should still last.
_DAYS_LEFT: Final = 30

_RIGHTS: Final = "docs/redis.md has the ACL line that each command needs"

#: Commands that change nothing, whoever runs them, by what a user needs them for.
_PROBES: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "read reports": (("GET", keys.PROBE), ("HGETALL", keys.PROBE), ("SCARD", keys.PROBE)),
    "count events": (
        ("UNLINK", keys.PROBE),
        ("SCRIPT", "LOAD", "return 1"),
        ("EVALSHA", "0" * 40, "1", keys.PROBE),
    ),
}


class Server(NamedTuple):
    """What a server says of itself, and what it lets this user do."""

    place: str  #: host and port
    information: Mapping[str, Any] | None  #: INFO; None if this user may not run it
    clock_difference: float | None  #: seconds by which its clock is ahead of this machine's
    denied: Mapping[str, str]  #: purpose to the first command for it that is not allowed


# ------------------------------------------------------------------------------------- asking


def ask(client: Client, place: str, now: float) -> Server:
    """Return what the server behind *client* says; *now* is this machine's time.

    Raises RedisError where it does not answer.
    """
    return Server(place, _information(client), _difference(client, now), _denied(client))


def _information(client: Client) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = client.info("everything")
    except ResponseError as error:
        if is_denied(error):
            return None
        raise
    return found


def _difference(client: Client, now: float) -> float | None:
    try:
        seconds, micros = client.time()
    except ResponseError:
        return None
    return float(seconds) + float(micros) / 1e6 - now


def _denied(client: Client) -> dict[str, str]:
    found = {}
    for purpose, commands in _PROBES.items():
        for command in commands:
            try:
                client.execute_command(*command)  # type: ignore[no-untyped-call]
            except ResponseError as error:
                if is_denied(error):
                    found[purpose] = command[0]
                    break
    return found


# ------------------------------------------------------------------------------------ judging


def judge(server: Server) -> Iterator[Finding]:
    """Yield what is to be said of a server that answers."""
    if server.information is None:
        yield REDIS.warning(
            server.place,
            "This user may not run INFO: it is unknown whether this Redis evicts keys, is full or "
            "writes to disk",
            f"Allow INFO, or check maxmemory-policy by hand; {_RIGHTS}",
        )
    else:
        yield from _judge_version(server.place, server.information)
        yield from _judge_memory(server.place, server.information)
        yield from _judge_persistence(server.place, server.information)
    yield from _judge_clock(server.place, server.clock_difference)
    yield from _judge_rights(server.place, server.denied)


def _judge_version(place: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        yield REDIS.wrong(place, f"{name} {version} is too old", f"Upgrade it to {oldest} or newer")
    elif info.get("role") == "slave":
        yield REDIS.wrong(
            place, "This is a replica: nothing can be written to it", "Name the primary"
        )
    else:
        yield REDIS.ok(place, f"{name} {version}")


def _judge_memory(place: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = str(info.get("maxmemory_policy", "noeviction"))
    evicted = int(info.get("evicted_keys", 0))
    if evicted:
        yield REDIS.wrong(
            place,
            f"It has evicted {quantity(evicted, 'key')} since its start: rollups may be missing",
            "Set maxmemory-policy noeviction, then run `usage rebuild --verify`",
        )
    if limit and policy != "noeviction":
        yield REDIS.wrong(
            place,
            f"It drops keys when it is full (maxmemory-policy {policy})",
            "Set maxmemory-policy noeviction",
        )
    if not limit:
        yield REDIS.ok(place, f"{_size(used)} in use, no memory limit")
    elif used < _MUCH * limit:
        yield REDIS.ok(place, f"{_size(used)} of {_size(limit)} in use")
    else:
        say = REDIS.wrong if used >= _TOO_MUCH * limit else REDIS.warning
        yield say(
            place,
            f"{used / limit:.0%} of its memory is in use ({_size(used)} of {_size(limit)}); when "
            "it is full, counting stops",
            "Raise maxmemory",
        )


def judge_growth(limit: int, used: int, growth: float | None) -> Finding:
    """Return for how many days the memory lasts, if it goes on to grow as on a typical day.

    *limit* is the sum over the nodes of a cluster, 0 if there is none; *growth* is None while it is
    not known.
    """
    if growth is None:
        return REDIS.ok("memory", "Its growth is not known yet: workers note it once an hour")
    if growth <= 0:
        return REDIS.ok("memory", "It does not grow on a typical day of the last two weeks")
    grows = f"It grows by {_size(int(growth))} on a typical day of the last two weeks"
    if not limit:
        return REDIS.ok("memory", f"{grows}; there is no memory limit")
    days = int(max(0, limit - used) / growth)
    lasts = f"{grows}; at this rate the limit is reached in {quantity(days, 'day')}"
    if days >= _DAYS_LEFT:
        return REDIS.ok("memory", lasts)
    return REDIS.warning("memory", lasts, "Raise maxmemory; when it is full, counting stops")


def _judge_persistence(place: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        yield REDIS.wrong(
            place,
            "It cannot write its append-only file",
            "Free disk space, or look into the log of Redis",
        )
    elif info.get("aof_enabled"):
        yield REDIS.ok(place, "Writes an append-only file")
    else:
        yield REDIS.warning(
            place,
            "It keeps no append-only file: after a restart, what was counted since its last "
            "snapshot is read again from Kafka",
            "Set appendonly yes, appendfsync everysec",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield REDIS.warning(place, "Its last snapshot failed", "Look into the log of Redis")


def _judge_clock(place: str, difference: float | None) -> Iterator[Finding]:
    if difference is None:
        return
    if abs(difference) <= _CLOCKS:
        yield REDIS.ok(place, f"Its clock is within {_CLOCKS:g} s of this machine's")
        return
    side = "ahead of" if difference > 0 else "behind"
    yield REDIS.warning(
        place,
        f"Its clock is {abs(difference):,.0f} s {side} this machine's",
        "Synchronise both with NTP: days are sealed by the clocks of the workers",
    )


def _judge_rights(place: str, denied: Mapping[str, str]) -> Iterator[Finding]:
    if command := denied.get("read reports"):
        yield REDIS.wrong(place, f"This user may not run {command}", _RIGHTS)
    elif command := denied.get("count events"):
        yield REDIS.warning(
            place,
            f"This user may not run {command}: it can read reports, but not count events",
            f"Nothing, if this is the user of a reader; else {_RIGHTS}",
        )
    else:
        yield REDIS.ok(place, "This user may read and write the rollups")


def explain(error: RedisError, place: str) -> Finding:
    """Return what it means that Redis at *place* did not answer at all."""
    if fault := permanent_fault(error):
        return REDIS.wrong(place, fault[0].upper() + fault[1:], "Check USAGE_REDIS")
    return REDIS.wrong(
        place,
        f"Redis does not answer: {shown(error)}",
        "Check USAGE_REDIS and that a server is running there",
    )


def _size(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1024:.0f} KiB"
