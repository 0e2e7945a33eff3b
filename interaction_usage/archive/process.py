"""`usage archive run` and `once`: copying for ever, or until everything is copied.

Copying keeps nothing in memory that the tables do not have, so every failure has one answer: begin
again where the tables end. What can pass by itself (a broker or the storage is away, the disk is
full, another process committed first) is tried again until it does; what cannot ends the process
with a sentence.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError
from prometheus_client.metrics_core import Metric

from interaction_usage import monitoring, settings
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.copying import Copied, Copying
from interaction_usage.archive.errors import (
    CommitConflictError,
    NoArchiveError,
    StorageError,
)
from interaction_usage.archive.location import Location
from interaction_usage.archive.upkeep import Upkeep
from stream_app.errors import (
    BrokerDeniedError,
    BrokerUnavailableError,
    RecordsUnavailableError,
    TopicRecreatedError,
)
from stream_app.health_server import HealthServer

log = logging.getLogger(__name__)

#: Seconds before copying begins again after a failure, and after a conflict at least and at most.
_PAUSE_S: Final = 5.0
_CONFLICT_PAUSE_S: Final = (0.1, 2.0)

#: How often `once` tries, and the seconds between: partitions are without a leader for a moment.
_ATTEMPTS: Final = 3
_ONCE_PAUSE_S: Final = 1.0

#: What may pass by itself, and the cause that it is counted under.
CAUSES: Final[Mapping[type[Exception], str]] = {
    CommitConflictError: "conflict",
    StorageError: "storage",
    BrokerUnavailableError: "kafka",
    RecordsUnavailableError: "kafka",
    TopicRecreatedError: "kafka",
    KafkaError: "kafka",
}
PASSING: Final = tuple(CAUSES)


class ArchiveProcess:
    """Copies everything, again and again, and says how it is doing."""

    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        self._location = Location(config.archive)
        self.copied = Copied()
        self.failures: Counter[str] = Counter()
        self.waiting_for = "The archive process is starting"  #: empty while it copies
        self.upkeep = Upkeep(self._location)
        self._is_there = False  # whether the archive was seen
        self._has_copied = asyncio.Event()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Have `run` end soon; what is not committed then is read again by the next one."""
        self._stop.set()

    async def once(self) -> Copied:
        """Copy what is published now. Raises what `run` waits for, if it does not pass soon."""
        for attempt in range(_ATTEMPTS):
            try:
                async with await self._copying() as copying:
                    await copying.catch_up()
                break
            except BrokerDeniedError:
                raise
            except PASSING:
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_ONCE_PAUSE_S)
        return self.copied

    async def _copying(self) -> Copying:
        """Return what copies from where the tables end now."""
        archive = await asyncio.to_thread(self._archive)
        config = self._config
        return Copying(config.kafka, archive, self.copied, config.max_batch_bytes)

    def _archive(self) -> Archive:
        """Return the archive, which is created at first, but not where it has vanished.

        Its storage may not be mounted: what is created there would begin at 0. Raises ArchiveError.
        """
        try:
            archive = Archive.open(self._location)
        except NoArchiveError:
            if self._is_there:
                raise StorageError(
                    f"there is no archive at {self._location.root} any more. Have its storage "
                    "back, or restart this process to begin a new one"
                ) from None
            archive = Archive.create(self._location)
            log.warning("Created a new archive at %s", self._location.root)
        self._is_there = True
        return archive

    async def run(self) -> None:
        """Copy until `stop`. Raises ArchiveError where waiting does not help."""
        server = HealthServer(self.reasons, self._metrics)
        if self._config.health_port.port:
            await server.start(*self._config.health_port)
        upkeep = asyncio.create_task(self.upkeep.run(self._has_copied))
        try:
            while not self._stop.is_set():
                await self._copy_until_failure()
        finally:
            upkeep.cancel()
            server.close()

    async def _copy_until_failure(self) -> None:
        copy = asyncio.create_task(self._copy())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((copy, stop), return_when=asyncio.FIRST_COMPLETED)
            if not copy.done():
                copy.cancel()
            await copy
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
        except PASSING as error:
            await self._pause_after(error)
        finally:
            stop.cancel()

    async def _copy(self) -> None:
        async with await self._copying() as copying:
            while True:
                await copying.catch_up()
                if self.waiting_for:
                    log.info("Archiving to %s", self._location.root)
                self.waiting_for = ""
                self._has_copied.set()
                await asyncio.sleep(self._config.archive_interval)
                await copying.check_storage()

    async def _pause_after(self, error: Exception) -> None:
        cause = next(name for kind, name in CAUSES.items() if isinstance(error, kind))
        self.failures[cause] += 1
        if cause == "conflict":
            log.warning("Another process writes this archive; reading its positions again")
            seconds = random.uniform(*_CONFLICT_PAUSE_S)
        else:
            before, self.waiting_for = self.waiting_for, f"{cause.capitalize()}: {error}"
            if self.waiting_for != before:
                log.warning(
                    "Archiving is paused. %s. It is tried again every %g s",
                    self.waiting_for, _PAUSE_S,
                )  # fmt: skip
            seconds = _PAUSE_S
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def reasons(self) -> list[str]:
        """Return why nothing is archived now; nothing if it is."""
        return [self.waiting_for] if self.waiting_for else []

    async def _metrics(self) -> bytes:
        return monitoring.rendered(metrics(self))


def metrics(process: ArchiveProcess) -> Iterator[Metric]:
    """Yield what *process* reports of itself."""
    copied = process.copied
    yield monitoring.build()
    yield from monitoring.process()
    yield monitoring.ARCHIVED.of(((name,), count) for name, count in copied.records.items())
    yield monitoring.ARCHIVE_READY.of(not process.reasons())
    yield monitoring.ARCHIVE_LAG.of(
        ((topic, str(partition)), lag) for (topic, partition), lag in sorted(copied.lag.items())
    )
    yield monitoring.ARCHIVE_COMMITS.of(copied.commits)
    yield monitoring.ARCHIVE_SECONDS.of(copied.commit_seconds)
    causes = dict.fromkeys(CAUSES.values())
    yield monitoring.ARCHIVE_FAILURES.of(((name,), process.failures[name]) for name in causes)
    if copied.committed_at is not None:
        yield monitoring.ARCHIVE_COMMITTED_AT.of(copied.committed_at)
    yield monitoring.ARCHIVE_DELETED.of(copied.gap_offsets)
    yield monitoring.ARCHIVE_FILES.of(
        ((name,), count) for name, count in process.upkeep.files.items()
    )
    yield monitoring.ARCHIVE_COMPACTIONS.of(
        ((outcome,), process.upkeep.compactions[outcome]) for outcome in ("done", "failed")
    )
