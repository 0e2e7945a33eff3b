"""The rollups and the workers: whether everything that was published is counted, and by whom."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from interaction_usage.doctor.findings import Area, Finding
from interaction_usage.store import keys
from rollups.gaps import Gap, unaccepted

ROLLUPS: Final = Area("rollups")
WORKERS: Final = Area("workers")


class Rollups(NamedTuple):
    """What stands beside the rollups that are active."""

    layout: int | None  #: None where there are none yet
    limits: Mapping[str, int]  #: of sessions, by application
    has_secret: bool


class Partition(NamedTuple):
    """A topic-partition in Kafka, and how far it is counted."""

    begin: int  #: the first offset that Kafka still has
    counted: int | None  #: everything before it is counted or refused; None if nothing ever was
    stable: int  #: where an open producer transaction begins, or the end
    end: int

    @property
    def reached(self) -> int:
        """The first offset that Kafka still has and that is not counted."""
        return min(max(self.counted or 0, self.begin), self.end)


def rollups_from(recorded: bytes | None, secret: bytes | None) -> Rollups:
    """Return what Redis keeps under the keys of limits and secret."""
    if recorded is None:
        return Rollups(None, {}, has_secret=False)
    found: dict[str, Any] = orjson.loads(recorded)
    layout = int(found.pop(keys.LAYOUT_FIELD, 1))
    return Rollups(layout, found, secret is not None)


def judge_rollups(rollups: Rollups, limits: Mapping[str, int]) -> Iterator[Finding]:
    """Yield what is to be said of the rollups, given the session *limits* of the settings."""
    rebuild = "Rebuild them from the topics: usage rebuild"
    if rollups.layout is None:
        yield ROLLUPS.ok("layout", "There are no rollups yet")
        return
    if rollups.layout != keys.LAYOUT:
        yield ROLLUPS.wrong(
            "layout",
            f"The rollups have layout {rollups.layout}; this version reads layout {keys.LAYOUT}",
            rebuild,
        )
        return
    yield ROLLUPS.ok("layout", f"The rollups have layout {keys.LAYOUT}")
    if not rollups.has_secret:
        yield ROLLUPS.wrong(
            "secret",
            "The secret that identities are hashed with is gone: repeats would count again",
            rebuild,
        )
    different = [name for name, limit in limits.items() if rollups.limits.get(name) != limit]
    for name in different:
        yield ROLLUPS.wrong(
            "session limits",
            f"{name}: the rollups were made with {rollups.limits.get(name)} s, the setting is "
            f"{limits[name]} s; workers refuse to start",
            "Set the former limit again, or rebuild with the new one: usage rebuild",
        )
    if not different:
        yield ROLLUPS.ok("session limits", "As in the settings")


def judge_gaps(gaps: Sequence[Gap]) -> Iterator[Finding]:
    """Yield a finding for each gap that is not accepted."""
    open_ = unaccepted(gaps)
    for gap in open_:
        yield ROLLUPS.wrong(
            f"gap {gap.id}",
            f"Kafka deleted {gap.place}, before they were counted: reports miss their events",
            "Publish them again from their source; then: usage gaps accept",
        )
    if not open_:
        accepted = f"; {len(gaps):,} accepted" if gaps else ""
        yield ROLLUPS.ok("gaps", f"None{accepted}")


def judge_workers(workers: Mapping[str, Mapping[str, object]], waiting: int) -> Iterator[Finding]:
    """Yield what is to be said of the *workers* by name; *waiting* events are not counted yet."""
    if not workers:
        say = WORKERS.wrong if waiting else WORKERS.warning
        events = f": {waiting:,} published events are not counted" if waiting else ""
        yield say("workers", f"No worker sends a heartbeat{events}", "Start one: usage worker")
        return
    for name, words in sorted(workers.items()):
        if reason := str(words.get("waiting_for", "")):
            yield WORKERS.warning(name, f"Waits for {reason}", "See its log")
        else:
            yield WORKERS.ok(name, "Counts")


def waiting(places: Mapping[tuple[str, int], Partition]) -> int:
    """Return how many offsets that Kafka still has are not counted yet."""
    return sum(at.end - at.reached for at in places.values())


def judge_lag(places: Mapping[tuple[str, int], Partition]) -> Iterator[Finding]:
    """Yield what is to be said of what is not counted yet, and of what never can be."""
    for (topic, number), at in sorted(places.items()):
        counted = at.counted or 0
        if at.begin > counted:
            yield ROLLUPS.wrong(
                f"{topic}/{number}",
                f"Kafka deleted offsets {counted:,} to {at.begin - 1:,} before they were counted: "
                "reports miss their events",
                "Publish them again from their source, and set retention.ms=-1",
            )
    blocked = sum(at.end - max(at.reached, at.stable) for at in places.values())
    behind = waiting(places) - blocked
    if blocked:
        yield ROLLUPS.warning(
            "lag",
            f"{blocked:,} events are blocked by an open producer transaction",
            "Let the producer commit or abort it; Kafka does so after transaction.timeout.ms",
        )
    if behind:
        yield ROLLUPS.warning("lag", f"{behind:,} events are not counted yet", "Wait: usage lag")
    if not blocked and not behind:
        yield ROLLUPS.ok("lag", "Every published event is counted or refused")


def judge_beginnings(places: Mapping[tuple[str, int], Partition]) -> Iterator[Finding]:
    """Yield where Kafka has deleted events that were counted: a rebuild would miss them."""
    for (topic, number), at in sorted(places.items()):
        if 0 < at.begin <= (at.counted or 0):
            yield ROLLUPS.warning(
                f"{topic}/{number}",
                f"Kafka no longer has the first {at.begin:,} offsets: a rebuild would miss their "
                "events",
                "Set retention.ms=-1, and back Redis up",
            )
