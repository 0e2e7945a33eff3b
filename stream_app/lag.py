"""How far the rollups are behind what was published, per topic-partition."""

from typing import Any

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from rollups.watermark import Position, Reach
from stream_app.broker import spans_of, topic_ids
from stream_app.errors import TopicDeletedError, TopicsMissingError
from stream_app.topics import EVENT_TOPICS


def partition_progress(
    admin: Any, redis: Any, timeout: float = 10.0
) -> dict[tuple[str, int], Reach]:
    """Return how far each topic-partition is counted, and where it ends.

    *admin* is a client as `stream_app.broker.admin_client` makes it. Raises BrokerUnavailableError;
    TopicsMissingError where nothing is known of a topic, which is not a lag of 0.
    """
    spans = spans_of(admin, EVENT_TOPICS, timeout)
    present = {topic for topic, _ in spans}
    if missing := [topic for topic in EVENT_TOPICS if topic not in present]:
        raise TopicsMissingError(missing)
    ids = topic_ids(admin, EVENT_TOPICS, timeout)
    # Read after the ends: what was published before the call is included.
    positions = Rollups.live(redis).positions()
    progress = {}
    for (topic, partition), (begin, stable, end) in spans.items():
        if topic not in ids:
            raise TopicDeletedError(topic)
        counted = positions.get(keys.fence(topic, partition, ids[topic]), Position(0)).offset
        progress[topic, partition] = Reach(min(max(counted, begin), end), stable, end)
    return progress
