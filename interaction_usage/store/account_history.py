"""Every change of an account's settings: who, when, from what to what, kept with the change."""

import re
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

from interaction_usage.store import keys
from interaction_usage.store.client import Client

_SCRIPT: Final = files("interaction_usage.store.lua").joinpath("settings.lua").read_text("utf-8")

#: A change's id: milliseconds since 1970 and a number; at most 19 digits fit into 64 bits.
_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

#: Settings that are kept as "1" and "0".
SWITCHES: Final = frozenset(("dnis", "sms"))


class Author(NamedTuple):
    """Who changes settings."""

    name: str  #: a token's label, or the way they came
    token: str = ""  #: the id of their token, never the token itself; empty without one
    is_operator: bool = True


#: Whoever runs `usage account set`.
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
        """When it happened, by the clock of Redis."""
        return int(self.id.partition("-")[0]) // 1000


def change(
    redis: Client, account: str, author: Author, values: dict[str, str], defaults: dict[str, str]
) -> None:
    """Set *values* of *account*'s settings and keep what changed, both or neither.

    *defaults* has the value of each field where it was never set.
    """
    triples = [part for field in values for part in (field, values[field], defaults[field])]
    redis.register_script(_SCRIPT)(
        keys=[keys.settings(account), keys.settings_history(account)],
        args=[author.name, author.token, "1" if author.is_operator else "", *triples],
    )


def read(redis: Client, account: str, limit: int, before: str | None = None) -> list[Change]:
    """Return the newest *limit* changes of *account*, newest first, or those before an id.

    Raises ValueError where *before* is no id of a change.
    """
    if before is not None and not is_change_id(before):
        raise ValueError(f"{before!r} is not the id of a change")
    newest = "+" if before is None else f"({before}"
    found = cast(
        list[tuple[bytes, dict[bytes, bytes]]],
        redis.xrevrange(keys.settings_history(account), max=newest, min="-", count=limit),
    )
    return [_change(entry.decode(), kept) for entry, kept in found]


def is_change_id(text: str) -> bool:
    """Return whether *text* can be the id of a change, which is never 0-0."""
    return bool(_ID.fullmatch(text)) and text.strip("0-") != ""


def _change(entry: str, raw: dict[bytes, bytes]) -> Change:
    kept: dict[str, Any] = {name.decode(): value.decode() for name, value in raw.items()}
    field = kept["field"]
    old, new = kept["from"], kept["to"]
    if field in SWITCHES:
        old, new = old == "1", new == "1"
    return Change(
        entry, Author(kept["by"], kept["token"], kept["operator"] == "1"), field, old, new
    )
