"""Correcting an event or a session: find it, say what would change, publish, wait.

What happens, in this order, and what a failure after each step leaves:

1. The rollups say what is known: whether the event counts, is voided, or its day is sealed; how the
   session is counted. (Nothing was changed.)
2. The archive and Kafka are read for the event, since a void has all of it; for a session only
   where the rollups remember nothing of it. (Nothing was changed.)
3. The correction is published, and Kafka has acknowledged it. (It takes effect, whoever looks. The
   same correction again is the same event, or changes nothing: see `drafts`.)
4. The rollups are looked at until it is counted. (`usage lag` says how far workers are.)
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.published import Progress
from interaction_usage.corrections.drafts import Draft, correction_of, rfc3339, void_of
from interaction_usage.corrections.errors import (
    AmbiguousEventError,
    CorrectionError,
    CorrectionRefusedError,
    CorrectionSourceError,
    DaySealedError,
    NothingToCorrectError,
    SessionNotFoundError,
)
from interaction_usage.corrections.preview import Preview, preview
from interaction_usage.corrections.search import FoundEvent, find_event, find_session
from interaction_usage.corrections.what_if import Change, session_change
from interaction_usage.reports.errors import UnknownAccountError
from interaction_usage.store.correction_state import (
    SessionState,
    event_state,
    is_sealed,
    session_state,
)
from interaction_usage.store.keys import fence
from interaction_usage.store.reads import Rollups
from rollups.concurrency import Presence
from rollups.corrections import Correction
from rollups.fold import amounts_of
from rollups.slots import SLOT_SECONDS
from rollups.timestamps import DAY_SECONDS, SECOND
from stream_app.broker import admin_client, topic_ids
from stream_app.errors import BrokerUnavailableError

#: Seconds between two looks at whether a correction is counted.
_INTERVAL_S: Final = 0.1
_SEALED: Final = (
    "{day} is sealed: nothing of it changes any more. Bill the difference in a period that is open."
)


class Proposal(NamedTuple):
    """A correction that can be made, and what it would change."""

    draft: Draft
    what: str  #: in words
    preview: Preview
    remarks: tuple[str, ...]


#: Publishes a record: topic, key and value; returns its partition and offset once Kafka has it.
Publish = Callable[[str, bytes, bytes], tuple[int, int]]


#: Reason and actor of a correction.
Why = tuple[str, str]


class Corrector:
    """Corrects accounts of a deployment."""

    def __init__(self, config: settings.Settings, redis: Any, publish: Publish) -> None:
        self._config, self._redis, self._publish = config, redis, publish

    def propose_void(
        self, account: str, source: str, event_id: str, why: Why, now: datetime,
        progress: Progress, day: str | None = None,
    ) -> Proposal:  # fmt: skip
        """Return the void of an event; *why* are reason and actor. Raises CorrectionError.

        *day* is the UTC day of the event, where several have this identity.
        """
        self._must_exist(account)
        found = find_event(self._config, account, source, event_id, progress)
        chosen = _only(found, event_id, day)
        event, rollups = chosen.event, Rollups.live(self._redis)
        state = event_state(rollups, account, source, event_id, event.time)
        if state.void is not None:
            raise NothingToCorrectError(
                f"The event is voided already, by {state.void.actor or state.void.void_source}: "
                f"{state.void.reason}"
            )
        if state.is_sealed:
            raise DaySealedError(_SEALED.format(day=chosen.time[:10]))
        remarks = () if state.is_counted else (
            f"{chosen.place} is not counted yet, or was refused; until it is, the void is pending.",
        )  # fmt: skip
        slot = event.time // (SLOT_SECONDS * SECOND)
        amounts = {(metric, slot): -amount for metric, amount in amounts_of(event.data).items()}
        return Proposal(
            void_of(chosen, *why),
            f"void of {chosen.type} of {chosen.time}, published at {chosen.place}",
            preview(self._redis, rollups, account, Change(amounts, {}), now),
            remarks,
        )

    def propose_session(
        self, account: str, application: str, session: str,
        start: int | None, stop: int | None,
        why: Why, now: datetime, progress: Progress, *, is_new: bool = False,
    ) -> Proposal:  # fmt: skip
        """Return the correction of a session; without *start* it never was.

        *is_new* says that no event of it is expected. Raises CorrectionError.
        """
        rollups = self._must_exist(account)
        known = session_state(rollups, account, application, session)
        if known is None:
            if not is_new:
                self._must_be_known(rollups, account, application, session, progress)
            known = SessionState(Presence(), None)
        micros = round(now.timestamp() * SECOND)
        wanted = Correction(micros, start, stop)
        if known.presence == wanted.presence and (known.correction or start is not None):
            raise NothingToCorrectError(f"The session is already counted {_shown(wanted)}.")
        limit = rollups.limits()[application]
        change = session_change(application, known.presence, wanted.presence, limit)
        for second in change.seconds:
            if is_sealed(rollups, account, second // DAY_SECONDS):
                raise DaySealedError(_SEALED.format(day=rfc3339(second * SECOND)[:10]))
        return Proposal(
            correction_of(
                account, application, session, start, stop, *why, micros, known.correction
            ),
            f"session {session} of {application}, counted {_counted(known.presence)}, "
            f"becomes {_shown(wanted)}",
            preview(self._redis, rollups, account, change, now),
            (),
        )

    def _must_exist(self, account: str) -> Rollups:
        """Return the active rollups. Raises UnknownAccountError."""
        rollups = Rollups.live(self._redis)
        if not rollups.exists(account):
            raise UnknownAccountError(account)
        return rollups

    def _must_be_known(
        self, rollups: Rollups, account: str, application: str, session: str, progress: Progress
    ) -> None:
        """Raise the error for a session of which the rollups remember nothing."""
        found, near = find_session(self._config, account, application, session, progress)
        days = sorted({event.time // SECOND // DAY_SECONDS for event in found})
        for day in days:
            if is_sealed(rollups, account, day):
                raise DaySealedError(_SEALED.format(day=rfc3339(day * DAY_SECONDS * SECOND)[:10]))
        if found:
            raise CorrectionSourceError("The session's events are not counted yet; see: usage lag")
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise SessionNotFoundError(
            f"Nothing is known of a session {session!r} of {application} of {account}.{hint} To "
            "add a session that no event speaks of, pass --new.",
            near,
        )

    def publish(self, draft: Draft) -> tuple[int, int]:
        """Publish a correction; return the partition and offset at which Kafka has it."""
        return self._publish(draft.topic, draft.account.encode(), draft.value)

    def wait(self, draft: Draft, place: tuple[int, int], seconds: float) -> bool:
        """Return whether the correction at *place* is counted within some *seconds*.

        Raises CorrectionRefusedError where a worker refused it.
        """
        partition, offset = place
        try:
            ids = topic_ids(admin_client(self._config.kafka), [draft.topic])
        except BrokerUnavailableError as error:
            raise CorrectionSourceError(f"Kafka at {self._config.kafka}: {error}.") from None
        name = fence(draft.topic, partition, ids.get(draft.topic, ""))
        deadline = time.monotonic() + seconds
        while True:
            position = Rollups.live(self._redis).positions().get(name)
            if position is not None and position.offset > offset:
                self._must_be_applied(draft, name, offset)
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_INTERVAL_S)

    def _must_be_applied(self, draft: Draft, name: str, offset: int) -> None:
        """Raise CorrectionRefusedError unless the account's fence is behind the correction."""
        rollups = Rollups.live(self._redis)
        applied = rollups.redis.hget(rollups.keys.head(draft.account), f"f:{name}")
        if applied is None or int(applied) < offset:
            raise CorrectionRefusedError(
                f"It was published and refused, so nothing changed: {draft.topic}, offset "
                f"{offset}. See: usage dead-letters list"
            )


