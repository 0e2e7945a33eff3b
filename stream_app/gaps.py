"""Recording what Kafka deleted before it was counted, before anybody goes on behind it."""

import logging
from collections.abc import Mapping

from redis.client import Redis

from interaction_usage.store import gaps
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Ledger
from rollups.gaps import Gap

log = logging.getLogger(__name__)

WORKER, REBUILD = "worker", "rebuild"


def record_deleted(
    ledger: Ledger,
    deleted: Mapping[tuple[str, int], tuple[int, int]],
    ids: Mapping[str, str],
    until: int,
) -> int:
    """Record that the offsets [first, end) of topic-partitions were *deleted* uncounted.

    Returns how many of them were not known to be.

    *first* is up to where they are counted, *ids* are those of the topics, and *until* is now.
    Kafka has acknowledged it then. Raises LedgerError and RedisError.
    """
    complete_to = _complete_to(ledger.redis)
    found = []
    for (topic, partition), (first, end) in sorted(deleted.items()):
        log.error(
            "%s/%s: Kafka deleted the offsets %s to %s, and the rollups end before them",
            topic, partition, first, end - 1,
        )  # fmt: skip
        # Nothing is known of when what lies behind no position was published.
        since = min(complete_to, until) if first > 0 and complete_to is not None else None
        found.append(Gap(topic, partition, ids.get(topic, ""), first, end, since, until, WORKER))
    return sum(gap.end - gap.first for gap in gaps.record(ledger, found))


def _complete_to(redis: Client) -> int | None:
    """Return the second before which everything published was counted, if that is certain.

    On a cluster it is not: a node may have lost its last writes, and another have kept this one.
    """
    return gaps.complete_to(redis) if isinstance(redis, Redis) else None
