"""The gaps that are known: a hash in Redis, kept in step with the topic of gaps."""

from typing import Any, Final, cast

import orjson

from interaction_usage.store import keys
from interaction_usage.store.client import Client
from rollups.gaps import Acceptance, Gap

#: The second up to which everything is counted, as the stream's progress in Redis names it.
_COMPLETE_TO: Final = "complete_to"


def read_gaps(redis: Client) -> list[Gap]:
    """Return every known gap, accepted or not, the one found first first."""
    stored = cast(dict[bytes, bytes], redis.hgetall(keys.GAPS))
    found = [gap_from(value) for value in stored.values()]
    return sorted(found, key=lambda gap: (gap.until, gap.topic, gap.partition, gap.first))


def complete_to(redis: Client) -> int | None:
    """Return the second before which everything published was counted when last looked, if known.

    It was, whatever has become of the topics since.
    """
    progress = cast(bytes | None, redis.get(keys.LAST_PROGRESS))
    second = orjson.loads(progress).get(_COMPLETE_TO) if progress else None
    return None if second is None else int(second)


def gap_bytes(gap: Gap) -> bytes:
    """Return *gap* as JSON, as it stands in the topic and in Redis."""
    accepted = gap.accepted and gap.accepted._asdict()
    return orjson.dumps(gap._asdict() | {"accepted": accepted})


def gap_from(stored: bytes) -> Gap:
    """Return the gap that `gap_bytes` wrote. Raises ValueError."""
    try:
        members: dict[str, Any] = orjson.loads(stored)
        accepted = members.pop("accepted")
        return Gap(**members, accepted=Acceptance(**accepted) if accepted else None)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is not a gap ({error})") from None
