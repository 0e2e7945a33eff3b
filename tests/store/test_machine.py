"""The script against the pure rule, step by step: any interleaving of whatever may happen."""

import asyncio
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from interaction_usage.store import keys
from interaction_usage.store.address import is_cluster
from interaction_usage.store.client import connect
from interaction_usage.store.writer import Writer
from rollups.events import Event
from rollups.fold import SEALED_AFTER, OffsetEvent
from tests.rollups.drawing import ACCOUNTS, NOON, events, with_voids
from tests.store.redis_side import DAY, deliver, nonempty, read, tiny_tables
from tests.support import reference_model

DAY_SECONDS = 86_400
PARTITIONS = ("t/0", "t/1", "s/0")


class Rollups(RuleBasedStateMachine):
    """Partitions that grow and are read in any cuts, again and again, while days are sealed.

    What is read again is read from any place behind the end of what was read.
    """

    url: ClassVar[str]

    def __init__(self) -> None:
        """Begin with empty partitions and empty rollups."""
        super().__init__()
        self.redis = connect(self.url)
        self.redis.flushall()
        self.logs: dict[str, list[OffsetEvent]] = {name: [] for name in PARTITIONS}
        self.read_to = dict.fromkeys(PARTITIONS, 0)
        self.now = NOON + 40 * DAY_SECONDS  # events of any age
        self.rule: dict[str, reference_model.Account] = {}
        self.loop = asyncio.new_event_loop()
        self.writer = self.new_writer()

    def new_writer(self) -> Writer:
        """Return the writer of a worker that has just started."""
        writer = Writer.of(self.url, DAY, timeout=10.0, clock=lambda: self.now)
        self.loop.run_until_complete(writer.prepare())
        return writer

    def teardown(self) -> None:
        """Let go of the server."""
        self.loop.run_until_complete(self.writer.close())
        self.loop.close()
        self.redis.close()

    @rule(name=st.sampled_from(PARTITIONS), drawn=st.lists(events(days=1), min_size=1, max_size=6))
    def publish(self, name: str, drawn: list[Event]) -> None:
        """Records are published."""
        log = self.logs[name]
        log += [OffsetEvent(len(log) + i, event) for i, event in enumerate(drawn)]

    @rule(name=st.sampled_from(PARTITIONS), data=st.data())
    def void(self, name: str, data: st.DataObject) -> None:
        """Some of what was published, or will be sent again, is voided."""
        published = [item.event for log in self.logs.values() for item in log][-12:]
        drawn = data.draw(with_voids(published, NOON, 1))
        log = self.logs[name]
        log += [OffsetEvent(len(log) + i, event) for i, event in enumerate(drawn)]

    @rule(
        seconds=st.one_of(
            st.sampled_from([1, 3600, DAY_SECONDS, SEALED_AFTER - 1, SEALED_AFTER]),
            st.integers(0, 2 * SEALED_AFTER),
        )
    )
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds

    @rule(name=st.sampled_from(PARTITIONS), back=st.integers(0, 8), ahead=st.integers(1, 8))
    def take(self, name: str, ahead: int, back: int = 0) -> None:
        """Read some records, and some before them again."""
        begin = max(0, self.read_to[name] - back)
        batch = self.logs[name][begin : begin + back + ahead]
        if not batch:
            return
        fence = self.read_to[name]
        self.read_to[name] = max(fence, batch[-1].offset + 1)
        refused = self.loop.run_until_complete(deliver(self.writer, name, batch))
        by_rule = reference_model.apply_events(self.rule, name, batch, DAY, self.now)
        assert {item.offset for item in by_rule} == {item.offset for item in refused}

    @rule(size=st.integers(1, 5))
    def small_deltas(self, size: int) -> None:
        """As where the deltas of all accounts were too much."""
        self.writer.delta_sizes.limits = dict.fromkeys(ACCOUNTS, size)

    @rule()
    def another_worker(self) -> None:
        """A worker that knows nothing takes over."""
        self.loop.run_until_complete(self.writer.close())
        self.writer = self.new_writer()

    @rule()
    def seal(self) -> None:
        """Seal whatever is due."""
        self.loop.run_until_complete(self.writer.seal(ACCOUNTS, self.now))
        for account in self.rule.values():
            account.seal(self.now - SEALED_AFTER, DAY)

    @invariant()
    def reads_as_the_rule_does(self) -> None:
        """Every account, around every event there may be."""
        first, end = NOON // 900 - 300, NOON // 900 + 300
        for name in ACCOUNTS:
            found = read(self.redis, name, first, end, by_slot=True, flows=True)
            assert nonempty(found) == nonempty(
                reference_model.read(self.rule.get(name, reference_model.Account()), first, end)
            )
            pending = self.rule.get(name, reference_model.Account()).pending_voids()
            assert len(pending) == int(self.redis.hget(keys.FIRST.head(name), "p") or 0)
            assert len(pending) == self.redis.hlen(keys.FIRST.pending_voids(name))


@pytest.fixture
def machine(server: Any) -> type[Rollups]:
    """Return the machine, on a server."""
    Rollups.url = server.url
    return Rollups


@pytest.mark.parametrize("tables", [nullcontext, tiny_tables], ids=["", "tiny tables"])
def test_any_interleaving_leaves_the_script_and_the_rule_equal(
    machine: type[Rollups], tables: Any
) -> None:
    """Sub-batches, fences, duplicates, accounts, other workers, sealing, the passing of months."""
    with tables():
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine,
            settings=settings(
                max_examples=8 if is_cluster(machine.url) else 25,
                stateful_step_count=25,
                deadline=None,
            ),
        )
