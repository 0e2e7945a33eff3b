"""What was rejected earlier for a sealed day, where topics are read into rollups that lost it.

Whether a day is sealed depends on when its events were read, and the only record of that beside the
rollups are the dead letters. So where a topic is read again, by a worker whose Redis is empty or by
a rebuild, what was rejected as sealed stays rejected: the bill of that day is the one it was.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Set
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from aiokafka.structs import ConsumerRecord

from interaction_usage.store import keys
from stream_app.broker import admin_client, topic_ids
from stream_app.dead_letter_reader import messages
from stream_app.dead_letters import fingerprint, read_dead_letter
from stream_app.fetched_record import FetchedRecord
from stream_app.rejection import Reason
from stream_app.topics import DEAD_LETTERS

#: A topic and a partition; the worker's own type for it is one of these.
Place = tuple[str, int]

Record = TypeVar("Record", bound=FetchedRecord)


class _Rejected(NamedTuple):
    """Offsets of one topic-partition, ascending, and 63 bits of each record's fingerprint.

    A topic that was deleted and created again uses its offsets for other records, so an offset may
    be there more than once.
    """

    offsets: "array[int]"
    fingerprints: "array[int]"


class SealedRejections:
    """Which records were rejected for a sealed day."""

    def __init__(self, rejected: Mapping[Place, Set[tuple[int, int]]]) -> None:
        self._rejected = {place: _columns(found) for place, found in rejected.items()}

    def has_rejected(self, record: ConsumerRecord) -> bool:
        """Tell whether *record* was rejected."""
        return not self.without_rejected((record.topic, record.partition), [record])

    def without_rejected(self, place: Place, records: list[Record]) -> list[Record]:
        """Return those of *records* of *place* that were not rejected."""
        columns = self._rejected.get(place)
        if columns is None or not records:
            return records
        low = bisect_left(columns.offsets, records[0].offset)
        high = bisect_left(columns.offsets, records[-1].offset + 1)
        rejected = set(zip(columns.offsets[low:high], columns.fingerprints[low:high], strict=True))
        if not rejected:
            return records
        offsets = {offset for offset, _ in rejected}
        return [
            record
            for record in records
            if record.offset not in offsets
            or (record.offset, _short(fingerprint(record.key, record.value, record.headers)))
            not in rejected
        ]


def _columns(rejected: Set[tuple[int, int]]) -> _Rejected:
    ordered = sorted(rejected)
    return _Rejected(array("q", (at for at, _ in ordered)), array("q", (it for _, it in ordered)))


#: Tells of a dead letter, by the name of its partition in fences and its offset, if it is wanted.
IsWanted = Callable[[str, int], bool]

#: Nothing was rejected.
NO_REJECTIONS = SealedRejections({})


def read_sealed_rejections(
    servers: str, since: int = 0, copied: Iterable[Any] = (), is_wanted: IsWanted | None = None
) -> SealedRejections:
    """Return what `usage.dead-letters` says, *since* a second, and what is *copied* from there.

    Of the topic only what is wanted. Raises BrokerUnavailableError.
    """
    found: Iterable[Any] = messages(servers, since)
    if is_wanted is not None:
        topic_id = topic_ids(admin_client(servers), [DEAD_LETTERS]).get(DEAD_LETTERS, "")
        found = (
            each
            for each in found
            if is_wanted(keys.fence(DEAD_LETTERS, each.partition, topic_id), each.offset)
        )
    return sealed_rejections_in(chain(copied, found))


def before(ends: Mapping[str, int]) -> IsWanted:
    """Return what tells whether a dead letter lies before the *ends* of the topic.

    A topic with another id was created again, or is a mirror: it cannot be known what of it was
    there then, so all of it counts.
    """
    ids = {keys.parse_fence(name)[2] for name in ends}

    def lies_before(fence: str, offset: int) -> bool:
        return keys.parse_fence(fence)[2] not in ids or offset < ends.get(fence, 0)

    return lies_before


def sealed_rejections_in(messages: Iterable[Any]) -> SealedRejections:
    """Return what these *messages* of `usage.dead-letters` say."""
    rejected: dict[Place, set[tuple[int, int]]] = {}
    for message in messages:
        headers = read_dead_letter(message.headers)
        if headers and headers.reason == Reason.SEALED:
            whole = (
                headers.left_out.fingerprint
                if headers.left_out
                else fingerprint(message.key, message.value, headers.own)
            )
            place = headers.place
            found = rejected.setdefault((place.topic, place.partition), set())
            found.add((place.offset, _short(whole)))
    return SealedRejections(rejected)


def _short(fingerprint_in_hex: str) -> int:
    return int(fingerprint_in_hex[:16], 16) >> 1