def _only(found: list[FoundEvent], event_id: str, day: str | None) -> FoundEvent:
    """Return the one event that is meant."""
    chosen = [each for each in found if day is None or rfc3339(each.event.time)[:10] == day]
    if len(chosen) == 1:
        return chosen[0]
    shown = "; ".join(
        f"{each.type} of {rfc3339(each.event.time)[:10]} at {each.place}" for each in found[:5]
    )
    if not chosen:
        raise AmbiguousEventError(f"No event {event_id!r} is of the UTC day {day}: {shown}.")
    raise AmbiguousEventError(
        f"{len(found)} events have this source and id: {shown}. Name the UTC day of one with "
        "--day; of several on one day only one counts, which `usage verify` names."
    )


def _counted(presence: Presence) -> str:
    if presence.start is None:
        return "nowhere"
    return _interval(
        presence.start * SECOND, None if presence.stop is None else presence.stop * SECOND
    )


def _shown(correction: Correction) -> str:
    if correction.start is None:
        return "nowhere"
    return _interval(correction.start, correction.stop)


def _interval(start: int, stop: int | None) -> str:
    return f"from {rfc3339(start)} to {'an inferred end' if stop is None else rfc3339(stop)}"


__all__ = ["CorrectionError", "Corrector", "Proposal", "Publish"]
