"""Each command needs exactly the rights in Kafka that docs/kafka.md names."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from interaction_usage.servers.child import Child
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import keys
from interaction_usage.store.progress import encoded
from rollups.completeness import Progress
from stream_app.broker import ensure_topics
from stream_app.topics import EVENT_TOPICS, TOPICS
from tests.support.event_lines import flow
from tests.support.secured_kafka import PASSWORD, USER, SecuredKafka
from tests.support.shared_broker import delete_acls
from tests.support.system import USAGE, System

PAGE = Path(__file__).parents[2] / "docs" / "kafka.md"
EVENTS, GROUP, TRANSACTIONS = "event topics", "group", "transactional id"
_KINDS = {GROUP: ResourceType.GROUP, TRANSACTIONS: ResourceType.TRANSACTIONAL_ID}
_RESOURCES = {EVENTS: EVENT_TOPICS, TRANSACTIONS: ("usage.alerts",)}
INVALID = b'{"specversion":"1.0"}'

#: The rights of a client: what it may do on each topic, on all event topics, on the group.
Rights = Mapping[str, frozenset[str]]

#: What each command is run with; those that use up what they work on fail first.
RUN = {
    "usage send": (["send", "-"], flow("again")),
    "usage lag": (["lag"], b""),
    "usage account set": (["account", "set", "acme", "--name", "Acme"], b""),
    "usage token create": (["token", "create", "--operator"], b""),
    "usage dead-letters list": (["dead-letters", "list"], b""),
    "usage rebuild --verify": (["rebuild", "--verify", "--incomplete"], b""),
    "usage gaps accept": (["gaps", "accept", "--all", "--reason", "a test"], b""),
    "usage alerts set": (
        ["alerts", "set", "--lag", "1", "--to", "https://example.com/"],
        b"",
    ),
    "usage archive once": (["archive", "once"], b""),
    "usage reports issue": (["reports", "issue", "acme", "--month", "2020-01"], b""),
    "usage dead-letters replay": (["dead-letters", "replay", "--all"], b""),
    "usage rebuild": (["rebuild", "--incomplete"], b""),
}


def needed() -> dict[str, Rights]:
    """Return the rights that the page says each command needs, by the first that a row names."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    [head] = [row for row in rows if row.startswith("| command | event topics")]
    names = [cell.strip(" `") for cell in head.strip("|").split("|")][1:]
    names = [next((kind for kind in _KINDS if name.startswith(kind)), name) for name in names]
    table: dict[str, Rights] = {}
    for row in rows[rows.index(head) + 1 :]:
        command, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        if command.startswith("`usage "):
            table[command.split("`")[1]] = {
                name: frozenset(cell.upper().split(", "))
                for name, cell in zip(names, cells, strict=True)
                if cell
            }
    return table


