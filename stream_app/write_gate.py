"""Whether a batch is still ours to write: one state for the current assignment, and a check.

Every write to Redis goes through `WriteGate.admit`, with the assignment that its batch was fetched
for. It is let in if that assignment is the current one and its state is not `CLOSED`. An assignment
stops being the current one by itself: when Kafka's generation of the group changes, which another
thread learns first, and with each seek.

    event \\ state          JOINING    STANDBY    SEEKING    OPEN       CLOSED
    ─────────────────────  ─────────  ─────────  ─────────  ─────────  ─────────
    partitions assigned    JOINING    JOINING    JOINING    JOINING    JOINING
    nothing assigned       STANDBY +  STANDBY +  STANDBY +  STANDBY +  STANDBY +
    seek begins            SEEKING +  SEEKING +  SEEKING +  SEEKING +  SEEKING +
    seek succeeds          ·          ·          OPEN       ·          ·
    seek fails             ·          ·          JOINING    ·          ·
    a write is given up    CLOSED     ·          ·          CLOSED     CLOSED
    ─────────────────────  ─────────  ─────────  ─────────  ─────────  ─────────
    writes are admitted    yes        yes        yes        yes        no
    batches are fetched    no         no         no         yes        yes

    +  a new assignment: batches that were fetched before are stale, in whatever state
    ·  ignored: the event is of an earlier assignment, or the seek will find the same

Batches exist only after a seek has succeeded; what is written in the other states are heartbeats
and sealed days. Once the group has begun another rebalance, nothing is fetched in any state.

An assignment in which one write was given up is closed as a whole: the next batch would be written
on top of the hole that this one left. A seek waits until no write is running (`quiet`), so nothing
that was read before the seek is written after it.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from stream_app.errors import StaleAssignmentError
from stream_app.fetched_batch import Assignment


class Group(Protocol):
    """What Faust's app knows of the consumer group; another thread changes it."""

    consumer_generation_id: int  #: Kafka's generation of the assignment
    rebalancing_count: int  #: how many rebalances have begun


class State(Enum):
    """The state of the current assignment."""

    JOINING = "joining"  #: no start offsets yet: the group is rebalancing, or a seek failed
    STANDBY = "standby"  #: the group assigned no partition to this worker
    SEEKING = "seeking"  #: the start offsets are being determined
    OPEN = "open"  #: batches are fetched and written
    CLOSED = "closed"  #: a write was given up: nothing of this assignment is written any more


class WriteGate:
    """Admits writes for the current assignment only, and keeps its state."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._seeks = 0  # how many were begun
        self._seeking_for = self._sought_for = -1  # the rebalance of the last seek, and of success
        self._closed: Assignment | None = None  # the assignment that `CLOSED` is about
        self._state = State.JOINING
        self._writes = 0  # how many are running
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def assignment(self) -> Assignment:
        """The current assignment; what was fetched for another one is not written any more."""
        return Assignment(self._group.consumer_generation_id, self._seeks)

    @property
    def state(self) -> State:
        """The state of the current assignment."""
        if self._state is State.CLOSED and self._closed != self.assignment:
            return State.JOINING  # the group has another generation, and is about to assign it
        return self._state

    @property
    def may_fetch(self) -> bool:
        """Whether batches may be fetched: start offsets are known for the newest rebalance."""
        return self._sought_for == self._group.rebalancing_count

    # --------------------------------------------------------------------- events

    def assigned(self, partitions: Collection[object]) -> None:
        """Take note of what the group assigned; a seek follows unless that is nothing."""
        if partitions:
            self._state = State.JOINING
        else:
            self._state = State.STANDBY
            self._seeks += 1

    def begin_seek(self) -> Assignment:
        """Begin a new assignment, whose start offsets are being determined; return it."""
        self._state = State.SEEKING
        self._seeks += 1
        self._seeking_for = self._group.rebalancing_count
        return self.assignment

    def end_seek(self, assignment: Assignment, *, succeeded: bool) -> bool:
        """End the seek of *assignment*; return whether it is still the newest one."""
        is_newest = self._state is State.SEEKING and assignment.seek == self._seeks
        if is_newest:
            self._state = State.OPEN if succeeded else State.JOINING
            if succeeded:
                self._sought_for = self._seeking_for
        return is_newest

    def close(self, assignment: Assignment) -> None:
        """Admit no more writes for *assignment*: one of them was given up."""
        if assignment == self.assignment and self.state in (State.JOINING, State.OPEN):
            self._state, self._closed = State.CLOSED, assignment

    # --------------------------------------------------------------------- writes

    def admits(self, assignment: Assignment) -> bool:
        """Tell whether a write for *assignment* would be let in."""
        return assignment == self.assignment and self._closed != assignment

    @contextmanager
    def admit(self, assignment: Assignment) -> Iterator[None]:
        """Let one write for *assignment* run. Raises StaleAssignmentError where it may not."""
        if not self.admits(assignment):
            raise StaleAssignmentError
        self._writes += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._writes -= 1
            if not self._writes:
                self._quiet.set()

    async def quiet(self) -> None:
        """Return when no write is running."""
        await self._quiet.wait()
