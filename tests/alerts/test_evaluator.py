"""Evaluating rules over rollups in a real Redis: what is noticed, and what is not repeated."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from interaction_usage.alerts import book, states
from interaction_usage.alerts.errors import LeaseLostError
from interaction_usage.alerts.evaluator import Looking
from interaction_usage.alerts.lease import Lease
from interaction_usage.alerts.rules import OPERATIONS, Rule
from interaction_usage.alerts.states import Status
from interaction_usage.servers.redis_cluster import redis_cluster
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import account_settings, alert_table, backup, keys
from interaction_usage.store.client import connect
from interaction_usage.store.namespaces import activate, new_namespace
from tests.support.caught_up import caught_up
from tests.support.event_lines import event
from tests.support.filling import LIMITS, fill
from tests.support.memory_ledger import MemoryLedger

pytestmark = pytest.mark.servers

TO = "https://example.com/hook"


class System:
    """A Redis, a ledger without Kafka, and the processes that evaluate."""

    def __init__(self, url: str, redis: Any) -> None:
        self.url, self.redis, self.ledger = url, redis, MemoryLedger(redis)
        self.now = time.time()
        self.logs = 0
        self.looking: Looking | None = None
        caught_up(redis)

    def rule(self, kind: Any, threshold: int, ago: float = 86_400, **more: Any) -> Rule:
        """Set a rule that is some seconds old."""
        said = {"account": "acme", "created": int(self.now - ago), **more}
        [rule] = book.set_rules(self.ledger, [Rule(kind=kind, threshold=threshold, to=TO, **said)])
        return rule

    def start(self, name: str = "one") -> list[str]:
        """Start a process; return the changes that were not delivered yet."""
        lease = Lease(self.redis, name)
        lease.take()
        self.looking = Looking(self.ledger, lease, lambda: self.now)
        return [each.notification.change for each in self.looking.begin()]

    def look(self, later: float = 0) -> list[str]:
        """Look once, some seconds *later*; return what is to be sent, late ones with a star."""
        self.now += later
        if self.looking is None:
            self.start()
        assert self.looking is not None
        notes = [each.notification for each in self.looking.look()]
        return [f"{each.change}{'*' * each.late}" for each in notes]

    def events(self, *lines: bytes) -> None:
        """Have events counted."""
        self.logs += 1
        fill(self.url, lines, log=str(self.logs))

    def edge(self, session: str, kind: str, ago: float = 0) -> bytes:
        """Return the start or stop of an agent's session."""
        data = {"session": session, "application": "agent"}
        return event(f"{session}-{kind}", f"session.{kind}", data, time=stamp(self.now - ago))

    def run(self, number: object, ago: float = 0) -> bytes:
        """Return a flow run."""
        data = {"flow": "f", "application": "agent"}
        return event(f"run-{number}", "flow.run", data, time=stamp(self.now - ago))

    def status(self, rule: Rule) -> tuple[Status, str]:
        """Return what people see."""
        known = book.read(self.redis)
        return known.status(known.watched[rule.id])


def stamp(second: float) -> str:
    """Return an instant as events have it."""
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module", params=[redis_server, redis_cluster], ids=["redis", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a Redis, and of a cluster, of this module's own."""
    with request.param() as server:
        yield server.url


@pytest.fixture
def system(url: str) -> Iterator[System]:
    """Yield a system without any usage."""
    with connect(url) as redis:
        redis.flushall()
        yield System(url, redis)


def test_a_level_now(system: System) -> None:
    """At the threshold is over it; when it is below again, that is resolved; nothing twice."""
    rule = system.rule("level", 2, target="agent")
    system.events(system.edge("a", "started", 100))
    assert system.look() == []
    system.events(system.edge("b", "started"))
    assert system.look(1) == ["triggered"]
    assert system.look(1) == []
    assert system.status(rule)[0] is Status.TRIGGERED
    system.events(system.edge("b", "stopped", -1))
    assert system.look(3) == ["resolved"]
    assert system.look(1) == []


def test_a_level_falls_without_an_event(system: System) -> None:
    """A session without a stop ends by its limit, and a stop may lie seconds ahead."""
    system.rule("level", 1, target="agent")
    system.events(system.edge("a", "started", 86_400 - 30))
    assert system.look() == ["triggered"]
    assert system.look(20) == []
    assert system.look(15) == ["resolved"]


def test_a_level_that_must_last(system: System) -> None:
    """Ten minutes of it, and not nine."""
    system.rule("level", 1, target="agent", minutes=10)
    system.events(system.edge("a", "started", 540))
    assert system.look() == []
    assert system.look(61) == ["triggered"]


