"""A read of some days of an account in one step: the commands, and what their answers say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from interaction_usage.store import keys
from interaction_usage.store.keys import Namespace
from interaction_usage.store.range_assembly import Days, Nets
from rollups.slots import DAYS_PER_BLOCK, block_of


class AccountRead:
    """A read of some days of an account, in one step.

    *bits* are the fields of the head that say which of the days are open, and from which day on
    sessions are counted; *only* some fields of open days are read, or all for None. The *fences*
    are read if wanted.
    """

    def __init__(
        self,
        account: str,
        days: range,
        bits: list[bytes | None],
        only: Sequence[bytes] | None,
        fences: bool,
    ) -> None:
        self.account, self.blocks, self.bits, self.only = account, _blocks(days), bits, only
        self.fences = fences
        self.fields = head_fields(days)
        *open_days, sessions_from, pending = bits
        self.sessions_from = None if sessions_from is None else int(sessions_from)
        self.pending_voids = int(pending or 0)
        self.open_days = [
            day
            for block, field in zip(self.blocks, open_days, strict=True)
            for day in days_of(block, field)
            if day in days
        ]

    def queue(self, pipe: Any, keys: Namespace) -> None:
        """Queue the commands in *pipe*."""
        pipe.hmget(keys.head(self.account), self.fields)
        if self.fences:
            pipe.hgetall(keys.head(self.account))
        pipe.hgetall(keys.nets(self.account))
        for block in self.blocks:
            pipe.get(keys.sealed_days(self.account, block))
        for day in self.open_days:
            if self.only is None:
                pipe.hgetall(keys.day(self.account, day))
            else:
                pipe.hmget(keys.day(self.account, day), list(self.only))

    def parse(self, answers: Iterator[Any]) -> tuple[Nets, Days] | None:
        """Take the answers to the commands; return None if other days are open by now.

        So a micro-batch that opens a day is seen whole or not at all, and a day that is sealed
        meanwhile is either open or sealed.
        """
        bits = next(answers)
        fences = fences_in(next(answers)) if self.fences else {}
        nets = {int(block): packed for block, packed in next(answers).items()}
        strings = {block: next(answers) for block in self.blocks}
        sealed = {block: packed for block, packed in strings.items() if packed}
        opened = {day: self._present(next(answers)) for day in self.open_days}
        days = Days(
            opened, sealed, self.only is None, self.sessions_from, fences, self.pending_voids
        )
        return (nets, days) if bits == self.bits else None

    def _present(self, answer: Any) -> Mapping[bytes, bytes]:
        """Return the fields of an open day that are there."""
        if self.only is None:
            return cast(Mapping[bytes, bytes], answer)
        pairs = zip(self.only, answer, strict=True)
        return {name: records for name, records in pairs if records is not None}


def days_of(block: int, field: bytes | None) -> list[int]:
    """Return the UTC days of *block* whose bits are set in a *field* of an account's head."""
    bits = int(field or 0)
    return [block * DAYS_PER_BLOCK + place for place in range(DAYS_PER_BLOCK) if bits >> place & 1]


def fences_in(head: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return the fences in an account's head, by topic-partition (`keys.fence`)."""
    prefix = keys.FENCE.encode()
    return {
        name.removeprefix(prefix).decode(): int(offset)
        for name, offset in head.items()
        if name.startswith(prefix)
    }


def head_fields(days: range) -> list[str]:
    """Return the fields of a head that say which of *days* are open, and what holds for all."""
    open_days = [f"{keys.OPEN_DAYS}{block}" for block in _blocks(days)]
    return [*open_days, keys.SESSIONS_COUNTED_FROM, keys.PENDING_VOIDS]


def _blocks(days: range) -> range:
    return range(block_of(days[0]), block_of(days[-1]) + 1)