@pytest.fixture(scope="module")
def denying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Yield a system whose Kafka lets its client do nothing yet."""
    folder = tmp_path_factory.mktemp("denying")
    with (
        SecuredKafka(folder / "kafka", denies=True) as kafka,
        redis_server(folder / "redis") as store,
    ):
        ensure_topics(kafka.bootstrap, TOPICS, 1, 1)
        system = System(kafka, store, folder)
        system.variables |= {
            "USAGE_ARCHIVE": str(folder / "archive"),
            "USAGE_ALERTS_SECRET": "a secret of the tests, long enough",
            "USAGE_KAFKA": f"127.0.0.1:{kafka.sasl}",
            "USAGE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "USAGE_KAFKA_SASL_MECHANISM": "PLAIN",
            "USAGE_KAFKA_SASL_USERNAME": USER,
            "USAGE_KAFKA_SASL_PASSWORD": PASSWORD,
        }
        yield system
        system.kill_workers()


@pytest.fixture
def counted(need_kafka: None, denying: System) -> System:
    """Return a system that has counted an event, refused one, and found a gap."""
    if not denying.workers:
        grant(denying, needed()["usage worker"])
        denying.publish([(topic, b"acme", INVALID, None) for topic in ("usage.calls", "usage.sms")])
        delete_first(denying, "usage.calls")
        denying.start_worker()
        denying.catch_up()
        denying.workers[0].stop()
        # For a rebuild: a record that is to be refused, and a gap.
        denying.publish([("usage.calls", b"acme", INVALID, None)])
        delete_first(denying, "usage.sms")
    return denying


def delete_first(system: System, topic: str) -> None:
    """Have Kafka delete the first record of a topic."""
    admin: Any = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    for deleted in admin.delete_records([TopicPartition(topic, 0, 1)]).values():
        deleted.result(10)


def grant(system: System, rights: Rights) -> None:
    """Let the client do exactly this."""
    admin: Any = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    delete_acls(system.kafka.bootstrap)
    bindings = [
        AclBinding(
            _KINDS.get(name, ResourceType.TOPIC), resource,
            ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for name, operations in rights.items()
        for resource in _RESOURCES.get(name, (system.group,) if name == GROUP else (name,))
        for operation in operations
    ]  # fmt: skip
    if bindings:
        for created in admin.create_acls(bindings).values():
            created.result(10)
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY,
        AclPermissionType.ANY,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while set(admin.describe_acls(everything).result(10)) != set(bindings):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_row_is_tested() -> None:
    """But for three commands that have tests of their own."""
    assert needed().keys() == {*RUN, "usage worker", "usage doctor", "usage alerts run"}


def test_a_worker_needs_exactly_these_rights(counted: System) -> None:
    """With them it counts, refuses and records a gap; without, it names each that is missing."""
    assert len(counted.dead_letters()["newest"]) == 1
    assert json.loads(counted.usage("gaps", "list", "--json").stdout)[0]["topic"] == "usage.calls"
    assert "does not allow" not in counted.log()
    rights = needed()["usage worker"]
    grant(counted, dict.fromkeys(rights, frozenset({"DESCRIBE"})))
    said = counted.usage("worker", code=1).stderr.decode()
    for name, operations in rights.items():
        what = " and ".join(sorted(operations))
        for topic in EVENT_TOPICS if name == EVENTS else (name,):
            wanted = "join the group" if name == GROUP else f"{what} the topic {topic}"
            assert f"does not allow this client to {wanted}" in said


@pytest.mark.parametrize("command", RUN)
def test_each_command_needs_exactly_these_rights(command: str, counted: System) -> None:
    """Without one of them it fails and says what to grant; with all it works.

    Write is taken away first: without Read, a change is published, and is none the next time.
    """
    arguments, lines = RUN[command]
    with counted.client() as redis:  # a report is issued only while a worker counts
        second = int(time.time())
        redis.set(keys.PROGRESS, encoded(Progress(second, second, {}, 0)))
        redis.set(keys.REFUSED_READ, "1")
    rights = needed()[command]
    for name, operations in rights.items():
        for operation in sorted(operations, reverse=True):
            grant(counted, {**rights, name: operations - {operation}})
            failed = counted.usage(*arguments, stdin=lines, code=1).stderr.decode()
            assert "kafka-acls --add" in failed, f"without {operation} on {name}: {failed}"
            assert "Traceback" not in failed
    grant(counted, rights)
    counted.usage(*arguments, stdin=lines)


def test_the_process_of_alerts_needs_a_transactional_id(
    counted: System, eventually: Callable[..., None]
) -> None:
    """Without it, it says what to grant, and goes on by itself once it has it."""
    rights = dict(needed()["usage alerts run"])
    transactions = {TRANSACTIONS: rights.pop(TRANSACTIONS)}
    grant(counted, rights)
    process = Child("The alerts", counted.folder / "alerts.log")
    process.start([*USAGE, "alerts", "run"], lambda: True, environment=counted.environment)
    counted.workers.append(process)
    advice = "--operation Write --transactional-id usage.alerts"
    eventually(lambda: advice in process.log.read_text(), "it says what is missing")
    assert advice in PAGE.read_text("utf-8")
    grant(counted, rights | transactions)
    eventually(lambda: "Evaluating alerts" in process.log.read_text(), "it evaluates")
    grant(counted, {**needed()["usage doctor"], **rights, **transactions})
    said = counted.usage("doctor", code=None).stdout
    assert b"this client may publish alerts' states" in said
    with counted.client() as redis:
        redis.delete(keys.PROGRESS)  # no worker counts, whatever the test before pretended
    # Looking has not stopped the process that has the id: it publishes the state of a new rule.
    counted.usage("alerts", "set", "--lag", "7", "--to", "https://example.com/")
    triggered = re.compile(rb"Lag: 7 or more.*triggered")
    eventually(lambda: triggered.search(counted.usage("alerts", "list").stdout), "it publishes")
    assert "Another process" not in process.log.read_text()
    process.stop()


#: Kind of resource by the option of kafka-acls that names one.
_OPTIONS = {
    "--topic": ResourceType.TOPIC,
    "--group": ResourceType.GROUP,
    "--transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def test_one_prefix_is_enough_for_an_environment(counted: System) -> None:
    """With the rights that the page names on all topics and groups that begin with it."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    [example] = [block for block in blocks if "--group staging." in block]
    rights = re.sub(r"\\\n", "", example).strip().splitlines()
    admin: Any = AdminClient({"bootstrap.servers": counted.kafka.bootstrap, "log_level": 0})
    delete_acls(counted.kafka.bootstrap)
    bindings = [
        AclBinding(
            next(kind for option, kind in _OPTIONS.items() if option in line), "staging.",
            ResourcePatternType.PREFIXED, f"User:{USER}", "*", AclOperation[name.upper()],
            AclPermissionType.ALLOW,
        )
        for line in rights
        for name in re.findall(r"--operation (\w+)", line)
    ]  # fmt: skip
    assert len(bindings) == 4
    for created in admin.create_acls(bindings).values():
        created.result(10)
    ensure_topics(counted.kafka.bootstrap, [f"staging.{name}" for name in TOPICS], 1, 1)
    more = {"USAGE_TOPIC_PREFIX": "staging.", "USAGE_REDIS_PREFIX": "staging:"}
    folder = counted.folder / "staging"
    folder.mkdir()
    staging = System(counted.kafka, counted.redis, folder, counted.variables | more)
    try:
        staging.start_worker()
        staging.usage("send", "-", stdin=flow("one"))
        staging.catch_up()
        staging.usage("account", "set", "acme", "--name", "Acme")
        staging.usage("doctor")
        assert "does not allow" not in staging.log()
    finally:
        staging.kill_workers()
    assert b"does not allow this client to" in counted.usage("lag", code=1).stderr


def test_the_doctor_needs_exactly_these_rights(counted: System) -> None:
    """Without one of them it says what to grant."""
    rights = needed()["usage doctor"]

    def denied() -> list[str]:
        done = counted.usage("doctor", "--json", code=None)
        findings = json.loads(done.stdout)["findings"]
        return [each["sentence"] for each in findings if "does not allow" in each["sentence"]]

    grant(counted, rights)
    assert denied() == []
    for name, operations in rights.items():
        for operation in operations:
            grant(counted, {**rights, name: operations - {operation}})
            assert denied()
