"""The metrics of a worker, collected when Prometheus asks.

Counting is left to those who do the work, a micro-batch at a time; here is only read what they
have. How far topics are counted is reported by the one worker that looks for all, and by nobody
while that is unknown: a number that is old looks like any other.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import Metric

from interaction_usage import monitoring
from interaction_usage.store import keys
from interaction_usage.store.errors import (
    ClusterChangedError,
    LostSecretError,
    LostWritesError,
    ReseekRequired,
    RollupsSwitchedError,
)
from stream_app.rejection import Reason
from stream_app.write_gate import State

if TYPE_CHECKING:
    from stream_app.faust_app import UsageApp
    from stream_app.progress import Look

_STARTING: Final = "starting"
_STATES: Final = (_STARTING, *(state.value for state in State))

_CAUSES: Final[dict[type[ReseekRequired], str]] = {
    LostWritesError: "lost-writes",
    LostSecretError: "lost-secret",
    RollupsSwitchedError: "rollups-switched",
    ClusterChangedError: "cluster-changed",
}
_OTHER: Final = "other"

#: Rendering takes milliseconds where there are many partitions, and touches nothing of the app. The
#: loop's own threads may all be waiting for Kafka, just when metrics are needed.
_renderer: Final = ThreadPoolExecutor(1, "metrics")


def cause_of(error: ReseekRequired) -> str:
    """Return by which cause a worker reads again."""
    return _CAUSES.get(type(error), _OTHER)


async def worker_metrics(app: "UsageApp") -> bytes:
    """Return the metrics of *app* in Prometheus' text format."""
    families = [*collected(app)]
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_renderer, monitoring.rendered, families)


def collected(app: "UsageApp") -> Iterator[Metric]:
    """Yield the metrics of *app*."""
    yield monitoring.build()
    yield from monitoring.process()
    yield from _counting(app)
    yield from _state(app)
    yield from _sealing(app)
    if look := app.lookout.current:
        yield from stream(look)
        if (present := app.sessions_present.current) is not None:
            yield monitoring.SESSIONS_PRESENT.of(((name,), n) for name, n in present.items())


def _counting(app: "UsageApp") -> Iterator[Metric]:
    telemetry = app.context.telemetry
    yield monitoring.COUNTED.of(telemetry.counted)
    yield monitoring.DUPLICATES.of(telemetry.duplicates)
    yield monitoring.REFUSED.of(((reason.value,), telemetry.refused[reason]) for reason in Reason)
    yield monitoring.DELETED.of(telemetry.deleted)
    for histogram in (telemetry.events, telemetry.preparing, telemetry.writing):
        yield from histogram.collect()
    yield monitoring.QUEUED.of(app.micro_batches.weight)


def _state(app: "UsageApp") -> Iterator[Metric]:
    telemetry, starting = app.context.telemetry, bool(app.readiness.starting)
    current = _STARTING if starting else app.gate.state.value
    yield monitoring.READY.of(not app.readiness.reasons())
    yield monitoring.STATE.of(((state,), state == current) for state in _STATES)
    yield monitoring.PARTITIONS.of(0 if starting else len(app.consumer.processed()))
    yield monitoring.OBSTACLES.of(len(app.obstacles.current()))
    waits = telemetry.waits
    yield monitoring.WAIT_SECONDS.of(((name.lower(),), s) for name, s in waits.seconds().items())
    yield monitoring.FAILURES.of(((name.lower(),), n) for name, n in waits.failures.items())
    yield monitoring.REBALANCES.of(app.rebalancing_count)
    yield monitoring.REJOINS.of(app.rejoin.requests)
    causes = (*_CAUSES.values(), _OTHER)
    yield monitoring.RECOVERIES.of(((cause,), telemetry.recoveries[cause]) for cause in causes)


def _sealing(app: "UsageApp") -> Iterator[Metric]:
    yield monitoring.SEALED.of(app.sealing.sealed)
    if app.sealing.looked_at is not None:
        yield monitoring.SEALING_AT.of(app.sealing.looked_at)
    yield monitoring.STALLED.of(len(app.sealing.stalled))


def stream(look: "Look") -> Iterator[Metric]:
    """Yield what the worker reports that looks for all."""
    places = [(_place(name), lag) for name, lag in sorted(look.lags.items())]
    yield monitoring.LAG.of((place, lag.records) for place, lag in places)
    yield monitoring.BLOCKED.of((place, lag.blocked) for place, lag in places)
    yield monitoring.LAG_SECONDS.of((place, lag.seconds) for place, lag in places)
    if look.progress.complete_to is not None:
        yield monitoring.COMPLETE_TO.of(look.progress.complete_to)
    yield monitoring.GAPS.of(look.gaps)


def _place(name: str) -> tuple[str, str]:
    topic, partition, _ = keys.parse_fence(name)
    return topic, str(partition)
