"""Micro-batches: batches of several topic-partitions, applied together, each event exactly once.

What happens, in this order, and what a failure after each step means:

1. The events are read, and folded into deltas of their accounts as they come (`fold.Folding`). They
   are not kept: those of a delta are read again where it has to be. (Nothing was written.)
2. Each delta is applied by one script, `apply.lua`, wholly or not at all; its fences move with it.
   If the script answers that some of it is known, or for a sealed day, that is left out and the
   rest is folded again. (Failure: an unknown number of accounts was written. A retry skips them.)
   An account with many events has several deltas. All are sent at once, and each says up to where
   the one before it reaches: it is applied only if that was, however many are answered otherwise.
3. Events for a sealed day are handed to `Reject`, which returns once their dead letters are stored,
   before anything of their account that comes after them is applied: the fences pass over them.
4. The positions move, on the connections that were written on. (Failure: the events are read again,
   and skipped by the fences.)
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from interaction_usage.store.connection import gather_all, pinned_connection
from interaction_usage.store.nodes import Node
from interaction_usage.store.record_layout import ApplyAnswer
from rollups.events import Event
from rollups.fold import (
    MOST_EVENTS,
    AccountDelta,
    Folding,
    OffsetEvent,
    Places,
    days_touched_by,
    halves,
    stretches,
)
from rollups.watermark import Position

if TYPE_CHECKING:
    from interaction_usage.store.writer import Writer

#: Seconds for which events are read and folded before other tasks may run.
_PAUSE_AFTER_S: Final = 0.002

#: How much of what one script may do a delta should be, in hundredths: less than all of it, for
#: events differ, and one that is too much is sent in vain, with all of its account behind it.
_WANTED_LOAD: Final = 75

#: Accounts for which a smaller size of deltas is remembered.
_SIZES_REMEMBERED: Final = 10_000


class BatchEvents(Protocol):
    """The events of a batch in the order of their offsets, which may be read more than once."""

    def chunks(self) -> Iterator[tuple[Sequence[int], Sequence[Event]]]:
        """Yield offsets, and the events at them."""

    def at(self, offsets: Sequence[int]) -> list[Event]:
        """Return the events at *offsets*."""


class _Placed:
    """Events that are kept."""

    def __init__(self, placed: Sequence[OffsetEvent]) -> None:
        self._events = {item.offset: item.event for item in placed}

    def chunks(self) -> Iterator[tuple[list[int], list[Event]]]:
        if self._events:
            yield list(self._events), list(self._events.values())

    def at(self, offsets: Sequence[int]) -> list[Event]:
        return [self._events[offset] for offset in offsets]


class PartitionBatch(NamedTuple):
    """A batch of one topic-partition, to be applied."""

    fence: str  #: the name of the topic-partition (`keys.fence`)
    events: BatchEvents
    ends: int | None = None  #: where the position moves once all of it is in the rollups
    second: int | None = None  #: the timestamp of its newest record

    @classmethod
    def of(
        cls,
        fence: str,
        placed: Sequence[OffsetEvent],
        ends: int | None = None,
        second: int | None = None,
    ) -> "PartitionBatch":
        """Return a batch of events that are there already, in the order of their offsets."""
        return cls(fence, _Placed(placed), ends, second)


class SealedEvent(NamedTuple):
    """An event that is rejected because a day that it touches is sealed."""

    fence: str
    placed: OffsetEvent


#: Called with events that are rejected, before anything after them is written.
Reject = Callable[[Sequence[SealedEvent]], Awaitable[None]]


class ApplyResult(NamedTuple):
    """What became of a batch."""

    events: int  #: how many events it had
    duplicates: int  #: how many events of its micro-batch had been reported by another record
    rejected: int = 0  #: how many events were for a sealed day


async def publish_nothing(_: Sequence[SealedEvent]) -> None:
    """Reject events without a dead letter."""


class DeltaSizes:
    """How many events a delta may have, for accounts whose deltas were too much for one script."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}  #: by account; others may have `MOST_EVENTS`

    def limit(self, account: str) -> int:
        """Return how many events a delta of *account* may have."""
        return self.limits.get(account, MOST_EVENTS)

    def was_too_much(self, account: str, size: int, load: int) -> None:
        """Make smaller deltas of *account* from now on: one of *size* events was too much."""
        self._set(account, size * _WANTED_LOAD // load)

    def was_applied(self, account: str, size: int, load: int) -> None:
        """Fit the size of further deltas of *account* to the *load* that one of *size* events was.

        One that is smaller than it might have been says nothing of larger ones.
        """
        limit = self.limits.get(account)
        if limit is None:
            if load > _WANTED_LOAD:
                self._set(account, size * _WANTED_LOAD // load)
        elif size >= limit:
            self._set(account, (limit + size * _WANTED_LOAD // max(load, 1)) // 2)

    def _set(self, account: str, limit: int) -> None:
        if limit >= MOST_EVENTS:
            self.limits.pop(account, None)
            return
        if len(self.limits) >= _SIZES_REMEMBERED:
            self.limits.clear()
        self.limits[account] = max(limit, 1)


class _Folded(NamedTuple):
    """A delta as the script takes it."""

    packed: tuple[bytes, bytes]
    counts: int  #: how many of its events count; the others are duplicates


class _Stretch(NamedTuple):
    """Events of an account that are applied together, behind those before them."""

    places: list[Places]
    folded: _Folded | None = None  #: it as the script takes it; None: to be folded again
    known: frozenset[str] = frozenset()  #: identities of it that were applied before

    @property
    def size(self) -> int:
        """How many events it has."""
        return sum(len(offsets) for _, offsets in self.places)

    @property
    def end(self) -> tuple[str, int]:
        """The topic-partition that its last event is of, and the offset of that."""
        fence, offsets = self.places[-1]
        return fence, offsets[-1]

    def only(self, is_wanted: Callable[[str, int], bool]) -> "list[_Stretch]":
        """Return it with the wanted events; nothing if there are none."""
        kept: list[Places] = []
        for fence, offsets in self.places:
            if wanted := [offset for offset in offsets if is_wanted(fence, offset)]:
                kept.append((fence, wanted))
        return [_Stretch(kept, None, self.known)] if kept else []

    def cut(self, most: int) -> "list[_Stretch]":
        """Return it in pieces of *most* events."""
        return [_Stretch(piece, None, self.known) for piece in stretches(self.places, most)]


class _Call(NamedTuple):
    """A stretch on its way to its account."""

    account: str
    stretch: _Stretch
    folded: _Folded
    after: tuple[str, int]  #: the end of the stretch before it; `_NOTHING_BEFORE` if there is none


#: What a call is *after* that depends on no other.
_NOTHING_BEFORE: Final = ("", 0)


class MicroBatch:
    """Batches of several topic-partitions, each of another one, to be applied together.

    Safe to repeat, whole or divided differently, also if it failed and yet took effect.

    Folding is what costs time in this process, and applying what costs time in Redis; so a
    micro-batch may be prepared while another one is running, and yields to it in between.
    """

    def __init__(self, writer: "Writer", batches: Sequence[PartitionBatch]) -> None:
        self._writer, self._batches = writer, batches
        self._events = {batch.fence: batch.events for batch in batches}
        self._sizes: dict[str, int] = {}  # how many events each batch has
        self._is_prepared = False
        #: What is still to be applied of each account, in order.
        self._pending: dict[str, list[_Stretch]] = {}
        self._rejected: dict[str, int] = defaultdict(int)  # by the name of the topic-partition
        self._duplicates = 0

    @property
    def size(self) -> int:
        """How many events it has, once it is prepared."""
        return sum(self._sizes.values())

    async def prepare(self) -> None:
        """Read and fold everything, as if nothing of it was in the rollups, with pauses."""
        writer, clock = self._writer, asyncio.get_running_loop().time
        pause_at = clock() + _PAUSE_AFTER_S  # what is refused takes longer than events do
        self._pending, self._rejected, self._duplicates = {}, defaultdict(int), 0
        folding = Folding(writer.secret, writer.limits, writer.delta_sizes.limit)
        for batch in self._batches:
            self._sizes[batch.fence] = 0
            for offsets, events in batch.events.chunks():
                folding.add(batch.fence, offsets, events)
                self._sizes[batch.fence] += len(events)
                if clock() >= pause_at:
                    await asyncio.sleep(0)
                    pause_at = clock() + _PAUSE_AFTER_S
        for account, found in folding.sums.items():
            self._pending[account] = [
                _Stretch(list(sums.offsets.items()), _folded(sums.delta())) for sums in found
            ]
            if clock() >= pause_at:
                await asyncio.sleep(0)
                pause_at = clock() + _PAUSE_AFTER_S
        self._is_prepared = True

    def _fold(self, stretch: _Stretch) -> _Folded:
        """Return *stretch*, read again, as the script takes it, without what is known."""
        writer = self._writer
        folding = Folding(writer.secret, writer.limits, lambda _: sys.maxsize, stretch.known)
        for fence, offsets in stretch.places:
            folding.add(fence, offsets, self._events[fence].at(offsets))
        [[sums]] = folding.sums.values()
        return _folded(sums.delta())

    async def run(self, reject: Reject = publish_nothing) -> list[ApplyResult]:
        """Apply everything, then move the positions; return what became of each batch.

        Events for a sealed day are handed to *reject* on the way, possibly more than once if a run
        is repeated. Raises RedisError if Redis failed, ReseekRequired if it lost writes, and
        whatever *reject* raises; then an unknown number of accounts was written, each wholly or not
        at all, and no position moved beyond what is written.
        """
        if not self._is_prepared:
            await self.prepare()
        # What a failed run learnt is void: the server may have lost it since, and the positions
        # would move over it.
        self._is_prepared = False
        nodes = self._writer.nodes
        async with nodes.watched(), AsyncExitStack() as stack:
            # One connection to each node for all of it: see `pinned_connection`.
            connections = {
                node: await stack.enter_async_context(pinned_connection(node.redis))
                for node in nodes.all
            }
            while self._pending:
                if sealed := await self._send(self._next_calls(), connections):
                    await reject(sealed)
            await self._advance(connections)
        return [
            ApplyResult(self._sizes[batch.fence], self._duplicates, self._rejected[batch.fence])
            for batch in self._batches
        ]

    async def _advance(self, connections: Mapping[Node, Any]) -> None:
        """Move the positions of all batches, on every node."""
        now = int(self._writer.clock())
        positions = {
            batch.fence: Position(batch.ends, _no_later_than(now, batch.second))
            for batch in self._batches
            if batch.ends is not None
        }
        if positions:
            moves = (
                node.advance(connection, self._writer.keys, positions)
                for node, connection in connections.items()
            )
            await gather_all(*moves)

    def _next_calls(self) -> list[_Call]:
        """Return what is sent next: everything that is still to be applied."""
        calls = []
        for account, pending in self._pending.items():
            after = _NOTHING_BEFORE
            for stretch in pending:
                folded = stretch.folded or self._fold(stretch)
                calls.append(_Call(account, stretch, folded, after))
                after = stretch.end
        return calls

    async def _send(
        self, calls: Sequence[_Call], connections: Mapping[Node, Any]
    ) -> list[SealedEvent]:
        """Send *calls*, to all nodes concurrently, and handle the answers.

        Returns the events to reject; nothing that comes after them was applied.
        """
        accounts = list(self._pending)
        by_node: dict[Node, list[_Call]] = {node: [] for node in connections}
        for call in calls:
            by_node[self._writer.nodes.of(call.account)].append(call)
        if len(by_node) > 1:
            await self._writer.list_accounts(accounts)
            answers = await self._apply_all(by_node, connections)
        else:
            with self._writer.listing(accounts) as before:  # on the same trip
                answers = await self._apply_all(by_node, connections, before)
        await self._writer.list_accounts(accounts)  # again, if the server had lost them
        sealed: list[SealedEvent] = []
        self._pending = defaultdict(list)
        for sent, answered in zip(by_node.values(), answers, strict=True):
            for call, answer in zip(sent, answered, strict=True):
                if left := self._handle(call, sealed, *answer):
                    self._pending[call.account] += left
        for fence, _ in sealed:
            self._rejected[fence] += 1
        return sealed

    async def _apply_all(
        self,
        calls: Mapping[Node, Sequence[_Call]],
        connections: Mapping[Node, Any],
        before: Sequence[tuple[str, ...]] = (),
    ) -> list[Any]:
        """Run the script for each of *calls*, on all nodes concurrently; return answers by node."""
        return await gather_all(
            *(self._apply(node, connections[node], sent, before) for node, sent in calls.items())
        )

    async def _apply(
        self, node: Node, connection: Any, calls: Sequence[_Call], before: Sequence[tuple[str, ...]]
    ) -> list[Any]:
        """Run the script for each of *calls* on a node; return its answers."""
        writer = self._writer
        now = int(writer.clock())
        runs = [
            (
                node.script_keys(writer.keys, call.account),
                (*call.folded.packed, writer.packed_limits, now, *call.after),
            )
            for call in calls
        ]
        return await node.run(connection, "apply", *runs, before=before) if runs else []

    def _handle(
        self, call: _Call, sealed: list[SealedEvent], code: int, *rest: Any
    ) -> list[_Stretch]:
        """Act on what the script answered to *call*; return what is still to be applied of it.

        The events to reject are added to *sealed*.
        """
        account, stretch, sizes = call.account, call.stretch, self._writer.delta_sizes
        if code == ApplyAnswer.APPLIED:
            self._duplicates += stretch.size - call.folded.counts
            sizes.was_applied(account, stretch.size, *rest)
            return []
        if code == ApplyAnswer.BELOW_FENCE:
            pairs = zip(rest[::2], rest[1::2], strict=True)
            fences = {name.decode(): offset for name, offset in pairs}
            return stretch.only(partial(_is_above, fences))
        if code == ApplyAnswer.KNOWN:
            known = frozenset(identity.decode() for identity in rest)
            return [_Stretch(stretch.places, None, stretch.known | known)]
        if code == ApplyAnswer.SEALED:
            return self._leave_out_sealed(stretch, frozenset(rest), sealed)
        if code == ApplyAnswer.TOO_MUCH:
            sizes.was_too_much(account, stretch.size, *rest)
        if code in (ApplyAnswer.TOO_MUCH, ApplyAnswer.TOO_EARLY):
            # What waited for what was too much would be too much as well.
            most = sizes.limit(account)
            return stretch.cut(most) if stretch.size > most else [stretch]
        if stretch.size > 1:  # some of it would change a sealed day: try each half
            return [_Stretch(half, None, stretch.known) for half in halves(stretch.places)]
        sealed += self._sealed_at(*stretch.places)
        return []

    def _leave_out_sealed(
        self, stretch: _Stretch, days: frozenset[int], sealed: list[SealedEvent]
    ) -> list[_Stretch]:
        """Move the events of *stretch* that touch *days*, which are sealed, to *sealed*."""
        limits = self._writer.limits
        left_out = [
            each
            for each in self._sealed_at(*stretch.places)
            if not days.isdisjoint(days_touched_by(each.placed.event, limits))
        ]
        sealed += left_out
        places = {(fence, item.offset) for fence, item in left_out}
        return stretch.only(lambda *place: place not in places)

    def _sealed_at(self, *places: Places) -> Iterator[SealedEvent]:
        """Yield the events at *places*."""
        for fence, offsets in places:
            for offset, event in zip(offsets, self._events[fence].at(offsets), strict=True):
                yield SealedEvent(fence, OffsetEvent(offset, event))


def _folded(delta: AccountDelta) -> _Folded:
    """Return *delta* as the script takes it."""
    return _Folded(delta.packed(), sum(map(len, delta.identities.values())))


def _is_above(fences: Mapping[str, int], fence: str, offset: int) -> bool:
    return offset > fences.get(fence, -1)


def _no_later_than(now: int, second: int | None) -> int | None:
    """Return *second*, a record's timestamp, which its producer may have set to anything."""
    return None if second is None else min(second, now)
