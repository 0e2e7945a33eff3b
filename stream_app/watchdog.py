"""Noticing that a worker reads nothing, or another topic than it did, and rejoining the group."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from typing import Protocol

from stream_app.errors import BrokerUnavailableError
from stream_app.rejoin import Rejoin
from stream_app.start_offsets import StartOffsets
from stream_app.write_gate import State, WriteGate

#: Looks in a row at which a worker is idle before it rejoins the group, and before it ends.
_LOOKS_TO_REJOIN, _LOOKS_TO_END = 8, 25
#: Looks in a row at which no worker makes progress on a partition that has records, before it
#: rejoins the group.
_LOOKS_AT_STALLED = 6


class Consumer(Protocol):
    """What a watchdog looks at (`transport.BatchConsumer`)."""

    @property
    def is_idle(self) -> bool: ...
    @property
    def knows_no_broker(self) -> bool: ...


class Watchdog:
    """Counts at how many looks in a row something is wrong, and acts when it lasts."""

    def __init__(
        self,
        gate: WriteGate,
        consumer: Callable[[], Consumer],
        start_offsets: StartOffsets,
        rejoin: Rejoin,
        read_topic_ids: Callable[[], dict[str, str]],
        give_up: Callable[[str], None],
    ) -> None:
        self._gate, self._consumer, self._start_offsets = gate, consumer, start_offsets
        self._rejoin, self._read_topic_ids, self._give_up = rejoin, read_topic_ids, give_up
        self._looks: Counter[str] = Counter()

    async def look(self) -> None:
        """Rejoin the group, or end the worker, where the broker answers and nothing is read."""
        try:
            topic_ids = await asyncio.to_thread(self._read_topic_ids)
        except BrokerUnavailableError:
            self._looks.clear()
            return
        self._compare_topics(topic_ids)
        if self._lasts("no broker", self._consumer().knows_no_broker) >= _LOOKS_TO_REJOIN:
            self._give_up("its connection to Kafka has no broker left")
        idle = self._lasts("idle", self._consumer().is_idle)
        if idle >= _LOOKS_TO_END:
            self._give_up("it has partitions and cannot begin to read them")
        elif idle >= _LOOKS_TO_REJOIN:
            self._rejoin.request("Nothing is read from the assigned partitions; rejoining")

    def _compare_topics(self, topic_ids: dict[str, str]) -> None:
        """Rejoin where a topic is another one than it was, though its name is the same."""
        if self._gate.state is State.STANDBY:
            self._start_offsets.topic_ids = topic_ids  # there is nothing to read again
        known = self._start_offsets.topic_ids
        changed = [topic for topic, id_ in topic_ids.items() if known.get(topic) != id_]
        if known and changed:
            self._rejoin.request(f"{', '.join(changed)} was recreated; reading it from the start")

    def look_at_stalled(self, partitions: Collection[str]) -> None:
        """Rejoin where no worker makes progress on *partitions* that have records."""
        if self._lasts("stalled", bool(partitions)) >= _LOOKS_AT_STALLED:
            # Once, and then as long again: workers that rejoined at every look would never let the
            # group come to rest.
            self._looks["stalled"] = 0
            names = ", ".join(sorted(partitions))
            self._rejoin.request(f"No worker makes progress on {names}; rejoining")

    def _lasts(self, what: str, is_so: bool) -> int:
        """Return at how many looks in a row, this one included, something was so."""
        self._looks[what] = self._looks[what] + 1 if is_so else 0
        return self._looks[what]
