"""How far the rollups are behind what was published, per topic-partition."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from rollups.gaps import Gap, unknown_part
from rollups.watermark import Reach
from stream_app.broker import spans_of
from stream_app.errors import TopicDeletedError, TopicsMissingError
from stream_app.kafka_state import (
    MISSING,
    TopicState,
    group_obstacle,
    raise_first,
    read_group,
    read_topics,
    topic_obstacles,
)
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS


class PartitionProgress(NamedTuple):
    """A topic-partition in Kafka, and how far it is counted."""

    begin: int  #: the first offset that Kafka still has
    position: int | None  #: the position in Redis; None if nothing was ever counted
    reach: Reach
    topic_id: str = ""

    @property
    def lost(self) -> range:
        """The offsets that Kafka deleted before they were counted."""
        return range(self.position or 0, self.begin)


def partition_progress(
    admin: Any, redis: Any, timeout: float = 10.0, group: str = ""
) -> dict[tuple[str, int], Reach]:
    """Return how far each topic-partition is counted, and where it ends.

    The arguments and errors are those of `read_progress`.
    """
    progress = read_progress(admin, redis, timeout, group)
    return {place: each.reach for place, each in progress.items()}


def read_progress(
    admin: Any, redis: Any, timeout: float = 10.0, group: str = ""
) -> dict[tuple[str, int], PartitionProgress]:
    """Return how far each topic-partition is counted, and from where to where Kafka has it.

    *admin* is a client as `stream_app.broker.admin_client` makes it. Raises BrokerUnavailableError:
    TopicsMissingError where nothing is known of a topic, which is not a lag of 0; BrokerDeniedError
    where a topic, the dead letters or the consumer *group* (if named) may not be read.
    """
    spans = spans_of(admin, EVENT_TOPICS, timeout)
    topics = read_topics(admin, (*EVENT_TOPICS, DEAD_LETTERS), timeout)
    _raise_if_unknown(admin, topics, {topic for topic, _ in spans}, group, timeout)
    # Read after the ends: what was published before the call is included.
    positions = Rollups.live(redis).positions()
    progress = {}
    for (topic, number), (begin, stable, end) in spans.items():
        position = positions.get(keys.fence(topic, number, topics[topic].id))
        offset = position.offset if position else None
        counted = min(max(offset or 0, begin), end)
        progress[topic, number] = PartitionProgress(
            begin, offset, Reach(counted, stable, end), topics[topic].id
        )
    return progress


def unrecorded(
    progress: Mapping[tuple[str, int], PartitionProgress], known: Iterable[Gap]
) -> list[Gap]:
    """Return what Kafka deleted before it was counted and no worker has recorded as a gap yet."""
    known = list(known)
    found = [
        Gap(topic, number, each.topic_id, each.lost.start, each.lost.stop, None, 0, "")
        for (topic, number), each in sorted(progress.items())
        if each.lost
    ]
    return [rest for gap in found if (rest := unknown_part(gap, known))]


def _raise_if_unknown(
    admin: Any, topics: Mapping[str, TopicState], present: set[str], group: str, timeout: float
) -> None:
    """Raise BrokerUnavailableError where nobody can say how far everything is counted."""
    obstacles = list(topic_obstacles(topics))
    if group and (obstacle := group_obstacle(group, read_group(admin, group, timeout))):
        obstacles.append(obstacle)
    for each in obstacles:
        if each.kind == MISSING and each.subject in present:
            raise TopicDeletedError(each.subject)
    # A worker creates dead letters' topic; without it nothing is refused, and so events wait.
    raise_first(
        [each for each in obstacles if (each.kind, each.subject) != (MISSING, DEAD_LETTERS)]
    )
    if missing := [topic for topic in EVENT_TOPICS if topic not in present]:
        raise TopicsMissingError(missing)  # it was created between the two requests
