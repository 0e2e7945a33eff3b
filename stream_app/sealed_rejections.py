"""What was refused for a sealed day before, where topics are read again into rollups that lost it.

Whether a day is sealed depends on when its events were read, and the only record of that beside the
rollups are the dead letters. So where a topic is read again, by a worker whose Redis is empty or by
a rebuild, what was refused as sealed stays refused: the bill of that day is the one it was.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.structs import ConsumerRecord
from faust.types import TP

from stream_app.dead_letter_reader import messages
from stream_app.dead_letters import fingerprint, read_dead_letter
from stream_app.rejection import Reason


class _Refused(NamedTuple):
    """Offsets of one topic-partition, ascending, and 63 bits of each record's fingerprint.

    A topic that was deleted and created again uses its offsets for other records.
    """

    offsets: "array[int]"
    prints: "array[int]"


class Verdicts:
    """Which records were refused for a sealed day."""

    def __init__(self, refused: Mapping[TP, Mapping[int, int]]) -> None:
        self._refused = {
            tp: _Refused(array("q", sorted(its)), array("q", (its[at] for at in sorted(its))))
            for tp, its in refused.items()
        }

    def without_refused(self, tp: TP, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Return those of *records* of *tp* that were not refused."""
        its = self._refused.get(tp)
        if its is None or not records:
            return records
        low = bisect_left(its.offsets, records[0].offset)
        high = bisect_left(its.offsets, records[-1].offset + 1)
        refused = dict(zip(its.offsets[low:high], its.prints[low:high], strict=True))
        if not refused:
            return records
        return [
            record
            for record in records
            if record.offset not in refused
            or refused[record.offset]
            != _short(fingerprint(record.key, record.value, record.headers))
        ]


#: Nothing was refused.
NONE = Verdicts({})


def read_verdicts(servers: str) -> Verdicts:
    """Return what `usage.dead-letters` says. Raises BrokerAway."""
    return verdicts_of(messages(servers))


def verdicts_of(letters: Iterable[Any]) -> Verdicts:
    """Return what these messages of `usage.dead-letters` say."""
    refused: dict[TP, dict[int, int]] = {}
    for letter in letters:
        found = read_dead_letter(letter.headers)
        if found and found.reason == Reason.SEALED:
            whole = (
                found.left_out.fingerprint
                if found.left_out
                else fingerprint(letter.key, letter.value, found.headers)
            )
            place = found.place
            refused.setdefault(TP(place.topic, place.partition), {})[place.offset] = _short(whole)
    return Verdicts(refused)


def _short(print_in_hex: str) -> int:
    return int(print_in_hex[:16], 16) >> 1
