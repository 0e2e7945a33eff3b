"""What a record says of its event, read from bytes that the worker may have refused."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from stream_app.codec import MAX_EVENT_BYTES
from stream_app.codec.binary import is_binary
from stream_app.codec.envelope import is_account
from stream_app.dead_letters import Headers
from stream_app.rejection import Reason, RejectedError

#: Characters of an attribute, and of what a list keeps of one.
_MOST_TEXT = 1_000
MOST_NAME = 256
#: The reasons for which nothing of a record was read that says whose it is.
_NOT_READ = frozenset((Reason.MALFORMED, Reason.TOO_LARGE))


class EventNames(NamedTuple):
    """What a record says that its event is; None where it does not, or it cannot be read."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    time: str | None = None
    #: The account that the event is of as the worker reads it, which may see it; None where the
    #: record could not be decoded as far as that.
    owner: str | None = None


NO_NAMES = EventNames()


def names_of(headers: Headers, value: bytes | None, reason: str) -> tuple[str | None, EventNames]:
    """Return the account and the names of a record that was rejected for *reason*.

    The account is what can be read of it anywhere. An owner is what the worker has read: not of a
    record that is no event, and not what a header says that the event does not read.
    """
    account, *names = attributes_of(("subject", "id", "source", "type", "time"), headers, value)
    short = [name and name[:MOST_NAME] for name in names]
    if reason in _NOT_READ:
        return account, EventNames(*short)
    try:
        own = headers if is_binary(headers) else []
    except RejectedError:
        return account, EventNames(*short)
    last = {name: content for name, content in own if name == "ce_subject"}
    owner = attributes_of(("subject",), [*last.items()], None if own else value)[0]
    is_owner = owner is not None and is_account(owner)
    return account, EventNames(*short)._replace(owner=owner if is_owner else None)


def attribute_of(name: str, headers: Headers, value: bytes | None) -> str | None:
    """Return an attribute of an event, in the header or else in the value; None if unreadable."""
    return attributes_of((name,), headers, value)[0]


def attributes_of(names: Sequence[str], headers: Headers, value: bytes | None) -> list[str | None]:
    """Return several attributes of an event, as `attribute_of` does."""
    in_headers: dict[str, bytes | None] = {}
    for header, content in headers:
        in_headers.setdefault(header, content)
    try:
        members = orjson.loads(value or b"") if len(value or b"") <= MAX_EVENT_BYTES else None
    except orjson.JSONDecodeError:
        members = None
    found: list[str | None] = []
    for name in names:
        if f"ce_{name}" in in_headers:
            content = in_headers[f"ce_{name}"] or b""
            found.append(content[:_MOST_TEXT].decode("utf-8", "replace"))
        else:
            attribute = members.get(name) if isinstance(members, dict) else None
            found.append(attribute[:_MOST_TEXT] if isinstance(attribute, str) else None)
    return found
