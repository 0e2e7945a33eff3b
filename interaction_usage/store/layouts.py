"""Layouts: what earlier versions stored otherwise, and how that becomes what this version stores.

The layout is recorded with the rollups, in `Namespace.limits`. A step makes an account of one
layout an account of the next, from what the account holds and nothing else, so that an upgrade
needs no history and no more memory than one account does. A step is never changed once its layout
was released: `tests/layouts` has rollups of each.

    5 -> 6   sessions are counted: those that are started, and of these the ones without a stop
    6 -> 7   many deltas of a slot are stored in pieces
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from interaction_usage.store import keys, slot_deltas
from interaction_usage.store.errors import LayoutDiffersError
from rollups.concurrency import UNKNOWN_SECOND
from rollups.slots import DAYS_PER_BLOCK
from rollups.timestamps import DAY_SECONDS

Kind = Literal["hash", "set", "string"]

#: The rollups of an account: (rest of the key, kind, content) of each of its keys, its head first.
AccountKeys = list[tuple[str, Kind, Any]]


def layout_of(recorded: bytes | None) -> int | None:
    """Return the layout in what is *recorded* with rollups; None where there are no rollups."""
    if recorded is None:
        return None
    fields: dict[str, int] = msgspec.json.decode(recorded)
    return fields.get(keys.LAYOUT_FIELD, 1)


def is_of_first_layout(error: Exception) -> bool:
    """Return whether reading what is recorded failed because it was no string in layout 1."""
    return "WRONGTYPE" in str(error)


def check_layout(recorded: bytes | None) -> None:
    """Raise LayoutDiffersError if rollups with this *recorded* are not of this version's layout."""
    layout = layout_of(recorded)
    if layout not in (None, keys.LAYOUT):
        raise LayoutDiffersError(layout)


def upgraded(layout: int, account: AccountKeys) -> AccountKeys:
    """Return the keys of an *account* of a *layout* as this version stores them.

    Raises LayoutDiffersError where there is no way from that layout.
    """
    for step in range(layout, keys.LAYOUT):
        if step not in _STEPS:
            raise LayoutDiffersError(layout)
        account = _STEPS[step](account)
    return account


def _count_sessions(account: AccountKeys) -> AccountKeys:
    """Count sessions from the first day on of which all are known to start after the upgrade.

    Layout 5 does not say of which application a session is, and has forgotten those of sealed days.
    So the days that have a session, and those that may have had one, stay uncounted: `null` in
    reports. The sessions of a day that is not sealed are all remembered.
    """
    (rest, kind, head), *others = account
    days = [
        int(field[len(keys.SEALED_DAYS) :]) * DAYS_PER_BLOCK + int(bits).bit_length() - 1
        for field, bits in head.items()
        if field.startswith(keys.SEALED_DAYS.encode())
    ]
    starts = (
        int.from_bytes(session[:_START_BYTES], "big", signed=True)
        for key, _, sessions in others
        if key.startswith(keys.SESSIONS)
        for session in sessions.values()
    )
    days += (start // DAY_SECONDS for start in starts if start != UNKNOWN_SECOND)
    if not days:
        return account
    counted_from = str(max(days) + 1).encode()
    return [(rest, kind, head | {keys.SESSIONS_COUNTED_FROM.encode(): counted_from}), *others]


#: The bytes of a session's record in layout 5 that are its start.
_START_BYTES: Final = 5


def _cut_into_pieces(account: AccountKeys) -> AccountKeys:
    """Store many deltas of a slot in pieces; layout 6 had all of them in one list."""
    return [
        (rest, kind, _repacked(content) if rest.startswith(keys.SLOT_DELTAS) else content)
        for rest, kind, content in account
    ]


def _repacked(slots: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: slot_deltas.pack(slot_deltas.unpack(deltas)) for name, deltas in slots.items()}


_STEPS: Final[Mapping[int, Callable[[AccountKeys], AccountKeys]]] = {
    5: _count_sessions,
    6: _cut_into_pieces,
}
