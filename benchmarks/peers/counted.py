"""What all peers count, and where those that use Redis put it."""

import os
from collections.abc import Mapping
from typing import Any

KAFKA = os.environ.get("PEER_KAFKA", "")
REDIS = os.environ.get("PEER_REDIS", "")
GROUP = os.environ.get("PEER_GROUP", "")
FOLDER = os.environ.get("PEER_FOLDER", "")
TOPICS = os.environ.get("PEER_TOPICS", "").split(",")

#: librdkafka waits a second before it fetches again once its queue was full; that would be most of
#: the time here, so all peers on librdkafka are given a shorter one.
FETCH = {"fetch.queue.backoff.ms": 5}

#: The key in which a peer that writes to Redis says how many events it has taken and written.
TAKEN = "peer:taken"
#: What the key of an account's hash begins with; its fields are "day metric".
HEAD = "peer/"

Sums = dict[tuple[str, str], int]


def counted(event: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return (account, "day metric", amount) of a decoded event; its time must end in Z."""
    kind, data = event["type"], event["data"]
    amount = 1
    if kind == "usage.flow.run":
        metric = "runs." + data["application"]
    elif kind == "usage.assist.clicked":
        metric = "clicks." + data["service"]
    elif kind == "usage.call.minutes":
        metric, amount = "call.minutes", round(data["minutes"] * 1000)
    elif kind == "usage.sms.sent":
        metric = "sms.link" if data["link"] else "sms.plain"
    elif kind == "usage.session.started":
        metric = "sessions"
    else:
        metric = "sessions.stopped"
    return event["subject"], f"{event['time'][:10]} {metric}", amount


def add(sums: Sums, event: Mapping[str, Any]) -> None:
    """Add *event* to *sums*."""
    account, field, amount = counted(event)
    place = account, field
    sums[place] = sums.get(place, 0) + amount


def queue(pipe: Any, sums: Sums, taken: int) -> None:
    """Put the writes of *sums*, which *taken* events add up to, into a Redis pipeline."""
    for (account, field), amount in sums.items():
        pipe.hincrby(HEAD + account, field, amount)
    pipe.incrby(TAKEN, taken)
