"""The agent of all topics of events, which hands every fetched batch to the micro-batches.

What happens to a batch, in this order, and what a crash after each step means:

1. Its records are decoded (`stream_app.decode_batch`); those that are no valid events become dead
   letters, and Kafka has acknowledged these. (Crash: they are rejected again; a reader of dead
   letters recognises them by their origin.)
2. Its events are in the rollups, in one script per account (`stream_app.micro_batches`). (Crash:
   the fences skip them.) Events for a sealed day are rejected first, like those of step 1, and
   nothing of their account that comes behind them is applied before that.
3. The position in Redis moves behind the batch, which is what `usage lag` looks at: on the same
   connection as step 2, so that no restart of Redis lies between. (Crash: the batch is read again
   and skipped.)
4. Faust commits the offset to Kafka, some time later, for others to look at. A worker starts from
   the position in Redis (`stream_app.start_offsets`).

The agent never raises: Faust would ack or strand the batch. What can be retried is retried in place
(`stream_app.worker_context`); what cannot ends the worker.
"""

import time
from typing import TYPE_CHECKING, Any

from stream_app.micro_batches import QueuedBatch
from stream_app.topics import EVENT_TOPICS

if TYPE_CHECKING:
    from stream_app.faust_app import UsageApp


def add_agent(app: "UsageApp") -> None:
    """Give *app* the agent of all topics of events.

    It is one for all: what a fetch brought of several topics is one message, and one micro-batch.
    """
    channel = app.topic(*EVENT_TOPICS, key_type=bytes, value_type=bytes, value_serializer="raw")

    @app.agent(channel, name="stream_app.agents.events")  # type: ignore[untyped-decorator]
    async def events(stream: Any) -> None:
        async for event in stream.noack().events():
            await queue(app, event)


async def queue(app: "UsageApp", event: Any) -> None:
    """Hand the batches of *event* to the micro-batches, and return when there is room for more."""
    # Faust notes it for the first of them only, and would say that the others make no progress.
    app.monitor.stream_inbound_time.update(
        dict.fromkeys((batch.tp for batch in event.value), time.monotonic())
    )
    await app.micro_batches.put(
        *(QueuedBatch.of(event, batch, app.start_offsets.fence(batch.tp)) for batch in event.value)
    )
