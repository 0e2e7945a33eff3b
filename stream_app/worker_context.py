"""What a worker writes its batches with: each write through the gate, until it succeeds."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from redis.exceptions import RedisError

from interaction_usage.store.errors import ReseekRequired
from interaction_usage.store.writer import Writer
from stream_app.dead_letter_producer import publish
from stream_app.decode_batch import PendingDeadLetter
from stream_app.errors import StaleAssignmentError
from stream_app.faults import denial, raise_if_permanent
from stream_app.fetched_batch import Assignment
from stream_app.kafka_state import WRITE, topic_denied
from stream_app.obstacles import Obstacles
from stream_app.retry import BACKOFF, Backoff, Result, retry
from stream_app.sealed_rejections import NO_REJECTIONS, SealedRejections
from stream_app.telemetry import Telemetry
from stream_app.topics import DEAD_LETTERS
from stream_app.waits import KAFKA, REDIS
from stream_app.write_gate import WriteGate

log = logging.getLogger(__name__)


@dataclass
class WorkerContext:
    """What all batches of a worker share."""

    gate: WriteGate
    writer: Writer
    producer: Callable[[], Any]  #: Faust's, which exists only once the worker has started
    telemetry: Telemetry
    on_lost_writes: Callable[[ReseekRequired], None]  #: called when Redis lost what it acknowledged
    earlier_rejections: SealedRejections = NO_REJECTIONS  #: where topics are read again
    backoff: Backoff = BACKOFF
    obstacles: Obstacles = field(default_factory=Obstacles)

    async def write(
        self, attempt: Callable[[], Awaitable[Result]], assignment: Assignment
    ) -> Result:
        """Call *attempt*, which is safe to repeat, until it succeeds; return its result.

        Raises StaleAssignmentError, and PermanentFaultError where it never would succeed.
        """

        async def admitted() -> Result:
            with self.gate.admit(assignment):
                return await attempt()

        try:
            result = await retry(admitted, self._wait_for, backoff=self.backoff)
        except ReseekRequired as error:
            self.gate.close(assignment)
            self.on_lost_writes(error)
            raise StaleAssignmentError from None
        self._answered()
        return result

    async def publish(self, pending: Sequence[PendingDeadLetter], assignment: Assignment) -> None:
        """Publish dead letters and return when Kafka has acknowledged each.

        Raises StaleAssignmentError and PermanentFaultError.
        """
        if pending:
            letters = [each.dead_letter for each in pending]
            await self.write(lambda: publish(self.producer(), letters), assignment)
            self.telemetry.refused.update(str(each.reason) for each in pending)

    def _wait_for(self, error: Exception) -> None:
        if isinstance(error, ProducerSendError | KafkaError) and denial(error):
            # A right may be given back, and until then a new process could do no more.
            self.obstacles.met(topic_denied(DEAD_LETTERS, WRITE))
            self.telemetry.waiting_for = f"{KAFKA}: {denial(error)}"
            self.telemetry.waits.failed(KAFKA)
            return
        raise_if_permanent(error)
        who = REDIS if isinstance(error, RedisError) else KAFKA
        if not self.telemetry.waiting_for:
            log.warning("%s is unavailable (%s); retrying, nothing is lost", who, error)
        self.telemetry.waiting_for = f"{who}: {error}"
        self.telemetry.waits.failed(who)

    def _answered(self) -> None:
        if self.telemetry.waiting_for:
            log.warning("%s is available again", self.telemetry.waiting_for.partition(":")[0])
            self.telemetry.waiting_for = ""
            self.telemetry.waits.succeeded()
