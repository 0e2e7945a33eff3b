"""What keeps a running worker from using Kafka, noticed while it lasts and logged once.

A right that is taken from a running worker does not end it: it goes on with what it still may do,
and with everything as soon as the right is given back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from stream_app.errors import BrokerDeniedError, BrokerUnavailableError
from stream_app.kafka_state import DENIED, Obstacle

log = logging.getLogger(__name__)

#: Seconds for which something that failed counts as failing: it is tried again more often.
_LASTS_S = 4.0


class Obstacles:
    """The obstacles of now: those that Kafka was asked for, and those that were run into."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[str, Obstacle] = {}
        self._met: dict[str, tuple[float, Obstacle]] = {}
        self._logged: dict[str, Obstacle] = {}
        self.kafka_away = ""  #: why Kafka could not be asked; empty while it answers

    def asked(self, obstacles: Iterable[Obstacle]) -> None:
        """Take in everything that Kafka names when it is asked."""
        self.kafka_away = ""
        self._asked = {each.subject: each for each in obstacles}
        self._log()

    def met(self, obstacle: Obstacle) -> None:
        """Take in what an attempt to use Kafka failed at."""
        self._met[obstacle.subject] = self._clock(), obstacle
        self._log()

    def current(self) -> list[Obstacle]:
        """Return what is in the way now, by subject."""
        since = self._clock() - _LASTS_S
        met = {subject: each for subject, (at, each) in self._met.items() if at >= since}
        return [each for _, each in sorted({**met, **self._asked}.items())]

    def _log(self) -> None:
        """Log what is new, and what is over, in a line each."""
        current = {each.subject: each for each in self.current()}
        for subject, each in current.items():
            if subject not in self._logged:
                log.error("%s", each)
        for subject in self._logged.keys() - current.keys():
            log.warning("%s: nothing is in the way any more", subject)
        self._logged = current


class KafkaWatch:
    """Asks Kafka from time to time what is in the way."""

    def __init__(self, obstacles: Obstacles, ask: Callable[[], list[Obstacle]]) -> None:
        self._obstacles, self._ask = obstacles, ask

    async def look(self) -> None:
        """Ask once."""
        try:
            found = await asyncio.to_thread(self._ask)
        except BrokerDeniedError as error:
            sentence, _, advice = str(error).partition(". ")
            self._obstacles.asked([Obstacle("login", DENIED, sentence, advice)])
        except BrokerUnavailableError as error:
            self._obstacles.kafka_away = str(error)
        else:
            self._obstacles.asked(found)