def test_a_late_event_triggers_for_the_past(system: System) -> None:
    """Two sessions of two hours ago become known now: triggered and resolved, both late."""
    rule = system.rule("level", 2, target="agent")
    system.events(system.edge("a", "started", 8_000), system.edge("a", "stopped", 7_000))
    assert system.look() == []
    assert system.look(5) == []
    system.events(system.edge("b", "started", 7_900), system.edge("b", "stopped", 7_500))
    assert system.look(1) == ["triggered*", "resolved*"]
    assert system.look(1) == []
    assert system.status(rule)[0] is Status.OK


def test_the_maximum_of_a_month_and_of_the_one_before(system: System) -> None:
    """The one before is over for its own time: late, and resolved with it."""
    system.now = datetime(2026, 11, 3, 12, tzinfo=UTC).timestamp()
    system.rule("maximum", 2, ago=20 * 86_400, target="agent")
    system.events(system.edge("a", "started", 7_000), system.edge("a", "stopped", 3_600))
    assert system.look() == []
    system.events(system.edge("b", "started", 6_000), system.edge("b", "stopped", 3_600))
    assert system.look(1) == ["triggered*"]
    day = 86_400
    system.events(*(system.edge(name, "started", 7 * day) for name in "cd"))
    assert system.look(2) == ["triggered*", "resolved*"]
    assert system.look(2) == []


def test_a_counter_and_shares_of_an_allowance(system: System) -> None:
    """Each share is a rule; a void takes the count below again; a new month begins again."""
    system.now = datetime(2026, 11, 30, 22, 30, tzinfo=UTC).timestamp()
    account_settings.put(system.ledger, "acme", timezone="Europe/Paris")
    for percent, threshold in ((80, 4), (100, 5)):
        system.rule("counter", threshold, target="runs", allowance=5, percent=percent)
    system.events(*(system.run(n, 10) for n in range(3)))
    assert system.look() == []
    system.events(system.run(3, 1))
    assert system.look(1) == ["triggered"]
    system.events(system.run(4, 1))
    assert system.look(1) == ["triggered"]
    assert system.look(1800) == ["resolved", "resolved"]  # midnight in Paris
    assert system.look(10) == []


def test_a_clock_that_is_set_back_changes_nothing(system: System) -> None:
    """Nor does another process whose clock is behind."""
    system.rule("level", 1, target="agent")
    system.events(system.edge("a", "started"))
    assert system.look() == ["triggered"]
    assert system.look(-60) == []
    system.start("one")
    assert system.look(-30) == []
    assert system.look(95) == []


def test_rollups_that_were_rebuilt_repeat_nothing(system: System) -> None:
    """They are other rollups, with the same events."""
    rule = system.rule("level", 1, target="agent")
    system.rule("counter", 1, target="runs")
    lines = [system.edge("a", "started", 50), system.run(1, 40)]
    system.events(*lines)
    assert system.look() == ["triggered", "triggered"]
    namespace = new_namespace(system.redis, keys.FIRST)
    fill(system.url, lines, log="rebuilt", at=namespace)
    assert system.look(1) == []  # they are on standby
    system.redis.set(keys.REBUILD, "token")
    activate(system.redis, namespace, "token")
    assert system.look(1) == []
    assert system.status(rule)[0] is Status.TRIGGERED


def test_silence(system: System) -> None:
    """From the last event on, whatever process looks; an event ends it."""
    system.rule("silence", 1, minutes=1)
    system.events(system.run(1))
    assert system.look() == []
    assert system.look(50) == []
    assert system.look(12) == ["triggered"]
    system.start()
    assert system.look(1) == []
    day = system.redis.scan_iter(f"{keys.FIRST.head('acme')}:d:*")
    for name in list(day):  # counted by a worker whose clock is that of this test
        system.redis.hset(name, keys.LAST_CHANGE, int(system.now))
        system.redis.hset(keys.FIRST.head("acme"), "f:other/0", 1)
    assert system.look(1) == ["resolved"]


def test_stale_numbers_are_unknown_and_never_ok(system: System) -> None:
    """Nothing is evaluated meanwhile, and the reason is shown; then what has happened is."""
    rule = system.rule("level", 1, target="agent")
    lag = system.rule("lag", 100, account=OPERATIONS)
    assert system.look() == []
    assert system.status(rule) == (Status.OK, "")
    caught_up(system.redis, pending=500, problem="Kafka does not answer")
    system.events(system.edge("a", "started", 5))
    caught_up(system.redis, pending=500, problem="Kafka does not answer")
    assert system.look(1) == ["triggered"]  # of the lag
    assert system.status(lag)[0] is Status.TRIGGERED
    status, reason = system.status(rule)
    assert (status, "Kafka does not answer" in reason) == (Status.UNKNOWN, True)
    caught_up(system.redis)
    assert sorted(system.look(1)) == ["resolved", "triggered"]
    system.redis.delete(keys.ALERTS_EVALUATOR)  # as it is when nobody evaluates
    assert system.status(rule)[0] is Status.UNKNOWN


