"""Every change of an account's settings: who, when, old and new value."""

import re
from typing import Any, Final, NamedTuple, cast

from interaction_usage.store import keys
from interaction_usage.store.client import Client

#: A change's id: milliseconds since 1970 and a number; at most 19 digits fit into 64 bits.
_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

#: Settings that are stored as "1" and "0".
SWITCHES: Final = frozenset(("dnis", "sms"))


class Author(NamedTuple):
    """Who changes settings."""

    name: str  #: a token's label, or the interface they used
    token: str = ""  #: the id of their token, never the token itself; empty without one
    is_operator: bool = True


#: The author of changes by `usage account set`.
COMMAND: Final = Author("command")


class Change(NamedTuple):
    """One setting that got another value."""

    id: str  #: ids grow with time
    author: Author
    field: str
    old: str | bool
    new: str | bool

    @property
    def second(self) -> int:
        """When it happened, by the clock of whoever served the change."""
        return int(self.id.partition("-")[0]) // 1000


def read(redis: Client, account: str, limit: int, before: str | None = None) -> list[Change]:
    """Return the newest *limit* changes of *account*, newest first, or those before an id.

    Raises ValueError if *before* is not the id of a change.
    """
    if before is not None and not is_change_id(before):
        raise ValueError(f"{before!r} is not the id of a change")
    newest = "+" if before is None else f"({before}"
    entries = cast(
        list[tuple[bytes, dict[bytes, bytes]]],
        redis.xrevrange(keys.settings_history(account), max=newest, min="-", count=limit),
    )
    return [_change(entry.decode(), fields) for entry, fields in entries]


def is_change_id(text: str) -> bool:
    """Return whether *text* can be the id of a change, which is never 0-0."""
    return bool(_ID.fullmatch(text)) and text.strip("0-") != ""


def _change(entry: str, raw: dict[bytes, bytes]) -> Change:
    stored: dict[str, Any] = {name.decode(): value.decode() for name, value in raw.items()}
    field = stored["field"]
    old, new = stored["from"], stored["to"]
    if field in SWITCHES:
        old, new = old == "1", new == "1"
    return Change(
        entry, Author(stored["by"], stored["token"], stored["operator"] == "1"), field, old, new
    )
