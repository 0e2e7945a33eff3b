"""What topics are created with, and questions to a broker that is not there."""

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from interaction_usage.servers.ports import free_port
from stream_app.broker import (
    LARGEST_DEAD_LETTER,
    Admin,
    offset_answers,
    topic_configuration,
    topic_ids,
)
from stream_app.errors import BrokerUnavailableError
from stream_app.topics import DEAD_LETTERS, FLOWS


def test_a_client_that_got_no_answer_is_replaced() -> None:
    """It may have lost the only broker that it knew, and never find it again."""
    admin = Admin(f"127.0.0.1:{free_port()}")
    before = admin._client
    with pytest.raises(BrokerUnavailableError, match="no broker answered"):
        topic_ids(admin, ["usage.flows"], timeout=0.2)
    assert admin._client is not before


@pytest.mark.parametrize(("replication", "in_sync"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_one_broker_may_be_lost_without_losing_events(
    replication: int, in_sync: str | None
) -> None:
    """And be away without stopping producers; with two replicas only one of both can be had."""
    assert topic_configuration(FLOWS, replication).get("min.insync.replicas") == in_sync


def test_topics_keep_everything() -> None:
    """And dead letters have room for what was refused."""
    assert topic_configuration(FLOWS, 1) == {"retention.ms": "-1"}
    assert topic_configuration(DEAD_LETTERS, 1) == {
        "retention.ms": "-1", "max.message.bytes": str(LARGEST_DEAD_LETTER),
    }  # fmt: skip


class LeaderlessAdmin:
    """A client of a broker that knows no leader of partition 1 for so many answers."""

    def __init__(self, answers: int) -> None:
        self.left = answers

    def list_offsets(self, wanted: dict[TopicPartition, Any], **_: Any) -> dict[Any, Any]:
        """Answer at once."""
        return {place: self._answer(place) for place in wanted}

    def _answer(self, place: TopicPartition) -> Any:
        answer: Future[Any] = Future()
        if place.partition == 1 and self.left:
            self.left -= 1
            answer.set_exception(KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)))
        else:
            answer.set_result(SimpleNamespace(offset=10 + place.partition, timestamp=-1))
        return answer


def offsets_of(admin: Any) -> dict[tuple[str, int], int]:
    """Return where two partitions end."""
    asked = [TopicPartition(FLOWS, number) for number in range(2)]
    answers = offset_answers(admin, asked, OffsetSpec.latest(), timeout=5.0)
    return {place: answer.offset for place, answer in answers}


def test_a_partition_without_a_leader_is_asked_for_again() -> None:
    """A topic that was created a moment ago, or a broker that left: it passes."""
    assert offsets_of(LeaderlessAdmin(3)) == {(FLOWS, 0): 10, (FLOWS, 1): 11}


def test_a_partition_that_stays_without_a_leader_is_an_error() -> None:
    """Nobody waits for it for longer than two seconds."""
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="no broker answered"):
        offsets_of(LeaderlessAdmin(10_000))
    assert time.monotonic() - began < 4
