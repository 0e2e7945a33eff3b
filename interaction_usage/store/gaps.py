"""The gaps that are known: a hash in Redis, kept in step with the topic of gaps."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from interaction_usage import prefixes
from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Entry, HashTable, Ledger
from rollups.gaps import Acceptance, Gap, unaccepted, unknown_part

if TYPE_CHECKING:
    from interaction_usage.store.nodes import Nodes

#: The second up to which everything is counted, as the stream's progress in Redis names it.
_COMPLETE_TO: Final = "complete_to"


def read_gaps(redis: Client) -> list[Gap]:
    """Return every known gap, accepted or not, the one found first first."""
    stored = cast(dict[bytes, bytes], redis.hgetall(keys.GAPS))
    found = [gap_from(value) for value in stored.values()]
    return sorted(found, key=lambda gap: (gap.until, gap.topic, gap.partition, gap.first))


async def unaccepted_gaps(nodes: "Nodes") -> int:
    """Return how many gaps nobody accepted."""
    stored = cast(list[bytes], await nodes.execute("HVALS", keys.GAPS))
    return len(unaccepted([gap_from(value) for value in stored]))


def complete_to(redis: Client) -> int | None:
    """Return the second before which everything published was counted when last looked, if known.

    It was, whatever has become of the topics since.
    """
    progress = cast(bytes | None, redis.get(keys.PROGRESS_LAST))
    second = msgspec.json.decode(progress).get(_COMPLETE_TO) if progress else None
    return None if second is None else int(second)


def gap_bytes(gap: Gap) -> bytes:
    """Return *gap* as JSON, as it stands in the topic and in Redis."""
    accepted = gap.accepted and gap.accepted._asdict()
    return msgspec.json.encode(gap._asdict() | {"accepted": accepted})


def gap_from(stored: bytes) -> Gap:
    """Return the gap that `gap_bytes` wrote. Raises ValueError."""
    try:
        members: dict[str, Any] = msgspec.json.decode(stored)
        accepted = members.pop("accepted")
        return Gap(**members, accepted=Acceptance(**accepted) if accepted else None)
    except (TypeError, KeyError, AttributeError, msgspec.DecodeError) as error:
        raise ValueError(f"this is not a gap ({error})") from None


def _entry(gap_id: str, value: bytes) -> Entry:
    if gap_from(value).id != gap_id:
        raise ValueError("its key is not the id of its gap")
    return Entry(gap_id, value)


GAPS: Final = HashTable(prefixes.topic("usage.gaps"), keys.GAPS, keys.GAPS_READ, _entry)


def record(ledger: Ledger, gaps: Iterable[Gap]) -> list[Gap]:
    """Record *gaps*, without what is known of them already; return what was recorded.

    Kafka has acknowledged it then. Raises LedgerError and RedisError.
    """
    ledger.sync(GAPS)
    known = read_gaps(ledger.redis)
    new = [part for gap in gaps if (part := unknown_part(gap, known))]
    _publish(ledger, new)
    return new


def accept(ledger: Ledger, gaps: Iterable[Gap], acceptance: Acceptance) -> None:
    """Record that *gaps* are accepted. Raises LedgerError and RedisError."""
    _publish(ledger, [gap._replace(accepted=acceptance) for gap in gaps])


def _publish(ledger: Ledger, gaps: list[Gap]) -> None:
    if gaps:
        ledger.publish(GAPS, [(gap.id, gap_bytes(gap)) for gap in gaps])
