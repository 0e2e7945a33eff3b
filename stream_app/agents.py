"""What becomes of a batch: its steps, and the attempts at each until it succeeds.

What happens to a batch, in this order, and what a crash after each step means:

1. Its records are decoded; those that are no valid events become dead letters, and Kafka has
   acknowledged these. (Crash: they are refused again; a reader of dead letters knows them by their
   origin.)
2. Its events are in the rollups, in one script per account. (Crash: the fences skip them.) Events
   for a sealed day are refused first, like those of step 1, and nothing of their account that comes
   behind them is applied before that.
3. The position in Redis moves behind the batch, which is what `usage lag` looks at: on the same
   connection as step 2, so that no restart of Redis lies between. (Crash: the batch is read again
   and skipped.)
4. Faust commits the offset to Kafka, some time later, for others to look at. A worker begins where
   the position in Redis says.

An agent never raises: Faust would ack or strand the batch. What can be retried is retried in place;
what cannot ends the worker.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from faust.exceptions import ProducerSendError
from redis.exceptions import RedisError

from interaction_usage.store.errors import ReseekRequired
from interaction_usage.store.writer import Writer
from rollups.fold import SEALED_AFTER, Placed
from rollups.timestamps import DAY_SECONDS
from stream_app.broker import BrokerAway
from stream_app.codec import decode_all
from stream_app.dead_letters import DeadLetter, dead_letter
from stream_app.faults import PermanentFaultError, permanent_fault
from stream_app.letter_box import publish
from stream_app.refusals import Reason, Refused
from stream_app.telemetry import Telemetry
from stream_app.transport import Batch, Generation
from stream_app.verdicts import NONE, Verdicts

log = logging.getLogger(__name__)

_SEALED = (
    "it would change a day that is sealed: when it was read, nothing had been counted for that day "
    f"for {SEALED_AFTER // DAY_SECONDS} days"
)

#: Seconds between tries while Redis or Kafka does not answer: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


def sort_out(
    batch: Batch, verdicts: Verdicts = NONE
) -> tuple[list[Placed], list[tuple[DeadLetter, Refused]]]:
    """Return the events of *batch* at their offsets, and the dead letters of the rest.

    What was refused before for a sealed day, as *verdicts* say, is neither: it stays refused.
    """
    records = verdicts.without_refused(batch.tp, batch.records)
    placed: list[Placed] = []
    letters: list[tuple[DeadLetter, Refused]] = []
    outcomes = decode_all(batch.tp.topic, records)
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Refused):
            letters.append((dead_letter(record, outcome), outcome))
        else:
            placed.append(Placed(record.offset, outcome))
    return placed, letters


class Stale(Exception):
    """The batch belongs to an assignment that is over; its records are read again by someone."""


class Attempts:
    """The attempts to write that are under way, so that a seek can wait until there is none.

    Each attempt belongs to a generation (`transport.Generation`), and is let in only while that is
    the current one. So when a seek has waited for `quiet`, nothing read before it is written any
    more. A generation in which one batch was given up is over as a whole: the next batch would be
    written on top of the hole that the first one left.
    """

    def __init__(self, generation: Callable[[], Generation]) -> None:
        self._generation = generation
        self._over: Generation | None = None
        self._running = 0
        self._none = asyncio.Event()
        self._none.set()

    def are_over(self, generation: Generation) -> bool:
        """Tell whether no attempt for a batch of *generation* is let in any more."""
        return generation != self._generation() or generation == self._over

    @contextmanager
    def of(self, generation: Generation) -> Iterator[None]:
        """Make one attempt for a batch of *generation*. Raises Stale if that is over."""
        if self.are_over(generation):
            raise Stale
        self._running += 1
        self._none.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._none.set()

    def end(self, generation: Generation) -> None:
        """Let nothing of *generation* in any more."""
        self._over = generation

    async def quiet(self) -> None:
        """Return when no attempt is under way."""
        await self._none.wait()


class Work(NamedTuple):
    """What the agents work with."""

    producer: Any
    writer: Writer
    telemetry: Telemetry
    attempts: Attempts
    lost_writes: Callable[[ReseekRequired], None]  #: called when Redis lost what it acknowledged
    verdicts: Verdicts  #: what was refused before, where topics are read again


#: A dead letter, and the refusal it tells of.
Letter = tuple[DeadLetter, Refused]


def sealed_letter(record: ConsumerRecord) -> Letter:
    """Return the dead letter of a *record* whose event would change a sealed day."""
    refused = Refused(Reason.SEALED, _SEALED)
    return dead_letter(record, refused), refused


async def refuse(letters: Sequence[Letter], generation: Generation, work: Work) -> None:
    """Publish dead letters and return when Kafka has acknowledged each. Raises Stale."""
    if letters:
        told = [letter for letter, _ in letters]
        await insist(lambda: publish(work.producer, told), generation, work)
        work.telemetry.refused.update(str(refused.reason) for _, refused in letters)


def newest_second(records: Sequence[ConsumerRecord]) -> int | None:
    """Return the newest timestamp of *records*, in seconds; None if none has one."""
    newest = max(record.timestamp for record in records)
    return newest // 1000 if newest >= 0 else None


async def insist(act: Callable[[], Awaitable[Any]], generation: Generation, work: Work) -> Any:
    """Do *act*, which is safe to repeat, until it succeeds; return its result.

    Raises Stale, and PermanentFaultError where it never would.
    """
    pause = FIRST_PAUSE
    telemetry = work.telemetry
    while True:
        try:
            with work.attempts.of(generation):
                result = await act()
        except ReseekRequired as error:
            work.attempts.end(generation)
            work.lost_writes(error)
            raise Stale from None
        except (RedisError, KafkaError, ProducerSendError, BrokerAway, OSError) as error:
            if fault := permanent_fault(error):
                raise PermanentFaultError(fault) from None
            who = "Redis" if isinstance(error, RedisError) else "Kafka"
            if not telemetry.waiting_for:
                log.warning("%s does not answer (%s); waiting for it, nothing is lost", who, error)
            telemetry.waiting_for = f"{who}: {error}"
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            if telemetry.waiting_for:
                log.warning("%s answers again", telemetry.waiting_for.partition(":")[0])
                telemetry.waiting_for = ""
            return result
