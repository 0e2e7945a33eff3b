"""The rules for operators: lag, gaps, refusals; and whether the numbers of accounts are stale."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from interaction_usage.alerts import stretches
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import Reading
from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.keys import Namespace
from interaction_usage.store.progress import read_known
from rollups.completeness import Known, judge
from rollups.gaps import unaccepted

#: No period: no gap touches it.
_NO_PERIOD: Final = (0, 0)


class Stream(NamedTuple):
    """How the stream is."""

    stale: tuple[str, ...]  #: why the numbers of accounts are not current, a sentence each
    readings: Mapping[str, Reading]  #: of the rules for operators, by id


def read(redis: Client, at: Namespace, now: int, rules: Sequence[Rule], fresh_at: int) -> Stream:
    """Return how the stream is now, and what the *rules* for operators read.

    At the second *fresh_at* the numbers of accounts were last current, as far as is known.
    """
    known, _, _ = read_known(redis, at, [])
    refusals = [rule.account for rule in rules if rule.kind == "refusals"]
    refused = dict(zip(refusals, _refused(redis, refusals), strict=True))
    stale = judge(known, _NO_PERIOD, now).reasons
    readings = {}
    for rule in rules:
        if rule.kind == "stale":
            last = fresh_at if stale else now
            readings[rule.id] = stretches.of_silence(now, last, rule.created, rule.minutes)
        elif rule.kind == "lag":
            readings[rule.id] = _of_lag(known, now, rule.threshold)
        elif rule.kind == "gaps":
            count = len(unaccepted(known.gaps))
            readings[rule.id] = stretches.of_number(now, count, rule.threshold)
        else:
            readings[rule.id] = stretches.of_number(now, refused[rule.account], rule.threshold)
    return Stream(stale, readings)


def _of_lag(known: Known, now: int, threshold: int) -> Reading:
    """Return the reading of the lag; where nobody counts, it is over."""
    progress = known.progress
    if progress is None or not known.is_current:
        return stretches.of_number(now, 0, threshold, over=True)._replace(value=None)
    return stretches.of_number(now, progress.pending or 0, threshold)


def _refused(redis: Client, accounts: list[str]) -> list[int]:
    """Return how many events of each account lie in dead letters."""
    if not accounts:
        return []
    pipe: Any = redis.pipeline(transaction=False)
    for account in accounts:
        pipe.zcard(keys.refused(account))
    return cast(list[int], pipe.execute())
