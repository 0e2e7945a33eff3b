"""Corrections as events, before they are published.

A retry must not be another correction. A void has the time of the event that it takes back and an
id made of what it voids, so the same command is the same event whenever it is run. A session's
correction must come after those before it, so it has the time at which it was asked for, to the
minute: the same command in the same minute is the same event, and later it changes nothing, since
the session is as it says.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from interaction_usage.corrections.search import FoundEvent
from rollups.corrections import Correction
from rollups.timestamps import SECOND
from stream_app.topics import TOPIC_OF

#: The `source` of corrections that are made here.
SOURCE: Final = "usage/correct"
_VOIDED, _CORRECTED = "usage.event.voided", "usage.session.corrected"
_MINUTE: Final = 60 * SECOND
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Draft(NamedTuple):
    """An event that was not published yet."""

    topic: str
    account: str
    id: str
    value: bytes


def void_of(found: FoundEvent, reason: str, actor: str) -> Draft:
    """Return the void of an event."""
    event = found.event
    original = {
        "source": event.source, "id": event.id, "type": found.type, "time": found.time,
        "data": found.data,
    }  # fmt: skip
    name = _name("void", event.account, event.source, event.id, str(event.time))
    data = {"event": original, "reason": reason, "actor": actor}
    return _draft(_VOIDED, event.account, name, found.time, data)


def correction_of(
    account: str, application: str, session: str,
    start: int | None, stop: int | None,
    reason: str, actor: str,
    now: int, known: Correction | None,
) -> Draft:  # fmt: skip
    """Return the correction of a session, which takes effect over the one *known*.

    Instants are in microseconds; *now* is when it was asked for.
    """
    time = now // _MINUTE * _MINUTE
    if known is not None:
        time = max(time, known.time + 1)
    data: dict[str, Any] = {
        "session": session,
        "application": application,
        "start": None if start is None else rfc3339(start),
        "stop": None if stop is None else rfc3339(stop),
        "reason": reason,
        "actor": actor,
    }
    name = _name("session", account, *map(str, data.values()), str(time))
    return _draft(_CORRECTED, account, name, rfc3339(time), data)


def _draft(kind: str, account: str, name: str, time: str, data: Mapping[str, Any]) -> Draft:
    event = {
        "specversion": "1.0", "id": name, "source": SOURCE, "type": kind, "subject": account,
        "time": time, "data": data,
    }  # fmt: skip
    return Draft(TOPIC_OF[kind], account, name, msgspec.json.encode(event))


def _name(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{kind}-{digest[:32]}"


def rfc3339(instant: int) -> str:
    """Return an instant in microseconds as text, in UTC."""
    text = (_EPOCH + timedelta(microseconds=instant)).isoformat()
    return text.replace("+00:00", "Z")
