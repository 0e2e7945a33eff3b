"""Rebuilding the rollups from the topics, beside the active ones, while live traffic goes on.

What happens, in this order, and what a failure at each step leaves:

1. A new namespace, and the topics read into it from their beginning (`new_rollups`): exactly what a
   worker does, with fences and identities of its own. What the active rollups have counted comes
   first, without what was rejected for a sealed day then (`sealed_rejections`, read after the
   positions); after that the days that are sealed there are sealed here, too. What lies behind the
   active rollups no worker has rejected yet, and the workers will start behind it; so the rebuild
   publishes its dead letters. Kafka has acknowledged them before the new position moves behind
   their records. (Failure: the new namespace is dropped. A dead letter that is published once more
   is recognised by its origin.) No worker seals meanwhile.
2. `differences` compares each account with the active one (`compare`). (Failure: as above.)
3. `record_gaps` records what Kafka deleted, so that the new rollups lack it: reports say so from
   then on. (Failure: the gaps are recorded, though the active rollups may have counted it. An
   operator accepts them.)
4. `switch` activates the new namespace; reports are read from it from then on. Workers notice
   within a second and start from where the new rollups end. What one of them still writes into the
   old ones nobody reads, and it is read again. (Failure: nothing is switched.)
5. The old namespace is dropped, once every worker's heartbeat names the new one, or after 15 s.
6. `accept_filled_gaps` accepts the gaps that the archive has filled. (Failure: an operator does.)

What Kafka no longer has is read in step 1 from the archive, if there is one (`earlier`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import orjson
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store import gaps, keys
from interaction_usage.store.client import Client
from interaction_usage.store.diff import Difference
from interaction_usage.store.keys import Namespace
from interaction_usage.store.namespaces import activate, drop, drop_leftovers, new_namespace
from interaction_usage.store.reads import Rollups
from interaction_usage.store.worker_registry import heartbeats
from interaction_usage.store.writer import Writer
from rollups.gaps import Acceptance, Gap, unaccepted
from stream_app import bounded_fetch
from stream_app.broker import admin_client, ensure_topics, spans_of, topic_ids
from stream_app.dead_letter_producer import DeadLetterProducer
from stream_app.errors import LockLostError, RetentionGapError
from stream_app.identity_conflicts import IdentityConflict, identity_conflicts
from stream_app.ledger import KafkaLedger
from stream_app.rebuild.compare import Comparison
from stream_app.rebuild.dead_letters import RebuildDeadLetters, rejected_up_to
from stream_app.rebuild.earlier import Earlier, EarlierRecords
from stream_app.rebuild.lock import RebuildLock, locked
from stream_app.rebuild.new_rollups import NewRollups, Progress
from stream_app.sealed_rejections import SealedRejections, read_sealed_rejections
from stream_app.topic_reader import TopicReader
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS

#: Records that may be left for the workers when the new rollups are activated.
_FEW = 1_000
#: Seconds that workers may take to follow to the new rollups before the old ones are dropped, and
#: between two looks at whether they have.
_FOLLOW_S, _INTERVAL_S = 15.0, 0.2
#: Why a gap is accepted that is none any more, and by whom.
_FILLED, _SELF = "filled from the archive", "usage rebuild"


class Rebuild:
    """A rebuild in progress: new rollups, and the active ones."""

    def __init__(
        self, redis: Client, config: settings.Settings, new: NewRollups, lock: RebuildLock,
        lost: Sequence[Gap],
    ) -> None:  # fmt: skip
        self._redis, self._config, self._new, self._lock = redis, config, new, lock
        self._lost = lost
        self.is_switched = False

    async def catch_up(self, progress: Progress) -> int:
        """Read everything that is published; return how many offsets that were."""
        await self.catch_up_to_compare(progress)
        ends = await self._new.ends()
        while True:
            await self._new.read_to(ends, progress)
            ends = await self._new.ends()
            reached = self._new.reader.reached
            if sum(ends.values()) - reached <= _FEW:
                return reached - self._new.reader.started_at + self._new.earlier_records

    async def catch_up_to_compare(self, progress: Progress) -> None:
        """Read what the active rollups have counted, and seal what is sealed there."""
        await self.catch_up_with_active(progress)
        await self._new.seal_as_active()

    async def catch_up_with_active(self, progress: Progress) -> None:
        """Read what the active rollups have counted, and no further."""
        await self._new.read_active(progress)

    def differences(self, progress: Progress) -> AsyncIterator[list[Difference]]:
        """Yield, account by account, where the active rollups differ from the new ones.

        Raises AccountBusyError where an account changes too often to be read.
        """
        return Comparison(self._redis, self._new).differences(progress)

    async def conflicts(self, accounts: Collection[str]) -> list[IdentityConflict]:
        """Return the identities of *accounts* that were used for two different events."""
        starts = {(tp.topic, tp.partition): at for tp, at in self._new.reader.starts.items()}
        ends = await self._new.counted_ends()
        return await identity_conflicts(self._config.kafka, starts, ends, accounts)

    async def record_gaps(self) -> list[Gap]:
        """Record what the new rollups lack, because Kafka deleted it; return what was not known.

        Raises LedgerError.
        """
        if not self._lost:
            return []
        now = int(time.time())
        lost = [gap._replace(until=now) for gap in self._lost]
        ledger = KafkaLedger(self._config, self._redis)
        return await asyncio.to_thread(gaps.record, ledger, lost)

    async def accept_filled_gaps(self) -> list[Gap]:
        """Accept the gaps whose events were in the earlier records; return them.

        To be called once the new rollups are active. Raises LedgerError.
        """
        ledger = KafkaLedger(self._config, self._redis)

        def accept() -> list[Gap]:
            ledger.sync(gaps.GAPS)
            filled = [
                gap
                for gap in unaccepted(gaps.read_gaps(ledger.redis))
                if self._new.earlier.has(gap)
            ]
            gaps.accept(ledger, filled, Acceptance(_FILLED, _SELF, int(time.time())))
            return filled

        return await asyncio.to_thread(accept)

    async def switch(self) -> bool:
        """Activate the new rollups; return whether every worker follows to them.

        Raises LockLostError where nothing was switched for that.
        """
        await self.catch_up_to_compare(lambda *_: None)  # no report goes back in time
        self.is_switched = True  # whatever becomes of the next step, it may have taken effect
        if not activate(self._redis, self._new.writer.keys, self._lock.token):
            self.is_switched = False
            raise LockLostError
        follow = await self._wait_for_workers()
        await asyncio.to_thread(drop, self._redis, self._new.active.keys)
        return follow

    async def _wait_for_workers(self) -> bool:
        for _ in range(int(_FOLLOW_S / _INTERVAL_S)):
            if self._workers_follow():
                return True
            await asyncio.sleep(_INTERVAL_S)
        return False

    def _workers_follow(self) -> bool:
        workers = [orjson.loads(heartbeat.report) for heartbeat in heartbeats(self._redis)]
        return all(worker.get("rollups") == self._new.writer.keys.name for worker in workers)


@asynccontextmanager
async def rebuilding(
    config: settings.Settings,
    redis: Client,
    *,
    incomplete: bool,
    compare_only: bool = False,
    earlier_records: EarlierRecords | None = None,
) -> AsyncIterator[Rebuild]:
    """Yield a rebuild, with nothing read yet; what it wrote is dropped unless it was switched to.

    One that is to *compare only* publishes nothing, and must not be switched to. What Kafka no
    longer has comes from *earlier records*. Raises
    RebuildRunningError; RetentionGapError, unless the rollups may be *incomplete*;
    BrokerUnavailableError; KafkaError.
    """
    async with locked(redis) as lock:
        admin = admin_client(config.kafka)
        ids = topic_ids(admin, EVENT_TOPICS)
        spans = spans_of(admin, EVENT_TOPICS)
        active = Rollups.of_any_layout(redis)
        earlier = await asyncio.to_thread(Earlier, earlier_records, ids, spans)
        lost = earlier.lost(active.positions())
        if lost and not incomplete:
            raise RetentionGapError(lost)
        drop_leftovers(redis, active.keys)
        namespace = new_namespace(redis, active.keys)
        rebuild = None
        try:
            async with AsyncExitStack() as stack:
                writer = await _open_writer(stack, config, namespace)
                bounded_fetch.install(config.max_batch_bytes)
                starts = {
                    place: earlier.start(keys.fence(*place, ids.get(place[0], "")))
                    for place in spans
                }
                reader = await stack.enter_async_context(TopicReader(config.kafka, starts))
                dead_letters = None
                if not compare_only:
                    producer = await _open_producer(stack, config)
                    dead_letters = RebuildDeadLetters(producer, rejected_up_to(active, ids, spans))

                def read_rejections() -> SealedRejections:
                    copied = earlier_records.sealed_messages() if earlier_records else ()
                    return read_sealed_rejections(config.kafka, copied=copied)

                new = NewRollups(
                    active, admin, ids, writer, reader, dead_letters, lock, read_rejections, earlier
                )
                rebuild = Rebuild(redis, config, new, lock, lost)
                yield rebuild
        finally:
            if rebuild is None or not rebuild.is_switched:
                with suppress(RedisError):
                    drop(redis, namespace)


async def _open_writer(
    stack: AsyncExitStack, config: settings.Settings, namespace: Namespace
) -> Writer:
    writer = Writer.of(
        config.redis, config.session_limits, timeout=10.0, at=namespace, clock=time.time
    )
    stack.push_async_callback(writer.close)
    await writer.begin([])
    await writer.check_limits()
    return writer


async def _open_producer(stack: AsyncExitStack, config: settings.Settings) -> DeadLetterProducer:
    ensure_topics(config.kafka, [DEAD_LETTERS], config.partitions, config.replication)
    return await stack.enter_async_context(DeadLetterProducer(config.kafka))
