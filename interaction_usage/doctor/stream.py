"""The rollups and the workers: whether everything that was published is counted, and by whom."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import orjson

from interaction_usage.doctor.findings import Area, Finding
from interaction_usage.store import keys
from interaction_usage.store.errors import LayoutDiffersError
from rollups.gaps import Gap, unaccepted
from rollups.quantity import quantity
from stream_app.lag import PartitionProgress, unrecorded

ROLLUPS: Final = Area("rollups")
WORKERS: Final = Area("workers")


class Rollups(NamedTuple):
    """What stands beside the rollups that are active."""

    layout: int | None  #: None where there are none yet
    limits: Mapping[str, int]  #: of sessions, by application
    has_secret: bool


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
            LayoutDiffersError(rollups.layout).advice,
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


def judge_topics(counted: Iterable[str], read: Sequence[str]) -> Iterator[Finding]:
    """Yield what is to be said where the rollups *counted* other topics than those that are *read*.

    That is what a wrong prefix looks like: workers read, and create, topics that nobody publishes
    to, and reports look complete.
    """
    if others := sorted({keys.parse_fence(name)[0] for name in counted} - set(read)):
        yield ROLLUPS.warning(
            "topics",
            f"The rollups have events of topics that are not read: {', '.join(others)}",
            "Check USAGE_TOPIC_PREFIX and USAGE_REDIS_PREFIX. If they came with the backup of "
            "another environment, this is right",
        )


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


def judge_workers(
    workers: Mapping[str, Mapping[str, object]], waiting: int | None
) -> Iterator[Finding]:
    """Yield what is to be said of the *workers* by name.

    So many events are *waiting* to be counted; None if that is unknown.
    """
    if not workers:
        say = WORKERS.warning if waiting == 0 else WORKERS.wrong
        events = f": {waiting:,} published events are not counted" if waiting else ""
        yield say("workers", f"No worker sends a heartbeat{events}", "Start one: usage worker")
        return
    for name, words in sorted(workers.items()):
        obstacles = [str(each) for each in cast(Sequence[object], words.get("obstacles", ()))]
        for obstacle in obstacles:
            sentence, _, advice = obstacle.partition(". ")
            yield WORKERS.wrong(name, sentence, advice)
        if reason := str(words.get("waiting_for", "")):
            yield WORKERS.warning(name, f"Waits for {reason}", "See the worker's log")
        elif not obstacles:
            yield WORKERS.ok(name, "Counts")


def waiting(progress: Mapping[tuple[str, int], PartitionProgress]) -> int:
    """Return how many offsets that Kafka still has are not counted yet."""
    return sum(each.reach.behind for each in progress.values())


def judge_lag(
    progress: Mapping[tuple[str, int], PartitionProgress], gaps: Sequence[Gap]
) -> Iterator[Finding]:
    """Yield what is to be said of what is not counted yet, and of what never can be.

    What is in *gaps* is said of these (`judge_gaps`).
    """
    for gap in unrecorded(progress, gaps):
        yield ROLLUPS.wrong(
            f"{gap.topic}/{gap.partition}",
            f"Kafka deleted {gap.place}, before they were counted, and no worker has recorded it",
            "Start a worker: it records a gap, and reports say that they are incomplete",
        )
    blocked = sum(each.reach.blocked for each in progress.values())
    behind = waiting(progress) - blocked
    if blocked:
        yield ROLLUPS.warning(
            "lag",
            f"{quantity(blocked, 'event', 'is')} blocked by an open producer transaction",
            "Let the producer commit or abort it; Kafka does so after transaction.timeout.ms",
        )
    if behind:
        yield ROLLUPS.warning(
            "lag", f"{quantity(behind, 'event', 'is')} not counted yet", "Wait: usage lag"
        )
    if not blocked and not behind:
        yield ROLLUPS.ok("lag", "Every published event is counted or refused")


def judge_beginnings(progress: Mapping[tuple[str, int], PartitionProgress]) -> Iterator[Finding]:
    """Yield where Kafka has deleted events that were counted: a rebuild would miss them."""
    for (topic, number), each in sorted(progress.items()):
        if each.begin > 0 and not each.lost:
            yield ROLLUPS.warning(
                f"{topic}/{number}",
                f"Kafka no longer has the first {each.begin:,} offsets: a rebuild would miss their "
                "events, unless they are archived",
                "Set retention.ms=-1 and back Redis up; or see `usage archive status`",
            )
