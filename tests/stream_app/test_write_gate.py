"""The write gate: its transition table, which writes it admits, and that a seek waits for them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from stream_app.errors import StaleAssignmentError
from stream_app.fetched_batch import Assignment
from stream_app.write_gate import State, WriteGate


@dataclass
class Group:
    """What Faust knows of the group, set by hand."""

    consumer_generation_id: int = 1
    rebalancing_count: int = 1


def succeed(gate: WriteGate) -> None:
    """End the newest seek with start offsets."""
    gate.end_seek(gate.assignment, succeeded=True)


def fail(gate: WriteGate) -> None:
    """End the newest seek without."""
    gate.end_seek(gate.assignment, succeeded=False)


#: How a gate gets into each state, and what each event does to it there.
ENTER: dict[State, list[Callable[[WriteGate], object]]] = {
    State.JOINING: [],
    State.STANDBY: [lambda gate: gate.assigned([])],
    State.SEEKING: [lambda gate: gate.begin_seek()],
    State.OPEN: [lambda gate: gate.begin_seek(), succeed],
    State.CLOSED: [
        lambda gate: gate.begin_seek(),
        succeed,
        lambda gate: gate.close(gate.assignment),
    ],
}
EVENTS: dict[str, Callable[[WriteGate], object]] = {
    "partitions assigned": lambda gate: gate.assigned(["usage.flows/0"]),
    "nothing assigned": lambda gate: gate.assigned([]),
    "seek begins": lambda gate: gate.begin_seek(),
    "seek succeeds": succeed,
    "seek fails": fail,
    "write given up": lambda gate: gate.close(gate.assignment),
}
#: Rows as in the module's table; None is an event that is ignored.
TABLE: dict[str, list[State | None]] = {
    "partitions assigned": [State.JOINING] * 5,
    "nothing assigned": [State.STANDBY] * 5,
    "seek begins": [State.SEEKING] * 5,
    "seek succeeds": [None, None, State.OPEN, None, None],
    "seek fails": [None, None, State.JOINING, None, None],
    "write given up": [State.CLOSED, None, None, State.CLOSED, State.CLOSED],
}
CELLS = [
    (before, event, after or before)
    for event, states in TABLE.items()
    for before, after in zip(ENTER, states, strict=True)
]


@pytest.mark.parametrize(("before", "event", "after"), CELLS)
def test_an_event_changes_the_state_as_the_table_says(
    before: State, event: str, after: State
) -> None:
    """And the ones that begin a new assignment make every batch from before stale."""
    gate = WriteGate(Group())
    for step in ENTER[before]:
        step(gate)
    assert gate.state is before
    fetched_for = gate.assignment
    EVENTS[event](gate)
    assert gate.state is after
    assert (gate.assignment != fetched_for) is (event in ("nothing assigned", "seek begins"))
    is_admitted = gate.assignment == fetched_for and after is not State.CLOSED
    is_still_closed = before is State.CLOSED and gate.assignment == fetched_for
    assert gate.admits(fetched_for) is (is_admitted and not is_still_closed)


def test_a_write_for_another_assignment_is_not_admitted() -> None:
    """Its batch is read again by whoever has the partition now."""
    group = Group()
    gate = WriteGate(group)
    earlier = gate.assignment
    group.consumer_generation_id = 2
    with pytest.raises(StaleAssignmentError), gate.admit(earlier):
        pytest.fail("it was admitted")
    with gate.admit(gate.assignment):
        pass


def test_an_assignment_that_gave_up_a_write_writes_nothing_more() -> None:
    """[given up)[next): the next one would move the fences over the hole."""
    group = Group()
    gate = WriteGate(group)
    gate.close(gate.assignment)
    with pytest.raises(StaleAssignmentError), gate.admit(gate.assignment):
        pytest.fail("it was admitted")
    group.consumer_generation_id = 2
    assert gate.state is State.JOINING
    with gate.admit(gate.assignment):
        pass
    gate.close(gate.assignment)
    assert gate.state is State.CLOSED


def test_an_earlier_assignment_closes_nothing() -> None:
    """A batch that was in process during a rebalance failed after it."""
    gate = WriteGate(Group())
    gate.begin_seek()
    earlier = gate.assignment
    gate.begin_seek()
    succeed(gate)
    gate.close(earlier)
    assert gate.state is State.OPEN
    assert gate.admits(gate.assignment)


def test_a_seek_that_ends_after_a_newer_one_began_is_ignored() -> None:
    """first [------) second    [----): only the second one opens the gate."""
    gate = WriteGate(Group())
    first, second = gate.begin_seek(), gate.begin_seek()
    assert not gate.end_seek(first, succeeded=True)
    assert gate.state is State.SEEKING
    assert gate.end_seek(second, succeeded=True)
    assert gate.state is State.OPEN


def test_nothing_is_fetched_once_another_rebalance_has_begun() -> None:
    """A seek that ends in the middle of the next rebalance opens nothing."""
    group = Group(rebalancing_count=4)
    gate = WriteGate(group)
    assert not gate.may_fetch
    gate.begin_seek()
    group.rebalancing_count = 5
    succeed(gate)
    assert not gate.may_fetch
    gate.begin_seek()
    succeed(gate)
    assert gate.may_fetch


def test_assignments_differ_though_kafka_counts_from_one_again() -> None:
    """The group of another cluster at the same address has the same generations."""
    gate = WriteGate(Group(consumer_generation_id=1))
    first = gate.begin_seek()
    second = gate.begin_seek()
    assert (first, second) == (Assignment(1, 1), Assignment(1, 2))


def test_quiet_waits_for_every_write() -> None:
    """Two writes overlap; only when both are over is it quiet."""

    async def scene() -> None:
        gate = WriteGate(Group())
        await gate.quiet()
        with gate.admit(gate.assignment):
            with gate.admit(gate.assignment):
                waiting = asyncio.create_task(gate.quiet())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(scene())
