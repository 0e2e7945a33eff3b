"""Where the events of an explanation come from, and what is said about that.

From the archive, and behind its end from Kafka; without an archive from Kafka alone, as far as that
goes back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from interaction_usage import settings
from interaction_usage.archive.errors import ArchiveError
from interaction_usage.archive.published import open_archive
from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.database import Source
from interaction_usage.evidence.preparation import Ends
from interaction_usage.explanations.errors import EventsUnavailableError
from interaction_usage.explanations.kafka_events import read_events

if TYPE_CHECKING:
    from interaction_usage.archive.reading import ArchivedEvents


def source_of(
    config: settings.Settings, most_records: int | None = None
) -> Callable[[Sequence[str] | None, Ends], AbstractContextManager[Source]]:
    """Return what opens the events of some accounts, up to given end offsets.

    It raises EventsUnavailableError where more than *most_records* must be read from Kafka.
    """

    @contextmanager
    def opened(accounts: Sequence[str] | None, ends: Ends) -> Iterator[Source]:
        try:
            archive = open_archive(config)
            positions = archive.positions if archive else None
            tail = read_events(config.kafka, accounts, ends, positions, most_records)
            events: Any = tail.events
            dead_letters: Any = tail.dead_letters
            if archive:
                events = archive.events(accounts, events)
                dead_letters = archive.dead_letters(dead_letters)
            yield ArrowSource(events, dead_letters, _made_from(archive, tail.records, tail.deleted))
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
        yield f"Made from {records:,} records in Kafka; there is no archive (USAGE_ARCHIVE)."
    else:
        yield (
            f"Made from the archive ({archived['records']:,} records) and {records:,} records "
            "behind its end in Kafka."
        )
        if missing := archived["missing"]:
            yield f"The archive lacks {_some(missing)}: Kafka had deleted them."
    if deleted:
        yield f"Kafka has deleted the first records of {_some(deleted)}: these are missing."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