def test_operators_are_notified_once_that_numbers_are_stale(system: System) -> None:
    """By one notification of the deployment, however many rules there are; also at a restart."""
    system.rule("stale", 1, account=OPERATIONS, minutes=5)
    for threshold in (1, 2, 3):
        system.rule("level", threshold, target="agent")
    assert system.look() == []
    caught_up(system.redis, pending=500, problem="Kafka does not answer")
    assert system.look(299) == []
    assert system.look(1) == ["triggered"]
    system.start()
    assert system.look(60) == []
    caught_up(system.redis)
    assert system.look(1) == ["resolved"]
    system.redis.delete(keys.ALERTS_LOOKED)  # with all of Redis, say
    caught_up(system.redis, problem="Kafka does not answer")
    system.start()
    assert system.look(1) == []
    assert system.look(300) == ["triggered"]


def test_a_restart_and_a_lost_redis_repeat_nothing(system: System) -> None:
    """What is not delivered is still there, under the same id."""
    rule = system.rule("level", 1, target="agent")
    lines = [system.edge("a", "started", 50)]
    system.events(*lines)
    assert system.look() == ["triggered"]
    before = book.read(system.redis).watched[rule.id].state
    assert system.start() == ["triggered"]
    assert system.look(1) == []
    system.redis.flushall()
    system.logs = 0
    system.events(*lines)
    assert system.start("two") == ["triggered"]
    assert system.look(1) == []
    assert book.read(system.redis).watched[rule.id].state == before
    assert system.looking is not None
    system.looking.settle({rule.id: [before.unsent[0].id]}, {})
    assert system.start("two") == []


def test_what_is_not_published_is_not_sent(system: System) -> None:
    """And the next process makes the same change again."""
    system.rule("level", 1, target="agent")
    assert system.look() == []
    system.events(system.edge("a", "started", 5))
    system.ledger.refusing = True
    with pytest.raises(Exception, match="no broker answered"):
        system.ledger.sync(alert_table.ALERTS)
    system.ledger.refusing = False
    publish = system.ledger.publish

    def refuse(*_: Any) -> None:
        raise OSError("Kafka is away")

    system.ledger.publish = refuse  # type: ignore[method-assign]
    with pytest.raises(OSError, match="Kafka is away"):
        system.look(1)
    system.ledger.publish = publish  # type: ignore[method-assign]
    assert system.start() == []
    assert system.look(1) == ["triggered"]


def test_one_process_at_a_time(system: System) -> None:
    """The lease has a fence; whoever lost it stops before it publishes anything."""
    rule = system.rule("level", 1, target="agent")
    assert system.look() == []
    assert alert_table.take_lease(system.redis, "two") == 0
    system.redis.delete(keys.ALERTS_LEASE)  # as it is when the process was suspended
    assert alert_table.take_lease(system.redis, "two") == 2
    system.events(system.edge("a", "started", 5))
    with pytest.raises(LeaseLostError):
        system.look(1)
    assert book.read(system.redis).watched[rule.id].state == states.first(rule.created)


def test_a_rule_that_is_removed_meanwhile_does_not_come_back(system: System) -> None:
    """Nor does it with a restored backup: its record says that it was removed."""
    rule = system.rule("level", 1, target="agent")
    system.events(system.edge("a", "started", 5))
    assert system.look() == ["triggered"]
    book.remove(system.ledger, [rule.id])
    assert system.look(1) == []
    assert book.read(system.redis).watched == {}
    system.redis.delete(keys.ALERTS_READ)
    system.ledger.sync(alert_table.ALERTS)
    assert book.read(system.redis).watched == {}


def test_a_backup_has_rules_and_states(system: System) -> None:
    """So that what was notified is not notified again by whoever restores it, without Kafka."""
    rule = system.rule("level", 1, target="agent")
    system.events(system.edge("a", "started", 5))
    assert system.look() == ["triggered"]
    before = book.read(system.redis).watched[rule.id]
    recorded = json.dumps({keys.LAYOUT_FIELD: keys.LAYOUT, **LIMITS})
    system.redis.set(keys.FIRST.limits, recorded)  # as a worker does
    kept = list(backup.records(system.redis))
    system.redis.flushall()
    backup.restore(system.redis, kept)
    caught_up(system.redis)
    system.ledger = MemoryLedger(system.redis)
    system.logs = 0
    assert system.start() == ["triggered"]  # it was not delivered
    assert system.look(1) == []
    assert book.read(system.redis).watched[rule.id] == before
