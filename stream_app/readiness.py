"""Whether a worker counts now; if not, why: a sentence for each reason."""

import time
from collections.abc import Callable
from typing import Final

from stream_app.kafka_state import SHARED
from stream_app.obstacles import Obstacles
from stream_app.telemetry import Telemetry
from stream_app.write_gate import State, WriteGate

#: Seconds after the last heartbeat that Redis took from which it counts as away.
_HEARTBEAT_S: Final = 3.0

#: What a worker does in the states in which it counts nothing.
_STATES: Final = {
    State.JOINING: "The worker is joining the consumer group",
    State.SEEKING: "The worker is determining its start offsets",
    State.CLOSED: "The worker is about to read again from where the rollups end",
}


class Readiness:
    """Collects why a worker does not count. A worker on standby has nothing to count, and is ready.

    *starting* says what the worker waits for before it has started; empty afterwards.
    """

    def __init__(
        self,
        gate: WriteGate,
        telemetry: Telemetry,
        obstacles: Obstacles,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate, self._telemetry, self._obstacles, self._clock = (
            gate, telemetry, obstacles, clock,
        )  # fmt: skip
        self._last_heartbeat = clock()
        self.starting = "The worker is starting"

    def heartbeat_sent(self) -> None:
        """Take note that Redis took a heartbeat."""
        self._last_heartbeat = self._clock()

    def reasons(self) -> list[str]:
        """Return why the worker does not count; nothing if it does."""
        if self.starting:
            return [self.starting]
        reasons = []
        if sentence := _STATES.get(self._gate.state):
            reasons.append(sentence)
        silent = self._clock() - self._last_heartbeat
        if silent > _HEARTBEAT_S and not reasons:
            reasons.append(f"Redis has taken no heartbeat for {silent:.0f} s")
        if self._telemetry.waiting_for:
            reasons.append(f"The worker waits for {self._telemetry.waiting_for}")
        if self._obstacles.kafka_away:
            reasons.append(f"Kafka does not answer: {self._obstacles.kafka_away}")
        return reasons + [str(each) for each in self._obstacles.current() if each.kind != SHARED]
