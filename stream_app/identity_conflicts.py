"""Identities that were used for two different events: one counts, whichever is read first.

A producer's mistake that nobody can correct afterwards. Rollups that are rebuilt from the topics
may have the other one, for partitions are read side by side; so where rollups differ, these are
reported.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from faust.types import TP

from rollups.events import Event
from rollups.timestamps import DAY_SECONDS, SECOND
from stream_app.dead_letters import Place
from stream_app.decode_batch import decode_batch
from stream_app.topic_reader import TopicReader

_DAY = DAY_SECONDS * SECOND


class IdentityConflict(NamedTuple):
    """Two events of one account and UTC day with the same `source` and `id`."""

    first: Event
    first_place: Place
    second: Event
    second_place: Place


async def identity_conflicts(
    servers: str,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    accounts: Collection[str],
) -> list[IdentityConflict]:
    """Return the conflicts of *accounts* in topic-partitions from *starts* to *ends*.

    Of more than two events, each is compared with the one that was read first. Raises
    RecordsUnavailableError, KafkaError.
    """
    first_of: dict[tuple[str, str, str, int], tuple[Event, Place]] = {}
    conflicts: list[IdentityConflict] = []
    async with TopicReader(servers, starts) as reader:
        async for chunk in reader.read_to(ends):
            events, _ = decode_batch(TP(*chunk.tp), chunk.records)
            for offset, event in ((placed.offset, placed.event) for placed in events):
                if event.account not in accounts:
                    continue
                key = event.account, event.source, event.id, event.time // _DAY
                place = Place(chunk.tp.topic, chunk.tp.partition, offset)
                first, first_place = first_of.setdefault(key, (event, place))
                if first != event:
                    conflicts.append(IdentityConflict(first, first_place, event, place))
    return conflicts
