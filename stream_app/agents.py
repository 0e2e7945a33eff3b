"""The agents: one for each topic of events, which hands every fetched batch to the micro-batches.

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

An agent never raises: Faust would ack or strand the batch. What can be retried is retried in place
(`stream_app.worker_context`); what cannot ends the worker.
"""

from typing import TYPE_CHECKING, Any

from interaction_usage import prefixes
from stream_app.micro_batches import QueuedBatch
from stream_app.topics import EVENT_TOPICS

if TYPE_CHECKING:
    from stream_app.faust_app import UsageApp


def add_agents(app: "UsageApp") -> None:
    """Give *app* an agent for each topic of events."""
    for topic in EVENT_TOPICS:
        _add_agent(app, topic)


def _add_agent(app: "UsageApp", topic: str) -> None:
    channel = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")

    async def queue_batches(stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.value
            fence = app.start_offsets.fence(batch.tp)
            await app.micro_batches.put(QueuedBatch(event, batch, fence))

    name = topic.removeprefix(prefixes.topic("usage."))
    queue_batches.__name__ = name
    app.agent(channel, name=f"stream_app.agents.{name}")(queue_batches)
