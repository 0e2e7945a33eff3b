"""The archive: whether it is there, written, and as far as Kafka; without one, what is lost."""

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.errors import ArchiveError, NoArchiveError, NotInstalledError
from interaction_usage.archive.published import EXTRA, open_archive
from interaction_usage.doctor.findings import Area, Finding
from rollups.quantity import quantity
from stream_app.errors import BrokerUnavailableError

ARCHIVE: Final = Area("archive")

#: Seconds without a commit, while records wait, after which it is said that nobody writes.
_IDLE_S: Final = 600
_RUN: Final = "Run `usage archive run`; its /readyz and its log say what keeps it waiting"


class State(NamedTuple):
    """What an archive says of itself, beside Kafka."""

    place: str
    records: int
    behind: int  #: offsets in Kafka that are not archived
    endangered: Sequence[str]  #: topic-partitions of which Kafka has deleted what is not archived
    gaps: int  #: offsets that Kafka had deleted before they were archived
    idle_s: float | None  #: seconds since the last commit with records; None: there is none
    is_writable: bool | None  #: from here; None: unknown


def examine(config: settings.Settings, finite: Sequence[str], now: float) -> Iterator[Finding]:
    """Yield what is found; *finite* are the event topics from which Kafka deletes."""
    if not config.archive:
        yield judge_without(finite)
        return
    try:
        archive = open_archive(config)
        if archive is None:
            yield ARCHIVE.warning("place", f"There is no archive at {config.archive} yet", _RUN)
            return
        yield ARCHIVE.ok("versions", ", ".join(f"{name} {_version(name)}" for name in EXTRA))
        yield from judge(ask(config, now))
    except NotInstalledError as error:
        yield ARCHIVE.wrong("packages", f"{error}", "Install them, or unset USAGE_ARCHIVE")
    except NoArchiveError as error:
        yield ARCHIVE.warning("place", f"{error}", _RUN)
    except ArchiveError as error:
        yield ARCHIVE.wrong(
            "place", f"The archive cannot be read: {error}",
            "Check USAGE_ARCHIVE, the folder's rights or the variables AWS_…",
        )  # fmt: skip
    except BrokerUnavailableError as error:
        yield ARCHIVE.wrong(
            "lag", f"How far it is behind Kafka is unknown: {error}", "Do what is said of Kafka"
        )


def ask(config: settings.Settings, now: float) -> State:
    """Return the state of the archive. Raises ArchiveError, BrokerUnavailableError."""
    from interaction_usage.archive.archive import Archive
    from interaction_usage.archive.location import Location
    from interaction_usage.archive.status import read_status

    location = Location(config.archive)
    archive = Archive.open(location)
    found = read_status(archive, config.kafka)
    written = archive.events.written_ms()
    return State(
        location.root, found.tables[0].rows,
        sum(each.behind for each in found.places),
        [f"{each.place[0]}/{each.place[1]}" for each in found.places if each.archived < each.begin],
        sum(gap.end - gap.first for gap in found.gaps),
        None if written is None else max(0.0, now - written / 1000),
        os.access(location.table("events"), os.W_OK) if location.is_local else None,
    )  # fmt: skip


def judge_without(finite: Sequence[str]) -> Finding:
    """Return what it means that there is no archive."""
    if not finite:
        return ARCHIVE.ok("place", "None (USAGE_ARCHIVE); Kafka keeps every event")
    return ARCHIVE.warning(
        "place",
        f"There is no archive, and Kafka deletes events of {_some(finite)}: what is deleted can "
        "neither be explained nor counted again",
        "Set USAGE_ARCHIVE and run `usage archive run`, or keep events for ever (retention.ms=-1)",
    )


def judge(state: State) -> Iterator[Finding]:
    """Yield what an archive's *state* means."""
    yield ARCHIVE.ok("place", f"{state.place}, {quantity(state.records, 'record')} of events")
    if state.is_writable is False:
        yield ARCHIVE.warning(
            "writing", "It cannot be written from here",
            "The user of `usage archive run` must be able to; for everybody else this is in order",
        )  # fmt: skip
    if state.endangered:
        yield ARCHIVE.wrong(
            "lag",
            f"Kafka has deleted records of {_some(state.endangered)} that are not archived",
            f"{_RUN}. Raise the topics' retention; what is deleted stays missing",
        )
    elif state.behind and (state.idle_s is None or state.idle_s > _IDLE_S):
        last = "nothing was ever written" if state.idle_s is None else f"{_age(state.idle_s)} ago"
        yield ARCHIVE.warning(
            "lag",
            f"{quantity(state.behind, 'record', 'is')} not archived; the last commit: {last}",
            _RUN,
        )
    else:
        last = "" if state.idle_s is None else f"; the last commit was {_age(state.idle_s)} ago"
        yield ARCHIVE.ok("lag", f"{quantity(state.behind, 'record', 'is')} not archived yet{last}")
    if state.gaps:
        yield ARCHIVE.warning(
            "gaps",
            f"It lacks {quantity(state.gaps, 'record')} that Kafka had deleted before archiving",
            "`usage archive status` lists them. Run the archive without interruptions",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7_200 else f"{seconds / 3_600:,.0f} h"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
