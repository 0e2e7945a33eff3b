"""What keeps workers from using topics and the group, and how long topics keep events. Pure."""

import pytest

from stream_app.errors import BrokerDeniedError, BrokerUnavailableError, TopicsMissingError
from stream_app.kafka_state import (
    DENIED,
    MISSING,
    GroupState,
    TopicState,
    group_obstacle,
    raise_first,
    topic_obstacles,
)
from stream_app.retention import Retention, duration, retention, sentence
from stream_app.topics import DEAD_LETTERS, FLOWS

READER = TopicState(partitions=1, operations=frozenset({"READ", "DESCRIBE"}))


@pytest.mark.parametrize(
    ("topic", "state", "writes", "said"),
    [
        (FLOWS, READER, True, ""),
        (DEAD_LETTERS, READER, False, ""),
        (DEAD_LETTERS, READER, True, "to WRITE the topic usage.dead-letters"),
        (FLOWS, READER._replace(operations=frozenset({"DESCRIBE"})), False, "to READ the topic"),
        (FLOWS, READER._replace(operations=None), True, ""),  # the broker keeps it to itself
        (FLOWS, TopicState(error=MISSING), False, "does not exist"),
        (FLOWS, TopicState(error=DENIED), False, "to see the topic usage.flows"),
        (FLOWS, TopicState(error="boom"), False, "boom"),
    ],
)
def test_what_is_wrong_with_a_topic(topic: str, state: TopicState, writes: bool, said: str) -> None:
    """One sentence what is so, one what to do."""
    obstacles = list(topic_obstacles({topic: state}, writes=writes))
    assert len(obstacles) == bool(said)
    for each in obstacles:
        assert said in each.sentence
        assert each.advice
        assert str(each) == f"{each.sentence}. {each.advice}"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (GroupState(), ""),
        (GroupState("stable", 1, frozenset({"READ"})), ""),
        (GroupState("stable", 1, frozenset({"DESCRIBE"})), "to join the group usage"),
        (GroupState(error=DENIED), "to join the group usage"),
        (GroupState(error="boom"), "boom"),
    ],
)
def test_what_is_wrong_with_the_group(group: GroupState, said: str) -> None:
    """A group that does not exist yet is fine."""
    obstacle = group_obstacle("usage", group)
    assert (obstacle is not None) is bool(said)
    assert obstacle is None or said in obstacle.sentence


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        ([DENIED, MISSING, "boom"], BrokerDeniedError),
        ([MISSING, "boom"], TopicsMissingError),
        (["boom"], BrokerUnavailableError),
    ],
)
def test_a_refusal_is_an_error_of_another_kind_than_an_absence(
    states: list[str], kind: type[Exception]
) -> None:
    """What is denied comes first, for waiting does not help."""
    topics = {f"topic-{number}": TopicState(error=each) for number, each in enumerate(states)}
    with pytest.raises(kind) as raised:
        raise_first(list(topic_obstacles(topics)))
    assert type(raised.value) is kind
    raise_first([])


DAY = 86_400_000


@pytest.mark.parametrize(
    ("configuration", "is_finite", "said"),
    [
        ({}, False, ""),
        ({"retention.ms": "-1", "retention.bytes": "-1"}, False, ""),
        ({"retention.ms": "604800000"}, True, "after 7 days (retention.ms=604800000)"),
        ({"retention.ms": "0"}, True, "after no time (retention.ms=0)"),
        ({"retention.bytes": "1000"}, True, "beyond 1,000 bytes a partition"),
    ],
)  # fmt: skip
def test_what_kafka_deletes(configuration: dict[str, str], is_finite: bool, said: str) -> None:
    """By age or size; -1 is for ever."""
    found = retention(configuration)
    assert found.is_finite is is_finite
    assert said in str(found)


@pytest.mark.parametrize(
    ("found", "oldest", "said"),
    [
        (Retention(7 * DAY), 1_000 * DAY, "its oldest record is 6.5 days old"),
        (Retention(7 * DAY), None, "a rebuild reaches back 7 days at most"),
        (Retention(size=1), None, "depends on the traffic"),
        (Retention(size=1), 2_000 * DAY, "is no time old"),
    ],
)
def test_how_far_back_a_rebuild_reaches(found: Retention, oldest: int | None, said: str) -> None:
    """To the oldest record there is, or the setting; a record of the future is of now."""
    assert said in sentence("usage.flows", found, oldest, int(1_006.5 * DAY))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "no time"), (60_000, "less than an hour"), (3_600_000, "1 hour"), (5_400_000, "1.5 hours"),
     (DAY, "1 day"), (int(30.5 * DAY), "30.5 days"), (3_650 * DAY, "3,650 days")],
)  # fmt: skip
def test_a_length_of_time_is_shown_in_days_or_hours(milliseconds: int, text: str) -> None:
    """For people."""
    assert duration(milliseconds) == text
