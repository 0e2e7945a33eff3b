"""Sealing the days of accounts that nothing changed for 35 days, in steps that may end anywhere.

1. `close.lua` closes days of a block: from here on events for them are rejected. (Failure: the days
   are still read from their hashes, and the next call takes them up.)
2. A closed day, which nobody changes any more, is read some fields at a time and packed here.
   (Failure: nothing was written.)
3. `seal.lua` replaces the block's string, and drops the days' hashes, unless another worker has
   changed the block since; then it is packed again. (No report changes.)
4. `forget.lua` drops the identities of blocks without an open day, and the sessions that reach into
   no open day, some buckets at a time. (Failure: the next call goes on.)
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from interaction_usage.store import keys
from interaction_usage.store.connection import execute, pinned_connection
from interaction_usage.store.day_encoding import open_day, seal, sealed_days
from interaction_usage.store.nodes import Node
from rollups.fold import SEALED_AFTER
from rollups.slots import DAYS_PER_BLOCK
from rollups.timestamps import DAY_SECONDS

if TYPE_CHECKING:
    from interaction_usage.store.writer import Writer

#: Days of one account that are sealed in one step, fields of them that are read in one step, and
#: buckets of identities or sessions that are dropped in one step: each some milliseconds at most.
_DAYS_PER_STEP: Final = 8
_FIELDS_PER_STEP: Final = 1_000
_BUCKETS_PER_STEP: Final = 12
#: Accounts whose heads are read in one step.
_HEADS_PER_STEP: Final = 100

_BLOCK_SECONDS: Final = DAYS_PER_BLOCK * DAY_SECONDS
#: Before every second on a clock: with it, only days are sealed that were closed before.
_LONG_AGO: Final = -(1 << 50)


class HeadSummary:
    """What an account's head says there is to seal and to drop."""

    def __init__(self) -> None:
        self.open: set[int] = set()  #: blocks with open days
        self.remembered: set[int] = set()  #: blocks with identities
        self.scan = False  #: whether sessions are to be looked through

    def add(self, fields: Sequence[bytes]) -> None:
        """Take some *fields* of the head into account."""
        for field in fields:
            name = field.decode()
            if name.startswith(keys.OPEN_DAYS):
                self.open.add(int(name.removeprefix(keys.OPEN_DAYS)))
            elif name.startswith(keys.IDENTITY_COUNT):
                self.remembered.add(int(name.removeprefix(keys.IDENTITY_COUNT)))
            elif name == keys.SESSION_SCAN:
                self.scan = True

    def open_blocks(self, due: int) -> list[int]:
        """Return the blocks that may have a day whose last change was at *due* or before.

        No event is applied before its own time, so later days were changed later.
        """
        return sorted(block for block in self.open if block * _BLOCK_SECONDS <= due)


class Sealer:
    """Seals days of the rollups that a writer writes."""

    def __init__(self, writer: "Writer") -> None:
        self._writer = writer

    async def seal(self, accounts: Sequence[str], complete: int) -> int:
        """Seal the days of *accounts* that nothing changed for 35 days; return how many.

        *complete* is a second on the clock: everything that was published before it is counted or
        rejected (`watermark.CaughtUp`). No script takes longer the more an account has. Nothing is
        sealed while a rebuild runs, since the rebuild copies which days are sealed.
        """
        due, nodes = complete - SEALED_AFTER, self._writer.nodes
        sealed = 0
        async with nodes.watched():
            for node in nodes.all:
                here = [account for account in accounts if nodes.of(account) is node]
                async with pinned_connection(node.redis) as connection:
                    for at in range(0, len(here), _HEADS_PER_STEP):
                        if await self._writer.is_rebuilding():
                            return sealed
                        some = here[at : at + _HEADS_PER_STEP]
                        for account, head in (await self._heads(connection, some)).items():
                            sealed += await self._seal_account(node, connection, account, head, due)
        return sealed

    async def seal_as(self, account: str, sealed: Mapping[int, int]) -> None:
        """Seal the days of *account* in *sealed*, block to a bit for each of its days.

        For rollups that nobody else writes yet, and that must reject what their predecessors did.
        """
        async with self._writer.nodes.watched():
            node, head = self._writer.nodes.of(account), self._writer.keys.head(account)
            async with pinned_connection(node.redis) as connection:
                for block, bits in sealed.items():
                    await execute(connection, ("HSET", head, f"{keys.SEALED_DAYS}{block}", bits))
                    await self._seal_block(node, connection, account, block, _LONG_AGO)
                [summary] = (await self._heads(connection, [account])).values()
                await self._forget(node, connection, account, summary)

    async def _heads(self, connection: Any, accounts: Sequence[str]) -> dict[str, HeadSummary]:
        """Return a summary of the head of each account."""
        summaries = {account: HeadSummary() for account in accounts}
        cursors = dict.fromkeys(accounts, b"0")
        while cursors:
            commands = (
                ("HSCAN", self._writer.keys.head(account), cursor, "COUNT", _FIELDS_PER_STEP)
                for account, cursor in cursors.items()
            )
            answers = await execute(connection, *commands)
            for account, (cursor, flat) in zip(list(cursors), answers, strict=True):
                summaries[account].add(flat[::2])
                cursors[account] = cursor
                if int(cursor) == 0:
                    del cursors[account]
        return summaries

    async def _seal_account(
        self, node: Node, connection: Any, account: str, head: HeadSummary, due: int
    ) -> int:
        """Seal what is due in *account*, and drop what nothing needs any more."""
        sealed = 0
        for block in head.open_blocks(due):
            sealed += await self._seal_block(node, connection, account, block, due)
        if sealed:
            head = (await self._heads(connection, [account]))[account]
        await self._forget(node, connection, account, head)
        return sealed

    async def _seal_block(
        self, node: Node, connection: Any, account: str, block: int, due: int
    ) -> int:
        """Seal the days of a block that are due; return how many."""
        at = self._writer.keys
        script_keys, sealed = node.script_keys(at, account), 0
        while True:
            arguments: tuple[Any, ...] = (block, due, _DAYS_PER_STEP)
            [closed] = await node.run(connection, "close", (script_keys, arguments))
            if not closed:
                return sealed
            version, *days = closed
            [packed] = await execute(connection, ("GET", at.sealed_days(account, block)))
            content = sealed_days(packed)
            for day in days:
                fields = await self._fields(connection, at.day(account, day))
                content[day - block * DAYS_PER_BLOCK] = open_day(fields)
            arguments = (block, version, seal(content), *days)
            [is_done] = await node.run(connection, "seal", (script_keys, arguments))
            sealed += len(days) if is_done else 0

    async def _fields(self, connection: Any, key: str) -> dict[bytes, bytes]:
        """Return the fields of a closed day, which nobody changes, some at a time."""
        fields: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            [(cursor, flat)] = await execute(
                connection, ("HSCAN", key, cursor, "COUNT", _FIELDS_PER_STEP)
            )
            fields |= zip(flat[::2], flat[1::2], strict=True)
            if int(cursor) == 0:
                return fields

    async def _forget(self, node: Node, connection: Any, account: str, head: HeadSummary) -> None:
        """Drop the identities and sessions that no open day of *account* needs any more."""
        script_keys = node.script_keys(self._writer.keys, account)
        blocks: list[int | str] = [*sorted(head.remembered - head.open)]
        if head.scan:
            blocks.append("")  # the script looks through sessions then
        for block in blocks:
            arguments = (block, self._writer.packed_limits, _BUCKETS_PER_STEP)
            while (await node.run(connection, "forget", (script_keys, arguments)))[0]:
                pass
