"""Reading refused events and replaying them for the dashboard that `usage serve` runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.replaying import left_out_of, send_again

if TYPE_CHECKING:
    from interaction_usage.dashboard.refused import (
        Content,
        Overview,
        RefusedGroup,
        RefusedRecord,
        Replayed,
        Scope,
    )
    from stream_app.dead_letter_log import Refusals
    from stream_app.dead_letter_reader import RejectedRecord
    from stream_app.refusal_groups import Group

#: Seconds that Kafka may take to acknowledge what is replayed.
_PATIENCE_S: Final = 15.0
#: Records that are replayed at once: a page waits for it.
MOST_REPLAYED: Final = 10_000
#: Groups, records with one id and problems that are shown.
_MOST_GROUPS, _MOST_FOUND, _MOST_PROBLEMS = 200, 50, 20
#: Characters of a value and of a header that are shown, and headers.
_MOST_VALUE, _MOST_HEADER, _MOST_HEADERS = 8_000, 500, 50


class DashboardRefusals:
    """Reads refused events for the dashboard (`dashboard.refused.RefusedEvents`)."""

    def __init__(self, config: settings.Settings) -> None:
        from stream_app.dead_letter_log import DeadLetterLog

        self._config = config
        self._log = DeadLetterLog(config.kafka)

    def overview(self, scope: "Scope", event_id: str | None) -> "Overview":
        """Return what is refused, by cause. Raises RequestError."""
        from interaction_usage.dashboard.refused import Overview
        from stream_app.refusal_groups import grouped

        known = self._known()
        records = _of(known.records, scope)
        still_open = [record for record in records if record.open]
        found = [record for record in records if event_id and record.has_id(event_id)]
        return Overview(
            len(still_open),
            [_group(each) for each in grouped(still_open)[:_MOST_GROUPS]],
            len(records) - len(still_open),
            known.is_complete,
            [_members(each) for each in found[::-1][:_MOST_FOUND]],
        )

    def content(self, scope: "Scope", origin: str) -> "Content":
        """Return a record with its bytes. Raises RequestError."""
        from interaction_usage.dashboard.errors import RequestError
        from interaction_usage.dashboard.refused import Content
        from stream_app.dead_letter_reader import filled

        records = _of(self._known().records, scope)
        matching = [record for record in records if origin in map(str, record.places)]
        if not matching:
            raise RequestError(404, "There is no such refused record.")
        record = matching[-1]
        since = max(0, int(record.newest.at.timestamp()) - 1)
        with self._kafka():
            # A broker that finds no offset by its time may have the record nevertheless.
            found = next(filled(self._config.kafka, [record], since), None)
            whole = found or next(filled(self._config.kafka, [record]), record)
        value = _text(whole.value)
        shown = value and value[:_MOST_VALUE]
        headers = [
            (name[:_MOST_HEADER], text and text[:_MOST_HEADER])
            for name, text in ((name, _text(content)) for name, content in whole.headers)
        ]
        is_cut = shown != value or len(headers) > _MOST_HEADERS
        return Content(_members(record), _text(whole.key), headers[:_MOST_HEADERS], shown, is_cut)

    def replay(self, reason: str, cause: str, account: str | None) -> "Replayed":
        """Publish the open records of a cause again, as `usage dead-letters replay` does it."""
        from interaction_usage.dashboard.errors import RequestError
        from interaction_usage.dashboard.refused import Replayed
        from stream_app.refusal_groups import cause_of

        chosen = [
            record
            for record in self._known(fresh=True).records
            if record.open
            and (record.newest.reason, cause_of(record.newest.sentence)) == (reason, cause)
            and (account is None or record.account == account)
        ]
        if not chosen:
            raise RequestError(409, "No open record has this cause any more.")
        if len(chosen) > MOST_REPLAYED:
            raise RequestError(
                409,
                f"{len(chosen):,} records have this cause, and at most {MOST_REPLAYED:,} are "
                f"replayed here: use `usage dead-letters replay --reason {reason}`.",
            )
        with self._kafka():
            sent, problems = send_again(self._config, chosen, _PATIENCE_S)
        self._log.expire()
        more = len(problems) - _MOST_PROBLEMS
        shown = [*problems[:_MOST_PROBLEMS], *([f"and {more:,} more"] if more > 0 else [])]
        return Replayed(len(sent), shown)

    def _known(self, *, fresh: bool = False) -> "Refusals":
        with self._kafka():
            return self._log.refusals(fresh=fresh)

    @contextmanager
    def _kafka(self) -> Iterator[None]:
        from interaction_usage.dashboard.errors import RequestError
        from stream_app.errors import BrokerUnavailableError

        try:
            yield
        except (BrokerUnavailableError, CommandError) as error:
            raise RequestError(
                503, f"The refused events cannot be read now: {error}.", {"Retry-After": "5"}
            ) from None


def _of(records: Sequence["RejectedRecord"], scope: "Scope") -> list["RejectedRecord"]:
    if scope.account is None:
        return list(records)
    if scope.is_strict:
        return [record for record in records if record.event.owner == scope.account]
    return [record for record in records if record.account == scope.account]


def _group(group: "Group") -> "RefusedGroup":
    from interaction_usage.dashboard.refused import RefusedGroup

    return RefusedGroup(
        group.reason, group.cause, *group.advice, group.records, sorted(group.accounts),
        group.first_at.isoformat(), group.last_at.isoformat(), _members(group.sample),
    )  # fmt: skip


def _members(record: "RejectedRecord") -> "RefusedRecord":
    from interaction_usage.dashboard.refused import RefusedRecord
    from stream_app.refusal_groups import advice_on

    newest, event = record.newest, record.event
    return RefusedRecord(
        str(record.origin), newest.reason, newest.sentence, advice_on(newest.reason).to_do,
        newest.at.isoformat(), record.account,
        event.id, event.source, event.type, event.time, record.open, len(record.rejections),
        len(record.replays), left_out_of(record),
    )  # fmt: skip


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "backslashreplace")
