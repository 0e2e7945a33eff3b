"""Corrections: voids of single events, and what replaces all that is known of a session.

Both are decided by the set of them alone, whatever came first:

- Of the voids of one event, the one with the lowest (time, source, id) is in effect: the amounts
  of the event as that void describes it, with the opposite sign, in the slot of the event's time.
  Whether the event itself ever arrives does not matter; until it does, the void is *pending*.
- Of the corrections of one session, the one with the highest (time, start, stop) is in effect, null
  before any instant. Its interval replaces what the starts and stops say; these are remembered, and
  change nothing.

So a void or a correction that is in effect can give way to another one. The script undoes what the
old one did and does what the new one does, in one step (sections 3 and 4 of store/lua/apply.lua).
"""

from typing import Final, NamedTuple

from rollups.catalog import EVENT_TYPES
from rollups.concurrency import UNKNOWN_SECOND, Presence
from rollups.events import Event, EventVoided, OriginalEvent, SessionCorrected
from rollups.slots import SLOT_SECONDS
from rollups.timestamps import SECOND

#: The name of the type that each data belongs to.
TYPE_NAMES: Final = {row.data: row.name for row in EVENT_TYPES}


class Correction(NamedTuple):
    """A correction of a session: instants in microseconds, None for null."""

    time: int
    start: int | None
    stop: int | None

    @classmethod
    def of(cls, event: Event, data: SessionCorrected) -> "Correction":
        """Return the correction that an *event* with this *data* is."""
        return cls(event.time, data.start, data.stop)

    @property
    def presence(self) -> Presence:
        """The session as it is then; without a start it never was."""
        if self.start is None:
            return Presence()
        return Presence(
            self.start // SECOND, None if self.stop is None else -(-self.stop // SECOND)
        )

    @property
    def rank(self) -> tuple[int, ...]:
        """The correction with the highest one is in effect; also what the script stores of it.

        Each instant as seconds and microseconds, since Lua's numbers have 53 bits.
        """
        return tuple(
            part
            for instant in self
            for part in ((UNKNOWN_SECOND, 0) if instant is None else divmod(instant, SECOND))
        )


def latest(one: Correction | None, other: Correction) -> Correction:
    """Return which of two corrections is in effect."""
    return other if one is None or other.rank > one.rank else one


class EventVoid(NamedTuple):
    """A void of an event, with what it takes back."""

    time: int  #: of the void, in microseconds
    source: str  #: of the void
    id: str  #: of the void
    original: OriginalEvent
    amounts: tuple[tuple[str, int], ...]  #: what the original counts, by metric, sorted
    reason: str
    actor: str

    @classmethod
    def of(cls, event: Event, data: EventVoided, amounts: dict[str, int]) -> "EventVoid":
        """Return the void that an *event* with this *data* is; the original counts *amounts*."""
        return cls(
            event.time, event.source, event.id, data.event, tuple(sorted(amounts.items())),
            data.reason, data.actor or "",
        )  # fmt: skip

    @property
    def rank(self) -> tuple[int, str, str]:
        """The void with the lowest one is in effect."""
        return self.time, self.source, self.id

    @property
    def slot(self) -> int:
        """The slot in which the original counts."""
        return self.original.time // (SLOT_SECONDS * SECOND)

    def stored(self) -> list[object]:
        """Return what the script stores: first what it compares and undoes, then what is listed."""
        original = self.original
        return [
            *divmod(self.time, SECOND), self.source, self.id, self.slot,
            [part for pair in self.amounts for part in pair],
            original.source, original.id, TYPE_NAMES[type(original.data)],
            *divmod(original.time, SECOND), self.reason, self.actor,
        ]  # fmt: skip


def first_of(one: EventVoid | None, other: EventVoid) -> EventVoid:
    """Return which of two voids of one event is in effect."""
    return other if one is None or other.rank < one.rank else one
