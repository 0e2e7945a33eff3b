"""Making the rollups anew from the topics, beside those in force, while live traffic goes on.

What happens, in this order, and what a failure at each step leaves:

1. A new namespace, and the topics read into it from their beginning: exactly what a worker does,
   with fences and identities of its own. What the rollups in force have counted comes first,
   without what was refused for a sealed day then (`verdicts`); after that the days that are sealed
   there are sealed here, too. What lies behind the rollups in force nobody has refused yet, and the
   workers will begin behind it; so the rebuild publishes its dead letters. Kafka has acknowledged
   them before the new position moves over their records. (Failure: the new namespace is dropped. A
   letter that is published once more is known by its origin.) No worker seals meanwhile.
2. `compare` holds each account against the one in force. Both are functions of the records up to
   their fences; so the one in force is read first, the new one is brought up to the same fences,
   and then they must be equal, value for value. (Failure: as above.)
3. `switch` sets the name of the namespace in force; reports are read from the new one
   from then on. Workers notice within a second and go on where the new rollups end. What one of
   them still writes into the old ones nobody reads, and it is read again. (Failure: nothing is
   switched.)
4. The old namespace is dropped, once every worker says that it writes the new one, or after 15 s.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.types import TP
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.diff import Contents, Difference, differences, read_contents
from interaction_usage.store.errors import AccountBusyError, ReseekRequired
from interaction_usage.store.keys import Namespace
from interaction_usage.store.micro_batch import SealedEvent
from interaction_usage.store.namespaces import (
    activate,
    drop,
    drop_leftovers,
    new_namespace,
    release,
    renew,
)
from interaction_usage.store.reads import Rollups
from interaction_usage.store.worker_registry import heartbeats
from interaction_usage.store.writer import Writer
from rollups.fold import Placed
from rollups.watermark import Position
from stream_app import lenient_records
from stream_app.agents import newest_second, sealed_letter, sort_out
from stream_app.broker import Span, admin_client, ensure_topics, spans_of, topic_ids
from stream_app.conflicts import Conflict, conflicts
from stream_app.dead_letters import DeadLetter
from stream_app.letter_box import LetterBox
from stream_app.replay import Piece, Replay
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from stream_app.transport import Batch, Generation
from stream_app.verdicts import Verdicts, read_verdicts

#: Seconds for which Redis may be away before a rebuild is given up.
_PATIENCE = 60.0
#: Seconds that the lock lives without being renewed, and between two renewals.
_LOCK, _RENEWAL = 60, 5.0
#: Records that may be left for the workers when the new rollups come in force.
_FEW = 1_000
#: Accounts that are compared at a time.
_ACCOUNTS = 100
#: Seconds that workers may take to go over to the new rollups before the old ones are dropped.
_FOLLOW = 15.0
#: Seconds between two looks at what others do.
_LOOK = 0.2
#: Seconds that a batch in a worker's hand may take to be counted whole.
_IN_HAND = 30.0

Told = Callable[[int, int], None]


class AlreadyRunning(Exception):
    """Another rebuild is under way."""


class Overtaken(Exception):
    """This rebuild stood still for so long that another one may have begun."""


class BeginningsGone(Exception):
    """Kafka no longer holds everything that was ever published."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = list(sentences)


class TopicsChanged(Exception):
    """A topic was deleted or created anew while the rollups were rebuilt."""


