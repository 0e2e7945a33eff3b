"""What `usage.dead-letters` says of accounts: which of their events are refused."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final, cast

from interaction_usage.store.client import Client
from interaction_usage.store.ledger import (
    Record,
    Table,
    applying,
    begin_on_nodes,
    node_positions,
)
from interaction_usage.store.refusals import Refused, note
from rollups.timestamps import SECOND, parse_rfc3339
from rollups.watermark import OffsetRange
from stream_app.codec.envelope import is_account
from stream_app.dead_letters import DeadLetterHeaders, read_dead_letter, read_marker
from stream_app.event_names import attribute_of
from stream_app.topics import DEAD_LETTERS


def refusals_in(messages: Iterable[Any]) -> Iterator[Refused]:
    """Yield what these *messages* of `usage.dead-letters` say, in their order.

    What is of no account is left out. The time of an event that has none that can
    be read is that of its dead letter, which was published at about the same time.
    """
    for message in messages:
        if headers := read_dead_letter(message.headers):
            account = attribute_of("subject", headers.own, message.value)
            if account is not None and is_account(account):
                yield Refused(str(headers.place), account, _second(message, headers))
        elif marker := read_marker(message.headers):
            yield Refused(str(marker.rejected), None)


def _second(message: Any, headers: DeadLetterHeaders) -> int:
    time = attribute_of("time", headers.own, message.value)
    try:
        return parse_rfc3339(time or "") // SECOND
    except ValueError:
        return int(message.timestamp) // 1000


class _Refusals:
    """The dead letters as Redis has them: which events of an account are refused."""

    topic = DEAD_LETTERS

    def positions(self, redis: Client) -> dict[str, int]:
        """Return up to which offset each place is read."""
        return node_positions(redis)

    def begin(self, redis: Client, place: str) -> None:
        """Keep that *place* is read from its beginning."""
        begin_on_nodes(redis, place)

    def apply(
        self, redis: Client, place: str, records: Sequence[Record], within: OffsetRange
    ) -> None:
        """Apply *records*, and keep that they are read."""
        with applying(redis, place, within) as connections:
            note(connections, list(refusals_in(records)))

    def unpublished(self, _redis: Client, _published: Container[str]) -> Iterator[Any]:
        """Yield nothing: only what is published is in Redis."""
        return iter(())


REFUSALS: Final = cast(Table, _Refusals())
