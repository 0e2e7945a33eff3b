"""How events may reach the rollups: in any order, more than once, in any batches, re-read."""

from collections.abc import Iterable, Sequence
from random import Random

from rollups.events import Event
from rollups.fold import OffsetEvent

#: Batches in the order in which they are applied: the topic-partition, its records.
Batches = list[tuple[str, list[OffsetEvent]]]


def in_order(events: Iterable[Event], fence: str = "t/0") -> Batches:
    """Deliver everything once, in one batch of one partition."""
    log = [OffsetEvent(offset, event) for offset, event in enumerate(events)]
    return [(fence, log)] if log else []


def tangled(events: Sequence[Event], seed: int, *, partitions: int = 3, batch: int = 8) -> Batches:
    """Shuffle, send some twice, spread over partitions, cut into batches, re-read some of them.

    Offsets have gaps, as where Kafka keeps a transaction's marker. A batch may begin before the end
    of the one before, as after a rewind; every record is in one of them.
    """
    rng = Random(seed)
    sent = [*events, *rng.sample(list(events), rng.randint(0, len(events)))]
    rng.shuffle(sent)
    logs: dict[str, list[OffsetEvent]] = {}
    for event in sent:
        log = logs.setdefault(f"t/{rng.randrange(partitions)}", [])
        offset = (log[-1].offset if log else -1) + rng.choice([1, 1, 1, 2, 5])
        log.append(OffsetEvent(offset, event))
    waiting = dict.fromkeys(logs, 0)
    batches: Batches = []
    while waiting:
        fence = rng.choice(list(waiting))
        begin = max(0, waiting[fence] - rng.choice([0, 0, 1, batch, 3 * batch]))
        end = waiting[fence] + rng.randint(1, batch)
        batches.append((fence, logs[fence][begin:end]))
        waiting[fence] = end
        if end >= len(logs[fence]):
            del waiting[fence]
    return batches
