"""The totals that published events must come to, whoever counts them."""

from collections import Counter
from collections.abc import Iterable

import orjson

from benchmarks.peers.counted import counted

#: (account, UTC day, metric) to its sum. The metrics are those of `counted`.
Tally = Counter[tuple[str, str, str]]


def tally(records: Iterable[tuple[str, bytes, bytes]]) -> Tally:
    """Return the totals of (topic, key, value)."""
    sums: Tally = Counter()
    for _, _, value in records:
        account, field, amount = counted(orjson.loads(value))
        day, _, metric = field.partition(" ")
        sums[account, day, metric] += amount
    return sums


def differences(expected: Tally, found: Tally) -> list[str]:
    """Return sentences on what differs, at most three; none where all is the same."""
    places = sorted(
        place for place in expected.keys() | found.keys() if expected[place] != found[place]
    )
    answer = [f"{' '.join(place)}: {found[place]}, not {expected[place]}" for place in places[:3]]
    return [*answer, f"and {len(places) - 3} more"] if len(places) > 3 else answer
