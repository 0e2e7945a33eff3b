"""How far everything is counted, as workers leave it for reports.

One of them writes it once a second, and it is read beside the positions. It is under two keys, of
which one expires: whether it is current follows from that, and not from the clocks of two machines.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec

from interaction_usage.store import keys
from interaction_usage.store.client import Client, primaries_of
from interaction_usage.store.gaps import gap_from
from interaction_usage.store.issued_table import Entry, entry_from
from interaction_usage.store.keys import Namespace
from interaction_usage.store.reads import lowest_positions
from rollups.completeness import Known, Progress

if TYPE_CHECKING:
    from interaction_usage.store.nodes import Nodes

#: Milliseconds for which a worker's report is current.
_CURRENT_MS: Final = 10_000
#: Milliseconds after which another worker looks, if the one that did is gone.
_TURN_MS: Final = 3_000


def encoded(progress: Progress) -> bytes:
    """Return *progress* as one JSON object."""
    return msgspec.json.encode(progress._asdict())


def _decoded(content: bytes) -> Progress | None:
    """Return the progress in *content*; None where another version wrote it."""
    try:
        return Progress(**msgspec.json.decode(content))
    except (TypeError, msgspec.DecodeError):
        return None


async def take_turn(nodes: "Nodes", worker: str) -> bool:
    """Return whether *worker* is the one that looks for all; it stays so while it asks again."""
    is_new, holder = await nodes.execute_all(
        ("SET", keys.PROGRESS_BY, worker, "NX", "PX", _TURN_MS), ("GET", keys.PROGRESS_BY)
    )
    if (holder or b"").decode() != worker:
        return False
    if not is_new:
        await nodes.execute("PEXPIRE", keys.PROGRESS_BY, _TURN_MS)
    return True


async def report_progress(nodes: "Nodes", progress: Progress) -> None:
    """Leave *progress* for whoever reads reports."""
    content = encoded(progress)
    await nodes.execute_all(
        ("SET", keys.PROGRESS_LAST, content), ("SET", keys.PROGRESS, content, "PX", _CURRENT_MS)
    )


async def last_progress(nodes: "Nodes") -> Progress | None:
    """Return what was reported last, by whichever worker."""
    content = await nodes.execute("GET", keys.PROGRESS_LAST)
    return _decoded(content) if content else None


class ReportPeriod(NamedTuple):
    """The period of a report of an account."""

    account: str
    begin: int  #: seconds [begin, end)
    end: int
    name: tuple[str, str, str]  #: first day, last day, time zone


def read_known(
    redis: Client, at: Namespace, periods: Sequence[ReportPeriod]
) -> tuple[Known, list[int], list[Entry | None]]:
    """Return what Redis says of the stream, with the positions of the rollups *at* a namespace.

    And for each of *periods* how many of its events were refused, and the newest report that was
    issued for it. To be read before the rollups: what is counted now is in them then.
    """
    suffixes = [primary.key_suffix for primary in primaries_of(redis)] or [""]
    pipe = redis.pipeline(transaction=False)
    pipe.get(keys.PROGRESS)
    pipe.get(keys.PROGRESS_LAST)
    pipe.exists(keys.REFUSED_READ)
    pipe.hvals(keys.GAPS)
    for suffix in suffixes:
        pipe.hgetall(at.positions_at(suffix))
    for account, begin, end, name in periods:
        pipe.zcount(keys.refused(account), begin, f"({end}")
        pipe.hget(keys.report_entries(account), keys.report_period(*name))
    current, last, has_refused, gaps, *answers = cast(list[Any], pipe.execute())
    of_nodes, of_periods = answers[: len(suffixes)], answers[len(suffixes) :]
    latest = current or last
    known = Known(
        _decoded(latest) if latest else None,
        current is not None,
        lowest_positions(of_nodes),
        bool(has_refused),
        [gap_from(stored) for stored in gaps],
    )
    return known, of_periods[::2], [entry_from(content) for content in of_periods[1::2]]
