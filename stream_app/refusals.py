"""What `usage.dead-letters` says of accounts: which of their events are refused."""

from collections.abc import Iterable, Iterator
from typing import Any

from interaction_usage.store.refusals import Refused
from rollups.timestamps import SECOND, parse_rfc3339
from stream_app.codec.envelope import is_account
from stream_app.dead_letter_reader import attribute_of
from stream_app.dead_letters import DeadLetterHeaders, read_dead_letter, read_marker


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
