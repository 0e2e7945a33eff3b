"""How far the rollups are behind, also while topics come and go."""

from typing import Any

import pytest
from confluent_kafka import Producer
from redis.client import Redis

from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import keys
from rollups.watermark import Position
from stream_app.broker import Span, admin_client, ensure_topics
from stream_app.errors import TopicDeletedError, TopicsMissingError
from stream_app.lag import partition_progress
from stream_app.sealing import event_spans
from stream_app.topics import EVENT_TOPICS, FLOWS


class DeletingAdmin:
    """A real admin client of a cluster in which a topic is deleted after the first metadata."""

    def __init__(self, admin: Any, topic: str) -> None:
        self._admin, self._topic, self._answers = admin, topic, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def list_topics(self, **options: Any) -> Any:
        """Return the metadata, from the second time on without the topic."""
        metadata = self._admin.list_topics(**options)
        self._answers += 1
        if self._answers > 1:
            del metadata.topics[self._topic]
        return metadata


class NotingAdmin:
    """A real admin client that notes which partitions it is asked for offsets of."""

    def __init__(self, admin: Any) -> None:
        self._admin, self.asked = admin, list[set[str]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def list_offsets(self, wanted: Any, **options: Any) -> Any:
        """Note the topics of *wanted*."""
        self.asked.append({place.topic for place in wanted})
        return self._admin.list_offsets(wanted, **options)


def test_of_what_is_counted_to_the_end_nothing_but_the_end_is_asked_for() -> None:
    """Two flows, of which one is counted: only of theirs the beginning and what is stable count."""
    with mock_broker() as broker:
        ensure_topics(broker.bootstrap, EVENT_TOPICS, 1, 1)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for _ in range(2):
            producer.produce(FLOWS, b"{}", b"acme", 0)
        producer.flush(10)
        admin = NotingAdmin(admin_client(broker.bootstrap))
        name = keys.fence(FLOWS, 0, "")
        assert event_spans(admin, {name: Position(1)})[name] == Span(0, 2, 2)
        assert admin.asked == [set(EVENT_TOPICS), {FLOWS}, {FLOWS}]
        assert event_spans(admin, {name: Position(2)})[name] == Span(0, 2, 2)
        assert admin.asked[3:] == [set(EVENT_TOPICS)]


def test_a_topic_deleted_between_two_requests_is_an_error_that_names_it() -> None:
    """Its offsets were read, its id was not: nobody can say how far it is counted."""
    with mock_broker() as broker, redis_server() as server, Redis.from_url(server.url) as redis:
        ensure_topics(broker.bootstrap, EVENT_TOPICS, 1, 1)
        admin = admin_client(broker.bootstrap)
        progress = partition_progress(admin, redis)
        assert {topic: at.behind for (topic, _), at in progress.items()} == dict.fromkeys(
            EVENT_TOPICS, 0
        )
        with pytest.raises(TopicDeletedError, match=r"usage\.flows was deleted while its offsets"):
            partition_progress(DeletingAdmin(admin, FLOWS), redis)


def test_a_topic_that_is_missing_has_no_lag_of_0() -> None:
    """It is named: nobody knows what was published to it."""
    present = [topic for topic in EVENT_TOPICS if topic != FLOWS]
    with mock_broker() as broker, redis_server() as server, Redis.from_url(server.url) as redis:
        ensure_topics(broker.bootstrap, present, 1, 1)
        with pytest.raises(TopicsMissingError, match=r"the topic usage\.flows does not exist"):
            partition_progress(admin_client(broker.bootstrap), redis)


def test_nothing_is_sealed_while_a_topic_is_missing() -> None:
    """Nobody knows what waits in it: where it is hidden, its events would come too late."""
    present = [topic for topic in EVENT_TOPICS if topic != FLOWS]
    with mock_broker() as broker:
        ensure_topics(broker.bootstrap, present, 1, 1)
        with pytest.raises(TopicsMissingError, match=r"the topic usage\.flows does not exist"):
            event_spans(admin_client(broker.bootstrap), {})
        ensure_topics(broker.bootstrap, EVENT_TOPICS, 1, 1)
        spans = event_spans(admin_client(broker.bootstrap), {})
        assert {name.partition("/")[0] for name in spans} == set(EVENT_TOPICS)
