"""Rejected records by reason and cause: what is wrong once, whatever the events say. Pure.

A cause is the sentence of a dead letter without what differs from event to event: quoted values,
sizes, code points. So 4,000 events with 4,000 misspelled applications are one line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stream_app.dead_letter_reader import RejectedRecord
from stream_app.rejection import ADVICE, Advice, Reason

_VARYING: Final = re.compile(
    r"“[^”]*”|'[^']*'|U\+[0-9A-F]{4,6}|\b[0-9][0-9,]*(?= (?:seconds|bytes)\b)"
    r"|(?<=\bbyte )[0-9]+|\boffsets [0-9]+ to [0-9]+|(?<=\[)[0-9]+(?=\])"
)
_UNKNOWN: Final = Advice("The reason is not one that this version knows.", "Ask an operator.")


@dataclass
class Group:
    """Records that were rejected for the same cause."""

    reason: str
    cause: str
    sample: RejectedRecord  #: the one rejected last
    first_at: datetime
    records: int = 0
    accounts: frozenset[str] = frozenset()  #: as many as are shown

    @property
    def last_at(self) -> datetime:
        """When the last one was rejected."""
        return self.sample.newest.at

    @property
    def advice(self) -> Advice:
        """What to do about it."""
        return advice_on(self.reason)


#: Accounts of a group that are named.
MOST_ACCOUNTS: Final = 5


def advice_on(reason: str) -> Advice:
    """Return what a *reason* means and what to do, in plain text."""
    try:
        return ADVICE[Reason(reason)].plain()
    except ValueError:  # someone else wrote it, or a later version
        return _UNKNOWN


def cause_of(sentence: str) -> str:
    """Return *sentence* without what differs from event to event."""
    return _VARYING.sub("…", sentence)


def grouped(records: Iterable[RejectedRecord]) -> list[Group]:
    """Return the groups of *records*, the largest first."""
    groups: dict[tuple[str, str], Group] = {}
    causes: dict[str, str] = {}
    for record in records:
        newest = record.newest
        if newest.sentence not in causes:
            causes[newest.sentence] = cause_of(newest.sentence)
        place = (newest.reason, causes[newest.sentence])
        group = groups.get(place)
        if group is None:
            group = groups[place] = Group(*place, record, newest.at)
        group.records += 1
        group.first_at = min(group.first_at, newest.at)
        if newest.at >= group.last_at:
            group.sample = record
        if record.account and len(group.accounts) < MOST_ACCOUNTS:
            group.accounts |= {record.account}
    return sorted(groups.values(), key=lambda each: (-each.records, each.reason, each.cause))
