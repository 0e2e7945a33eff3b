"""The explanations once more, straight from the contract: second by second, and by trying."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import Any

from rollups.events import Event
from tests.rollups import oracle

#: A session: application, name, first second, and the second after the last one.
Session = tuple[str, str, int, int]


def sessions(events: Iterable[Event], limits: dict[str, int], series: str) -> list[Session]:
    """Return the sessions of *series*, by (begin, application, name)."""
    by_name: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        name = getattr(event.data, "session", None)
        if name is not None:
            by_name.setdefault((event.data.application, name), []).append(event)
    found = []
    for (application, name), own in by_name.items():
        if application in oracle.CURVES[series]:
            for begin, end in oracle.intervals(own, limits)[application]:
                found.append((begin, application, name, end))
    return [(application, name, begin, end) for begin, application, name, end in sorted(found)]


def explain(present: Sequence[Session], begin: int, end: int) -> dict[str, Any]:
    """Return the maximum, its first second, for how long, and who was there."""
    levels = _levels(present, begin, end)
    top = max(levels, default=0)
    if not top:
        return {"max": 0, "at": None, "seconds_at_max": 0, "sessions": []}
    at = begin + levels.index(top)
    there = sorted((app, name) for app, name, first, after in present if first <= at < after)
    return {"max": top, "at": at, "seconds_at_max": levels.count(top), "sessions": there}


def concurrency(present: Sequence[Session], begin: int, end: int) -> dict[str, Any]:
    """Return the other ways to bill the curve over the seconds [begin, end)."""
    levels = _levels(present, begin, end)
    tops = range(max(levels, default=0), 0, -1)
    by_minute = Counter[int]()
    for second in range(begin, end):
        minute = second // 60
        by_minute[minute] = max(by_minute[minute], levels[second - begin])
    ranked = sorted(by_minute.values())
    return {
        "max": max(levels, default=0),
        "sustained": {
            str(minutes): next((k for k in tops if _longest(levels, k) >= minutes * 60), 0)
            for minutes in (5, 15, 30, 60)
        },
        "accumulated": {
            str(minutes): next(
                (k for k in tops if sum(level >= k for level in levels) >= minutes * 60), 0
            )
            for minutes in (30, 60)
        },
        "percentile": {
            str(percent): ranked[ceil(Fraction(percent * len(ranked), 100)) - 1] if ranked else 0
            for percent in (95, 99)
        },
        "time_average": sum(levels) / len(levels) if levels else 0.0,
        "seconds": len(levels),
    }


def capacity(
    present: Sequence[Session], begin: int, end: int, licences: Sequence[int]
) -> list[dict[str, int]]:
    """Return what each licence would have meant over the seconds [begin, end)."""
    levels = _levels(present, begin, end)
    asking = [each for each in present if begin <= each[2] < end]
    answers = []
    for licence in licences:
        admitted = [each for each in present if each[2] < begin < each[3]]
        refused = 0
        for each in asking:
            if sum(first <= each[2] < after for _, _, first, after in admitted) < licence:
                admitted.append(each)
            else:
                refused += 1
        stretches = _stretches([level > licence for level in levels])
        answers.append(
            {
                "sessions": licence, "started": len(asking), "refused": refused,
                "seconds_above": sum(stretches), "episodes": len(stretches),
                "longest": max(stretches, default=0),
            }
        )  # fmt: skip
    return answers


def second_of(as_of: datetime) -> int:
    """Return the first whole second that is not before *as_of*."""
    return ceil(Fraction(as_of.timestamp()))


def _levels(present: Sequence[Session], begin: int, end: int) -> list[int]:
    changes = [0] * (max(end - begin, 0) + 1)
    for _, _, first, after in present:
        if first < end and after > begin:
            changes[max(first, begin) - begin] += 1
            changes[min(after, end) - begin] -= 1
    return list(accumulate(changes))[:-1]


def _longest(levels: Sequence[int], level: int) -> int:
    return max(_stretches([each >= level for each in levels]), default=0)


def _stretches(marks: Sequence[bool]) -> list[int]:
    """Return the lengths of the runs of true *marks*."""
    lengths, run = [], 0
    for mark in [*marks, False]:
        if mark:
            run += 1
        elif run:
            lengths.append(run)
            run = 0
    return lengths
