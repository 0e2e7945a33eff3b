"""Where the events of an explanation come from, and what is said about that."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from interaction_usage import settings
from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.database import Source
from interaction_usage.evidence.preparation import Ends
from interaction_usage.explanations.kafka_events import read_events


def source_of(
    config: settings.Settings,
) -> Callable[[Sequence[str] | None, Ends], AbstractContextManager[Source]]:
    """Return what opens the events of some accounts, up to given end offsets."""

    @contextmanager
    def opened(accounts: Sequence[str] | None, ends: Ends) -> Iterator[Source]:
        found = read_events(config.kafka, accounts, ends)
        said = {
            "archive": None,
            "kafka": {"records": found.records, "deleted": list(found.deleted)},
            "sentence": _sentence(found.records, found.deleted),
        }
        yield ArrowSource(found.events, found.dead_letters, said)

    return opened


def _sentence(records: int, deleted: Sequence[str]) -> str:
    made = f"Made from {records:,} records in Kafka; there is no archive (USAGE_ARCHIVE)."
    if not deleted:
        return made
    places = ", ".join(deleted[:3]) + (f" and {len(deleted) - 3} more" if len(deleted) > 3 else "")
    return f"{made} Kafka has deleted the first records of {places}: these are missing."
