"""Repeating what is safe to repeat, with growing pauses, while Redis or Kafka is away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, TypeVar

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from redis.exceptions import RedisError

from stream_app.errors import BrokerUnavailableError

Result = TypeVar("Result")

#: What Redis may answer, and Kafka, that passes by waiting. (See also `stream_app.faults`.)
REDIS_ERRORS = (RedisError, OSError)
TRANSIENT_ERRORS = (*REDIS_ERRORS, KafkaError, ProducerSendError, BrokerUnavailableError)


class Backoff(NamedTuple):
    """Pauses in seconds, each twice as long as the one before, up to the longest."""

    first_s: float
    longest_s: float

    def pauses(self) -> Iterator[float]:
        """Yield the pauses, without end."""
        pause = self.first_s
        while True:
            yield pause
            pause = min(pause * 2, self.longest_s)


#: Of a worker while Redis or Kafka is away.
BACKOFF = Backoff(0.1, 2.0)


async def retry(
    attempt: Callable[[], Awaitable[Result]],
    on_failure: Callable[[Exception], None],
    *,
    errors: tuple[type[Exception], ...] = TRANSIENT_ERRORS,
    backoff: Backoff = BACKOFF,
) -> Result:
    """Call *attempt* until it succeeds; return its result.

    Each failure that is one of *errors* is passed to *on_failure*, which ends the attempts by
    raising. Any other is raised at once.
    """
    for pause in backoff.pauses():
        try:
            return await attempt()
        except errors as error:
            on_failure(error)
        await asyncio.sleep(pause)
    raise AssertionError("pauses have no end")