class Rebuild:
    """A rebuild under way: new rollups, and those in force."""

    def __init__(
        self,
        redis: Client,
        admin: Any,
        ids: Mapping[str, str],
        writer: Writer,
        old: Namespace,
        replay: Replay,
        refusals: "Refusals | None",
        lock: "Lock",
        verdicts: Verdicts,
        servers: str = "",
    ) -> None:
        self._redis, self._admin, self._ids = redis, admin, ids
        self._writer, self._old, self._replay = writer, old, replay
        self._refusals, self._lock, self._verdicts = refusals, lock, verdicts
        self._servers = servers
        self.switched = False

    # ---------------------------------------------------------------- catching up

    async def catch_up(self, told: Told) -> int:
        """Read everything that is published; return how many offsets that were. Calls *told*."""
        await self.catch_up_to_compare(told)
        ends = await self._ends()
        while True:
            await self._read(ends, told)
            ends = await self._ends()
            if sum(ends.values()) - self._replay.reached <= _FEW:
                return self._replay.reached - self._replay.begun

    async def catch_up_to_compare(self, told: Told) -> None:
        """Read what the rollups in force have counted, and seal what is sealed there."""
        await self.catch_up_with_the_old(told)
        await self._seal_as_the_old()

    async def catch_up_with_the_old(self, told: Told) -> None:
        """Read what the rollups in force have counted, and no further."""
        await self._read(await self._counted(), told)

    async def _seal_as_the_old(self) -> None:
        """Seal the days that are sealed in the rollups in force."""
        old = Rollups(self._redis, self._old)
        for account in await asyncio.to_thread(old.counted):
            if sealed := await asyncio.to_thread(old.sealed, account):
                await self._insist(partial(self._writer.seal_as, account, sealed))

    async def _ends(self) -> dict[tuple[str, int], int]:
        if await asyncio.to_thread(topic_ids, self._admin, EVENT_TOPICS) != self._ids:
            raise TopicsChanged
        found = await asyncio.to_thread(spans_of, self._admin, EVENT_TOPICS)
        self._replay.cover({place: span.begin for place, span in found.items()})
        return {place: span.stable for place, span in found.items()}

    async def _counted(self) -> dict[tuple[str, int], int]:
        positions = await asyncio.to_thread(Rollups(self._redis, self._old).positions)
        return {
            place: min(end, positions.get(self._fence(*place), Position(0)).offset)
            for place, end in (await self._ends()).items()
        }

    async def _read(self, ends: Mapping[tuple[str, int], int], told: Told) -> None:
        total = sum(ends.values())
        while True:
            try:
                async for piece in self._replay.upto(ends):
                    await self._take(piece)
                    told(self._replay.reached - self._replay.begun, total - self._replay.begun)
                reached = {self._fence(*tp): Position(to) for tp, to in self._replay.ends.items()}
                await self._insist(partial(self._writer.advance, reached))
                return
            except ReseekRequired:
                await self._begin_again()

    async def _begin_again(self) -> None:
        """Go on from where the new rollups end now, after Redis lost some of them."""
        await self._insist(self._writer.check_limits)
        names = {tp: self._fence(*tp) for tp in self._replay.ends}
        found = await self._insist(partial(self._writer.begin, list(names.values())))
        begins = self._replay.starts
        self._replay.seek({tp: max(found[name], begins[tp]) for tp, name in names.items()})

    async def _take(self, piece: Piece, only: Callable[[Placed], bool] | None = None) -> None:
        """Apply a piece, or *only* some of it. Raises Overtaken."""
        if self._lock.lost:
            raise Overtaken
        tp = TP(*piece.tp)
        records = self._verdicts.without_refused(tp, piece.records)
        placed, letters = sort_out(Batch(tp, records, 0, piece.ends, Generation(0, 0)))
        ends: int | None = piece.ends
        if only:
            placed, ends = [item for item in placed if only(item)], None
        elif self._refusals and letters:
            valid = {item.offset for item in placed}
            refused = [record for record in records if record.offset not in valid]
            told = [letter for letter, _ in letters]
            await self._refusals.invalid(self._fence(*piece.tp), refused, told)
        fence, second = self._fence(*piece.tp), newest_second(piece.records)
        refuse = partial(self._refuse_sealed, piece)
        await self._insist(partial(self._writer.apply, fence, placed, ends, second, refuse))

    async def _refuse_sealed(self, piece: Piece, sealed: Sequence[SealedEvent]) -> None:
        """Publish the dead letters of events that are for a sealed day, unless only comparing."""
        if self._refusals:
            offsets = {item.offset for _, item in sealed}
            await self._refusals.sealed([r for r in piece.records if r.offset in offsets])

    def _fence(self, topic: str, partition: int) -> str:
        return keys.fence(topic, partition, self._ids.get(topic, ""))

    async def _insist(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """Do *act*, which is safe to repeat, while Redis is away for a while."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return await act()
            except (RedisError, OSError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)

    # ------------------------------------------------------------------ comparing

    async def compare(self, told: Told) -> AsyncIterator[list[Difference]]:
        """Yield, account by account, where the rollups in force differ from the new ones.

        Raises AccountBusyError where an account changes too often to be read.
        """
        both = (Rollups(self._redis, at) for at in (self._old, self._writer.keys))
        names = sorted({name for rollups in both for name in rollups.counted()})
        for at in range(0, len(names), _ACCOUNTS):
            for name, found in (await self._compare_some(names[at : at + _ACCOUNTS])).items():
                yield differences(name, *found)
            told(min(at + _ACCOUNTS, len(names)), len(names))

    async def conflicts(self, accounts: Collection[str]) -> list[Conflict]:
        """Return the identities of *accounts* that were used for two different events."""
        starts = {(tp.topic, tp.partition): at for tp, at in self._replay.starts.items()}
        return await conflicts(self._servers, starts, await self._counted(), accounts)

    async def _compare_some(self, names: list[str]) -> dict[str, tuple[Contents, Contents]]:
        """Return both contents of each account, as of the same fences."""
        live = {name: await self._contents(self._old, name) for name in names}
        applied: dict[str, int] = {}
        for found in live.values():
            for fence, last in found.fences.items():
                applied[fence] = max(last + 1, applied.get(fence, 0))
        wanted = {place: applied.get(self._fence(*place), 0) for place in await self._ends()}
        await self._wait_for_batches_in_hand(wanted)
        taken: dict[TopicPartition, list[ConsumerRecord]] = {}
        async for piece in self._replay.upto(wanted):
            only = partial(_is_in, live, self._fence(*piece.tp))
            await self._take(piece, only)
            taken.setdefault(piece.tp, []).extend(piece.records)
        both = {}
        for name in names:
            both[name] = live[name], await self._contents(self._writer.keys, name)
        for tp, records in taken.items():
            if records:
                self._replay.put_back(tp, records)
        async for piece in self._replay.upto(wanted):
            await self._take(piece)
        return both

    async def _wait_for_batches_in_hand(self, wanted: Mapping[tuple[str, int], int]) -> None:
        """Wait until the rollups in force have all there is before *wanted*, of every account."""
        for _ in range(int(_IN_HAND / _LOOK)):
            counted = await self._counted()
            if all(counted[place] >= end for place, end in wanted.items()):
                return
            await asyncio.sleep(_LOOK)
        raise AccountBusyError("of a batch that no worker brings to its end")

    async def _contents(self, at: Namespace, name: str) -> Contents:
        return await asyncio.to_thread(read_contents, self._redis, at, name)

    # ------------------------------------------------------------------ switching

    async def switch(self) -> bool:
        """Put the new rollups in force; return whether every worker has gone over to them.

        Raises Overtaken where nothing was switched for that.
        """
        await self.catch_up_to_compare(lambda *_: None)  # no report goes back in time
        self.switched = True  # whatever becomes of the next step, it may have taken effect
        if not activate(self._redis, self._writer.keys, self._lock.token):
            self.switched = False
            raise Overtaken
        followed = await self._wait_for_workers()
        await asyncio.to_thread(drop, self._redis, self._old)
        return followed

    async def _wait_for_workers(self) -> bool:
        for _ in range(int(_FOLLOW / _LOOK)):
            if self._workers_follow():
                return True
            await asyncio.sleep(_LOOK)
        return False

    def _workers_follow(self) -> bool:
        reports = [orjson.loads(heartbeat.report) for heartbeat in heartbeats(self._redis)]
        return all(report.get("rollups") == self._writer.keys.name for report in reports)


def _is_in(live: Mapping[str, Contents], fence: str, item: Placed) -> bool:
    found = live.get(item.event.account)
    return found is not None and item.offset <= found.fences.get(fence, -1)


class Refusals:
    """The dead letters of a rebuild: of what nobody has refused yet.

    *counted* says how far the rollups in force reached when it began.
    """

    def __init__(self, box: LetterBox, counted: Mapping[str, Position]) -> None:
        self._box, self._counted = box, counted

    async def invalid(
        self, fence: str, records: Sequence[ConsumerRecord], letters: Sequence[DeadLetter]
    ) -> None:
        """Publish the *letters* of *records* that are no valid events, where there are none yet."""
        at = self._counted.get(fence, Position(0))
        told = zip(records, letters, strict=True)
        await self._box.publish([letter for record, letter in told if _is_behind(record, at)])

    async def sealed(self, records: Sequence[ConsumerRecord]) -> None:
        """Publish the letters of *records* for a sealed day.

        All of them: what the rollups in force refused is left out before (`verdicts`).
        """
        await self._box.publish([sealed_letter(record)[0] for record in records])


def _is_behind(record: ConsumerRecord, counted: Position) -> bool:
    """Tell whether *record* is none of those before a position that were counted or refused.

    One that is newer than each of these has the offset of a record that Kafka had lost.
    """
    newer = counted.second is not None and record.timestamp // 1000 > counted.second
    return record.offset >= counted.offset or newer


def _judged(
    live: Rollups, ids: Mapping[str, str], found: Mapping[tuple[str, int], Span]
) -> dict[str, Position]:
    """Return up to where each partition has all its dead letters, as the rollups *live* say.

    Another version may have refused other records. Where Kafka lost records that were counted,
    nobody knows from which offset on there are others now.
    """
    if not live.have_this_layout():
        return {}
    ends = {keys.fence(*tp, ids.get(tp[0], "")): span.end for tp, span in found.items()}
    return {name: at for name, at in live.positions().items() if at.offset <= ends.get(name, 0)}


@asynccontextmanager
async def rebuilding(
    config: settings.Settings, redis: Client, *, incomplete: bool, compare_only: bool = False
) -> AsyncIterator[Rebuild]:
    """Yield a rebuild, with nothing read yet; what it made is dropped unless it was switched to.

    One that is to *compare only* publishes nothing, and must not be switched to. Raises
    AlreadyRunning; BeginningsGone, unless the rollups may be *incomplete*; BrokerAway; KafkaError.
    """
    async with _locked(redis) as lock:
        admin = admin_client(config.kafka)
        ids = topic_ids(admin, EVENT_TOPICS)
        found = spans_of(admin, EVENT_TOPICS)
        live = Rollups.live(redis)
        if (gone := _gone(live, ids, found)) and not incomplete:
            raise BeginningsGone(gone)
        drop_leftovers(redis, live.keys)
        new = new_namespace(redis, live.keys)
        writer = Writer.of(
            config.redis, config.session_limits, timeout=10.0, at=new, clock=time.time
        )
        starts = {place: span.begin for place, span in found.items()}
        rebuild = None
        try:
            await writer.begin([])
            await writer.check_limits()
            async with AsyncExitStack() as stack:
                lenient_records.install(config.max_batch_bytes)
                replay = await stack.enter_async_context(Replay(config.kafka, starts))
                refusals = None
                if not compare_only:
                    ensure_topics(
                        config.kafka, [DEAD_LETTERS], config.partitions, config.replication
                    )
                    box = await stack.enter_async_context(LetterBox(config.kafka))
                    refusals = Refusals(box, _judged(live, ids, found))
                verdicts = await asyncio.to_thread(read_verdicts, config.kafka)
                rebuild = Rebuild(
                    redis,
                    admin,
                    ids,
                    writer,
                    live.keys,
                    replay,
                    refusals,
                    lock,
                    verdicts,
                    config.kafka,
                )
                yield rebuild
        finally:
            await writer.close()
            if rebuild is None or not rebuild.switched:
                with suppress(RedisError):
                    drop(redis, new)


class Lock:
    """The right to rebuild, which one process has at a time.

    It ends by itself when it is not renewed, so it may be lost. Then another rebuild may have begun
    and have dropped what this one made, also where nobody has it now.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.lost = False


@asynccontextmanager
async def _locked(redis: Client) -> AsyncIterator[Lock]:
    """Let nobody else rebuild; a process that is gone holds the lock for a minute at most."""
    lock = Lock(uuid4().hex)
    if not redis.set(keys.REBUILD, lock.token, nx=True, ex=_LOCK):
        raise AlreadyRunning
    renewing = asyncio.create_task(_renew(redis, lock))
    try:
        yield lock
    finally:
        renewing.cancel()
        with suppress(RedisError):
            release(redis, lock.token)


async def _renew(redis: Client, lock: Lock) -> None:
    while not lock.lost:
        await asyncio.sleep(_RENEWAL)
        with suppress(RedisError):
            lock.lost = not renew(redis, lock.token, _LOCK)


def _gone(
    live: Rollups, ids: Mapping[str, str], found: Mapping[tuple[str, int], Span]
) -> list[str]:
    """Return a sentence for everything that was published and that Kafka does not hold any more."""
    told = [
        f"{topic}/{partition} begins at offset {span.begin:,}"
        for (topic, partition), span in sorted(found.items())
        if span.begin > 0
    ]
    there = {keys.fence(topic, partition, ids.get(topic, "")) for topic, partition in found}
    for name, counted in sorted(live.positions().items()):
        if name not in there and counted.offset > 0:
            told.append(
                f"{name.partition('@')[0]} was counted up to offset {counted.offset:,} before the "
                "topic was created anew"
            )
    return told
