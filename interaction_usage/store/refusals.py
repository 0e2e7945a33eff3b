"""The events that lie in dead letters, by account: how many of them a report leaves out.

Each is kept by the place where it was published first, with the second of its time. An event that
was published again is forgotten; its place stays, so that the same dead letter, published again by
a worker that reads the topics again, does not bring it back.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from interaction_usage.store import keys
from interaction_usage.store.pinned_connections import KeyedCommand, PinnedConnections

#: What stands for an event that was published again: this and its account, or nothing where that is
#: unknown.
_AGAIN: Final = b"\0"
_UNKNOWN: Final = b""


class Refused(NamedTuple):
    """An event was refused at *place*, or, where *account* is None, published again."""

    place: str
    account: str | None
    second: int = 0  #: of its time


def note(connections: PinnedConnections, changes: Sequence[Refused]) -> None:
    """Keep *changes*, in their order; doing it again changes nothing.

    What is known of a place is written once more nevertheless: of a cluster, one node may have lost
    what another one has.
    """
    places = list(dict.fromkeys(change.place for change in changes))
    if not places:
        return
    [stored] = connections.send((keys.REFUSED, ("HMGET", keys.REFUSED, *places)))
    known: dict[str, bytes | None] = dict(zip(places, stored, strict=True))
    commands: list[KeyedCommand] = []
    for place, account, second in changes:
        was = known[place]
        if was is None:
            was = _UNKNOWN if account is None else account.encode()
        elif account is None and was and was[:1] != _AGAIN:
            was = _AGAIN + was
        known[place] = was
        if was:
            key = keys.refused(was.removeprefix(_AGAIN).decode())
            is_open = was[:1] != _AGAIN
            command = ("ZADD", key, second, place) if is_open else ("ZREM", key, place)
            commands.append((key, command))
    connections.send(*commands)
    # Last, so that what is interrupted is done again.
    fields = [text for place in places for text in (place, known[place])]
    connections.send((keys.REFUSED, ("HSET", keys.REFUSED, *fields)))
