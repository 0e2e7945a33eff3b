"""The events that lie in dead letters, by account: how many of them a report leaves out.

Each is kept by the place where it was published first, with the second of its time. An event that
was published again is forgotten; its place stays, so that the same dead letter, published again by
a worker that reads the topics again, does not bring it back.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from interaction_usage.store import keys
from interaction_usage.store.client import Client

#: What stands for the account of an event that was published again, or of no account.
_NOBODY: Final = b""


class Refused(NamedTuple):
    """An event was refused at *place*, or, where *account* is None, published again."""

    place: str
    account: str | None
    second: int = 0  #: of its time


def note(redis: Client, changes: Sequence[Refused]) -> None:
    """Keep *changes*, in their order; doing it again changes nothing."""
    places = list(dict.fromkeys(change.place for change in changes))
    if not places:
        return
    stored: Any = redis.hmget(keys.REFUSED, places)
    known = dict(zip(places, stored, strict=True))
    pipe = redis.pipeline(transaction=False)
    for place, account, second in changes:
        if account is not None:
            if known[place] is None:
                known[place] = account.encode()
                pipe.zadd(keys.refused(account), {place: second})
        elif known[place] != _NOBODY:
            if was := known[place]:
                pipe.zrem(keys.refused(was.decode()), place)
            known[place] = _NOBODY
    # Last, so that what is interrupted is done again.
    pipe.hset(keys.REFUSED, mapping={place: known[place] or _NOBODY for place in places})
    pipe.execute()
