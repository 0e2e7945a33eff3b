"""Rights on topics and the group: without them at the start, taken away, and given back."""

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from tests.support.event_lines import event, flow
from tests.support.rights import deny
from tests.support.shared_broker import delete_acls
from tests.support.system import System

INVALID = b'{"specversion":"1.0"}'


@pytest.fixture
def counting(system: System) -> Iterator[System]:
    """Yield a system whose worker has counted an event."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("0"))
    system.catch_up()
    yield system
    delete_acls(system.kafka.bootstrap)


def clicks(system: System) -> int:
    """Return how many clicks are counted."""
    report = system.report("acme", "2026-10-01", "2026-10-31", as_of="2026-11-01T00:00:00Z")
    return int(report["assistance"]["chat"])


def lines_of(system: System, text: str) -> int:
    """Return in how many lines of the log something is said."""
    return sum(text in line for line in system.log().splitlines())


def test_a_topic_that_may_not_be_read_any_more_is_waited_for(
    counting: System, eventually: Callable[..., None]
) -> None:
    """One line says what to grant; other topics are counted meanwhile, and this one afterwards."""
    said = "Kafka does not allow this client to READ the topic usage.clicks"
    deny(counting.kafka.bootstrap, ResourceType.TOPIC, "usage.clicks", AclOperation.READ)
    eventually(lambda: said in counting.log(), "the worker says what it may not read")
    chat = event("1", "assist.clicked", {"service": "chat"})
    counting.usage("send", "-", stdin=b"\n".join([chat, flow("2")]))
    failed = counting.usage("lag", code=1)
    assert said in failed.stderr.decode()
    assert "--operation Read --topic usage.clicks" in failed.stderr.decode()
    eventually(
        lambda: counting.report(
            "acme", "2026-10-01", "2026-10-31", as_of="2026-11-01T00:00:00Z"
        )["flow_runs"]["total"] == 2,
        "the other topics are counted",
    )  # fmt: skip
    assert clicks(counting) == 0
    delete_acls(counting.kafka.bootstrap)
    eventually(lambda: clicks(counting) == 1, "what waited is counted")
    assert lines_of(counting, said) == 1
    assert "Traceback" not in counting.log()


def test_a_group_that_may_not_be_joined_any_more_is_waited_for(
    counting: System, eventually: Callable[..., None]
) -> None:
    """aiokafka's coordinator says nothing, and would never try again by itself."""
    said = f"Kafka does not allow this client to join the group {counting.group}"
    deny(counting.kafka.bootstrap, ResourceType.GROUP, counting.group, AclOperation.READ)
    eventually(lambda: said in counting.log(), "the worker says what it may not join")
    assert said in counting.usage("lag", "--until-zero", "60", code=1).stderr.decode()
    delete_acls(counting.kafka.bootstrap)
    eventually(lambda: counting.usage("lag", code=None).returncode == 0, "the lag is known")
    counting.usage("send", "-", stdin=flow("1"))
    counting.catch_up()
    assert lines_of(counting, said) == 1
    assert "Traceback" not in counting.log()


def test_dead_letters_that_may_not_be_written_any_more_are_waited_for(
    counting: System, eventually: Callable[..., None]
) -> None:
    """What is invalid is refused when that is allowed again."""
    said = "Kafka does not allow this client to WRITE the topic usage.dead-letters"
    deny(counting.kafka.bootstrap, ResourceType.TOPIC, "usage.dead-letters", AclOperation.WRITE)
    counting.publish([("usage.flows", None, INVALID, None)])
    eventually(lambda: said in counting.log(), "the worker says what it may not write")
    assert json.loads(counting.usage("lag", "--json").stdout)["usage.flows"] == 1
    delete_acls(counting.kafka.bootstrap)
    counting.catch_up()
    assert len(counting.dead_letters()["newest"]) == 1
    assert lines_of(counting, said) == 1


@pytest.mark.parametrize(
    ("kind", "operation", "said"),
    [
        (ResourceType.TOPIC, AclOperation.READ, "to READ the topic usage.calls"),
        (ResourceType.TOPIC, AclOperation.DESCRIBE, "to see the topic usage.calls"),
        (ResourceType.GROUP, AclOperation.READ, "to join the group"),
    ],
)
def test_without_a_right_a_worker_does_not_start(
    system: System, kind: ResourceType, operation: AclOperation, said: str
) -> None:
    """It says what to grant; lag and doctor fail with the same words, and nothing is a lag of 0."""
    from stream_app.broker import ensure_topics
    from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS

    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 1, 1)
    name = "usage.calls" if kind is ResourceType.TOPIC else system.group
    deny(system.kafka.bootstrap, kind, name, operation)
    ended = system.usage("worker", code=1).stderr.decode()
    assert f"The worker ends: Kafka does not allow this client {said}" in ended
    assert "kafka-acls --add" in ended
    assert "Traceback" not in ended
    failed = system.usage("lag", code=1)
    assert said in failed.stderr.decode()
    assert failed.stdout == b""
    findings = json.loads(system.usage("doctor", "--json", code=1).stdout)["findings"]
    assert any(said in each["sentence"] for each in findings if each["level"] == "wrong")
    assert any(each["subject"] == "lag" and each["level"] == "wrong" for each in findings)


def test_a_hidden_topic_is_not_taken_for_a_missing_one(system: System) -> None:
    """A missing one is said to be missing, and nothing else."""
    said = system.usage("lag", code=1).stderr.decode()
    assert "do not exist" in said
    assert "does not allow" not in said


#: A worker whose group is denied to it between its look at its rights and its joining.
DENIED_WHILE_IT_STARTS = """
import sys
from confluent_kafka.admin import AclOperation, ResourceType
from interaction_usage.commands.main import main
from stream_app import faust_app
from tests.support.rights import deny

kafka, group = sys.argv[1:]
look = faust_app.read_warnings

def look_and_lose_the_right(*arguments):
    found = look(*arguments)
    deny(kafka, ResourceType.GROUP, group, AclOperation.READ)
    return found

faust_app.read_warnings = look_and_lose_the_right
main(["worker"])
"""


def test_a_worker_that_may_not_join_at_first_joins_when_it_may(
    system: System, eventually: Callable[..., None]
) -> None:
    """It looked at its rights just before they were taken; it has never had a partition."""
    said = f"Kafka does not allow this client to join the group {system.group}"
    code = (sys.executable, "-c", DENIED_WHILE_IT_STARTS, system.kafka.bootstrap, system.group)
    worker = system.start_worker(code)
    try:
        eventually(lambda: said in system.log(), "the worker says what it may not join")
        eventually(lambda: "Nothing is counted" in system.log(), "it says that it does not count")
    finally:
        delete_acls(system.kafka.bootstrap)
    system.usage("send", "-", stdin=flow("1"))
    system.catch_up()
    assert worker.alive
    assert lines_of(system, said) == 1
