"""Comparing new rollups with the active ones, account by account, under live traffic.

Both are functions of the records up to their fences. So an account of the active rollups is read
first, with its fences; the new ones are brought up to just these fences; and then the two must be
equal, value for value.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial

from aiokafka.structs import ConsumerRecord, TopicPartition

from interaction_usage.store.client import Client
from interaction_usage.store.diff import Contents, Difference, differences, read_contents
from interaction_usage.store.errors import AccountBusyError
from interaction_usage.store.keys import Namespace
from interaction_usage.store.reads import Rollups
from rollups.fold import OffsetEvent
from stream_app.rebuild.new_rollups import NewRollups, Progress

#: Accounts that are compared at a time.
_ACCOUNTS = 100
#: Seconds that a worker may take to finish a batch, and between two looks at whether it has.
_FINISH_S, _INTERVAL_S = 30.0, 0.2


class Comparison:
    """Compares the accounts of *new* rollups with those of the active ones."""

    def __init__(self, redis: Client, new: NewRollups) -> None:
        self._redis, self._new = redis, new
        self._active_keys, self._new_keys = new.active.keys, new.writer.keys

    async def differences(self, progress: Progress) -> AsyncIterator[list[Difference]]:
        """Yield, account by account, where the active rollups differ from the new ones.

        Raises AccountBusyError where an account changes too often to be read.
        """
        both = (Rollups(self._redis, at) for at in (self._active_keys, self._new_keys))
        names = sorted({name for rollups in both for name in rollups.counted()})
        for at in range(0, len(names), _ACCOUNTS):
            some = names[at : at + _ACCOUNTS]
            for name, (active, new) in (await self._read_both(some)).items():
                yield differences(name, active, new)
            progress(min(at + _ACCOUNTS, len(names)), len(names))

    async def _read_both(self, names: list[str]) -> dict[str, tuple[Contents, Contents]]:
        """Return both contents of each account, as of the same fences."""
        active = {name: await self._contents(self._active_keys, name) for name in names}
        ends = await self._ends_of(active)
        await self._wait_for_workers(ends)
        early: dict[TopicPartition, list[ConsumerRecord]] = {}
        async for chunk in self._new.reader.read_to(ends):
            await self._new.apply(chunk, partial(_is_in, active, self._new.fence(*chunk.tp)))
            early.setdefault(chunk.tp, []).extend(chunk.records)
        both = {name: (active[name], await self._contents(self._new_keys, name)) for name in names}
        for tp, records in early.items():
            if records:
                self._new.reader.put_back(tp, records)
        async for chunk in self._new.reader.read_to(ends):
            await self._new.apply(chunk)
        return both

    async def _ends_of(self, active: Mapping[str, Contents]) -> dict[tuple[str, int], int]:
        """Return, per partition, the offset after the highest fence of these accounts."""
        after: dict[str, int] = {}
        for account in active.values():
            for fence, last in account.fences.items():
                after[fence] = max(last + 1, after.get(fence, 0))
        return {place: after.get(self._new.fence(*place), 0) for place in await self._new.ends()}

    async def _wait_for_workers(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Wait until the active rollups have everything before *ends*, of every account."""
        for _ in range(int(_FINISH_S / _INTERVAL_S)):
            counted = await self._new.counted_ends()
            if all(counted[place] >= end for place, end in ends.items()):
                return
            await asyncio.sleep(_INTERVAL_S)
        raise AccountBusyError("of a batch that no worker finishes")

    async def _contents(self, namespace: Namespace, name: str) -> Contents:
        return await asyncio.to_thread(read_contents, self._redis, namespace, name)


def _is_in(active: Mapping[str, Contents], fence: str, item: OffsetEvent) -> bool:
    account = active.get(item.event.account)
    return account is not None and item.offset <= account.fences.get(fence, -1)
