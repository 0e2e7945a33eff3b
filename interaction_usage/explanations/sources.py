"""Where the events of an explanation come from, and what is said about that.

From the archive, and behind its end from Kafka; without an archive from Kafka alone, as far as that
goes back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.errors import ArchiveError
from interaction_usage.archive.published import open_archive
from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.database import Source
from interaction_usage.evidence.preparation import EVERYTHING, Ends, Needed
from interaction_usage.explanations.errors import EventsUnavailableError
from interaction_usage.explanations.in_background import InBackground
from interaction_usage.explanations.kafka_events import Progress, followed_by, ignore, read_events
from rollups.quantity import quantity

if TYPE_CHECKING:
    from interaction_usage.archive.reading import ArchivedEvents

#: Returns the events up to given end offsets, for questions.
UpTo = Callable[[Ends], Source]
#: Opens the events of some accounts, or of all.
OpenSource = Callable[[Sequence[str] | None, Needed, Progress], AbstractContextManager[UpTo]]


class _Archived(NamedTuple):
    """What the archive has."""

    archive: "ArchivedEvents | None"
    events: Any = None  #: as a table, if they were asked for


def source_of(
    config: settings.Settings, most_records: int | None = None, timeout_s: float | None = None
) -> OpenSource:
    """Return what opens the events of some accounts, to be had up to given end offsets.

    The archive is read in the background from then on, while reports are made: it is the same for
    any end. Raises EventsUnavailableError, also where more than *most_records* must be read from
    Kafka; and EvidenceTimeoutError if the archive takes longer than *timeout_s*.
    """

    @contextmanager
    def opened(
        accounts: Sequence[str] | None, needed: Needed = EVERYTHING, progress: Progress = ignore
    ) -> Iterator[UpTo]:
        def read(is_over: Callable[[], bool]) -> _Archived:
            archive = open_archive(config)
            if archive is None:
                return _Archived(None)
            if accounts is None or needed == EVERYTHING:  # perhaps too much for the memory
                return _Archived(archive)
            return _Archived(archive, archive.read(accounts, *needed, is_over))

        with InBackground(read, timeout_s) as reading:

            def up_to(ends: Ends) -> Source:
                archive, archived = reading.result()
                positions = archive.positions if archive else None
                tail = read_events(config.kafka, accounts, ends, positions, most_records, progress)
                events: Any = tail.events
                dead_letters: Any = tail.dead_letters
                if archived is not None:
                    events = followed_by(archived, events)
                elif archive:
                    events = archive.events(accounts, events)
                if archive:
                    dead_letters = archive.dead_letters(dead_letters)
                made_from = _made_from(archive, tail.records, tail.deleted)
                return ArrowSource(events, dead_letters, made_from)

            try:
                yield up_to
            except ArchiveError as error:
                raise EventsUnavailableError(f"the archive cannot be read: {error}") from None

    return opened


def _made_from(
    archive: "ArchivedEvents | None", records: int, deleted: Sequence[str]
) -> dict[str, Any]:
    archived = archive.made_from() if archive else None
    return {
        "archive": archived,
        "kafka": {"records": records, "deleted": list(deleted)},
        "sentence": " ".join(_sentences(archived, records, deleted)),
    }


def _sentences(
    archived: dict[str, Any] | None, records: int, deleted: Sequence[str]
) -> Iterator[str]:
    if archived is None:
        made = quantity(records, "record")
        yield f"Made from {made} in Kafka; there is no archive (USAGE_ARCHIVE)."
    else:
        yield (
            f"Made from the archive ({quantity(archived['records'], 'record')}) and "
            f"{quantity(records, 'record')} behind its end in Kafka."
        )
        if missing := archived["missing"]:
            yield f"The archive lacks {_some(missing)}: Kafka had deleted them."
    if deleted:
        yield f"Kafka has deleted the first records of {_some(deleted)}: these are missing."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
