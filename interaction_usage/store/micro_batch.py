"""Micro-batches: batches of several topic-partitions, applied together, each event exactly once.

What happens, in this order, and what a failure after each step means:

1. The events are divided by account and folded into deltas (`fold`). (Nothing was written.)
2. Each delta is applied by one script, `apply.lua`, wholly or not at all; its fences move with it.
   If the script answers that some of it is known, or for a sealed day, that is left out and the
   rest is folded again. (Failure: an unknown number of accounts was written. A retry skips them.)
3. Events for a sealed day are handed to `Reject`, which returns once their dead letters are stored,
   before anything of their account that comes after them is applied: the fences pass over them.
4. The positions move, on the connections that were written on. (Failure: the events are read again,
   and skipped by the fences.)
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interaction_usage.store.connection import gather_all, pinned_connection
from interaction_usage.store.nodes import Node
from interaction_usage.store.record_layout import ApplyAnswer
from rollups.fold import (
    MOST_EVENTS,
    OffsetEvent,
    Portion,
    by_account,
    days_touched_by,
    fold,
    halves,
    stretches,
)
from rollups.watermark import Position

if TYPE_CHECKING:
    from interaction_usage.store.writer import Writer

#: Events that are folded before other tasks may run: about 2 ms.
_EVENTS_PER_PAUSE: Final = 1_000

#: Divides the size of a delta: by so much the next may be larger, as long as none is too much.
_GROWTH: Final = 8

#: Accounts for which a smaller size of deltas is remembered.
_SIZES_REMEMBERED: Final = 10_000


class PartitionBatch(NamedTuple):
    """A batch of one topic-partition, to be applied."""

    fence: str  #: the name of the topic-partition (`keys.fence`)
    placed: Sequence[OffsetEvent]  #: its events in the order of their offsets; there may be none
    ends: int | None = None  #: where the position moves once all of it is in the rollups
    second: int | None = None  #: the timestamp of its newest record


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

    def was_too_much(self, account: str, size: int) -> None:
        """Make smaller deltas of *account* from now on: one of *size* events was too much."""
        if len(self.limits) >= _SIZES_REMEMBERED:
            self.limits.clear()
        self.limits[account] = max(size // 2, 1)

    def was_applied(self, account: str, size: int) -> None:
        """Make somewhat larger deltas again if one as large as allowed was applied.

        Twice as large they would mostly be too much again, and each of them is tried in vain first.
        """
        limit = self.limits.get(account)
        if limit is not None and size >= limit:
            limit += limit // _GROWTH + 1
            if limit < MOST_EVENTS:
                self.limits[account] = limit
            else:
                del self.limits[account]


class _Folded(NamedTuple):
    """A delta as the script takes it."""

    packed: tuple[bytes, bytes]
    counts: int  #: how many of its events count; the others are duplicates


class _Call(NamedTuple):
    """A delta on its way to its account."""

    account: str
    portions: list[Portion]
    known: frozenset[str]
    folded: _Folded

    @property
    def size(self) -> int:
        """How many events it has."""
        return sum(len(items) for _, items in self.portions)


class MicroBatch:
    """Batches of several topic-partitions, each of another one, to be applied together.

    Safe to repeat, whole or divided differently, also if it failed and yet took effect.

    Folding is what costs time in this process, and applying what costs time in Redis; so a
    micro-batch may be prepared while another one is running, and yields to it in between.
    """

    def __init__(self, writer: "Writer", batches: Sequence[PartitionBatch]) -> None:
        self._writer, self._batches = writer, batches
        self._has_run = False
        self._reset()

    def _reset(self) -> None:
        """Start over, without assuming anything about what is in the rollups."""
        limit = self._writer.delta_sizes.limit
        #: What is still to be applied of each account: stretches that can be folded, in order.
        self._pending: dict[str, list[list[Portion]]] = {
            account: list(stretches(portions, limit(account)))
            for account, portions in by_account((b.fence, b.placed) for b in self._batches).items()
        }
        self._known: dict[str, frozenset[str]] = {}
        self._rejected: dict[str, int] = defaultdict(int)  # by the name of the topic-partition
        self._duplicates = 0
        #: Stretches that were folded as if nothing was known, by their id, with the result.
        self._folded: dict[int, tuple[list[Portion], _Folded]] = {}

    async def prepare(self) -> None:
        """Fold everything, with pauses in which other tasks can run."""
        folded = 0
        for pending in self._pending.values():
            for portions in pending:
                self._folded[id(portions)] = portions, self._fold(portions)
                folded += sum(len(items) for _, items in portions)
                if folded >= _EVENTS_PER_PAUSE:
                    folded = 0
                    await asyncio.sleep(0)

    def _fold(self, portions: list[Portion], known: frozenset[str] = frozenset()) -> _Folded:
        delta = fold(portions, self._writer.secret, self._writer.limits, known)
        return _Folded(delta.packed(), sum(map(len, delta.identities.values())))

    async def run(self, reject: Reject = publish_nothing) -> list[ApplyResult]:
        """Apply everything, then move the positions; return what became of each batch.

        Events for a sealed day are handed to *reject* on the way, possibly more than once if a run
        is repeated. Raises RedisError if Redis failed, ReseekRequired if it lost writes, and
        whatever *reject* raises; then an unknown number of accounts was written, each wholly or not
        at all, and no position moved beyond what is written.
        """
        if self._has_run:
            # What a failed run learnt is void: the server may have lost it since, and the positions
            # would move over it.
            self._reset()
        self._has_run = True
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
            ApplyResult(len(batch.placed), self._duplicates, self._rejected[batch.fence])
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
        """Return what is sent next: the first stretch of each account."""
        calls = []
        for account, (portions, *_) in self._pending.items():
            known = self._known.get(account, frozenset())
            if not known and id(portions) in self._folded:
                _, folded = self._folded[id(portions)]
            else:
                folded = self._fold(portions, known)
            calls.append(_Call(account, portions, known, folded))
        return calls

    async def _send(
        self, calls: Sequence[_Call], connections: Mapping[Node, Any]
    ) -> list[SealedEvent]:
        """Send *calls*, to all nodes concurrently, and handle the answers.

        Returns the events to reject; nothing of their accounts was written in this step.
        """
        accounts = [call.account for call in calls]
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
        for sent, answered in zip(by_node.values(), answers, strict=True):
            for call, answer in zip(sent, answered, strict=True):
                sealed += self._handle(call, *answer)
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
                (*call.folded.packed, writer.packed_limits, now),
            )
            for call in calls
        ]
        return await node.run(connection, "apply", *runs, before=before) if runs else []

    def _handle(self, call: _Call, code: int, *rest: Any) -> Sequence[SealedEvent]:
        """Act on what the script answered to *call*; return the events to reject."""
        if code == ApplyAnswer.APPLIED:
            self._finish(call.account)
            self._duplicates += call.size - call.folded.counts
            self._writer.delta_sizes.was_applied(call.account, call.size)
        elif code == ApplyAnswer.BELOW_FENCE:
            pairs = zip(rest[::2], rest[1::2], strict=True)
            fences = {name.decode(): offset for name, offset in pairs}
            self._keep(call, partial(_is_above, fences))
        elif code == ApplyAnswer.KNOWN:
            known = frozenset(identity.decode() for identity in rest)
            self._known[call.account] = call.known | known
        elif code == ApplyAnswer.SEALED:
            return self._leave_out_sealed(call, frozenset(rest))
        elif call.size > 1:
            # Too much for one script, or a sealed day would change: try each half.
            self._pending[call.account][:1] = halves(call.portions)
            self._writer.delta_sizes.was_too_much(call.account, call.size)
        else:
            [(fence, [item])] = call.portions
            self._finish(call.account)
            return [SealedEvent(fence, item)]
        return ()

    def _finish(self, account: str) -> None:
        """Drop the first stretch of *account*: it is done."""
        self._pending[account].pop(0)
        if not self._pending[account]:
            del self._pending[account]

    def _keep(self, call: _Call, is_wanted: Callable[[str, OffsetEvent], bool]) -> None:
        """Keep only the wanted events in the first stretch of an account."""
        kept: list[Portion] = []
        for fence, items in call.portions:
            if wanted := [item for item in items if is_wanted(fence, item)]:
                kept.append((fence, wanted))
        if kept:
            self._pending[call.account][0] = kept
        else:
            self._finish(call.account)

    def _leave_out_sealed(self, call: _Call, days: frozenset[int]) -> list[SealedEvent]:
        """Leave out of a stretch the events that touch *days*, which are sealed; return them."""
        limits = self._writer.limits

        def is_sealed(item: OffsetEvent) -> bool:
            return not days.isdisjoint(days_touched_by(item.event, limits))

        sealed = [
            SealedEvent(fence, item)
            for fence, items in call.portions
            for item in items
            if is_sealed(item)
        ]
        self._keep(call, lambda _, item: not is_sealed(item))
        return sealed


def _is_above(fences: Mapping[str, int], fence: str, item: OffsetEvent) -> bool:
    return item.offset > fences.get(fence, -1)


def _no_later_than(now: int, second: int | None) -> int | None:
    """Return *second*, a record's timestamp, which its producer may have set to anything."""
    return None if second is None else min(second, now)
