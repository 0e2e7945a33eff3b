"""Identities that were used for two different events: one counts, whichever is read first.

A producer's mistake that nobody can put right afterwards. Rollups that are made from the topics
again may have the other one, for topics are read side by side; so where they differ, whoever looks
into it is told of these.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from faust.types import TP

from rollups.events import Event
from rollups.timestamps import DAY_SECONDS, SECOND
from stream_app.agents import sort_out
from stream_app.dead_letters import Place
from stream_app.topic_reader import Replay
from stream_app.transport import Batch, Generation

_DAY = DAY_SECONDS * SECOND


class Conflict(NamedTuple):
    """Two events of one account and UTC day with the same `source` and `id`."""

    first: Event
    first_place: Place
    second: Event
    second_place: Place


async def conflicts(
    servers: str,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    accounts: Collection[str],
) -> list[Conflict]:
    """Return the conflicts of *accounts* in topic-partitions from *starts* to *ends*.

    Of more than two events, each is held against the one that was read first. Raises NoRecords,
    KafkaError.
    """
    known: dict[tuple[str, str, str, int], tuple[Event, Place]] = {}
    found: list[Conflict] = []
    async with Replay(servers, starts) as replay:
        async for piece in replay.upto(ends):
            placed, _ = sort_out(
                Batch(TP(*piece.tp), piece.records, 0, piece.ends, Generation(0, 0))
            )
            for item in placed:
                event = item.event
                if event.account not in accounts:
                    continue
                key = event.account, event.source, event.id, event.time // _DAY
                place = Place(piece.tp.topic, piece.tp.partition, item.offset)
                first, first_place = known.setdefault(key, (event, place))
                if first != event:
                    found.append(Conflict(first, first_place, event, place))
    return found
