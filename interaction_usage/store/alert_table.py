"""The rules of alerts and their states as records of a topic; what they mean is known to `alerts`.

The key of a record is the id of a rule, or that and `.state`. A rule that was removed keeps a
record, for ever, so that a backup that is restored later does not bring it back: about 60 bytes
each. The process that evaluates holds a lease, which has a number, the *fence*: each holder's is
higher than all before, and whoever has lost the lease finds another one there.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from interaction_usage import prefixes
from interaction_usage.store import keys, scripts
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Entry, HashTable

_STATE: Final = ".state"
_KEY: Final = re.compile(rf"[0-9a-f]{{12}}(?:{re.escape(_STATE)})?")
#: Milliseconds for which a lease lasts, and what a process says of itself.
LEASE_MS, _SAID_MS = 6_000, 10_000
#: Attempts to deliver that are kept of an account, and the seconds for which a test waits.
_MOST_DELIVERIES, _TEST_S = 200, 60


class _Removed(msgspec.Struct, forbid_unknown_fields=True):
    """That a rule was removed."""

    removed: int  #: the second


_decode_removed: Final = msgspec.json.Decoder(_Removed).decode
_decode_any: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _entry(key: str, value: bytes) -> Entry:
    if not _KEY.fullmatch(key):
        raise ValueError("its key is no id of a rule")
    try:
        _decode_removed(value)
    except msgspec.ValidationError:
        _decode_any(value)
        return Entry(key, value)
    return Entry(key, None)


ALERTS: Final = HashTable(prefixes.topic("usage.alerts"), keys.ALERTS, keys.ALERTS_READ, _entry)


def state_key(rule_id: str) -> str:
    """Return the key of the state of a rule."""
    return f"{rule_id}{_STATE}"


def removal(rule_id: str, second: int) -> list[tuple[str, bytes]]:
    """Return the records that remove a rule and its state."""
    value = msgspec.json.encode(_Removed(second))
    return [(rule_id, value), (state_key(rule_id), value)]


class Stored(NamedTuple):
    """Everything in the hash: the JSON of each rule, and that of each state, by the rule's id."""

    rules: Mapping[str, bytes]
    states: Mapping[str, bytes]


def read_all(redis: Client) -> Stored:
    """Return every rule and every state."""
    found = Stored({}, {})
    for field, value in cast(Mapping[bytes, bytes], redis.hgetall(keys.ALERTS)).items():
        name = field.decode()
        of = cast(dict[str, bytes], found.states if name.endswith(_STATE) else found.rules)
        of[name.removesuffix(_STATE)] = value
    return found


def version(redis: Client) -> Mapping[bytes, bytes]:
    """Return what changes with every change of a rule or state."""
    return cast(Mapping[bytes, bytes], redis.hgetall(keys.ALERTS_READ))


# --------------------------------------------------------------------------------- the lease

_LEASE: Final = scripts.source("lease")


def take_lease(redis: Client, name: str) -> int:
    """Return the fence of the lease that *name* has now; 0 where another process has it.

    It keeps the lease, and the fence, while it asks again in time.
    """
    script = redis.register_script(_LEASE)
    return int(script(keys=[keys.ALERTS_LEASE, keys.ALERTS_FENCE], args=[name, LEASE_MS]))


def release_lease(redis: Client, name: str, fence: int) -> None:
    """Let another process begin at once."""
    if redis.get(keys.ALERTS_LEASE) == f"{fence} {name}".encode():
        redis.delete(keys.ALERTS_LEASE)


# ------------------------------------------------------------- what the process says of itself


def say(redis: Client, content: bytes, looked: int | None) -> None:
    """Leave what the process that evaluates says of itself, and the second of its last look."""
    pipe = redis.pipeline(transaction=False)
    pipe.set(keys.ALERTS_EVALUATOR, content, px=_SAID_MS)
    if looked is not None:
        pipe.set(keys.ALERTS_LOOKED, str(looked))
    pipe.execute()


def said(redis: Client) -> bytes | None:
    """Return what the process that evaluates said of itself within 10 s."""
    return cast(bytes | None, redis.get(keys.ALERTS_EVALUATOR))


def last_look(redis: Client) -> int | None:
    """Return the second of the last look, if it is known."""
    found = cast(bytes | None, redis.get(keys.ALERTS_LOOKED))
    return int(found) if found else None


# -------------------------------------------------------------------------------- deliveries


def note_attempts(redis: Client, account: str, entries: Sequence[bytes]) -> None:
    """Keep *entries* as the newest attempts of *account*."""
    pipe = redis.pipeline(transaction=False)
    pipe.lpush(keys.alert_deliveries(account), *entries)
    pipe.ltrim(keys.alert_deliveries(account), 0, _MOST_DELIVERIES - 1)
    pipe.execute()


def attempts(redis: Client, account: str) -> list[bytes]:
    """Return the attempts of *account* that are kept, newest first."""
    return cast(list[bytes], redis.lrange(keys.alert_deliveries(account), 0, -1))


def queue_test(redis: Client, content: bytes) -> None:
    """Have the process that evaluates deliver a test."""
    pipe = redis.pipeline(transaction=False)
    pipe.rpush(keys.ALERTS_TESTS, content)
    pipe.expire(keys.ALERTS_TESTS, _TEST_S)
    pipe.execute()


def take_tests(redis: Client) -> list[bytes]:
    """Return the tests that are waiting, and forget them."""
    found = cast(list[bytes] | None, redis.lpop(keys.ALERTS_TESTS, 20))
    return found or []


def read_schedule(redis: Client) -> Mapping[bytes, bytes]:
    """Return notification id to what is known of attempts to deliver it."""
    return cast(Mapping[bytes, bytes], redis.hgetall(keys.ALERTS_ATTEMPTS))


def schedule(redis: Client, notification: str, content: bytes | None) -> None:
    """Keep what is known of attempts to deliver a notification; None for nothing any more."""
    if content is None:
        redis.hdel(keys.ALERTS_ATTEMPTS, notification)
    else:
        redis.hset(keys.ALERTS_ATTEMPTS, notification, content)
